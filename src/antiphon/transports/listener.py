"""One connection to ``/ws-audio``.

The handshake and all that comes from the client are aiohttp's. What goes to the client is written by the broadcaster's
thread alone from :meth:`Connection._attach` until it has let go of the socket again; nobody else may write meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from antiphon.clock import Clock
from antiphon.errors import (
    AntiphonError,
    BadMessage,
    ClientError,
    Conflict,
    EngineUnavailable,
    LimitError,
    NotFound,
    RateLimited,
    TooLarge,
)
from antiphon.media.broadcast import Broadcaster, ReaderListener, pong_frame, text_frame
from antiphon.protocol import audio_out
from antiphon.protocol.allowance import Allowance, Rate
from antiphon.protocol.audio_out import Clear, EndReason, Say, SoundFormat, Speech, Wanted, rung
from antiphon.protocol.audio_stream import BitrateChange, Ping
from antiphon.security.access import Access, bearer_token
from antiphon.sessions.conversation import Conversation
from antiphon.sessions.programmes import Programme, Programmes
from antiphon.telemetry.logs import get_logger
from antiphon.transports.flow import Refusals, Verdict, closing_after

log = get_logger("audio-out")

Result = TypeVar("Result")

HANDSHAKE_TIMEOUT = 5.0
"""Seconds in which a client has to take the answer to its handshake."""
RELEASE_TIMEOUT = 5.0
"""Seconds in which the broadcaster has to let go of a socket; it gives the client two."""
MESSAGES = Rate(50, 20)
"""What a listener may say."""
PING = b"\x89\x00"
"""A ping without payload (RFC 6455 section 5.5.2)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all connections of the door need.

    Attributes:
        broadcaster: Sends the packets.
        programmes: Where they come from.
        access: Keys.
        clock: Time.
        max_message_bytes: Longest message of a listener.
        max_characters: Longest text to be spoken.
        send_timeout: Seconds that a client may take nothing.
    """

    broadcaster: Broadcaster
    programmes: Programmes
    access: Access
    clock: Clock
    max_message_bytes: int
    max_characters: int
    send_timeout: float


class ListenerSocket(web.WebSocketResponse):
    """A WebSocket that takes its socket back before it closes, whoever closes it."""

    before_close: Callable[[], Awaitable[None]] | None = None

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        if self.before_close is not None:
            await self.before_close()
        return await super().close(code=code, message=message, drain=drain)


class Connection(ReaderListener):
    """One listener.

    Args:
        desk: What it needs.
        request: Its handshake.
        websocket: Its socket, after the handshake.
    """

    def __init__(self, desk: Desk, request: web.Request, websocket: ListenerSocket) -> None:
        self._desk = desk
        self._request = request
        self._websocket = websocket
        self._wanted: Wanted | None = None
        self._sound = SoundFormat()
        self._programme: Programme | None = None
        self._conversation: Conversation | None = None
        self._reader: int | None = None
        self._allowance = Allowance(MESSAGES)
        loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[tuple[EndReason, int]] = loop.create_future()
        self._released: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()
        self._changing: asyncio.Task[None] | None = None
        self._refusals = Refusals()
        self._tape_ended = False
        self._said_nothing = False
        self._last_bytes = -1
        self._last_dropped = 0

    # What the door asks

    async def serve(self) -> None:
        """Until the client or the source is done."""
        try:
            try:
                await self._until_end(self._begin())
            except AntiphonError as error:
                await self.refuse(error)
            else:
                while (message := await self._until_end(self._websocket.receive())) is not None:
                    if not self._take(message):
                        break
        except ConnectionError:
            log.debug("connection lost")
        finally:
            await self._close()
            self._over.set_result(None)

    async def refuse(self, error: AntiphonError) -> None:
        """Tell a client that has no stream why, and close. A browser sees this and no HTTP status."""
        with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
            async with asyncio.timeout(self._desk.send_timeout):
                await self._websocket.send_str(_dumps({"type": "error", **error.as_dict()}))
                await self._websocket.close(code=_close_code(error), message=error.code.value.encode())

    def tell(self, message: dict[str, Any]) -> bool:
        """Send a message if the client keeps up; False where it does not, or is no longer there."""
        return self._frame(text_frame(_dumps(message)))

    def beat(self, ping: bool) -> None:
        """Cut off a client that takes nothing, or has not answered the last ping; ping it."""
        if self._reader is None or self._ending.done():
            return
        try:
            stats = self._desk.broadcaster.reader_stats(self._reader)
        except AntiphonError:
            # gone, as will be told in a moment
            return
        stuck = stats["bytes"] == self._last_bytes and stats["dropped"] > self._last_dropped
        self._last_bytes, self._last_dropped = stats["bytes"], stats["dropped"]
        if stuck or (ping and self._said_nothing):
            log.info("client is gone" if not stuck else "client does not read; cut off")
            self._abort()
        elif ping:
            self._said_nothing = self._frame(PING)

    async def end(self, reason: EndReason, code: int) -> None:
        """End the stream from the server's side; all that was sent before gets there."""
        self._end_soon(reason, code)
        await asyncio.wait([self._over])

    # What the broadcaster tells

    def on_ended(self) -> None:
        self._tape_ended = True
        if self._programme is None or not self._programme.finished:
            return
        if self._programme.error is not None:
            self._end_soon("failed", WSCloseCode.INTERNAL_ERROR)
        else:
            self._end_soon("complete", WSCloseCode.OK)

    def on_gone(self, reason: str) -> None:
        self._reader = None
        self._let_go()
        self._abort()

    def on_released(self) -> None:
        self._reader = None
        self._let_go()

    # Beginning

    async def _begin(self) -> None:
        desk = self._desk
        query = self._request.query
        desk.access.check_key(query.get("token") or bearer_token(self._request.headers))
        self._wanted = wanted = audio_out.parse_query(query, desk.max_characters)
        self._sound = wanted.format
        packet = wanted.format.packet_at(wanted.position)
        if isinstance(wanted.source, Speech) and not wanted.source.text:
            self._conversation = Conversation(desk.programmes.voice(), self._sound, self.tell, self._position)
            self._programme = desk.programmes.converse(self._sound, self._conversation, wanted)
        else:
            try:
                self._programme = await desk.programmes.tune(wanted, self._sound, packet)
            except ClientError as error:
                # neither decoder nor synthesiser knows the query
                error.field = "source" if error.field in (None, "text") else error.field
                raise
        await self._attach(wanted, packet)

    async def _attach(self, wanted: Wanted, packet: int) -> None:
        """Hand the socket to the broadcaster, once all that aiohttp has written is with the system."""
        programme = self._programme
        assert programme is not None  # noqa: S101
        if programme.finished and not programme.live:
            packet = min(packet, programme.end)
        if wanted.events:
            started = audio_out.started_to_wire(
                wanted,
                pre_skip=programme.pre_skip,
                live=programme.live or not programme.kept,
                duration=programme.duration,
                position=0.0 if programme.live else self._sound.seconds(packet),
            )
            await self._websocket.send_str(_dumps(started))
        descriptor = await self._flushed()
        try:
            self._reader = self._desk.broadcaster.attach(programme.tape, descriptor, self, position=packet)
        except NotFound:
            # so much of the tape lies behind or before that it cannot be joined here
            fresh = await self._desk.programmes.tune(wanted, self._sound, packet, fresh=True)
            self._desk.programmes.leave(programme)
            self._programme = programme = fresh
            self._reader = self._desk.broadcaster.attach(programme.tape, descriptor, self, position=packet)
        except OSError as fault:
            raise ConnectionResetError(*fault.args) from None
        self._websocket.before_close = self._take_back

    async def _flushed(self) -> int:
        """The socket's descriptor, with nothing left that aiohttp would write."""
        transport = self._request.transport
        deadline = asyncio.get_running_loop().time() + HANDSHAKE_TIMEOUT
        while transport is not None and not transport.is_closing():
            # the loop writes in its next turn
            await asyncio.sleep(0)
            if self._ending.done():
                break
            if not transport.get_write_buffer_size():
                socket = transport.get_extra_info("socket")
                return int(socket.fileno())
            if asyncio.get_running_loop().time() > deadline:
                transport.abort()
                break
            await asyncio.sleep(0.01)
        raise ConnectionResetError("the client went away, or did not take the answer to its handshake")

    # What the client says

    async def _until_end(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """What something gives; None where the stream ends first.

        It is ended here, and not by whoever wants that: aiohttp does not wait for the client's own close while a
        message is being waited for.
        """
        task = asyncio.ensure_future(work)
        try:
            either: tuple[asyncio.Future[Any], ...] = (task, self._ending)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def _take(self, message: WSMessage) -> bool:
        """Do what the client says; False where it is gone."""
        self._said_nothing = False
        if message.type is WSMsgType.PING:
            self._frame(pong_frame(bytes(message.data)))
        elif message.type is WSMsgType.TEXT:
            self._text(message)
        elif message.type is WSMsgType.BINARY:
            self._refuse(BadMessage("this door takes no audio; send that to /audio-stream"))
        # all else is the end of the connection, or a fault in it
        return message.type in (WSMsgType.PING, WSMsgType.PONG, WSMsgType.TEXT, WSMsgType.BINARY)

    def _text(self, message: WSMessage) -> None:
        limit, size = self._desk.max_message_bytes, len(message.data)
        try:
            if size > limit:
                raise TooLarge(f"a message of {size} bytes is over the maximum of {limit}; nothing of it was taken")
            self._allowance.take(self._desk.clock.monotonic(), "messages")
        except (RateLimited, TooLarge) as error:
            self._refuse(error)
            return
        try:
            self._control(audio_out.parse_control(message.data, self._desk.max_characters))
        except AntiphonError as error:
            self._error(error)

    def _refuse(self, error: AntiphonError) -> None:
        """Tell a client that says too much, and close where it goes on regardless."""
        verdict = self._refusals.refuse(self._desk.clock.monotonic())
        if verdict is not Verdict.IGNORE:
            self._error(error)
        if verdict is Verdict.CLOSE:
            self.tell({"type": "closing", "reason": closing_after(error), "reconnect": False})
            self._end_soon("closed", WSCloseCode.POLICY_VIOLATION)

    def _control(self, control: audio_out.Control) -> None:
        if isinstance(control, Ping):
            self.tell({"type": "pong", "t": control.t, "serverTime": self._desk.clock.time()})
        elif isinstance(control, BitrateChange):
            self._change_bitrate(rung(control.bitrate))
        elif self._conversation is None:
            raise Conflict("texts are taken and cleared only with an empty one in the query: source=say:")
        elif isinstance(control, Say):
            self._conversation.say(self._desk.programmes.request(control.speech))
        elif isinstance(control, Clear):
            self._clear(self._conversation)

    def _clear(self, conversation: Conversation) -> None:
        conversation.clear()
        if self._reader is not None and self._programme is not None:
            self._desk.broadcaster.seek(self._reader)
            self.tell({"type": "clear"})
            # it is at the end of the tape now
            self._programme.on_low()

    # Bitrate

    def _change_bitrate(self, bitrate: int) -> None:
        sound = SoundFormat(self._sound.sample_rate, self._sound.frame_ms, bitrate, self._sound.preset)
        if self._conversation is not None:
            self._conversation.set_bitrate(bitrate)
        elif sound != self._sound:
            if self._changing is not None:
                raise RateLimited("the last change of bitrate is still being made; try again", retry_after=0.5)
            self._changing = asyncio.create_task(self._move(sound), name="change of bitrate")
            return
        self._sound = sound
        self.tell({"type": "bitrate-change", "bitrate": bitrate})

    async def _move(self, sound: SoundFormat) -> None:
        """Go on at the same packet in another format."""
        desk, before, wanted, reader = self._desk, self._programme, self._wanted, self._reader
        assert before is not None and wanted is not None  # noqa: S101, PT018
        programme: Programme | None = None
        try:
            if reader is None:
                return
            packet = self._position()
            programme = await desk.programmes.tune(wanted, sound, packet)
            if programme.live:
                desk.broadcaster.seek(reader, None, tape=programme.tape)
            else:
                # who stays where it was until then goes on meanwhile
                desk.broadcaster.switch(reader, programme.tape)
            self._programme, self._sound, programme = programme, sound, None
            self.tell({"type": "bitrate-change", "bitrate": sound.bitrate})
            self._tape_ended = False
            if not self._programme.live:
                await self._programme.reached(packet)
            if self._tape_ended:
                # the tape before had no more, and so has this one
                self.on_ended()
        except AntiphonError as error:
            self._error(error)
        finally:
            left = programme if programme is not None else (before if self._programme is not before else None)
            if left is not None:
                desk.programmes.leave(left)
            self._changing = None

    # Ending

    def _end_soon(self, reason: EndReason, code: int) -> None:
        if not self._ending.done():
            self._ending.set_result((reason, code))

    def _say_last(self, reason: EndReason) -> None:
        programme, wanted = self._programme, self._wanted
        if programme is not None and programme.error is not None:
            self._error(programme.error)
        if wanted is not None and wanted.events:
            position = 0.0 if programme is None or programme.live else self._sound.seconds(self._position())
            self.tell(audio_out.ended_to_wire(reason, position))

    async def _take_back(self) -> None:
        """Have the broadcaster let go of the socket."""
        self._websocket.before_close = None
        if self._reader is None:
            return
        try:
            self._desk.broadcaster.detach(self._reader)
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._released
        except (AntiphonError, TimeoutError):
            self._abort()

    async def _close(self) -> None:
        reason, code = self._ending.result() if self._ending.done() else ("closed", WSCloseCode.OK)
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.wait([self._changing])
        if self._ending.done():
            self._say_last(reason)
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._websocket.close(code=code, message=reason.encode())
        if self._programme is not None:
            programme, self._programme = self._programme, None
            self._desk.programmes.leave(programme)

    # Small things

    def _position(self) -> int:
        """Number of the packet that is sent next."""
        if self._reader is None:
            return 0
        with contextlib.suppress(AntiphonError):
            return int(self._desk.broadcaster.reader_stats(self._reader)["position"])
        return 0

    def _frame(self, frame: bytes) -> bool:
        """Have a frame sent; False where the client does not keep up, or is gone."""
        if self._reader is not None:
            with contextlib.suppress(AntiphonError):
                return self._desk.broadcaster.send(self._reader, frame)
        return False

    def _error(self, error: AntiphonError) -> None:
        self.tell({"type": "error", **error.as_dict()})

    def _let_go(self) -> None:
        if not self._released.done():
            self._released.set_result(None)

    def _abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


def _dumps(message: dict[str, Any]) -> str:
    return orjson.dumps(message).decode()


def _close_code(error: AntiphonError) -> int:
    if isinstance(error, ClientError):
        return WSCloseCode.POLICY_VIOLATION
    later = isinstance(error, LimitError | EngineUnavailable)
    return WSCloseCode.TRY_AGAIN_LATER if later else WSCloseCode.INTERNAL_ERROR
