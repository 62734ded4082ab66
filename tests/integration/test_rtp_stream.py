"""Real speech as RTP over a network that reorders, duplicates, delays and loses."""

from __future__ import annotations

import random

import pytest

from integration.clients import FRAME, Stream, audio_stream, rtp, rtp_packets
from support.audio import speech, transcripts
from support.server import ServerProcess

AUDIO = speech("go-forward")
WORDS = transcripts()["go-forward.wav"]
SECONDS = len(AUDIO) / 32_000


async def send(stream: Stream, packets: list[bytes]) -> None:
    for packet in packets:
        await stream.websocket.send_bytes(packet)


async def test_reordered_and_duplicated_packets_are_heard_in_order(hearing: ServerProcess) -> None:
    order = random.Random(17)
    packets = rtp_packets(AUDIO, first_seq=65_500, first_timestamp=2**32 - 10_000)
    # each is late by up to ten packets, and one in five comes twice; the first says where the numbers begin
    late = sorted(
        [(n + order.uniform(0, 10) if n else 0.0, packet) for n, packet in enumerate(packets)]
        + [(n + order.uniform(0, 10), packet) for n, packet in enumerate(packets) if n and order.random() < 0.2]
    )
    async with audio_stream(hearing.url) as stream:
        joined = await stream.join(framing="rtp")
        await send(stream, [packet for _, packet in late])
        left = await stream.leave()
    assert joined["nextSeq"] == 0
    assert stream.text == WORDS
    assert left["dropped"] == 0
    assert left["duration"] == pytest.approx(SECONDS, abs=0.002)
    assert stream.all("ack")[-1]["seq"] == 65_500 + len(packets) - 1


async def test_lost_packets_are_counted_and_time_goes_on_without_them(hearing: ServerProcess) -> None:
    packets = rtp_packets(AUDIO)
    # three of the silence before the words, and one in the last of it
    lost = {2, 3, 9, len(packets) - 5}
    async with audio_stream(hearing.url) as stream:
        await stream.join(framing="rtp")
        await send(stream, [packet for n, packet in enumerate(packets) if n not in lost])
        left = await stream.leave()
    assert stream.text == WORDS
    assert left["dropped"] == len(lost)
    assert left["duration"] == pytest.approx(SECONDS, abs=0.002)
    assert not stream.all("error")


async def test_packets_that_come_after_they_were_given_up_change_nothing(scripted: ServerProcess) -> None:
    packets = rtp_packets(bytes(96_000))
    async with audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        await send(stream, [*packets[:10], *packets[11:80], packets[10], *packets[80:]])
        left = await stream.leave()
    assert left["dropped"] == 1
    assert left["duration"] == 3.0


async def test_a_pause_in_the_timestamps_is_time_that_nobody_spoke(hearing: ServerProcess) -> None:
    pause = 10 * 16_000
    first = rtp_packets(AUDIO)
    second = rtp_packets(AUDIO, first_seq=len(first), first_timestamp=len(AUDIO) // 2 + pause)
    async with audio_stream(hearing.url) as stream:
        await stream.join(framing="rtp")
        await send(stream, first + second)
        left = await stream.leave()
    assert [final["text"] for final in stream.finals] == [WORDS, WORDS]
    early, late = stream.finals
    assert late["start"] - early["start"] == pytest.approx(SECONDS + 10, abs=0.15)
    assert late["words"][0]["start"] > SECONDS + 10
    assert left["duration"] == pytest.approx(2 * SECONDS + 10, abs=0.002)
    assert left["dropped"] == 0


@pytest.mark.parametrize("jump", [-1, -8_000, 61 * 16_000, 2**31, 2**32 - 100])
async def test_a_clock_that_jumps_is_a_new_clock_and_no_gap(scripted: ServerProcess, jump: int) -> None:
    before, after = bytes(48_000), bytes(48_000)
    first = rtp_packets(before, first_timestamp=1_000_000)
    second = rtp_packets(after, first_seq=len(first), first_timestamp=1_000_000 + len(before) // 2 + jump)
    async with audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        await send(stream, first + second)
        left = await stream.leave()
    assert left["duration"] == 3.0
    assert left["dropped"] == 0
    assert stream.text == "one two three"


async def test_small_gaps_are_filled_and_large_ones_are_not(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        timestamp = 0
        for seq, gap in enumerate((0, 8_000, 16_000, 160)):
            timestamp += gap
            await stream.websocket.send_bytes(rtp(seq, timestamp, bytes(FRAME)))
            timestamp += FRAME // 2
        left = await stream.leave()
    assert left["duration"] == pytest.approx((4 * FRAME // 2 + 8_000 + 16_000 + 160) / 16_000)
    assert not stream.all("error")


async def test_a_jump_of_the_numbers_gives_up_what_lies_between(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        await send(stream, rtp_packets(bytes(48_000)))
        await send(stream, rtp_packets(bytes(48_000), first_seq=10_000, first_timestamp=24_000))
        left = await stream.leave()
    assert left["dropped"] == 10_000 - 75
    assert left["duration"] == 3.0


async def test_headers_with_everything_in_them_are_understood(scripted: ServerProcess) -> None:
    audio = bytes(FRAME)
    whole = [
        rtp(0, 0, audio),
        # two contributing sources, an extension of one word, four bytes of padding
        rtp(1, 320, bytes(8) + b"\xbe\xde\0\x01abcd" + audio + b"\0\0\0\x04", first=0xB2),
        rtp(2, 640, audio, first=0x80),
        # nothing but a header
        rtp(3, 960, b""),
        rtp(4, 960, audio),
    ]
    async with audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        await send(stream, whole)
        left = await stream.leave()
    assert left["duration"] == 0.08
    assert left["dropped"] == 0
    assert not stream.all("error")
