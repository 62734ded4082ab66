"""Where the audio of programmes comes from: a file, a text, a room."""

from __future__ import annotations

import asyncio
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Any, Protocol

from antiphon.errors import AntiphonError, EngineUnavailable
from antiphon.media import FileDecoder
from antiphon.media.opus import OpusEncoderConfig
from antiphon.protocol.audio_out import SoundFormat
from antiphon.protocol.negotiation import JoinRoom
from antiphon.sessions.media_folder import MediaFile
from antiphon.sessions.packets import Packets
from antiphon.sessions.room_media import Peer
from antiphon.sessions.rooms import RoomManager
from antiphon.speech.synthesiser import SpeechRequest, Synthesiser

TICK_MS = 20
"""Milliseconds of audio that a room makes at a time."""


class Output(Protocol):
    """Where a source's packets go."""

    def append(self, packets: list[bytes]) -> None:
        """The next packets."""
        ...

    async def wanted(self) -> None:
        """Wait until more packets are wanted: a source runs ahead of its listeners by some seconds and no more."""
        ...


class Source(ABC):
    """One source in one format. Opened and played once.

    Attributes:
        live: What is missed cannot be heard later.
        duration: Seconds; None where that is not known.
    """

    live = False
    duration: float | None = None

    async def open(self, output: Output) -> None:
        """Get ready.

        Raises:
            AntiphonError: There is nothing to be heard.
        """
        return

    @abstractmethod
    async def play(self, output: Output) -> None:
        """Make packets until the source is over.

        Raises:
            AntiphonError: It broke down.
        """

    async def close(self) -> None:
        """Release everything; a running :meth:`play` was cancelled before."""
        return


class FileSource(Source):
    """A file, decoded by a process of its own and encoded in a worker thread.

    Args:
        file: Closed with this.
        config: How packets are made.
        skip: Packets at the beginning that are not wanted.
        max_seconds: Longest audio taken.
        threads: Where decoding is waited for and encoding is done.
    """

    def __init__(
        self, file: MediaFile, config: OpusEncoderConfig, skip: int, max_seconds: float, threads: Executor
    ) -> None:
        self._file = file.file
        self._turn = threading.Lock()
        self._decoder = FileDecoder(file.file, sample_rate=config.sample_rate, max_seconds=max_seconds)
        self._packets = Packets(config, config.sample_rate, skip)
        self._threads = threads

    async def open(self, output: Output) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._enter)
        self.duration = self._decoder.info.duration

    async def play(self, output: Output) -> None:
        loop = asyncio.get_running_loop()
        blocks = iter(self._decoder)
        while (packets := await loop.run_in_executor(self._threads, self._next, blocks)) is not None:
            if packets:
                await output.wanted()
                output.append(packets)
        output.append(self._packets.flush())

    async def close(self) -> None:
        # not in the pool, whose threads may all wait for such files
        await asyncio.shield(asyncio.to_thread(self._end))

    def _enter(self) -> None:
        with self._turn, self._file:
            self._decoder.__enter__()

    def _end(self) -> None:
        self._decoder.close()
        # the descriptor must not be another file's while the decoder's process is started with it
        with self._turn:
            self._file.close()

    def _next(self, blocks: Iterator[bytes]) -> list[bytes] | None:
        block = next(blocks, None)
        return None if block is None else self._packets.push(block)


class TextSource(Source):
    """A text, heard while the rest of it is still being synthesised.

    Args:
        synthesiser: Who speaks.
        request: What.
        config: How packets are made.
        skip: Packets at the beginning that are not wanted.

    Raises:
        AntiphonError: The synthesiser cannot say that.
    """

    def __init__(self, synthesiser: Synthesiser, request: SpeechRequest, config: OpusEncoderConfig, skip: int) -> None:
        self._audio = synthesiser.synthesise(request)
        self._config = config
        self._skip = skip

    async def play(self, output: Output) -> None:
        packets: Packets | None = None
        async with aclosing(self._audio) as audio:
            async for piece in audio:
                packets = packets or Packets(self._config, piece.sample_rate, self._skip)
                if made := packets.push(piece.pcm):
                    await output.wanted()
                    output.append(made)
        if packets is not None:
            output.append(packets.flush())

    async def close(self) -> None:
        await self._audio.aclose()


class RoomSource(Source):
    """What is heard in a room: a participant that listens, for all listeners of one format.

    The engine's own packets are passed on where it makes such; otherwise its samples are encoded here.

    Args:
        rooms: Where rooms live.
        room_id: Which one; it begins where it is not there yet.
        sound: How packets are made.
        config: The same, for an encoder; used where the engine makes no such packets.
    """

    live = True

    def __init__(self, rooms: RoomManager, room_id: str, sound: SoundFormat, config: OpusEncoderConfig) -> None:
        self._rooms = rooms
        self._room_id = room_id
        self._sound = sound
        self._id = secrets.token_hex(8)
        self._peer: Peer | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ready_made = sound.preset is None and sound.frame_ms % TICK_MS == 0
        self._packets = None if ready_made else Packets(config, sound.sample_rate)

    async def open(self, output: Output) -> None:
        sound = self._sound
        reply: dict[str, Any] = {"reply_encoding": "pcm_s16le", "reply_rate": sound.sample_rate}
        play: Callable[[bytes], None]
        if self._packets is None:
            reply = {
                "reply_encoding": "opus",
                "reply_rate": sound.sample_rate,
                "reply_bitrate": sound.bitrate,
                "reply_frame_ms": sound.frame_ms,
            }

            def play(payload: bytes) -> None:
                output.append([payload])
        else:
            encode = self._packets.push

            def play(payload: bytes) -> None:
                output.append(encode(payload))

        wanted = JoinRoom(self._room_id, "", "listener", None, None)
        self._peer = self._rooms.join_listener(self._id, wanted, self, play, **reply)

    async def play(self, output: Output) -> None:
        # the engine's events append
        await self._over

    async def close(self) -> None:
        if self._peer is not None:
            self._peer = None
            self._rooms.gone(self._id)

    def tell(self, event: str, data: dict[str, Any]) -> bool:
        """What the room tells this participant: its end is all that matters."""
        if event == "media-state" and data["state"] == "closed" and not self._over.done():
            error: AntiphonError = EngineUnavailable("the media server has closed this room; connect again")
            self._over.set_exception(error)
        return True
