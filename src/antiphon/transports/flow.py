"""What the live doors share: when to acknowledge, what to do with clients that send too fast, and sending at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from antiphon.errors import AntiphonError, RateLimited, TooLarge

Message = TypeVar("Message")


class AckTimer:
    """One timer for the acknowledgements of all connections of a door.

    Args:
        interval: Seconds between two acknowledgements to one client, at least.
    """

    __slots__ = ("_interval", "_waiting")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._waiting: list[Acks] = []

    def arm(self, acks: Acks) -> None:
        """Flush `acks` when the interval is over."""
        self._waiting.append(acks)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(self._interval, self._flush)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for acks in waiting:
            acks.flush()


class Acks:
    """Acknowledges now and then, not every chunk.

    Args:
        timer: Says when.
        send: Sends one.
        read_seq: The last chunk that is safe; -1 where none is.
    """

    __slots__ = ("_armed", "_closed", "_read_seq", "_send", "_sent", "_timer")

    def __init__(self, timer: AckTimer, send: Callable[[int], None], read_seq: Callable[[], int]) -> None:
        self._timer = timer
        self._read_seq = read_seq
        self._send = send
        self._sent = -1
        self._armed = False
        self._closed = False

    def note(self) -> None:
        """Something became safe."""
        if not self._armed:
            self._armed = True
            self._timer.arm(self)

    def flush(self) -> None:
        """Acknowledge what is safe now, where that was not said yet."""
        self._armed = False
        if self._closed:
            return
        seq = self._read_seq()
        if seq > self._sent:
            self._sent = seq
            self._send(seq)

    def close(self) -> None:
        """No more acknowledgements."""
        self._closed = True


class Verdict(Enum):
    """What to do about a refused chunk."""

    TELL = "tell"
    IGNORE = "ignore"
    CLOSE = "close"


class Refusals:
    """Keeps count of refused chunks: the client is told once in a while, and cut off where it goes on regardless.

    A chunk with a number is awaited after it was refused, so that the stream stays in order: what comes before it is
    not taken either. Its refusal is always told, for the client has to send it again.

    Args:
        tell_interval: Seconds between two errors about the same thing, at least.
        patience: Errors after which the connection is closed.
    """

    __slots__ = ("_interval", "_patience", "_retry_at", "_strikes", "_told_at", "_wait_until", "awaited", "refused")

    FORGIVE_S = 10.0
    """Seconds without an error after which earlier ones are forgotten."""
    AWAIT_S = 5.0
    """Seconds that a refused chunk is awaited after it was welcome again; then the stream goes on without it."""

    def __init__(self, tell_interval: float = 1.0, patience: int = 8) -> None:
        self._interval = tell_interval
        self._patience = patience
        self._strikes = 0
        self._told_at = float("-inf")
        self._retry_at = float("-inf")
        self._wait_until = 0.0
        self.awaited: int | None = None
        self.refused = 0

    def refuse(self, now: float, seq: int | None = None, retry_after: float = 0.0) -> Verdict:
        """A chunk was refused at `now`; with a number, it is awaited."""
        self.refused += 1
        news = seq is not None and self.awaited is None
        if seq is not None:
            self.awaited = seq
            self._wait_until = now + retry_after + self.AWAIT_S
        patient = news and now >= self._retry_at
        verdict = self._tell(now, news, patient)
        if verdict is Verdict.TELL:
            self._retry_at = now + retry_after
        return verdict

    def passes(self, seq: int, now: float) -> bool:
        """False where an earlier chunk is awaited and this one has to be sent again after it."""
        if self.awaited is not None and now >= self._wait_until:
            self.awaited = None
        return self.awaited is None or seq <= self.awaited

    def remind(self, now: float) -> Verdict:
        """A chunk did not pass."""
        self.refused += 1
        return self._tell(now, news=False, patient=False)

    def accept(self, now: float) -> None:
        """The awaited chunk came again and was taken: a client that waited for its time has obeyed."""
        if self.awaited is not None:
            self.awaited = None
            if now >= self._retry_at:
                self._strikes = 0

    def _tell(self, now: float, news: bool, patient: bool) -> Verdict:
        since = now - self._told_at
        if since < self._interval and not news:
            return Verdict.IGNORE
        if since > self.FORGIVE_S:
            self._strikes = 0
        self._told_at = now
        self._strikes += not patient
        return Verdict.CLOSE if self._strikes > self._patience else Verdict.TELL


class Sender(Generic[Message]):
    """Sends a connection's messages in order from one bounded queue.

    Args:
        send: Sends one message, waiting where the client is slow.
        give_up: Called once where the client does not take a message within `timeout`.
        timeout: Seconds.
        limit: Messages that may wait.
    """

    def __init__(
        self,
        send: Callable[[Message], Awaitable[None]],
        give_up: Callable[[], None],
        timeout: float,
        limit: int = 64,
    ) -> None:
        self._send = send
        self._give_up = give_up
        self._timeout = timeout
        self._queue: asyncio.Queue[Message] = asyncio.Queue(limit)
        self._turn = asyncio.Lock()
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="sender")

    def offer(self, message: Message) -> bool:
        """Send it if there is room; for messages that a later one makes up for."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.dropped += 1
            return False
        return True

    async def put(self, message: Message) -> None:
        """Send it, waiting for room; at once where nothing waits before it."""
        if self._turn.locked() or not self._queue.empty():
            await self._queue.put(message)
        else:
            await self._deliver(message)

    async def drain(self) -> None:
        """Wait until all is sent, or the sender has given up."""
        joined = asyncio.ensure_future(self._queue.join())
        await asyncio.wait([joined, self._task], return_when=asyncio.FIRST_COMPLETED)
        joined.cancel()

    async def close(self) -> None:
        """Drop what waits."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        delivered = True
        while delivered:
            message = await self._queue.get()
            try:
                delivered = await self._deliver(message)
            finally:
                self._queue.task_done()

    async def _deliver(self, message: Message) -> bool:
        async with self._turn:
            # the context manager of a timeout costs more than a send
            deadline = self._loop.call_later(self._timeout, self._expire, asyncio.current_task())
            try:
                await self._send(message)
            except (OSError, RuntimeError):
                self._give_up()
                return False
            finally:
                deadline.cancel()
        return True

    def _expire(self, sending: asyncio.Task[Any] | None) -> None:
        if sending is not None:
            sending.cancel()
        self._task.cancel()
        self._give_up()


def too_large(size: int, limit: int) -> TooLarge:
    """The error for a message over the maximum."""
    return TooLarge(
        f"a message of {size} bytes is over the maximum of {limit}; nothing of it was taken. Send audio in chunks of "
        "20 to 200 ms, and whole files to POST /v1/transcribe"
    )


def awaited(seq: int | None) -> RateLimited:
    """The error for chunks that come after a refused one."""
    return RateLimited(
        f"chunk {seq} was refused and has to come again before those after it; go on from there", retry_after=0.0
    )


def closing_after(error: AntiphonError) -> str:
    """Why a connection is closed on a client that goes on after an error."""
    return f"{error.code.value}: the client went on in spite of it"
