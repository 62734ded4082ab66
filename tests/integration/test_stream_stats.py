"""What client and server tell each other of the way between them, on ``/audio-stream``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from integration.clients import Stream, audio_stream, rtp, rtp_packets
from integration.observe import metrics
from integration.test_live_formats import OPUS_FRAME, opus_packets
from support.audio import speech
from support.server import ServerProcess

OPUS = {"codec": "opus", "sampleRate": 48_000}


def lossy(every: int) -> Iterator[bytes]:
    """Opus in RTP without an end, of which each so-manieth packet is lost; none for 0."""
    packets = opus_packets(speech("go-forward"))
    number = 0
    while True:
        for packet in packets:
            if not every or number % every:
                yield rtp(number, number * OPUS_FRAME, packet)
            number += 1


@contextlib.asynccontextmanager
async def sending(stream: Stream, packets: Iterator[bytes]) -> AsyncIterator[None]:
    """Packets go at the pace of speech meanwhile."""

    async def send() -> None:
        for packet in packets:
            await stream.websocket.send_bytes(packet)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_statistics_are_answered_with_what_the_server_counted_and_shown_in_the_metrics(
    scripted: ServerProcess,
) -> None:
    packets = rtp_packets(bytes(32_000))
    async with audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        for packet in [*packets[:10], *packets[11:49], packets[48], packets[49]]:
            await stream.websocket.send_bytes(packet)
        await stream.send({"type": "stats", "roundTrip": 80, "loss": 0.25, "anything": {"else": [1]}})
        told = await stream.wait("stats")
        numbers = {name: told[name] for name in ("received", "lost", "duplicates", "reordered", "dropped")}
        # the one that is missing may still come
        assert numbers["received"] in (10, 49)
        assert numbers["duplicates"] == 1
        assert numbers["dropped"] == 0
        shown = await metrics(scripted.url)
        assert shown["antiphon_client_reports_total"] >= 1
        assert shown["antiphon_client_round_trip_seconds"] > 0
        assert shown["antiphon_client_loss_ratio"] > 0
        await stream.leave()
    assert not stream.all("bitrate-change")  # PCM has none


async def test_who_loses_packets_is_asked_to_send_with_less(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream:
        await stream.join(format=OPUS, framing="rtp")
        async with sending(stream, lossy(8)):
            told = await stream.wait("bitrate-change")
        assert told["bitrate"] == 32_000


async def test_who_has_a_long_way_is_asked_to_send_with_less_although_nothing_is_lost(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream:
        await stream.join(format=OPUS, framing="rtp")
        await stream.send({"type": "stats", "roundTrip": 900})
        async with sending(stream, lossy(0)):
            told = await stream.wait("bitrate-change")
        assert told["bitrate"] == 32_000


async def test_a_flood_of_statistics_is_not_answered_one_by_one(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream:
        await stream.join()
        for number in range(200):
            await stream.send({"type": "stats", "roundTrip": number})
        await stream.send({"type": "ping", "t": 1})
        await stream.wait("pong")
        assert 1 <= len(stream.all("stats")) < 20
        assert not stream.all("error")
