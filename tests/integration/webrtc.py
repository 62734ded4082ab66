"""aiortc as a foreign WebRTC peer: says recorded speech, and keeps what it hears and is told."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import io
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import aioice
import numpy as np
import numpy.typing as npt
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler

from integration.callers import Caller
from integration.clients import Inbox
from integration.observe import DEADLINE
from support.audio import SPEECH_RATE, wav
from support.words import NotUnderstood, among

FRAME = 320
"""Samples of 20 ms at the rate of the speech files."""


RECOGNISER_DEADLINE = 60.0
"""Seconds that damaged speech may keep the recogniser busy."""


class Voice(MediaStreamTrack):  # type: ignore[misc]
    """A track that says what it is given, at the pace of speech, and is silent otherwise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._frames: list[bytes] = []
        self._begun: float | None = None
        self._sent = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def say(self, pcm: bytes) -> None:
        """Say mono s16le at 16 kHz, after what is being said."""
        size = 2 * FRAME
        self._frames += [pcm[at : at + size].ljust(size, b"\0") for at in range(0, len(pcm), size)]
        self._quiet.clear()

    async def said(self) -> None:
        """Wait until everything is said."""
        async with asyncio.timeout(DEADLINE):
            await self._quiet.wait()

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._begun is None:
            self._begun = loop.time()
        await asyncio.sleep(max(0.0, self._begun + self._sent * 0.02 - loop.time()))
        pcm = self._frames.pop(0) if self._frames else bytes(2 * FRAME)
        if not self._frames:
            self._quiet.set()
        frame = AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[None, :], "s16", "mono")
        frame.sample_rate = SPEECH_RATE
        frame.pts = self._sent * FRAME
        frame.time_base = fractions.Fraction(1, SPEECH_RATE)
        self._sent += 1
        return frame


class Ear:
    """What comes on one track, as mono s16le at 16 kHz; gaps in the timestamps are silence."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self._track = track
        self._pieces: list[npt.NDArray[np.int16]] = []
        self._resampler = AudioResampler("s16", "mono", SPEECH_RATE)
        self._next: int | None = None
        self.frames = 0
        self._task = asyncio.create_task(self._run())

    @property
    def pcm(self) -> bytes:
        return b"".join(piece.tobytes() for piece in self._pieces)

    def clear(self) -> None:
        """Forget what was heard."""
        self._pieces.clear()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await self._track.recv()
                self.frames += 1
                pts, rate = frame.pts or 0, frame.sample_rate
                if self._next is not None and 0 < pts - self._next < 10 * rate:
                    self._pieces.append(np.zeros((pts - self._next) * SPEECH_RATE // rate, np.int16))
                self._next = pts + frame.samples
                frame.pts = None
                for made in self._resampler.resample(frame):
                    self._pieces.append(made.to_ndarray().reshape(-1).copy())


class Peer(Inbox):
    """A peer connection: one voice, so many ears, and the metadata channel.

    Args:
        speaks: Whether it sends its voice.
        ears: How many receiving m-lines it offers, the one of its voice among them.
    """

    def __init__(self, *, speaks: bool = True, ears: int = 1) -> None:
        super().__init__()
        self.pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.voice = Voice()
        self.ears: list[Ear] = []
        self.pc.on("track", lambda track: self.ears.append(Ear(track)))
        self.pc.on("connectionstatechange", self.wake)
        if speaks:
            self.pc.addTransceiver(self.voice, direction="sendrecv" if ears else "sendonly")
        for _ in range(ears - speaks):
            self.pc.addTransceiver("audio", direction="recvonly")
        self.channel: RTCDataChannel = self.pc.createDataChannel("metadata", ordered=True, maxRetransmits=3)
        self.channel.on("message", self._told)
        self.channel.on("open", self.wake)

    @property
    def state(self) -> str:
        state: str = self.pc.connectionState
        return state

    async def offer(self) -> str:
        """A session description with all candidates."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp: str = self.pc.localDescription.sdp
        return sdp

    async def take(self, answer: str) -> None:
        """Take the answer, and wait until media and channel are there."""
        await self.pc.setRemoteDescription(RTCSessionDescription(_everywhere(answer), "answer"))
        await self.until(lambda: self.state == "connected" and self.channel.readyState == "open")

    async def new_path(self) -> NewPath:
        """Sockets of its own for an ICE restart, which aiortc cannot do by itself."""
        path = NewPath(self)
        await path.gather()
        return path

    def lose(self, fraction: float, seed: int = 1) -> None:
        """From now on so many of the media packets that are sent get lost on the way."""
        transport = self.pc.getTransceivers()[0].receiver.transport.transport
        send, chance = transport._send, random.Random(seed)

        async def lossy(data: bytes) -> None:
            # SRTP by its first byte (RFC 7983), and not SRTCP by its second (RFC 5761): the seed says which
            audio = 128 <= data[0] <= 191 and not 192 <= data[1] <= 223
            if not audio or chance.random() >= fraction:
                await send(data)

        transport._send = lossy

    def say(self, message: Any) -> None:
        """Send something over the metadata channel."""
        self.channel.send(message if isinstance(message, str) else json.dumps(message))

    async def finish(self) -> None:
        await self.pc.close()
        for ear in self.ears:
            await ear.close()

    def _told(self, text: str) -> None:
        message = json.loads(text)
        self.put(message["type"], message)


class NewPath:
    """Another ICE session of a peer (RFC 8445 section 2.4): from other ports, with other credentials.

    DTLS and everything above stay as they are; that they can is what an ICE restart is for.
    """

    def __init__(self, of: Peer) -> None:
        self._peer = of
        self._transport = of.pc.getTransceivers()[0].receiver.transport.transport
        self._connection = aioice.Connection(ice_controlling=True)
        self._connection.remote_is_lite = True

    async def gather(self) -> None:
        await self._connection.gather_candidates()

    @property
    def fragment(self) -> str:
        """Credentials and candidates, as a fragment of a session description."""
        lines = [
            f"a=ice-ufrag:{self._connection.local_username}",
            f"a=ice-pwd:{self._connection.local_password}",
            "m=audio 9 UDP/TLS/RTP/SAVPF 0",
            "a=mid:0",
            *(f"a=candidate:{candidate.to_sdp()}" for candidate in self._connection.local_candidates),
        ]
        return "\r\n".join(lines) + "\r\n"

    @property
    def offer(self) -> str:
        """The peer's offer with the new credentials and candidates."""
        lines: list[str] = []
        for line in self._peer.pc.localDescription.sdp.split("\r\n"):
            if line.startswith("a=ice-ufrag"):
                lines.append(f"a=ice-ufrag:{self._connection.local_username}")
            elif line.startswith("a=ice-pwd"):
                lines += [f"a=candidate:{candidate.to_sdp()}" for candidate in self._connection.local_candidates]
                lines.append(f"a=ice-pwd:{self._connection.local_password}")
            elif not line.startswith("a=candidate"):
                lines.append(line)
        return "\r\n".join(lines)

    async def take(self, answer: str) -> None:
        """Connect as the answer says, and give up the old path."""
        connection, transport = self._connection, self._transport
        for line in answer.split("\r\n"):
            name, _, value = line.partition(":")
            if name == "a=ice-ufrag":
                connection.remote_username = value
            elif name == "a=ice-pwd":
                connection.remote_password = value
            elif name == "a=candidate" and " udp " in value:
                await connection.add_remote_candidate(aioice.Candidate.from_sdp(value))
        await connection.add_remote_candidate(None)
        async with asyncio.timeout(DEADLINE):
            await connection.connect()
        old = transport._connection
        transport._RTCIceTransport__monitor_task.cancel()
        transport._RTCIceTransport__monitor_task = None
        transport._connection = transport.iceGatherer._connection = connection
        transport._recv, transport._send = connection.recv, connection.send
        # whoever waits for a packet by the old path is given one that is none, and asks the new one next
        old._queue.put_nowait((b"\xff", 1))
        await asyncio.sleep(0)
        await old.close()


def _everywhere(answer: str) -> str:
    """The answer with its candidates in each m-section: aiortc reads those of the last one that shares a transport."""
    session, *sections = answer.split("\r\nm=")
    candidates = "".join(f"{line}\r\n" for line in answer.split("\r\n") if line.startswith("a=candidate"))
    bare = ["\r\n".join(line for line in s.split("\r\n") if not line.startswith("a=candidate")) for s in sections]
    return (
        "\r\nm=".join([session, *(section.rstrip("\r\n") + "\r\n" + candidates.rstrip() for section in bare)]) + "\r\n"
    )


@asynccontextmanager
async def peer(**options: Any) -> AsyncIterator[Peer]:
    """A peer, closed at the end."""
    made = Peer(**options)
    try:
        yield made
    finally:
        await made.finish()


async def connect(caller: Caller, made: Peer, *, shaped: bool = True) -> str:
    """Negotiate with the media server by Socket.IO; returns the answer."""
    sdp = await made.offer()
    before = len(caller.all("answer"))
    status = await caller.call(
        "offer", {"targetSocketId": "server", "sdp": {"type": "offer", "sdp": sdp} if shaped else sdp}
    )
    assert status == {"status": "ok"}, status
    answer = await caller.wait("answer", before + 1)
    assert answer["fromSocketId"] == "server"
    text: str = answer["sdp"]["sdp"] if shaped else answer["sdp"]
    await made.take(text)
    return text


async def finals_in(url: str, pcm: bytes) -> list[str]:
    """What the server's recogniser makes of audio that somebody heard, utterance by utterance."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/transcribe", data=io.BytesIO(wav(pcm))) as response,
        asyncio.timeout(RECOGNISER_DEADLINE),
    ):
        finals: list[str] = []
        async for line in response.content:
            if line.startswith(b"data:"):
                data = json.loads(line[5:])
                if data.get("text") and not data["is_partial"]:
                    finals.append(data["text"])
        return finals


async def heard_in(url: str, pcm: bytes, words: str, share: float = 0.75) -> None:
    """See that the words are in audio that somebody heard.

    Raises:
        NotUnderstood: They are not.
    """
    finals = await finals_in(url, pcm)
    if not among(finals, words, share=share):
        raise NotUnderstood(f"{words!r} was heard as {finals}")
