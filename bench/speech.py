"""What recognition costs and how long people wait for it: PocketSphinx on real speech, in real time."""

from __future__ import annotations

import array
import asyncio
import math
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from picows import WSMsgType

from bench.host import Cores, Memory, memory_of
from bench.links import BYTES_A_SECOND, LinkError, Transcription
from bench.load import Workload, audio_chunk, chunks, close_links, open_links, settle
from bench.servers import Running, antiphon, started

RATE = 16_000
CHUNK_SECONDS = 0.1
LEAD_IN = 0.5
"""Seconds of quiet before each utterance."""

FINAL_SECONDS = 10.0
SPEAKERS = 2
DECODER_CPU = 0.5
"""Seconds of CPU that tell a child process that decodes from one that keeps house."""


class SpeechError(Exception):
    """The recordings are not there or not of use."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech without silence before or after it: 16 kHz, mono, 16-bit."""

    name: str
    pcm: bytes

    @property
    def seconds(self) -> float:
        return len(self.pcm) / BYTES_A_SECOND


def utterances(folder: Path, *, shortest: float = 1.0, longest: float = 8.0) -> list[Utterance]:
    """The recordings of a folder, trimmed, as far as they last ``shortest`` to ``longest`` seconds.

    Raises:
        SpeechError: None is found.
    """
    found = [Utterance(path.name, _trimmed(pcm)) for path in sorted(folder.glob("*.wav")) if (pcm := _read(path))]
    fitting = [one for one in found if shortest <= one.seconds <= longest]
    if not fitting:
        raise SpeechError(f"no WAV of 16 kHz, mono, 16-bit with {shortest:g} to {longest:g} s of speech in {folder}")
    return fitting


def _read(path: Path) -> bytes:
    with suppress(wave.Error, EOFError), wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2):
            pcm: bytes = file.readframes(file.getnframes())
            return pcm
    return b""


def _trimmed(pcm: bytes) -> bytes:
    """Cut at the first and last 10 ms that are within 35 dB of the loudest."""
    step = RATE // 100
    samples = array.array("h", pcm)
    levels = [math.hypot(*samples[at : at + step]) for at in range(0, len(samples) - step + 1, step)]
    if not levels:
        return b""
    floor = max(levels) * 10 ** (-35 / 20)
    loud = [n for n, level in enumerate(levels) if level > floor]
    return samples[loud[0] * step : (loud[-1] + 1) * step].tobytes()


class Listener(Transcription):
    """Notes when each result comes.

    Attributes:
        results: Moment of ``time.monotonic`` and data of each ``transcription_result``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.results: list[tuple[float, dict[str, Any]]] = []

    def on_event(self, name: str, data: Any) -> None:
        if name == "transcription_result":
            self.results.append((time.monotonic(), data))
        super().on_event(name, data)

    def heard(self, since: float, *, partial: bool) -> float | None:
        """When the first partial or final with words in it came after ``since``."""
        for at, data in self.results:
            if at > since and data["is_partial"] is partial and data["text"]:
                return at
        return None


@dataclass(slots=True)
class Waits:
    """Seconds, one value for each utterance.

    Attributes:
        partial: From the first sample of speech to the first words.
        stopped: From the last sample of speech, directly followed by ``stop_transcription``, to the final.
        endpointed: From the last sample of speech, followed by silence, to the final.
    """

    partial: list[float] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    endpointed: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Latency:
    """Waiting times, by where in a session the utterance stands.

    Attributes:
        cold: The first utterance after the server started; it starts a decoder too.
        first: The first of each later session.
        later: All that follow in those sessions.
    """

    cold: Waits = field(default_factory=Waits)
    first: Waits = field(default_factory=Waits)
    later: Waits = field(default_factory=Waits)


async def latency(
    engine: str, said: Sequence[Utterance], quiet: bytes, cores: Cores, rounds: int, step: Callable[[], None]
) -> Latency:
    """Speak in real time to a server of its own, one session at a time.

    Raises:
        LinkError: No final came, or the server complained.
        ServerError: It did not start, or ended.
    """
    found = Latency()
    turn = iter(range(1 << 30))

    def following() -> Utterance:
        return said[next(turn) % len(said)]

    with started(antiphon(engine), cores.server) as running:
        cold = await _Speaker.connect(running, quiet)
        await cold.say(following(), found.cold, stop=False)
        await cold.listener.close()
        step()
        for _ in range(rounds):
            speaker = await _Speaker.connect(running, quiet)
            await speaker.say(following(), found.first, stop=False)
            await speaker.say(following(), found.later, stop=False)
            await speaker.say(following(), found.later, stop=True)
            await speaker.listener.close()
            speaker = await _Speaker.connect(running, quiet)
            await speaker.say(following(), found.first, stop=True)
            await speaker.listener.close()
            step()
    return found


class _Speaker:
    """Talks in real time: a chunk is sent when its last sample would have been spoken."""

    def __init__(self, listener: Listener, quiet: bytes) -> None:
        self.listener = listener
        self._quiet = quiet
        self._spoken = time.monotonic()

    @classmethod
    async def connect(cls, running: Running, quiet: bytes) -> _Speaker:
        running.check()
        return cls(await Listener().open(running.port), quiet)

    async def say(self, utterance: Utterance, waits: Waits, *, stop: bool) -> None:
        await self._send(self._quiet[: int(LEAD_IN * BYTES_A_SECOND)])
        began = self._spoken
        await self._send(utterance.pcm)
        ended = time.monotonic()
        if stop:
            await self.listener.stop()
        else:
            deadline = ended + FINAL_SECONDS
            while self._final(ended) is None and time.monotonic() < deadline:
                await self._send(self._quiet[: int(CHUNK_SECONDS * BYTES_A_SECOND)])
        final = self._final(ended)
        if final is None or self.listener.faults:
            raise LinkError(f"no final for {utterance.name}: {self.listener.faults or self.listener.results[-3:]}")
        (waits.stopped if stop else waits.endpointed).append(final - ended)
        if (partial := self.listener.heard(began, partial=True)) is not None:
            waits.partial.append(partial - began)

    def _final(self, since: float) -> float | None:
        return self.listener.heard(since, partial=False)

    async def _send(self, pcm: bytes) -> None:
        for piece in _split(pcm, int(CHUNK_SECONDS * BYTES_A_SECOND)):
            self._spoken += len(piece) / BYTES_A_SECOND
            await asyncio.sleep(max(0.0, self._spoken - time.monotonic()))
            self.listener.transport.send(WSMsgType.TEXT, audio_chunk(piece))


def _split(pcm: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]


@dataclass(frozen=True, slots=True)
class Decoding:
    """What it costs when everybody speaks.

    Attributes:
        cost: Seconds of CPU of the whole server for each second of speech.
        decoders: Memory of each process that decodes.
        server: Memory of the process that takes connections.
    """

    cost: float
    decoders: list[Memory]
    server: Memory


async def decoding(engine: str, said: Sequence[Utterance], cores: Cores, seconds: float) -> Decoding:
    """Let several speak without pause, each at another place of the text, and see what the server spends on it."""
    text = chunks(b"".join(one.pcm for one in said))
    with started(antiphon(engine), cores.server) as running:
        listeners = await open_links(running, Listener, SPEAKERS)
        try:
            # The decoders start and load their models outside the window.
            await _recite(listeners, text, 3.0)
            before = running.tree.cpu_seconds()
            await _recite(listeners, text, seconds)
            decoders = [pid for pid, cpu in running.tree.children().items() if cpu > DECODER_CPU]
            memory = [memory_of(pid) for pid in decoders]
            server = memory_of(running.process.pid)
            # The last final is part of the cost; a stream that merely went quiet would lose its decoder to others.
            await asyncio.gather(*(one.stop() for one in listeners))
            await settle(running)
            spent = running.tree.cpu_seconds() - before
            faults = [fault for one in listeners for fault in one.faults]
            unheard = [one for one in listeners if one.heard(0.0, partial=False) is None]
            if faults or unheard or not memory:
                raise LinkError(
                    f"{len(memory)} processes decoded, {len(unheard)} of {SPEAKERS} speakers got no final: {faults}"
                )
            return Decoding(spent / (seconds * SPEAKERS), memory, server)
        finally:
            await close_links(listeners)


async def _recite(listeners: Sequence[Listener], text: Workload, seconds: float) -> None:
    start = time.monotonic()
    for tick in range(round(seconds / text.interval)):
        await asyncio.sleep(max(0.0, start + tick * text.interval - time.monotonic()))
        for place, listener in enumerate(listeners):
            listener.transport.send(*text.message(tick + 17 * place))
