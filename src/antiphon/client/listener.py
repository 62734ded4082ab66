"""The client of ``/ws-audio``: a stream to listen to, over connections that break."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from antiphon.client.backoff import Backoff
from antiphon.client.errors import ConnectionLost
from antiphon.client.http import http_session
from antiphon.client.link import LinkLost
from antiphon.client.listening import (
    ConnectionBack,
    Heard,
    Listening,
    ListenOptions,
    Notice,
    Packet,
    StreamEnded,
    StreamStarted,
    listening_url,
)
from antiphon.client.websocket import CLOSE_TIMEOUT, HEARTBEAT, refused_handshake
from antiphon.clock import Clock, SystemClock

PING_INTERVAL = 2.0
"""Seconds between two measurements of the round trip."""
MOST_MESSAGE = 1 << 20
STABLE_S = 5.0
"""A connection that brought a packet, or held so long, was a good one; others count as attempts that failed."""


@dataclass(frozen=True, slots=True)
class ListenLimits:
    """Deadlines of a listener, in seconds.

    Attributes:
        connect_timeout: One attempt to connect and to be told what comes.
        silence: Without anything from the server a connection counts as dead.
        reconnect_timeout: How long to try to come back before giving up.
    """

    connect_timeout: float = 10.0
    silence: float = 15.0
    reconnect_timeout: float = 60.0


class AudioListener:
    """Audio in, as Opus packets::

        listener = AudioListener("http://127.0.0.1:8080", ListenOptions("file:news.mp3"))
        async with aclosing(listener.listen()) as stream:
            async for heard in stream:
                if isinstance(heard, Packet):
                    play(decoder.decode(heard.data))

    When the connection breaks, or the server says that another would do better, the listener comes back by itself and
    goes on where it was: each packet of a file or a text comes once. What is live goes on with what is said now. The
    first attempt to connect is not repeated: it fails at once where there is no server.

    Args:
        url: The server, such as ``http://127.0.0.1:8080``, or its door with a query.
        options: What is asked for. Fields that are in the query of `url` as well hold as they are here.
        api_key: Shown to the server.
        backoff: How long to wait between attempts to come back.
        limits: Deadlines.
        clock: Time.

    Raises:
        ValueError: ``url`` is none.
    """

    def __init__(
        self,
        url: str,
        options: ListenOptions,
        *,
        api_key: str | None = None,
        backoff: Backoff | None = None,
        limits: ListenLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._url, _ = listening_url(url)
        self._api_key = api_key
        self._backoff = backoff or Backoff()
        self._limits = limits or ListenLimits()
        self._clock = clock or SystemClock()
        self._listening = Listening(options)
        self._websocket: ClientWebSocketResponse | None = None
        self.reconnections = 0

    @property
    def round_trip(self) -> float | None:
        """Seconds to the server and back, None before the first measurement."""
        return self._listening.round_trip

    @property
    def position(self) -> float:
        """Seconds of a file or a text that have come."""
        return self._listening.position

    async def say(self, text: str, *, voice: str | None = None, rate: float | None = None) -> None:
        """Have a text said, where the source is ``say:`` without one."""
        message: dict[str, Any] = {"type": "say", "text": text, "voice": voice, "rate": rate}
        await self._send({name: value for name, value in message.items() if value is not None})

    async def clear(self) -> None:
        """Have nothing more said of what was asked for."""
        await self._send({"type": "clear"})

    async def change_bitrate(self, bitrate: int) -> None:
        """Ask for another bitrate, in bits a second; the answer comes as a :class:`Notice`."""
        await self._send({"type": "bitrate-change", "bitrate": bitrate})

    async def listen(self) -> AsyncGenerator[Heard, None]:
        """The stream, from :class:`StreamStarted` to :class:`StreamEnded`. To be iterated once.

        Raises:
            AntiphonError: The server refused, or the source failed.
            ConnectionLost: There is no server, or it did not come back in time.
            ProtocolFault: There is one, and it makes no sense.
        """
        session = http_session(self._limits.connect_timeout, self._api_key)
        tries_from: float | None = None
        try:
            while True:
                begun: float | None = None
                try:
                    async with contextlib.aclosing(self._connection(session)) as connection:
                        async for heard in connection:
                            if begun is None:
                                begun = self._clock.monotonic()
                                if tries_from is not None:
                                    self.reconnections += 1
                                    yield ConnectionBack(self._backoff.attempts, self._listening.position)
                            if isinstance(heard, Packet):
                                tries_from = None
                                self._backoff.reset()
                            yield heard
                            if isinstance(heard, StreamEnded):
                                return
                except LinkLost as fault:
                    if self._listening.started is None:
                        raise ConnectionLost(f"cannot reach a server at {self._url.origin()}: {fault}") from fault
                    now = self._clock.monotonic()
                    if tries_from is None or (begun is not None and now - begun > STABLE_S):
                        tries_from = now
                    await self._wait_before_another_try(fault, tries_from)
        finally:
            await session.close()

    async def _wait_before_another_try(self, fault: LinkLost, tries_from: float) -> None:
        delay = self._backoff.next_delay(fault.retry_after)
        if self._clock.monotonic() + delay > tries_from + self._limits.reconnect_timeout:
            raise ConnectionLost(
                f"the connection to {self._url.origin()} was lost and did not come back within "
                f"{self._limits.reconnect_timeout:g} s: {fault}"
            ) from fault
        await asyncio.sleep(delay)

    async def _connection(self, session: ClientSession) -> AsyncGenerator[Heard, None]:
        """What one connection brings; the first is that it has its stream."""
        websocket = await self._connect(session)
        pinging = asyncio.create_task(self._ping(), name="listener pings")
        begun = False
        waiting: deque[Heard] = deque()
        try:
            while True:
                patience = self._limits.silence if begun else self._limits.connect_timeout
                waiting.extend(await self._receive(websocket, patience))
                if not begun and self._listening.started is not None and self._listening.error is None:
                    begun = True
                    if not any(isinstance(heard, StreamStarted) for heard in waiting):
                        # not news, but a sign that the stream is back
                        waiting.appendleft(Notice("started"))
                while begun and waiting:
                    yield waiting.popleft()
        finally:
            pinging.cancel()
            await asyncio.wait([pinging])
            self._websocket = None
            await websocket.close()

    async def _connect(self, session: ClientSession) -> ClientWebSocketResponse:
        self._listening.connected()
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                self._websocket = websocket = await session.ws_connect(
                    self._url.with_query(self._listening.query()),
                    heartbeat=HEARTBEAT,
                    max_msg_size=MOST_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                )
                return websocket
        except aiohttp.WSServerHandshakeError as refusal:
            raise refused_handshake(refusal.status, str(self._url)) from None
        except TimeoutError:
            raise LinkLost(f"no answer within {self._limits.connect_timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as fault:
            raise LinkLost(str(fault) or type(fault).__name__) from fault

    async def _receive(self, websocket: ClientWebSocketResponse, patience: float) -> list[Heard]:
        try:
            async with asyncio.timeout(patience):
                message = await websocket.receive()
        except TimeoutError:
            raise LinkLost(f"the server said nothing for {patience:g} s") from None
        if message.type is WSMsgType.BINARY:
            return self._listening.binary(message.data)
        if message.type is WSMsgType.TEXT:
            return self._listening.text(message.data, self._clock.monotonic())
        self._closed(websocket.close_code)
        raise LinkLost(f"the connection was closed{f', code {websocket.close_code}' if websocket.close_code else ''}")

    def _closed(self, code: int | None) -> None:
        """Nothing more comes over this connection; raises where another would do no better."""
        error = self._listening.error
        if error is None or self._listening.closing:
            return
        if self._listening.started is not None and error.retryable and not self._listening.failed:
            raise LinkLost(error.message, error.retry_after or 0.0)
        raise error

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL)
            with contextlib.suppress(LinkLost):
                await self._send({"type": "ping", "t": self._clock.monotonic()})

    async def _send(self, message: dict[str, Any]) -> None:
        websocket = self._websocket
        if websocket is None:
            raise LinkLost("there is no connection now")
        try:
            await websocket.send_str(orjson.dumps(message).decode())
        except (aiohttp.ClientError, OSError) as fault:
            raise LinkLost(str(fault) or "the connection broke") from fault
