"""Audio out at ``/ws-audio``: complete, in order, once, the same for everybody."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from integration.clients import audio_stream, pieces
from integration.listeners import DECODED_RATE, Hearer, decode, hearer, pcm_of, tones, tones_in
from integration.observe import eventually, metrics
from integration.webrtc import heard_in
from support.audio import encode, speech, transcripts, wav
from support.server import ServerProcess, start_server
from support.words import until_understood

TONES = 20
"""Two seconds."""
PACKETS = 101
"""Of 20 ms: two seconds and the encoder's look-ahead."""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "tones.wav").write_bytes(wav(tones(TONES)))
    (folder / "more.wav").write_bytes(wav(tones(TONES)))
    (folder / "stereo.mp3").write_bytes(encode(tones(TONES, 44_100), "mp3", sample_rate=44_100))
    (folder / "long.flac").write_bytes(encode(tones(40), "flac"))
    (folder / "words ü").mkdir()
    (folder / "words ü" / "go forward.wav").write_bytes(wav(speech("go-forward")))
    return folder


@pytest.fixture(scope="module")
def server(media: Path) -> Iterator[ServerProcess]:
    with start_server("--media-folder", str(media), "--max-rate", "100", "--max-programmes", "100") as started:
        yield started


async def counted(server: ServerProcess, name: str) -> float:
    return (await metrics(server.url))[f"antiphon_{name}"]


@pytest.mark.parametrize("frame_ms", [10, 20, 40, 60])
async def test_a_file_comes_out_in_order_once_and_complete(server: ServerProcess, frame_ms: int) -> None:
    async with hearer(server.url, "file:tones.wav", frameMs=frame_ms, events="true") as client:
        await client.all_heard()
    started, ended = client.texts
    samples = decode(client.packets, started["preSkip"])
    assert samples.size >= 2.0 * DECODED_RATE
    assert tones_in(samples[: 2 * DECODED_RATE]) == list(range(TONES))
    assert ended["reason"] == "complete"
    assert client.close_code == 1000


@pytest.mark.parametrize("sample_rate", [8_000, 12_000, 16_000, 24_000, 48_000])
async def test_each_rate_can_be_had(server: ServerProcess, sample_rate: int) -> None:
    async with hearer(server.url, "file:tones.wav", sampleRate=sample_rate, events="true") as client:
        await client.all_heard()
    assert client.texts[0]["sampleRate"] == sample_rate
    assert tones_in(decode(client.packets, client.texts[0]["preSkip"])[: 2 * DECODED_RATE]) == list(range(TONES))


@pytest.mark.parametrize("preset", ["voice_high_quality", "voice_low_latency", "voice_low_bandwidth"])
async def test_each_preset_can_be_had(server: ServerProcess, preset: str) -> None:
    async with hearer(server.url, "file:tones.wav", preset=preset, events="true") as client:
        await client.all_heard()
    assert tones_in(decode(client.packets, client.texts[0]["preSkip"])[: 2 * DECODED_RATE]) == list(range(TONES))


async def test_other_containers_and_channels_come_out_too(server: ServerProcess) -> None:
    async with hearer(server.url, "file:stereo.mp3", events="true") as client:
        await client.all_heard()
    samples = decode(client.packets, client.texts[0]["preSkip"])
    # MP3 brings a delay of its own
    start = int(np.argmax(np.abs(samples) > 0.1))
    assert tones_in(samples[start:])[: TONES - 1] == list(range(TONES - 1))


async def test_a_client_that_knows_only_packets_gets_nothing_else(server: ServerProcess) -> None:
    async with hearer(server.url, "file:tones.wav") as client:
        await client.all_heard()
    assert client.texts == []
    assert len(client.packets) == PACKETS
    assert client.close_code == 1000


async def test_what_happens_is_told_to_those_who_ask(server: ServerProcess) -> None:
    async with hearer(server.url, "file:tones.wav", events="true") as client:
        await client.wait("started")
        await client.send(type="ping", t="now")
        pong = await client.wait("pong")
        await client.all_heard()
    assert client.order[0] == {
        "type": "started",
        "source": "file:tones.wav",
        "codec": "opus",
        "sampleRate": 24_000,
        "frameMs": 20,
        "channels": 1,
        "bitrate": 32_000,
        "preSkip": 312,
        "live": False,
        "duration": 2.0,
        "position": 0.0,
    }
    assert pong["t"] == "now"
    assert pong["serverTime"] > 1.7e9
    assert client.order[-1] == {"type": "ended", "reason": "complete", "position": PACKETS * 0.02}


async def test_two_listeners_get_the_same_packets_which_were_encoded_once(server: ServerProcess) -> None:
    before = await counted(server, "programme_packets_encoded_total")
    begun = await counted(server, "programmes_started_total")
    async with hearer(server.url, "file:more.wav") as first, hearer(server.url, "file:more.wav") as second:
        await first.heard(10)
        async with hearer(server.url, "file:more.wav") as third:
            for client in (first, second, third):
                await client.all_heard()
    assert first.packets == second.packets == third.packets
    assert len(first.packets) == PACKETS
    assert await counted(server, "programme_packets_encoded_total") - before == PACKETS
    assert await counted(server, "programmes_started_total") - begun == 1


async def test_who_comes_back_with_a_position_misses_nothing(server: ServerProcess) -> None:
    async with hearer(server.url, "file:tones.wav", events="true") as client:
        await client.heard(20)
        await client.cut()
    heard = client.packets
    async with hearer(server.url, "file:tones.wav", events="true", position=len(heard) * 0.02) as again:
        await again.all_heard()
    assert again.texts[0]["position"] == pytest.approx(len(heard) * 0.02)
    async with hearer(server.url, "file:tones.wav") as whole:
        await whole.all_heard()
    assert heard + again.packets == whole.packets


async def test_who_comes_back_after_the_end_is_told_that_it_is_over(server: ServerProcess) -> None:
    async def come() -> Hearer:
        async with hearer(server.url, "file:tones.wav", events="true", position=3600) as client:
            return await client.all_heard()

    # many, since a close that is not waited for gets through most of the time
    for client in await asyncio.gather(*(come() for _ in range(30))):
        assert client.packets == []
        assert client.types == ["started", "ended"]
        assert client.close_code == 1000


async def test_a_change_of_bitrate_leaves_no_gap(server: ServerProcess) -> None:
    async with hearer(server.url, "file:long.flac", bitrate=128_000, events="true") as client:
        await client.heard(30)
        await client.send(type="bitrate-change", bitrate=11_000)
        changed = await client.wait("bitrate-change")
        await client.all_heard()
    assert changed["bitrate"] == 12_000
    assert len(client.packets) == 201
    sizes = [len(packet) for packet in client.packets]
    assert sum(sizes[-40:]) < sum(sizes[:20])
    assert tones_in(decode(client.packets, client.texts[0]["preSkip"])[: 4 * DECODED_RATE]) == list(range(40))
    assert client.close_code == 1000


async def test_a_live_room_changes_its_bitrate_too(server: ServerProcess) -> None:
    async with hearer(server.url, f"room:{uuid.uuid4().hex}", events="true") as client:
        await client.heard(5)
        await client.send(type="bitrate-change", bitrate=8_000)
        assert (await client.wait("bitrate-change"))["bitrate"] == 8_000
        await client.heard(len(client.packets) + 20)
        await client.send(type="bitrate-change", bitrate=64_000)
        assert (await client.wait("bitrate-change", 2))["bitrate"] == 64_000
        await client.heard(len(client.packets) + 20)
        await client.send(type="bitrate-change", bitrate=500)
        assert (await client.wait("error"))["field"] == "bitrate"
        await client.heard(len(client.packets) + 5)


@pytest.mark.parametrize("frame_ms", [10, 20, 60])
@pytest.mark.parametrize("mode", ["mix", "relay"])
async def test_a_room_is_heard(server: ServerProcess, mode: str, frame_ms: int) -> None:
    room = uuid.uuid4().hex
    words = transcripts()["go-forward.wav"]
    async with audio_stream(server.url) as speaker:
        await speaker.join(roomId=room, mode=mode, userId="Ada")
        async with hearer(server.url, f"room:{room}", sampleRate=16_000, frameMs=frame_ms, events="true") as client:
            started = await client.wait("started")
            assert (started["live"], started["duration"]) == (True, None)
            await speaker.wait("peer-joined", where=lambda told: told["role"] == "listener")

            async def speak() -> None:
                before = len(client.packets)
                await client.heard(before + 1)
                # speech comes as a microphone would bring it: with the packets of the room as the clock
                for number, piece in enumerate(pieces(bytes(8_000) + speech("go-forward") + bytes(16_000), 640)):
                    await client.heard(before + number * 20 // frame_ms)
                    await speaker.websocket.send_bytes(piece)
                await client.heard(len(client.packets) + 600 // frame_ms)

            await until_understood(speak, lambda: heard_in(server.url, pcm_of(client), words))
        await speaker.wait("peer-left")


async def test_listeners_of_a_room_share_one_participant(server: ServerProcess) -> None:
    room = uuid.uuid4().hex
    async with hearer(server.url, f"room:{room}") as first, hearer(server.url, f"room:{room}") as second:
        await first.heard(3)
        await second.heard(3)
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/v1/rooms") as response:
            rooms = {found["roomId"]: found["participants"] for found in (await response.json())["rooms"]}
        assert len(rooms[room]) == 1

    async def forgotten() -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/v1/rooms") as response:
            return room not in {found["roomId"] for found in (await response.json())["rooms"]}

    await eventually(forgotten)


async def test_words_of_a_file_in_a_folder_are_understood(server: ServerProcess) -> None:
    async with hearer(server.url, "file:words ü/go forward.wav", sampleRate=16_000, events="true") as client:
        await client.all_heard()
    await heard_in(server.url, pcm_of(client), transcripts()["go-forward.wav"])


async def test_200_listeners_at_once_hear_everything(server: ServerProcess) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        query = {"source": "file:tones.wav", "bitrate": "16000"}
        sockets = await asyncio.gather(
            *(session.ws_connect(f"{server.url}/ws-audio", params=query) for _ in range(200))
        )
        clients = [Hearer(websocket) for websocket in sockets]
        await asyncio.gather(*(client.all_heard() for client in clients))
    assert {len(client.packets) for client in clients} == {PACKETS}
    assert len({tuple(client.packets) for client in clients}) == 1
    assert {client.close_code for client in clients} == {1000}


async def test_files_are_listed(server: ServerProcess, media: Path) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/v1/media") as response:
        assert response.status == 200
        files = (await response.json())["files"]
    names = ["long.flac", "more.wav", "stereo.mp3", "tones.wav", "words ü/go forward.wav"]
    assert files == [{"name": name, "bytes": (media / name).stat().st_size} for name in names]
