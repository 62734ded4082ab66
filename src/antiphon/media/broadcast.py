"""Opus packets paced to many WebSocket connections by one native thread that never takes the interpreter lock.

A *tape* is a growing list of packets of equal duration, made into WebSocket frames once and shared by all its readers.
A *reader* is a connection with a place on a tape. Packet n departs at the reader's start plus n times the duration:
deadlines are absolute, so nothing drifts. A ``live`` tape is sent on arrival instead, and its readers join at its end.

While a reader is attached, the native thread alone writes to its socket; what Python wants to say goes through
:meth:`Broadcaster.send`. Reading stays with Python. All methods are for the event loop's thread and return at once.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from antiphon._native import Broadcaster as NativeBroadcaster
from antiphon.errors import EngineUnavailable, NotFound

BATCH = 256
"""Events that are dispatched before anybody else has a turn."""
MAX_TAPE_BYTES = 64 * 1024 * 1024
"""What a tape keeps unless told otherwise: over four hours at 32 kbit/s."""
MAX_QUEUED = 64 * 1024
"""Bytes given to :meth:`Broadcaster.send` that may wait for one reader's socket."""
MAX_PACKET = 65_535
"""Bytes of the longest packet that a tape takes."""
MOST_REASON = 123
"""Bytes of the reason in a close frame (RFC 6455, section 5.5)."""

Result = TypeVar("Result")


class TapeListener:
    """What happens to a tape. Each method is called on the event loop and must not wait."""

    def on_low(self) -> None:
        """The reader that is furthest has less than ``low_ahead`` packets in front of it: append some.

        Told at once where the first reader comes to a tape that holds too little; then not again until something was
        appended, and again if that was not enough. Never told of a live tape, of a finished one, or of one without
        readers.
        """


class ReaderListener:
    """What happens to a reader. Each method is called on the event loop and must not wait.

    Either :meth:`on_gone` or :meth:`on_released` is the last.
    """

    def on_ended(self) -> None:
        """All packets of a finished tape were sent and have had their time, or the tape was closed.

        The reader stays attached and idle: it can still be sent frames, put on another tape by
        :meth:`Broadcaster.seek`, or detached.
        """

    def on_gone(self, reason: str) -> None:
        """The socket can't be written any more, and the reader is forgotten.

        Args:
            reason: ``closed`` (the other side is gone), ``timeout`` (what was to be written when it was detached
                could not be within two seconds; the connection may be in the middle of a frame and is only good for
                closing), or the system's own words.
        """

    def on_released(self) -> None:
        """Detached as was asked: everything was written to a whole frame, and others may write to the socket again."""

    def on_dropped(self, packets: int) -> None:
        """The socket took less than it was sent: so many of the oldest packets were left out.

        The other side is told before the next packet, by a text frame ``{"type":"dropped","packets":n,"total":m}``.
        """


class Broadcaster:
    """The native thread, its tapes and its readers.

    Args:
        on_fault: Called with an exception that a listener raised; the others are not disturbed.

    Attributes:
        events_lost: Events (of dropped packets only) that were left out because the loop did not come to take them.
    """

    def __init__(self, on_fault: Callable[[Exception], None]) -> None:
        self._native = NativeBroadcaster()
        self._on_fault = on_fault
        self._tapes: dict[int, TapeListener] = {}
        self._readers: dict[int, ReaderListener] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = self._native.fileno()
        self._again: asyncio.Handle | None = None
        self._closed = False
        self.events_lost = 0

    @property
    def readers(self) -> int:
        """How many are attached, or not yet released."""
        return len(self._readers)

    def start(self) -> None:
        """Watch the thread from the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def close(self) -> None:
        """End the thread. Nobody is told, and frames may be cut off: detach the readers before, and wait for them."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
        if self._again is not None:
            self._again.cancel()
        self._tapes.clear()
        self._readers.clear()
        self._native.close()

    # ---- tapes -----------------------------------------------------------------------------------------------------

    def open_tape(
        self,
        listener: TapeListener,
        *,
        frame_ms: float,
        live: bool = False,
        first: int = 0,
        low_ahead: int = 100,
        max_bytes: int = MAX_TAPE_BYTES,
    ) -> int:
        """A new tape's number.

        Args:
            listener: Is told when packets are wanted.
            frame_ms: What each packet lasts, in milliseconds: 2.5 to 120.
            live: Send each packet when it comes, to readers that join at the end, and keep two seconds only.
            first: Number of the first packet that will be appended, for a tape that begins in the middle of a file.
            low_ahead: Packets that are to lie in front of the furthest reader.
            max_bytes: What is kept at most, frame headers included. Beyond it the oldest packets go: no reader can
                begin there any more, and one that still is there loses them and is told. So that this does not
                happen to new readers, none may begin where more than half of `max_bytes` lies in front of it while the
                tape grows.

        Raises:
            ValueError: A value out of range.
            EngineUnavailable: The thread has more to do than it can, or has been closed; so do all calls that leave it
                something to do.
        """
        tape = self._ask(
            self._native.open_tape,
            frame_us=round(frame_ms * 1000),
            live=live,
            first=first,
            low_ahead=low_ahead,
            max_bytes=max_bytes,
        )
        self._tapes[tape] = listener
        return tape

    def append(self, tape: int, packets: Sequence[bytes]) -> None:
        """Packets that follow those there are, each 1 to :data:`MAX_PACKET` bytes.

        Raises:
            NotFound: There is no such tape, or it was closed.
            ValueError: The tape is finished, or a packet is empty or too long; then none is taken.
        """
        self._ask(self._native.append, tape, packets)

    def finish(self, tape: int) -> None:
        """Nothing more will be appended: readers that come to the end have ended. Twice is as good as once.

        Raises:
            NotFound: There is no such tape, or it was closed.
        """
        self._ask(self._native.finish, tape)

    def close_tape(self, tape: int) -> None:
        """Forget a tape, at once. Its readers have ended; what they had not been sent is not sent. Unknown: nothing."""
        self._tapes.pop(tape, None)
        self._ask(self._native.close_tape, tape)

    def tape_stats(self, tape: int) -> dict[str, Any]:
        """What is known of a tape, as of the thread's last look at it.

        Returns:
            `packets` (number of the packet that would be appended next), `bytes` that are kept, `readers`, `furthest`
            (packet number that the furthest reader comes to next; None without readers), `dropped_head` (number of the
            oldest packet kept, less `first`).

        Raises:
            NotFound: There is no such tape, or it was closed.
        """
        return self._ask(self._native.tape_stats, tape)

    # ---- readers ---------------------------------------------------------------------------------------------------

    def attach(self, tape: int, fd: int, listener: ReaderListener, *, position: int = 0, max_lag_ms: int = 1000) -> int:
        """A new reader's number. Its first packet departs as soon as it is there.

        Args:
            tape: What it reads.
            fd: A connected stream socket, to which everything that was written before has been handed (a transport's
                write buffer is empty). It is duplicated: whoever owns it may close it at any time, which ends the
                connection only together with :meth:`detach`, but must not write to it until `on_released`.
            listener: Is told what happens.
            position: Number of the first packet. A live tape's readers begin at its end whatever this says.
            max_lag_ms: How much a slow connection may owe, in the system's send buffer and before it, until the oldest
                packets are dropped: 100 to 60000.

        Raises:
            NotFound: There is no such tape, or it no longer keeps (or could not keep much longer) what begins at
                `position`: open another tape.
            ValueError: `fd` is no stream socket, or a value is out of range.
            OSError: `fd` is not open, or there are no more descriptors.
        """
        reader = self._ask(self._native.attach, tape, fd, position=position, max_lag_ms=max_lag_ms)
        self._readers[reader] = listener
        return reader

    def send(self, reader: int, frame: bytes) -> bool:
        """Write a complete WebSocket frame, after what was sent and before what has not been.

        Where the connection is slow, it overtakes packets that wait.

        Returns:
            False where nothing was taken: :data:`MAX_QUEUED` bytes wait already or would, or the reader is gone.
        """
        return self._ask(self._native.send, reader, frame)

    def switch(self, reader: int, tape: int) -> None:
        """Go on at the same packet number, in the same rhythm, on another tape.

        The reader stays on its tape until the other one has that packet, so that a change of bitrate leaves no gap. It
        counts as a reader of the other tape from now on: that one's listener is told `on_low`.

        Raises:
            NotFound: There is no such tape. (A reader that is gone is none's fault: nothing happens.)
            ValueError: Packets of the other tape last longer or shorter, or one of the two is live.
        """
        self._ask(self._native.switch, reader, tape)

    def seek(self, reader: int, position: int | None = None, *, tape: int | None = None) -> None:
        """Go on somewhere else, as soon as what lies there has come, with a new timeline.

        What had its time and waited for a slow connection is left out and not counted. A paused reader stays paused.

        Args:
            reader: Who.
            position: Number of the next packet; None: the tape's end, so that what was appended until now is skipped.
            tape: Another tape, of any kind; None: the one it is on.

        Raises:
            NotFound: There is no such tape, or it no longer keeps what begins there.
        """
        self._ask(self._native.seek, reader, position, tape)

    def pause(self, reader: int) -> None:
        """Send no packets until :meth:`resume`; those whose time has come already still are. Frames go on."""
        self._ask(self._native.pause, reader)

    def resume(self, reader: int) -> None:
        """Go on where it was, from now: a new timeline. On a live tape: from the end."""
        self._ask(self._native.resume, reader)

    def detach(self, reader: int) -> None:
        """Finish a frame that is partly written and what :meth:`send` took, then let go of the socket.

        The listener is told `on_released`, or `on_gone` where that took more than two seconds.
        """
        self._ask(self._native.detach, reader)

    def reader_stats(self, reader: int) -> dict[str, Any]:
        """What is known of a reader.

        Returns:
            `sent` (packets), `bytes` (of all frames), `dropped` (packets left out), `stalls` (times that the thread
            came more than two packets late and the timeline was moved), `underruns` (times that a packet was not there
            when its time came), `position` (number of the next packet to be sent).

        Raises:
            NotFound: It is gone, or was released.
        """
        return self._ask(self._native.reader_stats, reader)

    def statistics(self) -> dict[str, Any]:
        """Counters since the start, and how punctual packets were lately.

        Returns:
            `readers`, `tapes`, `tape_bytes` now; `packets` and `bytes` sent, `dropped` packets, `stalls`, `underruns`,
            `errors` (readers gone other than by being detached) so far; `cpu_us` that the thread has used;
            `late_us_p50`, `late_us_p99`, `late_us_p999` and `late_us_max`: microseconds from a packet's deadline (live:
            its arrival) until the system had it, of `late_packets` packets of the last 10 to 20 seconds that no
            slow connection held up.
        """
        return self._native.statistics()

    # ---- events ----------------------------------------------------------------------------------------------------

    def _ask(self, command: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Leave the thread something to do."""
        try:
            return command(*arguments, **options)
        except LookupError as fault:
            # not chained: the message says it all
            raise NotFound(str(fault.args[0])) from None
        except RuntimeError as fault:
            raise EngineUnavailable(f"audio can't be sent for now: {fault}", retry_after=1.0) from None

    def _readable(self) -> None:
        # while the next batch has its turn already, the descriptor may say so again
        if self._again is None:
            self._ready()

    def _ready(self) -> None:
        """Take one batch, and come back for the next after everybody else has had a turn."""
        self._again = None
        events = self._native.poll(BATCH)
        self.dispatch(events)
        if len(events) >= BATCH and not self._closed and self._loop is not None:
            self._again = self._loop.call_soon(self._ready)

    def dispatch(self, events: Iterable[tuple[Any, ...]]) -> None:
        """Tell the listeners what has happened."""
        for event in events:
            kind, number = event[0], event[1]
            try:
                if kind == "overflow":
                    self.events_lost += number
                elif kind == "low":
                    if (tape := self._tapes.get(number)) is not None:
                        tape.on_low()
                elif kind in {"gone", "released"}:
                    self._last(kind, number, *event[2:])
                elif (reader := self._readers.get(number)) is not None:
                    if kind == "ended":
                        reader.on_ended()
                    else:
                        reader.on_dropped(event[2])
            # one listener's fault must not cost the others their events
            except Exception as fault:  # noqa: BLE001
                self._on_fault(fault)

    def _last(self, kind: str, number: int, *reason: str) -> None:
        listener = self._readers.pop(number, None)
        if listener is None:
            return
        if kind == "gone":
            listener.on_gone(*reason)
        else:
            listener.on_released()


# ---- frames ----------------------------------------------------------------------------------------------------------

TEXT, CLOSE, PONG = 0x1, 0x8, 0xA


def text_frame(text: str) -> bytes:
    """A text message in one WebSocket frame, as a server sends it: not masked (RFC 6455, section 5.1)."""
    return _frame(TEXT, text.encode())


def pong_frame(payload: bytes = b"") -> bytes:
    """The answer to a ping, whose `payload` it repeats.

    Raises:
        ValueError: More than the 125 bytes that a control frame takes.
    """
    if len(payload) > 125:
        raise ValueError(f"a control frame takes 125 bytes; got {len(payload)}")
    return _frame(PONG, payload)


def close_frame(code: int = 1000, reason: str = "") -> bytes:
    """A close frame; a reason that is too long is cut off.

    Raises:
        ValueError: A `code` that is not for the wire (RFC 6455, section 7.4).
    """
    if not 1000 <= code <= 4999 or code in {1004, 1005, 1006, 1015}:
        raise ValueError(f"a close code is 1000 to 4999, without 1004, 1005, 1006 and 1015; got {code}")
    text = reason.encode()[:MOST_REASON].decode(errors="ignore")
    return _frame(CLOSE, struct.pack("!H", code) + text.encode())


def _frame(opcode: int, payload: bytes) -> bytes:
    head, length = 0x80 | opcode, len(payload)
    if length < 126:
        return struct.pack("!BB", head, length) + payload
    if length < 65_536:
        return struct.pack("!BBH", head, 126, length) + payload
    return struct.pack("!BBQ", head, 127, length) + payload
