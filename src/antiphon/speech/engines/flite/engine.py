"""The ``flite`` program as a synthesiser: a process for each sentence."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import signal
import tempfile
import wave
from collections.abc import AsyncGenerator
from typing import IO

from antiphon.errors import EngineFailed, EngineUnavailable
from antiphon.speech.narration import narrate
from antiphon.speech.processes import environment
from antiphon.speech.sentences import Part, parts
from antiphon.speech.synthesiser import (
    Speech,
    SpeechAudio,
    Synthesiser,
    SynthesiserCapabilities,
    SynthesiserOptions,
    Voice,
)

PROGRAM = "flite"
LIST_TIMEOUT = 10.0
"""Seconds for listing the voices."""
MOST = 200
"""Each sentence is a process, whose audio comes all at once; a longer one is cut. About 15 s to say."""

KNOWN = {
    "rms": Voice("rms", "RMS", "en-US", "male"),
    "slt": Voice("slt", "SLT", "en-US", "female"),
    "awb": Voice("awb", "AWB (Scottish)", "en-GB", "male"),
    "kal16": Voice("kal16", "Kal", "en-US", "male"),
    "kal": Voice("kal", "Kal, 8 kHz", "en-US", "male"),
}
"""In the order of preference."""
NARROW = {"awb_time"}
"""Say nothing but the time of day."""


class FliteSynthesiser(Synthesiser):
    """CMU Flite, by the program of that name."""

    name = "flite"
    description = "CMU Flite, where its program is installed: offline, English"
    capabilities = SynthesiserCapabilities(
        voices=tuple(KNOWN.values()), sample_rates=(16_000, 8_000), streaming=True, word_marks=False
    )

    def __init__(self, options: SynthesiserOptions) -> None:
        self._timeout = options.worker_timeout
        self._limit = options.max_workers
        self._free = asyncio.Semaphore(options.max_workers)
        self._running: set[asyncio.subprocess.Process] = set()
        self._closed = False
        self._waiting = 0
        self._started = 0
        self._killed = 0

    @classmethod
    def create(cls, options: SynthesiserOptions) -> FliteSynthesiser:
        return cls(options)

    async def start(self) -> None:
        if shutil.which(PROGRAM) is None:
            raise EngineUnavailable(
                "the program 'flite' is not installed; install it (on Debian: apt install flite), "
                "or set synthesiser to another engine"
            )
        listed = (await self._run(["-lv"], "", LIST_TIMEOUT)).decode("ascii", "replace")
        names = [name for name in listed.partition(":")[2].split() if name not in NARROW]
        known = [voice for name, voice in KNOWN.items() if name in names]
        others = [Voice(name, name, "en-US") for name in names if name not in KNOWN]
        if not names:
            raise EngineUnavailable("the program 'flite' has no voices; install it anew")
        self.capabilities = SynthesiserCapabilities(
            voices=(*known, *others), sample_rates=(16_000, 8_000), streaming=True, word_marks=False
        )

    def speak(self, speech: Speech) -> AsyncGenerator[SpeechAudio, None]:
        arguments = ["-voice", speech.voice.id, "--setf", f"duration_stretch={1 / speech.rate:.4f}"]

        async def say(part: Part) -> AsyncGenerator[SpeechAudio, None]:
            # a file without a name: flite comes back to the beginning of what it writes, which a pipe can't
            with tempfile.TemporaryFile() as file:
                await self._say(arguments, part.text, file)
                file.seek(0)
                pcm, rate = _samples(file.read())
            yield SpeechAudio(pcm, rate)

        return narrate(parts(speech.text, 1, MOST), say)

    async def close(self) -> None:
        self._closed = True
        for process in self._running:
            self._kill(process)

    def statistics(self) -> dict[str, float]:
        return {
            "workers_busy": len(self._running),
            "workers_idle": 0,
            "workers_waiting": self._waiting,
            "workers_started_total": self._started,
            "workers_killed_total": self._killed,
        }

    async def _say(self, arguments: list[str], text: str, file: IO[bytes]) -> None:
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            # the text comes by standard input, where no list of processes shows it
            output = ["-f", "/dev/stdin", "-o", f"/dev/fd/{file.fileno()}"]
            await self._run([*arguments, *output], text, self._timeout, (file.fileno(),))
        finally:
            self._free.release()

    async def _run(self, arguments: list[str], text: str, patience: float, fds: tuple[int, ...] = ()) -> bytes:
        if self._closed:
            raise EngineUnavailable("the synthesiser is shutting down")
        try:
            process = await asyncio.create_subprocess_exec(
                PROGRAM,
                *arguments,
                pass_fds=fds,
                env=environment(),
                start_new_session=True,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as fault:
            raise EngineFailed(f"flite could not be started: {fault.strerror}") from fault
        self._started += 1
        self._running.add(process)
        try:
            async with asyncio.timeout(patience):
                output, _ = await process.communicate(text.encode())
        except TimeoutError:
            raise EngineFailed(f"flite said nothing for {patience:g} s") from None
        finally:
            if process.returncode is None:
                self._kill(process)
                await asyncio.shield(process.wait())
            self._running.discard(process)
        if self._closed:
            raise EngineUnavailable("the synthesiser is shutting down")
        if process.returncode != 0 and arguments != ["-lv"]:
            raise EngineFailed(f"flite ended unexpectedly (exit code {process.returncode})")
        return output

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        self._killed += 1
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _samples(data: bytes) -> tuple[bytes, int]:
    try:
        with wave.open(io.BytesIO(data), "rb") as file:
            if file.getnchannels() != 1 or file.getsampwidth() != 2:
                raise EngineFailed("flite gave audio that is not mono of 16 bits")
            return file.readframes(file.getnframes()), file.getframerate()
    except (wave.Error, EOFError) as fault:
        raise EngineFailed("flite gave no audio") from fault
