"""What a listener of shared streams gets, whatever it misses: always something that can be played."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError
from antiphon.formats import Encoding
from antiphon.media import WebmDemuxer
from antiphon.media.container import OpusPacket
from antiphon.sessions.captions import CaptionSink
from antiphon.sessions.sharing import MAX_WAITING, Ear, Piece, SharedStream
from support.audio import encode, speech
from unit.sessions.house import House


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


FILE = encode(speech("two-utterances"), "webm", options={"live": "1"})
PARTS = pieces(FILE, 3_000)


def packets(data: bytes) -> list[bytes]:
    demuxer = WebmDemuxer()
    return [event.data for event in (*demuxer.push(data), *demuxer.finish()) if isinstance(event, OpusPacket)]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.close()


def share(house: House) -> tuple[SharedStream, list[AntiphonError]]:
    refused: list[AntiphonError] = []
    sink = CaptionSink(lambda *_: None, refused.append)
    return SharedStream(house.sessions, "s1", "r1", Encoding.WEBM, "en-US", lambda _: sink), refused


async def test_what_is_heard_at_once_is_what_was_sent(house: House) -> None:
    stream, _ = share(house)
    ear = Ear(lambda: None)
    for part in PARTS:
        ear.offer(stream.take(part))
        heard = ear.next()
        assert heard is not None
        assert heard.data == part
        assert heard.whole
    assert not ear
    ear.offer(stream.end())
    end = ear.next()
    assert end is not None
    assert end.data is None
    await stream.finish("left")


async def test_a_slow_ear_keeps_the_latest_and_counts_the_rest(house: House) -> None:
    stream, _ = share(house)
    dropped: list[int] = []
    ear = Ear(lambda: dropped.append(1))
    ear.offer(stream.take(PARTS[0]))
    assert ear.next() is not None
    small = pieces(FILE[3_000:], 300)
    assert len(small) > MAX_WAITING + 5
    for part in small:
        ear.offer(stream.take(part))
    first = ear.next()
    assert first is not None
    assert first.about.begins
    assert first.about.dropped == len(dropped) >= len(small) - MAX_WAITING
    rest = [first, *iter(ear.next, None)]
    got = packets(b"".join(one.data or b"" for one in rest))
    assert got == packets(FILE)[-len(got) :]
    assert ear.bytes == 0
    await stream.finish("left")


async def test_a_missing_piece_lets_listeners_begin_anew(house: House) -> None:
    stream, _ = share(house)
    ear = Ear(lambda: None)
    out: list[tuple[bool, bytes]] = []
    for number, part in enumerate(PARTS):
        if number == 3:
            stream.miss()
            continue
        ear.offer(stream.take(part))
        if (heard := ear.next()) is not None and heard.data is not None:
            out.append((heard.about.begins, heard.data))
    begins = [number for number, (begin, _) in enumerate(out) if begin]
    assert len(begins) == 2
    got = packets(b"".join(data for _, data in out[begins[1] :]))
    assert got == packets(FILE)[-len(got) :]
    await stream.finish("left")


async def test_a_stream_that_cannot_be_written_down_is_passed_on_and_tried_again() -> None:
    house = House(max_streams=0)
    stream, refused = share(house)
    told: list[Piece] = [stream.take(part) for part in PARTS[:3]]
    await stream.finish("left")
    assert [piece.data for piece in told] == PARTS[:3]
    assert [error.code.value for error in refused] == ["session_limit"]
    await house.close()


@given(st.lists(st.sampled_from(["offer", "offer", "offer", "next", "miss"]), max_size=150), st.integers(200, 4_000))
async def test_whatever_is_missed_what_is_heard_can_be_played(steps: list[str], size: int) -> None:
    house = House()
    stream, _ = share(house)
    ear = Ear(lambda: None)
    parts = iter(pieces(FILE, size))
    whole = packets(FILE)
    runs: list[bytearray] = []
    for step in steps:
        if step == "next":
            heard = ear.next()
            if heard is not None and heard.data is not None:
                if heard.about.begins:
                    runs.append(bytearray())
                runs[-1] += heard.data
        elif (part := next(parts, None)) is not None:
            if step == "miss":
                stream.miss()
            else:
                ear.offer(stream.take(part))
    for run in runs:
        got = packets(bytes(run))
        # each is a part of what was sent, in order and complete
        assert not got or any(whole[at : at + len(got)] == got for at in range(len(whole)))
    await stream.finish("left")
    await house.close()
