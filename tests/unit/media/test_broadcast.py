"""The face of paced broadcasting: its listeners are told, its errors are ours, and packets come out of real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import EngineUnavailable, NotFound
from antiphon.media.broadcast import (
    MAX_PACKET,
    MAX_QUEUED,
    Broadcaster,
    ReaderListener,
    TapeListener,
    close_frame,
    pong_frame,
    text_frame,
)

FRAME_MS = 2.5
PATIENCE = 60


class Producer(TapeListener):
    """Counts how often more was wanted."""

    def __init__(self) -> None:
        self.wanted = 0
        self.news = asyncio.Event()

    def on_low(self) -> None:
        self.wanted += 1
        self.news.set()

    async def asked(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.news.wait()
        self.news.clear()


@dataclass
class Told(ReaderListener):
    """Remembers what it was told."""

    events: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.news.set()

    def on_ended(self) -> None:
        self._note("ended")

    def on_gone(self, reason: str) -> None:
        self._note(f"gone: {reason}")

    def on_released(self) -> None:
        self._note("released")

    def on_dropped(self, packets: int) -> None:
        self._note("dropped")

    async def until(self, event: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while event not in self.events:
                self.news.clear()
                await self.news.wait()


class Connection:
    """Both ends of a TCP connection; frames are read from the far one."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as door:
            self.far = socket.create_connection(door.getsockname())
            self.near, _ = door.accept()
        self.far.setblocking(False)
        self._bytes = b""

    async def read(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            while len(self._bytes) < count:
                piece = await loop.sock_recv(self.far, 65_536)
                if not piece:
                    raise EOFError
                self._bytes += piece
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    async def frame(self) -> bytes:
        """The payload of the next frame, of at most 125 bytes."""
        _, length = await self.read(2)
        return await self.read(length)

    def close(self) -> None:
        self.far.close()
        self.near.close()


@pytest.fixture
def faults() -> list[Exception]:
    return []


@pytest.fixture
async def station(faults: list[Exception]) -> AsyncIterator[Broadcaster]:
    broadcaster = Broadcaster(faults.append)
    broadcaster.start()
    yield broadcaster
    broadcaster.close()
    broadcaster.close()


@pytest.fixture
async def link() -> AsyncIterator[Connection]:
    connection = Connection()
    yield connection
    connection.close()


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def finished(station: Broadcaster, packets: list[bytes]) -> int:
    tape = station.open_tape(TapeListener(), frame_ms=FRAME_MS)
    station.append(tape, packets)
    station.finish(tape)
    return tape


async def test_packets_come_in_order_then_the_end_and_then_the_socket_is_free(
    station: Broadcaster, link: Connection
) -> None:
    told = Told()
    tape = finished(station, numbered(20))
    reader = station.attach(tape, link.near.fileno(), told, position=5)
    assert [await link.frame() for _ in range(15)] == numbered(20)[5:]
    await told.until("ended")
    assert station.send(reader, text_frame("goodbye"))
    station.detach(reader)
    await told.until("released")
    assert told.events == ["ended", "released"]
    assert station.readers == 0
    link.near.sendall(text_frame("by hand"))
    assert [await link.frame(), await link.frame()] == [b"goodbye", b"by hand"]
    with pytest.raises(NotFound):
        station.reader_stats(reader)
    assert not station.send(reader, text_frame("too late"))


async def test_a_producer_is_asked_before_readers_run_dry(station: Broadcaster, link: Connection) -> None:
    producer, told = Producer(), Told()
    tape = station.open_tape(producer, frame_ms=FRAME_MS, low_ahead=10)
    reader = station.attach(tape, link.near.fileno(), told)
    for batch in range(5):
        await producer.asked()
        stats = station.tape_stats(tape)
        assert stats["packets"] - stats["furthest"] < 10
        station.append(tape, numbered(50)[batch * 10 : batch * 10 + 10])
    station.finish(tape)
    assert [await link.frame() for _ in range(50)] == numbered(50)
    await told.until("ended")
    stats = station.reader_stats(reader)
    assert (stats["sent"], stats["position"], stats["dropped"]) == (50, 50, 0)
    assert stats["bytes"] == sum(2 + len(packet) for packet in numbered(50))


async def test_live_packets_go_to_all_who_are_there(station: Broadcaster) -> None:
    tape = station.open_tape(TapeListener(), frame_ms=20, live=True)
    station.append(tape, [b"before"])
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(contextlib.closing(Connection())) for _ in range(10)]
        for link in links:
            station.attach(tape, link.near.fileno(), Told())
        station.append(tape, [b"one", b"two"])
        for link in links:
            assert [await link.frame(), await link.frame()] == [b"one", b"two"]
    statistics = station.statistics()
    assert statistics["packets"] == 20
    assert statistics["late_packets"] == 20


async def test_what_is_said_next_comes_after_what_was_said(station: Broadcaster, link: Connection) -> None:
    told = Told()
    idle = station.open_tape(TapeListener(), frame_ms=FRAME_MS)
    reader = station.attach(idle, link.near.fileno(), told)
    for words in (b"first", b"second"):
        tape = finished(station, [words] * 4)
        station.seek(reader, 0, tape=tape)
        await told.until("ended")
        told.events.clear()
        station.close_tape(tape)
        station.send(reader, text_frame("said"))
    frames = [await link.frame() for _ in range(10)]
    assert frames == [b"first"] * 4 + [b"said"] + [b"second"] * 4 + [b"said"]
    assert station.reader_stats(reader)["underruns"] == 0


async def test_bitrates_change_without_a_gap(station: Broadcaster, link: Connection) -> None:
    told, producer = Told(), Producer()
    high = finished(station, numbered(800))
    reader = station.attach(high, link.near.fileno(), told)
    low = station.open_tape(producer, frame_ms=FRAME_MS, first=20)
    station.switch(reader, low)
    await producer.asked()
    station.append(low, [packet + b"!" for packet in numbered(800)[20:]])
    station.finish(low)
    frames = [await link.frame() for _ in range(800)]
    assert [frame.rstrip(b"!") for frame in frames] == numbered(800)
    assert frames[-1].endswith(b"!")


async def test_a_pause_is_silent_and_frames_still_go(station: Broadcaster, link: Connection) -> None:
    reader = station.attach(finished(station, numbered(30)), link.near.fileno(), Told())
    station.pause(reader)
    station.send(reader, text_frame("paused"))
    before = []
    while (frame := await link.frame()) != b"paused":
        before.append(frame)
    station.resume(reader)
    after = [await link.frame() for _ in range(30 - len(before))]
    assert before + after == numbered(30)


async def test_a_listener_that_is_gone_is_told_and_others_go_on(station: Broadcaster, link: Connection) -> None:
    tape = finished(station, numbered(100))
    other, told, lost = Connection(), Told(), Told()
    station.attach(tape, link.near.fileno(), told)
    station.attach(tape, other.near.fileno(), lost)
    other.close()
    await lost.until("gone: closed")
    await told.until("ended")
    assert station.statistics()["errors"] == 1
    assert station.readers == 1


async def test_a_fault_in_one_listener_is_not_anothers(
    station: Broadcaster, link: Connection, faults: list[Exception]
) -> None:
    class Faulty(ReaderListener):
        def on_ended(self) -> None:
            raise RuntimeError("a bug")

    tape, other, told = finished(station, [b"packet"]), Connection(), Told()
    station.attach(tape, other.near.fileno(), Faulty())
    station.attach(tape, link.near.fileno(), told)
    await told.until("ended")
    assert [str(fault) for fault in faults] == ["a bug"]
    other.close()


async def test_what_can_not_be_is_refused_with_our_errors(station: Broadcaster, link: Connection) -> None:
    tape = finished(station, [b"packet"])
    fd = link.near.fileno()
    for wrong in (0.0, 1.0, 121.0):
        with pytest.raises(ValueError, match="frame_us must be 2500 to 120000"):
            station.open_tape(TapeListener(), frame_ms=wrong)
    with pytest.raises(ValueError, match="finished"):
        station.append(tape, [b"late"])
    for packet in (b"", bytes(MAX_PACKET + 1)):
        with pytest.raises(ValueError, match="1 to 65535 bytes"):
            station.append(station.open_tape(TapeListener(), frame_ms=20), [b"good", packet])
    for missing in (station.finish, station.tape_stats):
        with pytest.raises(NotFound, match="no tape 99"):
            missing(99)
    with pytest.raises(NotFound):
        station.attach(99, fd, Told())
    with pytest.raises(ValueError, match="max_lag_ms"):
        station.attach(tape, fd, Told(), max_lag_ms=1)
    for descriptor in (-1, -(2**31)):
        with pytest.raises(ValueError, match="file descriptor"):
            station.attach(tape, descriptor, Told())
    with pytest.raises(OSError, match="Bad file descriptor"):
        station.attach(tape, 1 << 20, Told())
    read, write = os.pipe()
    for descriptor in (read, write):
        with pytest.raises((OSError, ValueError)):
            station.attach(tape, descriptor, Told())
        os.close(descriptor)
    assert station.readers == 0
    station.close_tape(99)
    for act in (station.pause, station.resume, station.detach):
        act(99)
    assert not station.send(99, text_frame("hello"))
    reader = station.attach(tape, fd, Told())
    assert not station.send(reader, bytes(MAX_QUEUED + 1))
    station.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        station.open_tape(TapeListener(), frame_ms=20)


async def test_a_socket_of_aiohttp_is_written_to_and_given_back(station: Broadcaster) -> None:
    packets = [os.urandom(length) for length in (1, 125, 126, 1_275, 60_000)]
    tape = finished(station, packets)

    async def serve(request: web.Request) -> web.WebSocketResponse:
        door, told = web.WebSocketResponse(compress=False), Told()
        await door.prepare(request)
        assert request.transport is not None
        reader = station.attach(tape, request.transport.get_extra_info("socket").fileno(), told)
        assert await door.receive_str() == "how are you?"
        station.send(reader, text_frame("thanks, well"))
        await told.until("ended")
        station.detach(reader)
        await told.until("released")
        await door.send_str("in its own words")
        await door.close()
        return door

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app) as server, ClientSession() as session, session.ws_connect(server.make_url("/")) as ws:
        await ws.send_str("how are you?")
        messages = [message async for message in ws]
    assert [message.data for message in messages if message.type is WSMsgType.BINARY] == packets
    texts = [message.data for message in messages if message.type is WSMsgType.TEXT]
    assert texts == ["thanks, well", "in its own words"]


def test_frames_have_lengths_as_short_as_they_can() -> None:
    assert text_frame("") == b"\x81\x00"
    assert text_frame("é" * 62) == b"\x81\x7c" + "é".encode() * 62
    assert text_frame("a" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert text_frame("a" * 65_536)[:10] == b"\x81\x7f" + (65_536).to_bytes(8, "big")
    assert pong_frame(b"ping") == b"\x8a\x04ping"
    assert close_frame(1000) == b"\x88\x02\x03\xe8"
    assert close_frame(1008, "no") == b"\x88\x04\x03\xf0no"
    with pytest.raises(ValueError, match="125 bytes"):
        pong_frame(bytes(126))
    for code in (999, 1005, 1006, 1015, 5000):
        with pytest.raises(ValueError, match="close code"):
            close_frame(code)


@given(st.text(max_size=300))
def test_a_reason_is_cut_off_between_letters(reason: str) -> None:
    frame = close_frame(1001, reason)
    assert len(frame) <= 127
    assert frame[1] == len(frame) - 2
    assert reason.startswith(frame[4:].decode())
