"""From a stream of audio to transcripts.

Audio is pushed without waiting and queued; one task brings it to the engine while there is something to bring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from antiphon.events import Event, Speaking
from antiphon.speech.decoding import Decoding, TranscriberOptions, Voice
from antiphon.speech.endpointer import Endpointer, SpeechAudio, SpeechEnd, SpeechEvent, SpeechStart
from antiphon.speech.queue import END, PAUSE, SpeechQueue
from antiphon.speech.recogniser import Recogniser

__all__ = ["Transcriber", "TranscriberOptions"]

ENGINE_STEP_S = 0.1
"""Seconds of audio that are worth waking a decoder for."""
GATE_STEP_S = 0.02
"""Seconds of audio that are worth looking for speech in."""


class Transcriber:
    """Turns one participant's audio into events.

    Attributes:
        queue: What waits for the engine.

    Args:
        participant_id: Whose audio it is.
        recogniser: The engine.
        language: One of the engine's tags.
        sample_rate: One of the engine's rates, in hertz; audio is mono, 16-bit.
        emit: Takes the events; called on the event loop.
        options: How to behave.
    """

    def __init__(
        self,
        participant_id: str,
        recogniser: Recogniser,
        language: str,
        sample_rate: int,
        emit: Callable[[Event], None],
        options: TranscriberOptions | None = None,
    ) -> None:
        options = options or TranscriberOptions()
        gated = not recogniser.capabilities.endpointing
        self._voice = Voice(
            participant_id, language, sample_rate, recogniser.open(language, sample_rate), gated, emit, options
        )
        self._rate = sample_rate
        self._gate = Endpointer(sample_rate, options.endpointing) if gated else None
        self.queue = SpeechQueue(step=2 * int(ENGINE_STEP_S * sample_rate))
        self._taken = 0
        self._open = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def step_s(self) -> float:
        """Seconds of audio that are worth pushing at once: as many as are brought to the engine or the gate at once."""
        return GATE_STEP_S if self._gate else ENGINE_STEP_S

    @property
    def backlog(self) -> float:
        """Seconds of speech that no decoder has taken yet."""
        return self.queue.bytes / (2 * self._rate)

    @property
    def position(self) -> float:
        """Seconds of audio taken, gaps included."""
        samples = self._gate.samples if self._gate else self._taken
        return samples / self._rate

    def push(self, pcm: bytes) -> None:
        """Take audio: mono, 16-bit, at the transcriber's rate. Never waits; see :attr:`backlog`."""
        if self._gate is not None:
            if events := self._gate.push(pcm):
                self._take(events)
            return
        if not self._open:
            self._open = True
            self._begin(self._taken)
        self._taken += len(pcm) // 2
        self.queue.audio(pcm)

    def skip(self, samples: int) -> None:
        """Let `samples` samples pass in which nothing was sent. They end what was being said."""
        if self._gate is not None:
            self._take(self._gate.skip(samples))
            return
        self._end_ungated()
        self._taken += samples

    async def ready(self, seconds: float) -> None:
        """Wait until less than `seconds` of speech are queued: for whoever reads faster than real time."""
        while self.backlog >= seconds and self._task is not None:
            await self.queue.room()

    async def finish(self) -> None:
        """No more audio: what is left is decoded, and its final emitted, before this returns."""
        if self._gate is not None:
            self._take(self._gate.flush())
        self._end_ungated()
        if self._task is not None:
            await asyncio.shield(self._task)
        await self.close()

    async def close(self) -> None:
        """Drop what is left and release the engine."""
        if self._closed:
            return
        self._closed = True
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        self.queue.clear()
        await self._voice.stream.close()

    def _take(self, events: list[SpeechEvent]) -> None:
        for event in events:
            if isinstance(event, SpeechAudio):
                self.queue.audio(event.pcm)
            elif isinstance(event, SpeechStart):
                self._tell(True, event.at)
                self._begin(event.at)
            elif isinstance(event, SpeechEnd):
                self._tell(False, event.at)
                self.queue.mark(END)
            else:
                self.queue.mark(PAUSE)

    def _tell(self, active: bool, at: int) -> None:
        self._voice.emit(Speaking(self._voice.participant_id, active, round(at / self._rate, 3)))

    def _end_ungated(self) -> None:
        if self._open:
            self._open = False
            self.queue.mark(END)

    def _begin(self, at: int) -> None:
        self.queue.begin(at)
        # a task that is done may not have been taken away yet
        if (self._task is None or self._task.done()) and not self._closed:
            self._task = asyncio.create_task(self._run(), name=f"transcriber {self._voice.participant_id}")
            self._task.add_done_callback(self._run_ended)

    async def _run(self) -> None:
        while (at := self.queue.next_begin()) is not None:
            await Decoding(self._voice, self.queue, at).run()

    def _run_ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
            self.queue.leave()
        if not task.cancelled() and (fault := task.exception()) is not None:
            raise fault
