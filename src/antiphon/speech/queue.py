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
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    def begin(self, at: int) -> None:
        """An utterance begins at sample `at`."""
        self._items.append(at)
        self._more.set()

    def audio(self, pcm: bytes) -> None:
        """More of the utterance."""
        self._items.append(pcm)
        self.bytes += len(pcm)
        if self.bytes >= self._step:
            self._more.set()

    def mark(self, mark: Mark) -> None:
        """The utterance pauses or ends."""
        self._items.append(mark)
        self._more.set()

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

    async def next(self) -> bytes | Mark:
        """The next mark, or up to a step of audio, as soon as there is any."""
        await self.wait()
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

    async def wait(self) -> None:
        """Wait until there is something."""
        while not self._items:
            self._more.clear()
            await self._more.wait()

    async def room(self) -> None:
        """Wait until something was taken."""
        self._room.clear()
        await self._room.wait()

    def leave(self) -> None:
        """The reader is gone; whoever waits for room need not."""
        self._room.set()
