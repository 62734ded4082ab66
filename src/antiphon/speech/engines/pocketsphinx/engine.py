"""PocketSphinx as a recogniser."""

from __future__ import annotations

import asyncio
import json
import time

from antiphon.errors import EngineFailed
from antiphon.events import Word
from antiphon.speech.engines.pocketsphinx import wire
from antiphon.speech.engines.pocketsphinx.pool import Answer, DecoderPool, DecoderProcess
from antiphon.speech.recogniser import (
    Capabilities,
    EngineOptions,
    Hypothesis,
    Recogniser,
    RecogniserStream,
    Sink,
    Utterance,
)

SAMPLE_RATE = 16_000
STEP_BYTES = 2 * SAMPLE_RATE // 10
"""Audio goes to a decoder in steps of 100 ms; each may change the hypothesis."""
IN_FLIGHT_SAMPLES = SAMPLE_RATE
"""Samples a decoder may be behind before its utterance takes no more."""


class PocketSphinxRecogniser(Recogniser):
    """CMU PocketSphinx with the English model of its package: offline, no download, about 0.2 of a core."""

    name = "pocketsphinx"
    description = "CMU PocketSphinx with its packaged English model: offline, no key, no download"
    capabilities = Capabilities(
        streaming=True,
        partials=True,
        word_times=True,
        word_confidence=True,
        endpointing=False,
        languages=("en-US",),
        sample_rates=(SAMPLE_RATE,),
    )

    def __init__(self, options: EngineOptions) -> None:
        self._timeout = options.decoder_timeout
        self._pool = DecoderPool(options.max_decoders, options.decoder_idle, time.monotonic)

    @classmethod
    def create(cls, options: EngineOptions) -> PocketSphinxRecogniser:
        return cls(options)

    async def start(self) -> None:
        await self._pool.start()

    def open(self, language: str, sample_rate: int) -> RecogniserStream:
        return _Stream(self._pool, self._timeout)

    async def close(self) -> None:
        await self._pool.close()

    def statistics(self) -> dict[str, float]:
        return self._pool.counts()


class _Stream(RecogniserStream):
    """Carries the speaker's cepstral mean from one utterance to the next."""

    def __init__(self, pool: DecoderPool, timeout: float) -> None:
        self.pool = pool
        self.timeout = timeout
        self.cmn: str | None = None

    async def utterance(self, sink: Sink) -> Utterance:
        process = await self.pool.acquire()
        utterance = _Utterance(self, process, sink)
        try:
            await process.send(wire.BEGIN, json.dumps({"cmn": self.cmn}).encode())
        except BaseException:
            await utterance.abort()
            raise
        return utterance


class _Utterance(Utterance):
    def __init__(self, stream: _Stream, process: DecoderProcess, sink: Sink) -> None:
        self._stream = stream
        self._process: DecoderProcess | None = process
        self._sink = sink
        self._sent = 0
        self._decoded = 0
        self._final: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved = asyncio.Event()
        self._reader = asyncio.create_task(self._read(process), name="pocketsphinx answers")

    async def push(self, pcm: bytes) -> None:
        for offset in range(0, len(pcm), STEP_BYTES):
            step = pcm[offset : offset + STEP_BYTES]
            while self._sent - self._decoded > IN_FLIGHT_SAMPLES:
                await self._wait_for_progress(self._stream.timeout)
            await self._send(wire.AUDIO, step)
            self._sent += len(step) // 2

    async def pause(self) -> None:
        await self._send(wire.PAUSE)

    async def finish(self) -> None:
        await self._send(wire.END)
        # the whole utterance may be decoded a second time
        patience = self._stream.timeout + self._sent / SAMPLE_RATE
        while not self._final.done():
            await self._wait_for_progress(patience)
        self._final.result()
        process, self._process = self._process, None
        if process is not None:
            self._stream.pool.release(process)

    async def abort(self) -> None:
        process, self._process = self._process, None
        self._reader.cancel()
        self._final.cancel()
        if process is not None:
            await self._stream.pool.discard(process)

    async def _send(self, kind: bytes, payload: bytes = b"") -> None:
        if self._process is None:
            raise EngineFailed("this utterance is over")
        if self._final.done():
            self._final.result()
        await self._process.send(kind, payload)

    async def _wait_for_progress(self, patience: float) -> None:
        self._moved.clear()
        try:
            async with asyncio.timeout(patience):
                await self._moved.wait()
        except TimeoutError:
            raise EngineFailed(f"a decoder made no progress for {patience:.0f} s") from None
        if self._final.done():
            self._final.result()

    async def _read(self, process: DecoderProcess) -> None:
        try:
            while not self._final.done():
                self._answer(await process.receive())
                self._moved.set()
        except EngineFailed as fault:
            if not self._final.done():
                self._final.set_exception(fault)
                # retrieved here, for nobody may be waiting for it
                self._final.exception()
            self._moved.set()

    def _answer(self, answer: Answer) -> None:
        kind, message = answer
        if kind == wire.PROGRESS:
            self._decoded = message["samples"]
            end = self._decoded / SAMPLE_RATE
            if message["text"]:
                self._sink(Hypothesis(message["text"], is_final=False, start=0.0, end=end))
        elif kind == wire.FINAL:
            words = tuple(Word(*word) for word in message["words"])
            self._stream.cmn = message["cmn"] or self._stream.cmn
            end = self._sent / SAMPLE_RATE
            self._sink(
                Hypothesis(
                    message["text"],
                    is_final=True,
                    start=words[0].start if words else 0.0,
                    end=words[-1].end if words else end,
                    words=words,
                )
            )
            self._final.set_result(None)
