"""One stretch of audio on its way through an engine, over as many decoders as that takes."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from antiphon.errors import AntiphonError, EngineFailed, EngineUnavailable
from antiphon.events import Event, Failed, Transcript
from antiphon.speech.endpointer import EndpointerOptions
from antiphon.speech.queue import END, PAUSE, SpeechQueue
from antiphon.speech.recogniser import Hypothesis, RecogniserStream, Utterance


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


@dataclass(slots=True)
class Voice:
    """Whose audio is decoded, and by what.

    Attributes:
        participant_id: The speaker.
        language: Spoken.
        sample_rate: Hertz.
        stream: The engine's.
        gated: True where each utterance comes apart; False where the engine finds their ends.
        emit: Takes the events.
        options: How to behave.
        results: Utterances so far, for their ids.
    """

    participant_id: str
    language: str
    sample_rate: int
    stream: RecogniserStream
    gated: bool
    emit: Callable[[Event], None]
    options: TranscriberOptions
    results: int = 0


class Decoding:
    """Brings the audio of one utterance (or of one stretch, for engines that find ends themselves) to an engine.

    What has not become a final yet is kept, so that another decoder can hear it from there.

    Args:
        voice: Whose audio it is.
        queue: Where it comes from.
        at: The sample it begins with.
    """

    def __init__(self, voice: Voice, queue: SpeechQueue, at: int) -> None:
        self._voice = voice
        self._options = voice.options
        self._rate = voice.sample_rate
        self._queue = queue
        self._base = at
        self._attempt_base = at
        self._kept: deque[bytes] = deque()
        self._complete = False
        self._result_id = ""
        self._shown_text = ""
        self._shown_end = 0.0
        self._next_result()

    async def run(self) -> None:
        """Decode until the end of the audio, whatever becomes of decoders."""
        attempts = 0
        while True:
            utterance: Utterance | None = None
            self._attempt_base = self._base
            try:
                utterance = await self._voice.stream.utterance(self._heard)
                if await self._decode(utterance):
                    return
                await utterance.abort()
                await self._queue.wait()
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
        """Bring the audio to the engine; False where it stalls and the decoder may go to somebody else."""
        if self._kept:
            await utterance.push(b"".join(self._kept))
        while not self._complete:
            try:
                item = await self._queue.next(self._options.stall_timeout)
            except TimeoutError:
                if self._voice.gated:
                    return False
                continue
            if item is PAUSE:
                await utterance.pause()
            elif item is END:
                self._complete = True
            else:
                assert isinstance(item, bytes)  # noqa: S101
                self._kept.append(item)
                await utterance.push(item)
        await utterance.finish()
        return True

    def _heard(self, hypothesis: Hypothesis) -> None:
        offset = self._attempt_base / self._rate
        end = round(offset + hypothesis.end, 3)
        if hypothesis.is_final:
            if hypothesis.text or self._shown_text:
                self._show(hypothesis, offset)
            heard = self._attempt_base + round(hypothesis.end * self._rate)
            if not self._complete:
                self._forget(heard)
                self._next_result()
        elif self._options.interim_results and hypothesis.text:
            # after a replay the client has seen this far already
            due = end - self._shown_end >= self._options.partial_interval - 1e-6
            if end > self._shown_end and (due or hypothesis.text != self._shown_text):
                self._shown_text = hypothesis.text
                self._shown_end = end
                self._show(hypothesis, offset)

    def _forget(self, heard: int) -> None:
        """What came before sample `heard` has its final and need not be heard again."""
        size = 2 * max(0, heard - self._base)
        self._base += size // 2
        while size and self._kept:
            piece = self._kept.popleft()
            if len(piece) > size:
                self._kept.appendleft(piece[size:])
            size -= min(size, len(piece))

    def _show(self, hypothesis: Hypothesis, offset: float) -> None:
        self._voice.emit(
            Transcript(
                participant_id=self._voice.participant_id,
                result_id=self._result_id,
                text=hypothesis.text,
                is_partial=not hypothesis.is_final,
                start=round(offset + hypothesis.start, 3),
                end=round(offset + hypothesis.end, 3),
                language=self._voice.language,
                words=tuple(
                    replace(word, start=round(offset + word.start, 3), end=round(offset + word.end, 3))
                    for word in hypothesis.words
                ),
            )
        )

    def _next_result(self) -> None:
        self._voice.results += 1
        self._result_id = f"{self._voice.participant_id}-{self._voice.results}"
        self._shown_text = ""
        self._shown_end = 0.0

    async def _give_up(self, fault: AntiphonError) -> None:
        size = sum(map(len, self._kept))
        while not self._complete:
            item = await self._queue.next()
            if item is END:
                self._complete = True
            elif isinstance(item, bytes):
                size += len(item)
        seconds, start = size / (2 * self._rate), self._base / self._rate
        self._voice.emit(
            Failed.of(
                self._voice.participant_id,
                type(fault)(
                    f"{seconds:.1f} s of speech from {start:.1f} s on could not be transcribed: {fault.message}; "
                    "the fault is the server's, later speech is heard again"
                ),
            )
        )
