"""What waits for a recogniser: audio, and where utterances begin, pause and end in it."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Final


class Mark(Enum):
    """A place between two pieces of audio."""

    PAUSE = "pause"
    """Nobody speaks any more, it seems; audio may still follow."""
    END = "end"
    """The utterance is over."""


PAUSE: Final = Mark.PAUSE
END: Final = Mark.END


class SpeechQueue:
    """Utterances on their way to a recogniser.

    It is bounded by who fills it: live streams are refused over a backlog, and readers of files wait for room.

    Args:
        step: Bytes that are worth waking the reader for.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._items: deque[int | bytes | Mark] = deque()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None
        self._stalled_at = 0.0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    def begin(self, at: int) -> None:
        """An utterance begins at sample `at`."""
        self._items.append(at)
        self._wake()

    def audio(self, pcm: bytes) -> None:
        """More of the utterance."""
        self._items.append(pcm)
        self.bytes += len(pcm)
        if self.bytes >= self._step:
            self._wake()

    def mark(self, mark: Mark) -> None:
        """The utterance pauses or ends."""
        self._items.append(mark)
        self._wake()

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self.bytes = 0
        self._room.set()

    def next_begin(self) -> int | None:
        """Where the next utterance begins; None where there is none."""
        while self._items:
            item = self._items.popleft()
            if isinstance(item, int):
                return item
        return None

    async def next(self, stall: float | None = None) -> bytes | Mark:
        """The next mark, or up to a step of audio, as soon as there is any.

        Raises:
            TimeoutError: There was none for `stall` seconds.
        """
        if not self._items:
            await self.wait(stall)
        item = self._items.popleft()
        if isinstance(item, Mark):
            return item
        assert isinstance(item, bytes)  # noqa: S101
        parts, size = [item], len(item)
        while size < self._step and self._items and isinstance(following := self._items[0], bytes):
            self._items.popleft()
            parts.append(following)
            size += len(following)
        self.bytes -= size
        self._room.set()
        return b"".join(parts) if len(parts) > 1 else item

    async def wait(self, stall: float | None = None) -> None:
        """Wait until there is something.

        Raises:
            TimeoutError: There was nothing for `stall` seconds.
        """
        while not self._items:
            if stall is not None:
                self._watch(stall)
            self._waiter = self._loop.create_future()
            try:
                woken = await self._waiter
            finally:
                self._waiter = None
            if not woken and not self._items:
                raise TimeoutError

    async def room(self) -> None:
        """Wait until something was taken."""
        self._room.clear()
        await self._room.wait()

    def leave(self) -> None:
        """The reader is gone; whoever waits for room need not."""
        self._room.set()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    def _watch(self, stall: float) -> None:
        """One timer for a whole utterance: when it fires too early it is set again."""
        self._stalled_at = self._loop.time() + stall
        if self._stall_timer is None:
            self._stall_timer = self._loop.call_at(self._stalled_at, self._check_stall)

    def _check_stall(self) -> None:
        self._stall_timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._stalled_at:
            self._waiter.set_result(False)
        else:
            self._stall_timer = self._loop.call_at(self._stalled_at, self._check_stall)
