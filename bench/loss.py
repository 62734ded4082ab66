"""Words through a network that loses packets: ``python -m bench.loss``.

Somebody speaks into a room whose server writes down what is said, by way of an emulated network
(`antiphon.testing.UdpLink`) that drops packets and delays the others by 10 to 30 ms, from a seed. Counted are the words
that came out wrong, and what the server's jitter buffer had to make up. A page of a headless Chromium says the same
samples over three connections at once: with redundant audio (RED), with Opus' in-band FEC only, and with neither;
beside it aiortc, which has neither. Needs Chromium, aiortc and flite.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fractions
import importlib.util
import json
import shutil
import tempfile
import time
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import numpy as np
import socketio
import typer
from playwright.async_api import Page
from rich.console import Console

from antiphon.testing import UdpLink
from bench.accuracy import RATE, synthesise, word_errors
from bench.browser import Server, browsing, missing, opened, serving
from bench.host import description
from bench.report import Report, Table

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

LOSSES = (0.0, 0.01, 0.05, 0.2)
JITTER_MS = (10.0, 30.0)
FRAME = 320
"""Samples of 20 ms."""
QUIET = 8.0
"""Seconds without a new caption after which nothing more is expected."""
PATIENCE = 120.0
DEADLINE = 60.0

CHROMIUM = {"Chromium, RED": "red", "Chromium, in-band FEC": "fec", "Chromium, neither": "none"}
AIORTC = "aiortc, neither"


@dataclass(slots=True)
class Outcome:
    """One speaker at one loss.

    Attributes:
        lost: Share of packets that the link dropped on the way to the server.
        concealed: Share of what was decoded that the server had to make up.
        heard: The captions.
        errors: Words wrong, missing or too many.
    """

    lost: float
    concealed: float
    heard: str
    errors: int


@dataclass(frozen=True, slots=True)
class Speech:
    """What is said: mono s16le at 16 kHz, and its words."""

    pcm: bytes
    words: str

    @classmethod
    def make(cls, voices: list[str], sentences: int, folder: Path) -> Speech:
        spoken = [piece for voice in voices for piece in synthesise(voice, folder)[:sentences]]
        quiet = np.random.default_rng(0).normal(scale=20.0, size=RATE).astype("<i2").tobytes()
        return cls(b"".join((quiet, *(pcm for pcm, _ in spoken), quiet)), " ".join(words for _, words in spoken))

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / RATE

    def write(self, path: Path) -> None:
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            file.writeframes(self.pcm)


class Reader:
    """Reads a room's captions."""

    def __init__(self) -> None:
        self.finals: list[str] = []
        self.last = time.monotonic()
        self._socket = socketio.AsyncClient(reconnection=False)
        self._socket.on("transcription_result", self._told)

    async def join(self, server: Server, room: str) -> None:
        await self._socket.connect(server.url, transports=["websocket"], wait_timeout=DEADLINE)
        wanted = {"roomId": room, "userId": "reader", "role": "guest", "captions": {"language_code": "en-US"}}
        answer = await self._socket.call("join-room", wanted, timeout=DEADLINE)
        if answer["status"] != "joined":
            raise RuntimeError(f"cannot join: {answer}")

    async def settled(self) -> str:
        """All that was read, once nothing new comes."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < min(end, self.last + QUIET):
            await asyncio.sleep(0.2)
        return " ".join(text for text in self.finals if text)

    async def close(self) -> None:
        await self._socket.disconnect()

    def _told(self, result: dict[str, Any]) -> None:
        self.last = time.monotonic()
        if not result["is_partial"]:
            self.finals.append(result["text"])


PUBLISH = """
async ([name, url, port, protection]) => {
  const { publish } = await import("/bench/calls.js");
  (window.speakers ??= new Map()).set(name, await publish({ url, port, protection }));
}
"""
SPEAK = """
async () => {
  const { microphone } = await import("/bench/calls.js");
  const track = (await microphone()).getAudioTracks()[0];
  await Promise.all([...speakers.values()].map(({ speak }) => speak(track)));
}
"""
COUNTED = """async (name) => (await (await import("/bench/calls.js")).counted(speakers.get(name)))"""


class ChromiumSpeaker:
    """One connection of the page."""

    def __init__(self, page: Page, name: str) -> None:
        self._page = page
        self._name = name

    async def publish(self, url: str, link: UdpLink) -> None:
        await self._page.evaluate(PUBLISH, [self._name, url, link.port, CHROMIUM[self._name]])

    async def concealed(self) -> float:
        share: float = (await self._page.evaluate(COUNTED, self._name))["concealed"]
        return share


class AiortcSpeaker:
    """aiortc, which offers plain Opus."""

    def __init__(self, pc: RTCPeerConnection, track: Any) -> None:
        self._pc = pc
        self._track = track
        self._counted: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._channel = pc.createDataChannel("metadata", ordered=True, maxRetransmits=3)
        self._channel.on("message", self._told)

    async def publish(self, url: str, link: UdpLink) -> None:
        from aiortc import RTCSessionDescription  # only of the extra `bench`

        self._pc.addTransceiver(self._track, direction="sendonly")
        await self._pc.setLocalDescription(await self._pc.createOffer())
        headers = {"Content-Type": "application/sdp"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=self._pc.localDescription.sdp, headers=headers) as response,
        ):
            answer = link.redirected(await response.text())
        await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(DEADLINE):
            while self._channel.readyState != "open":
                await asyncio.sleep(0.05)

    async def concealed(self) -> float:
        async with asyncio.timeout(DEADLINE):
            while not self._counted.done():
                self._channel.send('{"type": "stats"}')
                await asyncio.wait([self._counted], timeout=1.0)  # asked again where question or answer got lost
        share: float = self._counted.result()["concealed"]
        return share

    def _told(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "stats" and not self._counted.done():
            self._counted.set_result(message)


def recording(speech: Speech, begin: asyncio.Event) -> Any:
    """A track that says it from `begin` on, and is silent before."""
    from aiortc import MediaStreamTrack
    from av import AudioFrame

    class Recording(MediaStreamTrack):  # type: ignore[misc]
        kind = "audio"

        def __init__(self) -> None:
            super().__init__()
            self._sent = self._at = 0
            self._begun = time.monotonic()

        async def recv(self) -> AudioFrame:
            await asyncio.sleep(max(0.0, self._begun + self._sent * 0.02 - time.monotonic()))
            piece = b""
            if begin.is_set():
                piece = speech.pcm[self._at : self._at + 2 * FRAME]
                self._at += 2 * FRAME
            frame = AudioFrame.from_ndarray(np.frombuffer(piece.ljust(2 * FRAME, b"\0"), "<i2")[None, :], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent * FRAME, fractions.Fraction(1, RATE)
            self._sent += 1
            return frame

    return Recording()


@contextlib.asynccontextmanager
async def speakers(server: Server, speech: Speech, wav: Path, begin: asyncio.Event) -> AsyncIterator[tuple[Page, Any]]:
    """The page, and all who will speak, by name."""
    from aiortc import RTCPeerConnection

    async with browsing(wav) as context:
        page = await opened(context, server)
        pc = RTCPeerConnection()
        try:
            there: dict[str, Any] = {name: ChromiumSpeaker(page, name) for name in CHROMIUM}
            there[AIORTC] = AiortcSpeaker(pc, recording(speech, begin))
            yield page, there
        finally:
            await pc.close()


async def spoken(server: Server, speech: Speech, wav: Path, loss: float, seed: int) -> dict[str, Outcome]:
    """Everybody at once, each in a room and behind a link of its own, over the same network."""
    begin = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        page, there = await stack.enter_async_context(speakers(server, speech, wav, begin))
        links, readers = {}, {}
        for number, (name, speaker) in enumerate(there.items()):
            room = f"loss-{loss}-{number}"
            link = await stack.enter_async_context(UdpLink(server.media_port, delay_ms=JITTER_MS, seed=seed))
            links[name], readers[name] = link, Reader()
            await readers[name].join(server, room)
            stack.push_async_callback(readers[name].close)
            await speaker.publish(f"{server.url}/whip/{room}", link)
        for link in links.values():
            link.loss = loss
            link.up.passed = link.up.lost = 0
        await page.evaluate(SPEAK)
        begin.set()
        await asyncio.sleep(speech.seconds)
        lost = {name: link.up.share_lost for name, link in links.items()}
        concealed = {name: await speaker.concealed() for name, speaker in there.items()}
        outcomes = {}
        for name, reader in readers.items():
            heard = await reader.settled()
            outcomes[name] = Outcome(lost[name], concealed[name], heard, word_errors(speech.words, heard))
        return outcomes


async def measured(
    voices: list[str], sentences: int, seed: int, say: Console
) -> tuple[Speech, dict[float, dict[str, Outcome]]]:
    """Everybody at every loss."""
    with tempfile.TemporaryDirectory() as folder:
        speech = Speech.make(voices, sentences, Path(folder))
        wav = Path(folder) / "speech.wav"
        speech.write(wav)
        outcomes = {}
        with serving("--max-streams", "50", "--max-rate", "100") as server:
            for loss in LOSSES:
                outcomes[loss] = await spoken(server, speech, wav, loss, seed)
                for name, made in outcomes[loss].items():
                    wrong = made.errors / len(speech.words.split())
                    say.print(f"[dim]{loss:.0%}, {name}: {wrong:.1%} wrong, {made.concealed:.1%} concealed")
        return speech, outcomes


def table(words: int, outcomes: dict[float, dict[str, Outcome]]) -> Table:
    """By speaker and loss."""
    made = Table("Words and loss", ("speaker", "loss", "packets lost", "concealed", "words wrong"))
    for name in (*CHROMIUM, AIORTC):
        for loss, seen in outcomes.items():
            one = seen[name]
            cells = (f"{one.lost:.1%}", f"{one.concealed:.1%}", f"{one.errors / words:.1%}")
            made.rows.append((name, f"{loss:.0%}", *cells))
    made.notes = [
        "packets lost: of all that were sent to the server, as the link dropped them",
        "concealed: the share of audio that the server's jitter buffer extrapolated, from the connection on; what RED "
        "or FEC brought back is not in it, what came too late for its turn is",
        "words wrong: changed, missing and too many, of what was said",
    ]
    return made


def main(
    voices: Annotated[str, typer.Option(help="flite voices, comma-separated.")] = "slt",
    sentences: Annotated[int, typer.Option(help="Sentences of each voice.", min=1, max=20)] = 12,
    seed: Annotated[int, typer.Option(help="What loss and jitter come from.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
) -> None:
    """Words wrong and audio concealed at 0, 1, 5 and 20 % loss. Takes some 5 minutes."""
    console = Console()
    lacking = missing()
    if importlib.util.find_spec("aiortc") is None:
        lacking = "aiortc is not installed: pip install -e '.[bench]'"
    if shutil.which("flite") is None:
        lacking = "flite is not installed; on Debian: apt-get install flite"
    if lacking:
        console.print(f"SKIPPED: {lacking}")
        raise typer.Exit(0)
    speech, outcomes = asyncio.run(measured(voices.split(","), sentences, seed, console))
    words = len(speech.words.split())
    notes = [
        f"Measured on {time.strftime('%Y-%m-%d')} by `python -m bench.loss`: {words} words ({voices}, synthesised), "
        f"heard by PocketSphinx as captions of a relayed room; loss, and a delay of {JITTER_MS[0]:.0f} to "
        f"{JITTER_MS[1]:.0f} ms a packet, each way, from seed {seed}.",
        "All speakers of one loss talk at once, on the same cores; the three of Chromium send the same samples.",
    ]
    made = Report("WebRTC and packet loss", description(), notes, [table(words, outcomes)])
    made.show(console)
    if markdown is not None:
        markdown.write_text(made.markdown())
    if json_file is not None:
        figures: dict[str, Any] = {
            "machine": made.machine,
            "words": words,
            "losses": {
                str(loss): {name: dataclasses.asdict(one) for name, one in seen.items()}
                for loss, seen in outcomes.items()
            },
        }
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
