"""From a stream of audio to transcripts: gating, decoding, and going on when an engine fails.

Audio is pushed without waiting and queued; one task brings it to the engine while there is something to bring. Whatever
the engine has not turned into a final yet is kept, so that another decoder can hear it from there.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from antiphon.errors import AntiphonError, EngineFailed, EngineUnavailable
from antiphon.events import Event, Failed, Speaking, Transcript
from antiphon.speech.endpointer import Endpointer, EndpointerOptions, SpeechAudio, SpeechEvent, SpeechStart
from antiphon.speech.recogniser import Hypothesis, Recogniser, Utterance


@dataclass(frozen=True, slots=True)
class TranscriberOptions:
    """How a transcriber behaves.

    Attributes:
        endpointing: When speech counts as begun and over, for engines that do not find out themselves.
        interim_results: Report partials.
        partial_interval: A partial comes at least this often while somebody speaks, in seconds of audio.
        attempts: Decoders tried on one utterance before it is given up.
        retry_delay: The longest wait before the second attempt, in seconds; doubles for each further one.
        stall_timeout: Seconds without audio in mid-utterance after which the decoder is lent to others.
    """

    endpointing: EndpointerOptions = field(default_factory=EndpointerOptions)
    interim_results: bool = True
    partial_interval: float = 0.3
    attempts: int = 3
    retry_delay: float = 0.2
    stall_timeout: float = 3.0


class _Begin:
    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


class _End:
    __slots__ = ()


_Op = _Begin | bytes | _End
_END = _End()


class Transcriber:
    """Turns one participant's audio into events.

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
        self._id = participant_id
        self._language = language
        self._rate = sample_rate
        self._emit = emit
        self._options = options = options or TranscriberOptions()
        self._stream = recogniser.open(language, sample_rate)
        self._gate = None
        if not recogniser.capabilities.endpointing:
            self._gate = Endpointer(sample_rate, options.endpointing)
        self._step = 2 * sample_rate // 10
        self._ops: deque[_Op] = deque()
        self._queued = 0
        self._taken = 0
        self._ungated_open = False
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._results = 0
        self._closed = False

    @property
    def backlog(self) -> float:
        """Seconds of speech that no decoder has taken yet."""
        return self._queued / (2 * self._rate)

    @property
    def position(self) -> float:
        """Seconds of audio taken, gaps included."""
        samples = self._gate.samples if self._gate else self._taken
        return samples / self._rate

    def push(self, pcm: bytes) -> None:
        """Take audio: mono, 16-bit, at the transcriber's rate. Never waits; see :attr:`backlog`."""
        gate = self._gate
        if gate is not None:
            events = gate.push(pcm)
            if events:
                self._queue_events(events)
            return
        if not self._ungated_open:
            self._ungated_open = True
            self._queue(_Begin(self._taken))
        self._taken += len(pcm) // 2
        self._ops.append(pcm)
        self._queued += len(pcm)
        if self._queued >= self._step:
            self._more.set()

    def skip(self, samples: int) -> None:
        """Let `samples` samples pass in which nothing was sent. They end what was being said."""
        if self._gate is not None:
            self._queue_events(self._gate.skip(samples))
            return
        if self._ungated_open:
            self._ungated_open = False
            self._queue(_END)
        self._taken += samples

    async def ready(self, seconds: float) -> None:
        """Wait until less than `seconds` of speech are queued: for whoever reads faster than real time."""
        while self._queued >= seconds * 2 * self._rate and self._task is not None:
            self._room.clear()
            await self._room.wait()

    async def finish(self) -> None:
        """No more audio: what is left is decoded, and its final emitted, before this returns."""
        if self._gate is not None:
            self._queue_events(self._gate.flush())
        elif self._ungated_open:
            self._ungated_open = False
            self._queue(_END)
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
        self._ops.clear()
        self._queued = 0
        self._room.set()
        await self._stream.close()

    def _queue_events(self, events: list[SpeechEvent]) -> None:
        for event in events:
            if isinstance(event, SpeechAudio):
                self._ops.append(event.pcm)
                self._queued += len(event.pcm)
            elif isinstance(event, SpeechStart):
                self._emit(Speaking(self._id, True, round(event.at / self._rate, 3)))
                self._queue(_Begin(event.at))
            else:
                self._emit(Speaking(self._id, False, round(event.at / self._rate, 3)))
                self._queue(_END)
        self._more.set()

    def _queue(self, op: _Op) -> None:
        self._ops.append(op)
        self._more.set()
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run(), name=f"transcriber {self._id}")
            self._task.add_done_callback(self._run_ended)

    def _run_ended(self, task: asyncio.Task[None]) -> None:
        self._room.set()
        if self._task is task:
            self._task = None
        if not task.cancelled() and (fault := task.exception()) is not None:
            raise fault

    async def _run(self) -> None:
        while self._ops:
            op = self._ops.popleft()
            if isinstance(op, _Begin):
                await _Decoding(self, op.at).run()

    # What an utterance in progress needs of the queue

    async def next_audio(self) -> bytes | None:
        """Up to 100 ms of queued audio as soon as there is any; None at the end of the utterance."""
        while not self._ops:
            self._more.clear()
            await self._more.wait()
        op = self._ops[0]
        if not isinstance(op, bytes):
            self._ops.popleft()
            return None
        parts = [op]
        size = len(op)
        self._ops.popleft()
        while size < self._step and self._ops and isinstance(more := self._ops[0], bytes):
            self._ops.popleft()
            parts.append(more)
            size += len(more)
        self._queued -= size
        self._room.set()
        return b"".join(parts) if len(parts) > 1 else op


class _Decoding:
    """One stretch of audio on its way through the engine, over as many decoders as that takes."""

    def __init__(self, owner: Transcriber, at: int) -> None:
        self._owner = owner
        self._options = owner._options
        self._base = at
        self._kept = bytearray()
        self._complete = False
        self._result_id = ""
        self._shown_text = ""
        self._shown_end = 0.0
        self._attempt_base = at
        self._next_result()

    async def run(self) -> None:
        attempts = 0
        while True:
            utterance: Utterance | None = None
            self._attempt_base = self._base
            try:
                utterance = await self._owner._stream.utterance(self._heard)
                if await self._decode(utterance):
                    return
                await utterance.abort()
            except EngineFailed as fault:
                if utterance is not None:
                    await utterance.abort()
                attempts += 1
                if attempts >= self._options.attempts:
                    await self._give_up(fault)
                    return
                longest = self._options.retry_delay * 2 ** (attempts - 1)
                await asyncio.sleep(random.uniform(0, longest))
            except EngineUnavailable as fault:
                await self._give_up(fault)
                return
            except BaseException:
                if utterance is not None:
                    await asyncio.shield(utterance.abort())
                raise

    async def _decode(self, utterance: Utterance) -> bool:
        """Bring the audio to the engine; False where it pauses for want of audio and the decoder may go."""
        if self._kept:
            await utterance.push(bytes(self._kept))
        while not self._complete:
            try:
                async with asyncio.timeout(self._options.stall_timeout):
                    pcm = await self._owner.next_audio()
            except TimeoutError:
                if self._owner._gate is None:
                    continue
                await utterance.abort()
                while not self._owner._ops:
                    self._owner._more.clear()
                    await self._owner._more.wait()
                return False
            if pcm is None:
                self._complete = True
            else:
                self._kept += pcm
                await utterance.push(pcm)
        await utterance.finish()
        return True

    def _heard(self, hypothesis: Hypothesis) -> None:
        rate = self._owner._rate
        offset = self._attempt_base / rate
        end = round(offset + hypothesis.end, 3)
        if hypothesis.is_final:
            if hypothesis.text or self._shown_text:
                self._show(hypothesis, offset)
            heard = self._attempt_base + round(hypothesis.end * rate)
            if not self._complete and heard > self._base:
                del self._kept[: 2 * (heard - self._base)]
                self._base = heard
            self._next_result()
        elif self._options.interim_results and hypothesis.text:
            # after a replay the client has seen this far already
            fresh = end - self._shown_end >= self._options.partial_interval - 1e-6
            if end > self._shown_end and (fresh or hypothesis.text != self._shown_text):
                self._shown_text = hypothesis.text
                self._shown_end = end
                self._show(hypothesis, offset)

    def _show(self, hypothesis: Hypothesis, offset: float) -> None:
        self._owner._emit(
            Transcript(
                participant_id=self._owner._id,
                result_id=self._result_id,
                text=hypothesis.text,
                is_partial=not hypothesis.is_final,
                start=round(offset + hypothesis.start, 3),
                end=round(offset + hypothesis.end, 3),
                language=self._owner._language,
                words=tuple(
                    replace(word, start=round(offset + word.start, 3), end=round(offset + word.end, 3))
                    for word in hypothesis.words
                ),
            )
        )

    def _next_result(self) -> None:
        self._owner._results += 1
        self._result_id = f"{self._owner._id}-{self._owner._results}"
        self._shown_text = ""
        self._shown_end = 0.0

    async def _give_up(self, fault: AntiphonError) -> None:
        seconds = len(self._kept) / (2 * self._owner._rate)
        while not self._complete:
            pcm = await self._owner.next_audio()
            if pcm is None:
                self._complete = True
            else:
                seconds += len(pcm) / (2 * self._owner._rate)
        start = self._base / self._owner._rate
        self._owner._emit(
            Failed.of(
                self._owner._id,
                type(fault)(
                    f"{seconds:.1f} s of speech from {start:.1f} s on could not be transcribed: {fault.message}; "
                    "the fault is the server's, later speech is heard again"
                ),
            )
        )
