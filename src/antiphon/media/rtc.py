"""The WebRTC engine's face: what it does comes back to each participant's listener, on the event loop.

One engine serves a process. Its threads own the media port, the rooms and the packets; a call here leaves a command
with them and returns at once. What they have to tell waits in a queue, whose file descriptor the event loop watches; it
is taken in batches, so that a busy engine never holds the loop for long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from antiphon._native import RtcEngine
from antiphon.errors import AntiphonError, EngineUnavailable, NotFound, error_class

BATCH = 256
"""Events that are dispatched before anybody else has a turn."""
STATS_TIMEOUT = 5.0
"""Seconds that the engine may take to say what it has counted."""

Result = TypeVar("Result")
RoomMode = Literal["relay", "mix"]
Slots = Sequence[tuple[str, int | None]]


class RtcEngineLike(Protocol):
    """What :class:`antiphon._native.RtcEngine` can do; a double for tests can it too."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def tcp_port(self) -> int | None: ...
    @property
    def datagrams_dropped(self) -> int: ...
    def fileno(self) -> int: ...
    def poll(self, limit: int = ...) -> list[tuple[Any, ...]]: ...
    def open_room(self, *, mode: str = ..., max_participants: int = ...) -> int: ...
    def close_room(self, room: int) -> None: ...
    def join(self, room: int, offer: str, *, publish: bool = ..., listen: bool = ...) -> int: ...
    def offer(self, peer: int, offer: str) -> None: ...
    def candidate(self, peer: int, candidate: str) -> None: ...
    def join_local(
        self,
        room: int,
        *,
        publish: bool,
        listen: bool,
        encoding: str = ...,
        sample_rate: int = ...,
        channels: int = ...,
        reply_encoding: str = ...,
        reply_rate: int = ...,
        reply_bitrate: int = ...,
        reply_frame_ms: int = ...,
    ) -> int: ...
    def push(self, participant: int, payload: bytes) -> None: ...
    def leave(self, participant: int) -> None: ...
    def mute(self, participant: int, muted: bool) -> None: ...
    def tap(self, participant: int, sample_rate: int = ...) -> None: ...
    def untap(self, participant: int) -> None: ...
    def send(self, peer: int, text: str) -> None: ...
    def set_bitrate(self, peer: int, bitrate: int) -> None: ...
    def stats(self, participant: int) -> None: ...
    def close(self) -> None: ...


class MediaListener:
    """What happens to one participant. Each method is called on the event loop and must not wait."""

    def on_answer(self, sdp: str) -> None:
        """The oldest offer that waits is answered."""

    def on_refused(self, error: AntiphonError) -> None:
        """The oldest offer that waits is refused. A first one's peer is gone; another one's stays as it was."""

    def on_bad_candidate(self, message: str) -> None:
        """A candidate could not be read, or not be used."""

    def on_connected(self) -> None:
        """Packets go both ways; also after an interruption."""

    def on_disconnected(self) -> None:
        """Nothing has come for some seconds; it may come back."""

    def on_closed(self, reason: str) -> None:
        """The participant is gone for good. Nothing comes after this."""

    def on_channel(self) -> None:
        """The metadata channel is open."""

    def on_message(self, text: str) -> None:
        """Something came over the metadata channel."""

    def on_speaking(self, active: bool) -> None:
        """The participant began or ceased to speak."""

    def on_slots(self, slots: Slots) -> None:
        """Which participant each receiving m-line carries now, by its `mid`; None where it is free."""

    def on_tap(self, pcm: bytes) -> None:
        """Decoded audio of the participant: 16-bit, mono, without gaps, about 100 ms."""

    def on_audio(self, payload: bytes) -> None:
        """What a local participant hears of the room, one tick."""


class MediaEngine:
    """Dispatches what an engine tells.

    Args:
        engine: A native engine, which is this one's from now on.
        on_fault: Called with an exception that a listener raised; the others are not disturbed.

    Attributes:
        events_lost: Events that were dropped because the loop did not come to take them.
        commands_lost: Commands that the engine was too busy to take.
    """

    def __init__(self, engine: RtcEngineLike, on_fault: Callable[[Exception], None]) -> None:
        self._engine = engine
        self._on_fault = on_fault
        self._listeners: dict[int, MediaListener] = {}
        self._questions: dict[int, list[asyncio.Future[dict[str, Any]]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = engine.fileno()
        self._again: asyncio.Handle | None = None
        self._closed = False
        self.events_lost = 0
        self.commands_lost = 0
        self._handlers: dict[str, Callable[..., None]] = {
            "answer": lambda listener, sdp: listener.on_answer(sdp),
            "refused": self._refused,
            "bad_candidate": lambda listener, message: listener.on_bad_candidate(message),
            "connected": lambda listener: listener.on_connected(),
            "disconnected": lambda listener: listener.on_disconnected(),
            "channel": lambda listener: listener.on_channel(),
            "message": lambda listener, text: listener.on_message(text),
            "speaking": lambda listener, active: listener.on_speaking(active),
            "slots": lambda listener, slots: listener.on_slots(slots),
            "tap": lambda listener, pcm: listener.on_tap(pcm),
            "audio": lambda listener, payload: listener.on_audio(payload),
        }

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._engine.host

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._engine.port

    @property
    def tcp_port(self) -> int | None:
        """The TCP port; None where there is none."""
        return self._engine.tcp_port

    @property
    def datagrams_dropped(self) -> int:
        """Datagrams that were given up because the kernel did not take them in time; 0 once it is closed."""
        return 0 if self._closed else self._engine.datagrams_dropped

    @property
    def participants(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def start(self) -> None:
        """Watch the engine from the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def close(self) -> None:
        """End the engine and all that is in it. Nobody is told."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
        if self._again is not None:
            self._again.cancel()
        self._listeners.clear()
        for futures in self._questions.values():
            for future in futures:
                future.cancel()
        self._engine.close()

    def open_room(self, mode: RoomMode, max_participants: int) -> int:
        """A new room's number.

        Raises:
            EngineUnavailable: The engine has more to do than it can; so do all calls that leave it a command.
        """
        return self._ask(self._engine.open_room, mode=mode, max_participants=max_participants)

    def close_room(self, room: int) -> None:
        """Everybody in it is told that they are closed."""
        self._tell(self._engine.close_room, room)

    def join(self, room: int, offer: str, listener: MediaListener, *, publish: bool = True, listen: bool = True) -> int:
        """A WebRTC peer; its listener is told the answer."""
        peer = self._ask(self._engine.join, room, offer, publish=publish, listen=listen)
        self._listeners[peer] = listener
        return peer

    def join_local(self, room: int, listener: MediaListener, *, publish: bool, listen: bool, **formats: Any) -> int:
        """A participant that is fed by :meth:`push`, and whose listener gets the room's audio.

        Args:
            formats: `encoding`, `sample_rate` and `channels` of what is pushed; `reply_encoding`, `reply_rate`,
                `reply_bitrate` and `reply_frame_ms` of what comes back.

        Raises:
            ValueError: A format that the engine does not take.
        """
        participant = self._ask(self._engine.join_local, room, publish=publish, listen=listen, **formats)
        self._listeners[participant] = listener
        return participant

    def offer(self, peer: int, offer: str) -> None:
        """Another offer of a peer there is; its listener is told the answer."""
        self._ask(self._engine.offer, peer, offer)

    def candidate(self, peer: int, candidate: str) -> None:
        """A candidate of a peer, ``candidate:...``."""
        self._ask(self._engine.candidate, peer, candidate)

    def push(self, participant: int, payload: bytes) -> None:
        """Audio of a local participant."""
        self._tell(self._engine.push, participant, payload)

    def leave(self, participant: int) -> None:
        """Take a participant out; its listener is told nothing more."""
        self._forget(participant)
        self._tell(self._engine.leave, participant)

    def mute(self, participant: int, muted: bool) -> None:
        """Let nobody hear a participant."""
        self._tell(self._engine.mute, participant, muted)

    def tap(self, participant: int, sample_rate: int) -> None:
        """From now on the listener gets a participant's audio."""
        self._tell(self._engine.tap, participant, sample_rate)

    def untap(self, participant: int) -> None:
        """No more of that."""
        self._tell(self._engine.untap, participant)

    def send(self, peer: int, text: str) -> None:
        """Say something over a peer's metadata channel; dropped where that is not open, or full."""
        self._tell(self._engine.send, peer, text)

    def set_bitrate(self, peer: int, bitrate: int) -> None:
        """What a peer is sent, in bits a second, where the engine encodes it."""
        self._tell(self._engine.set_bitrate, peer, bitrate)

    async def stats(self, participant: int) -> dict[str, Any]:
        """What the engine has counted of a participant.

        Raises:
            NotFound: It is gone.
            TimeoutError: The engine did not say within :data:`STATS_TIMEOUT`.
        """
        if participant not in self._listeners:
            raise _gone()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        waiting = self._questions.setdefault(participant, [])
        waiting.append(future)
        if len(waiting) == 1:
            self._ask(self._engine.stats, participant)
        try:
            async with asyncio.timeout(STATS_TIMEOUT):
                return await future
        except TimeoutError:
            # the next to ask does so anew
            self._questions.pop(participant, None)
            raise

    def _ask(self, command: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Leave the engine a command that somebody waits for."""
        try:
            return command(*arguments, **options)
        except RuntimeError as fault:
            raise EngineUnavailable(f"the media server takes nothing more for now: {fault}", retry_after=1.0) from None

    def _tell(self, command: Callable[..., None], *arguments: Any) -> None:
        """Leave the engine a command that nobody waits for; an engine that is full, or closed, goes without."""
        try:
            command(*arguments)
        except RuntimeError:
            self.commands_lost += not self._closed

    def _readable(self) -> None:
        # while the next batch has its turn already, the descriptor may say so again
        if self._again is None:
            self._ready()

    def _ready(self) -> None:
        """Take one batch, and come back for the next after everybody else has had a turn."""
        self._again = None
        events = self._engine.poll(BATCH)
        self.dispatch(events)
        if len(events) == BATCH and not self._closed and self._loop is not None:
            self._again = self._loop.call_soon(self._ready)

    def dispatch(self, events: Iterable[tuple[Any, ...]]) -> None:
        """Tell the listeners what has happened."""
        for event in events:
            kind = event[0]
            if kind == "overflow":
                self.events_lost += event[1]
                continue
            participant = event[1]
            try:
                if kind == "stats":
                    self._counted(participant, event[2])
                elif kind == "closed":
                    self._gone(participant, event[2])
                elif (listener := self._listeners.get(participant)) is not None:
                    self._handlers[kind](listener, *event[2:])
            # one listener's fault must not cost the others their events
            except Exception as fault:  # noqa: BLE001
                self._on_fault(fault)

    @staticmethod
    def _refused(listener: MediaListener, code: str, message: str) -> None:
        listener.on_refused(error_class(code)(message))

    def _gone(self, participant: int, reason: str) -> None:
        listener = self._listeners.get(participant)
        self._forget(participant)
        if listener is not None:
            listener.on_closed(reason)

    def _counted(self, participant: int, values: dict[str, Any]) -> None:
        for future in self._questions.pop(participant, ()):
            if not future.done():
                future.set_result(values)

    def _forget(self, participant: int) -> None:
        self._listeners.pop(participant, None)
        for future in self._questions.pop(participant, ()):
            if not future.done():
                future.set_exception(_gone())


def _gone() -> NotFound:
    return NotFound("this participant is gone")


def open_engine(
    host: str,
    port: int,
    *,
    tcp: bool,
    threads: int,
    announce: Sequence[str],
    max_peers: int,
    on_fault: Callable[[Exception], None],
) -> MediaEngine:
    """The native engine, listening.

    Args:
        host: Address to listen on.
        port: UDP port, and the TCP port beside it; 0 takes a free one.
        tcp: Whether media may come over TCP too.
        threads: Threads that rooms are spread over.
        announce: IP addresses that peers are told to send to; none: `host`, or the machine's own.
        max_peers: Peers at once.
        on_fault: As of :class:`MediaEngine`.

    Raises:
        OSError: The port is taken, or the address is not the machine's.
        ValueError: `host` or one of `announce` is no IP address.
    """
    with contextlib.ExitStack() as stack:
        engine = RtcEngine(host=host, port=port, tcp=tcp, threads=threads, announce=list(announce), max_peers=max_peers)
        stack.callback(engine.close)
        media = MediaEngine(engine, on_fault)
        stack.pop_all()
    return media
