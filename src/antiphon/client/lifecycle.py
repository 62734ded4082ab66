"""The life of a stream over as many connections as it takes: begin, converse, come back, end."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal

from aiohttp import ClientSession
from yarl import URL

from antiphon.client.address import door as address_of
from antiphon.client.backoff import Backoff
from antiphon.client.buffer import Pacer, send_buffer
from antiphon.client.errors import ConnectionLost, StreamError
from antiphon.client.http import follow, http_session
from antiphon.client.link import Ack, Closing, Hello, Joined, Link, LinkLost, Refused, Resume
from antiphon.client.results import Reconnected, ResultQueue
from antiphon.client.socketio import SocketIOLink
from antiphon.client.websocket import WebSocketLink
from antiphon.clock import Clock
from antiphon.errors import AntiphonError, Conflict, NotFound, RateLimited
from antiphon.events import Ended, Entry, Progress, Started

Door = Literal["websocket", "socketio"]

LEAVE_TIMEOUT = 1.0
"""Seconds that a connection that is given up gets to say goodbye."""
CATCH_UP_TIMEOUT = 30.0
"""Seconds that a stream which cannot be resumed gets to tell its last events."""
ENDED_BY_SERVER = frozenset({"shutdown", "lost"})
"""Reasons for the end of a stream after which another one may begin."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds and deadlines of a client, in seconds unless told otherwise.

    Attributes:
        buffer: Audio that is held until the server has acknowledged it.
        rate: Seconds of audio a second to send for long, at most; below the server's ``max_rate``.
        burst: Audio to send at once, at most; below the server's ``max_burst``.
        results: Results that wait for their reader, at most (a count).
        connect_timeout: One attempt to connect and to begin or resume the stream.
        send_timeout: How long :meth:`TranscriptionClient.send` waits for room in the buffer.
        finish_timeout: How long :meth:`TranscriptionClient.finish` waits for the last results.
        stall_timeout: How long audio may be on its way and unacknowledged before the connection counts as lost. More
            than the server's ``ack_interval``.
        reconnect_timeout: How long to try to come back.
    """

    buffer: float = 60.0
    rate: float = 3.0
    burst: float = 30.0
    results: int = 1_000
    connect_timeout: float = 10.0
    send_timeout: float = 30.0
    finish_timeout: float = 120.0
    stall_timeout: float = 15.0
    reconnect_timeout: float = 300.0


class Lifecycle:
    """What a :class:`TranscriptionClient` does in the background.

    Args:
        server: The server's base address.
        door: Which door to take.
        hello: What the stream is.
        limits: Bounds and deadlines.
        backoff: How long to wait between attempts to come back.
        clock: Time.

    Attributes:
        work: To be set when audio was put into `buffer`, or `finishing` was set.
        room: Set when the buffer has become emptier, and at the end.
        over: Set at the end; `error` or `ended` tells which.
    """

    def __init__(
        self, server: URL, door: Door, hello: Hello, limits: StreamLimits, backoff: Backoff, clock: Clock
    ) -> None:
        self._server = server
        self._door = door
        self._hello = hello
        self._limits = limits
        self._backoff = backoff
        self._clock = clock
        self.pacer = Pacer(limits.rate, limits.burst, clock.monotonic())
        self._session: ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_id = 0
        self._acked_at = 0.0
        self._halted: AntiphonError | None = None
        self.buffer = send_buffer(hello.audio, limits.buffer)
        self.results = ResultQueue(limits.results)
        self.work = asyncio.Event()
        self.room = asyncio.Event()
        self.over = asyncio.Event()
        self.link: Link | None = None
        self.joined: Joined | None = None
        self.finishing = False
        self.ended: Ended | None = None
        self.error: Exception | None = None
        self.reconnections = 0

    async def begin(self) -> None:
        """Connect for the first time, and go on in the background.

        Raises:
            AntiphonError: The server refused.
            ConnectionLost: There is no server.
            ProtocolFault: There is one, and it is no Antiphon server.
        """
        self._session = http_session(self._limits.connect_timeout, self._hello.api_key)
        try:
            link = await self._connect(resume=False)
        except LinkLost as fault:
            raise ConnectionLost(f"cannot reach a server at {self._server}: {fault}") from fault
        self.link = link
        self._task = asyncio.create_task(self._run(link), name="transcription client")

    async def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        task, self._task = self._task, None
        if task is not None:
            link = self.link
            if link is not None and not self.over.is_set():
                with contextlib.suppress(LinkLost, TimeoutError):
                    async with asyncio.timeout(LEAVE_TIMEOUT):
                        await link.send_finish()
            task.cancel()
            await asyncio.wait([task])
            if link is not None:
                # a task that was cancelled before it began has not done so
                await link.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _run(self, first: Link) -> None:
        link: Link | None = first
        try:
            while link is not None:
                outcome = await self._converse(link)
                if self._halted is not None and not isinstance(self._halted, Conflict):
                    raise self._halted
                if isinstance(outcome, Ended) and not self._may_begin_anew(outcome):
                    self.ended = outcome
                    return
                link = await self._come_back(outcome)
        except (AntiphonError, StreamError) as error:
            self.error = error
        except asyncio.CancelledError:
            self.error = ConnectionLost("the client was closed")
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits for results must hear of a bug in here
            self.error = error
        finally:
            self.results.close()
            self.over.set()
            self.room.set()

    def _may_begin_anew(self, ended: Ended) -> bool:
        """True where the server ended the stream for reasons of its own, and there is more to say."""
        return ended.reason in ENDED_BY_SERVER and not (self.finishing and self.buffer.empty)

    # One connection

    async def _connect(self, resume: bool) -> Link:
        link: Link
        if self._door == "websocket":
            assert self._session is not None  # noqa: S101
            link = WebSocketLink(self._server, self._session, self._clock)
        else:
            link = SocketIOLink(self._server, self._clock, self._limits.connect_timeout)
        hello = self._hello
        if resume and self.joined is not None:
            again = Resume(self.joined.session_id, self.joined.resume_token, self._last_id)
            hello = replace(hello, resume=again)
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                joined = await link.open(hello)
            self._begun(joined, hello.resume is not None)
        except TimeoutError:
            await link.close()
            raise LinkLost(f"no answer within {self._limits.connect_timeout:g} s") from None
        except BaseException:
            await link.close()
            raise
        return link

    def _begun(self, joined: Joined, resumed: bool) -> None:
        if resumed:
            self.buffer.resume(joined.next_seq)
            self.room.set()
        else:
            self.buffer.restart()
            self._last_id = joined.last_event_id
        if self.joined is not None:
            self.reconnections += 1
            seconds = round(self.buffer.seconds, 3)
            self.results.put(Reconnected(resumed, joined.session_id, self._backoff.attempts, seconds))
        self.joined = joined

    async def _converse(self, link: Link) -> Ended | LinkLost:
        """Send and receive until the stream has ended or the connection is lost."""
        self.link = link
        self._acked_at = self._clock.monotonic()
        self._halted = None
        reading = asyncio.create_task(self._read(link), name="transcription client reads")
        writing = asyncio.create_task(self._write(link), name="transcription client writes")
        watching = asyncio.create_task(self._watch(), name="transcription client watches")
        tasks: list[asyncio.Task[Any]] = [reading, writing, watching]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.link = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await link.close()
        faults = [fault for task in tasks if not task.cancelled() and (fault := task.exception()) is not None]
        for fault in faults:
            if not isinstance(fault, LinkLost):
                raise fault
        if not reading.cancelled() and reading.exception() is None:
            return reading.result()
        return next(fault for fault in faults if isinstance(fault, LinkLost))

    async def _read(self, link: Link) -> Ended:
        while True:
            message = await link.receive()
            if isinstance(message, Entry):
                self._backoff.reset()
                if (ended := self._take(message)) is not None:
                    return ended
            elif isinstance(message, Ack):
                if self.buffer.acknowledge(message.seq):
                    self._acked_at = self._clock.monotonic()
                    self._backoff.reset()
                    self.room.set()
                    self.work.set()
            elif isinstance(message, Refused):
                self._refused(message.error)
            elif isinstance(message, Closing) and not message.reconnect:
                raise Conflict(f"the server has ended this connection for good: {message.reason}")

    def _take(self, entry: Entry) -> Ended | None:
        """Give an entry to the reader, once; returns the end of our own stream."""
        if entry.id <= self._last_id:
            return None
        self._last_id = entry.id
        event = entry.event
        if not isinstance(event, Started | Progress):
            self.results.put(entry)
        assert self.joined is not None  # noqa: S101
        if isinstance(event, Ended) and event.participant_id == self.joined.participant_id:
            return event
        return None

    def _refused(self, error: AntiphonError) -> None:
        now = self._clock.monotonic()
        if isinstance(error, RateLimited):
            # which chunk was the first to be refused is not told; those before it are known there and dropped
            self.pacer.refused(error.retry_after or 0.0, now)
            self.buffer.rewind()
        elif error.retryable:
            raise LinkLost(error.message, error.retry_after or 0.0)
        elif self._halted is None:
            self._halted = error
            self._acked_at = now
            if not isinstance(error, Conflict):
                self.buffer.clear()
                self.room.set()
        self.work.set()

    async def _write(self, link: Link) -> None:
        goodbye = False
        while True:
            self.work.clear()
            delay: float | None = None
            if self._halted is not None:
                # after a conflict the server is ending the stream by itself, and says so in a moment
                leave = not isinstance(self._halted, Conflict)
            else:
                leave = self.finishing and self.buffer.empty
                if (chunk := self.buffer.peek()) is not None:
                    now = self._clock.monotonic()
                    delay = self.pacer.take(self.buffer.chunk_seconds(chunk), now)
                    if not delay:
                        if not self.buffer.in_flight:
                            self._acked_at = now
                        self.buffer.advance()
                        await link.send(chunk)
                        continue
            if leave and not goodbye:
                goodbye = True
                await link.send_finish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self.work.wait()

    async def _watch(self) -> None:
        """Give up a connection over which nothing is acknowledged any more."""
        limit = self._limits.stall_timeout
        while True:
            await asyncio.sleep(limit / 8)
            if self._clock.monotonic() - self._acked_at < limit:
                continue
            if self._halted is not None:
                raise self._halted
            if self.buffer.in_flight:
                raise LinkLost(f"the server acknowledged nothing for {limit:g} s")

    # Between two connections

    async def _come_back(self, outcome: Ended | LinkLost) -> Link | None:
        """Another connection, with the same stream or a new one; None where there is nothing left to do."""
        cause: Exception | None = None
        at_least = 0.0
        if isinstance(outcome, LinkLost):
            cause, at_least = outcome, outcome.retry_after
        resume = isinstance(outcome, LinkLost)
        until = self._clock.monotonic() + self._limits.reconnect_timeout
        while True:
            delay = self._backoff.next_delay(at_least)
            if self._clock.monotonic() + delay > until:
                raise ConnectionLost(
                    f"the connection to {self._server} was lost and did not come back within "
                    f"{self._limits.reconnect_timeout:g} s: {cause or 'the server ended the stream'}"
                ) from cause
            await asyncio.sleep(delay)
            try:
                if resume:
                    try:
                        return await self._connect(resume=True)
                    except (NotFound, Conflict):
                        if await self._catch_up():
                            return None
                        resume = False
                return await self._connect(resume=False)
            except LinkLost as fault:
                cause, at_least = fault, fault.retry_after
            except AntiphonError as error:
                if not error.retryable:
                    raise
                cause, at_least = error, error.retry_after or 0.0

    async def _catch_up(self) -> bool:
        """The stream cannot be resumed; its log may still be there. True where it says that all is told.

        Raises:
            NotFound: It is not there, and with it the last results have gone.
        """
        assert self.joined is not None and self._session is not None  # noqa: S101, PT018
        log = address_of(self._server, "v1", "sessions", self.joined.session_id, "events")
        ended: Ended | None = None
        try:
            async with (
                asyncio.timeout(CATCH_UP_TIMEOUT),
                aclosing(follow(self._session, log, self._last_id, self._clock)) as entries,
            ):
                async for entry in entries:
                    if (ended := self._take(entry)) is not None:
                        break
        except NotFound:
            pass
        except TimeoutError:
            raise LinkLost(f"the last events did not come within {CATCH_UP_TIMEOUT:g} s") from None
        if ended is not None and not self._may_begin_anew(ended):
            self.ended = ended
            return True
        if self.finishing and self.buffer.empty:
            raise NotFound(
                "the server has forgotten this stream, say because it was restarted, before its last results came; "
                "they are lost. Send the audio again"
            )
        return False
