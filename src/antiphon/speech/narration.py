"""A text on its way through a synthesiser, part by part, over as many workers as that takes.

A worker belongs to a text for one part only, however slowly somebody listens: what it says is kept until it is heard,
and the next part is asked for when little of it is left. So many texts share few workers, and take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from antiphon.errors import AntiphonError, EngineFailed
from antiphon.speech.sentences import Part
from antiphon.speech.synthesiser import SpeechAudio, WordMark

AHEAD = 2.0
"""The next part is synthesised when less than this is left to be heard, in seconds."""
MOST_KEPT = 120.0
"""Seconds of audio kept for a listener; who has that much to hear makes its worker wait."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a part is tried.

    Attributes:
        most: Workers tried on one part before the text is given up.
        retry_delay: The longest wait before the second attempt, in seconds; doubles for each further one.
    """

    most: int = 3
    retry_delay: float = 0.2


SayPart = Callable[[Part], AsyncGenerator[SpeechAudio, None]]
"""Says one part on a worker of its own, and frees it when it is closed. Marks count characters and time from the part's
beginning."""


async def narrate(
    parts: list[Part], say: SayPart, attempts: Attempts = Attempts()
) -> AsyncGenerator[SpeechAudio, None]:
    """Say all parts of a text.

    A part whose worker dies or hangs is said again by another, from where the first had come to.

    Raises:
        EngineFailed: A part could not be said, in so many attempts; what was said before it has been given.
        EngineUnavailable: The engine is closed.
    """
    narration = _Narration(parts, say, attempts)
    try:
        while (piece := await narration.next()) is not None:
            yield piece
    finally:
        await narration.close()


class _Narration:
    def __init__(self, parts: list[Part], say: SayPart, attempts: Attempts) -> None:
        self._parts = parts
        self._say = say
        self._attempts = attempts
        self._kept: deque[SpeechAudio] = deque()
        self._kept_seconds = 0.0
        self._samples = 0
        self._part_samples = 0
        self._fault: AntiphonError | None = None
        self._done = False
        self._came = asyncio.Event()
        self._taken = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="narration")

    async def next(self) -> SpeechAudio | None:
        """The next audio; None after the last."""
        while not self._kept:
            if self._fault is not None:
                raise self._fault
            if self._done:
                # a fault of ours, if any
                await self._task
                return None
            self._came.clear()
            await self._came.wait()
        piece = self._kept.popleft()
        self._kept_seconds -= _seconds(piece)
        self._taken.set()
        return piece

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            for part in self._parts:
                await self._until_less_than(AHEAD)
                await self._say_part(part)
        except AntiphonError as fault:
            self._fault = fault
        finally:
            self._done = True
            self._came.set()

    async def _say_part(self, part: Part) -> None:
        self._samples += self._part_samples
        self._part_samples = 0
        attempt = 0
        while True:
            try:
                await self._try_part(part)
                return
            except EngineFailed as fault:
                attempt += 1
                if attempt >= self._attempts.most:
                    raise EngineFailed(
                        f"the text could not be said from character {part.start} on, in {attempt} attempts: "
                        f"{fault.message}; the fault is the server's, and the same text may be tried again"
                    ) from fault
                await asyncio.sleep(random.uniform(0, self._attempts.retry_delay * 2 ** (attempt - 1)))

    async def _try_part(self, part: Part) -> None:
        again = self._part_samples
        async with aclosing(self._say(part)) as audio:
            async for piece in audio:
                samples = len(piece.pcm) // 2
                if samples <= again:
                    again -= samples
                    continue
                self._keep(part, piece, again)
                again = 0
                await self._until_less_than(MOST_KEPT)

    def _keep(self, part: Part, piece: SpeechAudio, again: int) -> None:
        """Keep `piece`, without its first `again` samples, which an earlier attempt has given."""
        known = self._part_samples / piece.sample_rate
        begun = self._samples / piece.sample_rate
        marks = tuple(
            WordMark(part.start + mark.start, mark.length, round(begun + mark.at, 3))
            for mark in piece.marks
            if not again or mark.at >= known
        )
        fresh = replace(piece, pcm=piece.pcm[2 * again :], marks=marks)
        self._kept.append(fresh)
        self._kept_seconds += _seconds(fresh)
        self._part_samples += len(fresh.pcm) // 2
        self._came.set()

    async def _until_less_than(self, seconds: float) -> None:
        while self._kept_seconds >= seconds:
            self._taken.clear()
            await self._taken.wait()


def _seconds(piece: SpeechAudio) -> float:
    return len(piece.pcm) / (2 * piece.sample_rate)
