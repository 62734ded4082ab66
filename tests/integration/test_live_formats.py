"""Live Opus, WebM, Ogg and G.711 by another library's encoder, through both live doors: the words come out."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import cast

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from integration.clients import Talker, audio_stream, pieces
from integration.observe import Message, session_events
from support.audio import Kind, encode, sine, speech, transcripts
from support.server import SCRIPTED, ServerProcess, start_server

WORDS = transcripts()["go-forward.wav"]
SECONDS = len(speech("go-forward")) / 32_000
OPUS_FRAME = 960


def opus_packets(pcm: bytes) -> list[bytes]:
    """Packets of 20 ms, as FFmpeg's libopus makes them."""
    with av.open(io.BytesIO(encode(pcm, "ogg-opus")), "r") as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def rtp(packets: list[bytes], step: int, first_seq: int = 65_530) -> Iterator[bytes]:
    for number, payload in enumerate(packets):
        yield struct.pack("!BBHII", 0x80, 111, first_seq + number & 0xFFFF, number * step & 0xFFFFFFFF, 7) + payload


def g711(law: str, pcm: bytes, sample_rate: int) -> bytes:
    """As FFmpeg makes it."""
    with av.open(io.BytesIO(), "w", format=law) as out:
        stream = cast(AudioStream, out.add_stream(f"pcm_{law}", rate=sample_rate, layout="mono"))
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[None, :].astype(np.int16), "s16", "mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler("s16", "mono", sample_rate)
        frames = [*resampler.resample(frame), *resampler.resample(None)]
        return b"".join(bytes(packet) for part in [*frames, None] for packet in stream.encode(part))


async def stream_words(
    server: ServerProcess, codec: str, messages: list[bytes], *, rate: int | None = None, framing: str = "plain"
) -> tuple[str, Message]:
    async with audio_stream(server.url) as stream:
        wanted = {"codec": codec} if rate is None else {"codec": codec, "sampleRate": rate}
        joined = await stream.join(format=wanted, framing=framing)
        assert joined["format"]["codec"] == codec
        for message in messages:
            await stream.websocket.send_bytes(message)
        left = await stream.leave()
        await stream.wait_closed()
    assert not stream.all("error")
    log = await session_events(server.url, joined["sessionId"])
    assert [event.data["text"] for event in log if event.name == "final"] == [final["text"] for final in stream.finals]
    return stream.text, left


async def test_opus_by_the_packet(hearing: ServerProcess) -> None:
    text, left = await stream_words(hearing, "opus", opus_packets(speech("go-forward")))
    assert text == WORDS
    assert left["duration"] == pytest.approx(SECONDS, abs=0.05)


async def test_opus_in_rtp_with_some_of_it_lost(hearing: ServerProcess) -> None:
    packets = list(rtp(opus_packets(speech("go-forward")), OPUS_FRAME))
    lost = set(range(10, len(packets), 12))
    kept = [packet for number, packet in enumerate(packets) if number not in lost]
    text, left = await stream_words(hearing, "opus", kept, framing="rtp")
    assert text == WORDS
    assert left["dropped"] == len(lost)
    assert left["duration"] == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize(("codec", "kind"), [("webm", "webm"), ("ogg", "ogg-opus")])
@pytest.mark.parametrize("size", [37, 2_000, 1_000_000])
async def test_a_container_in_pieces(hearing: ServerProcess, codec: str, kind: Kind, size: int) -> None:
    file = encode(speech("go-forward"), kind)
    text, left = await stream_words(hearing, codec, list(pieces(file, size)))
    assert text == WORDS
    assert left["duration"] == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
@pytest.mark.parametrize("framing", ["plain", "rtp"])
async def test_g711(hearing: ServerProcess, law: str, framing: str) -> None:
    parts = list(pieces(g711(law, speech("go-forward"), 16_000), 320))
    messages = list(rtp(parts, 320)) if framing == "rtp" else parts
    text, left = await stream_words(hearing, law, messages, rate=16_000, framing=framing)
    assert text == WORDS
    assert left["duration"] == pytest.approx(SECONDS, abs=0.05)


async def test_g711_of_a_telephone_has_the_rate_of_one_unless_said(hearing: ServerProcess) -> None:
    text, left = await stream_words(hearing, "mulaw", list(pieces(g711("mulaw", speech("go-forward"), 8_000), 160)))
    assert text.startswith("go forward")  # the rest needs what a telephone leaves out
    assert left["duration"] == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize("codec", ["opus", "webm", "ogg"])
async def test_socketio_takes_them_too(hearing: ServerProcess, codec: str) -> None:
    kinds: dict[str, Kind] = {"webm": "webm", "ogg": "ogg-opus"}
    pcm = speech("go-forward")
    messages = opus_packets(pcm) if codec == "opus" else list(pieces(encode(pcm, kinds[codec]), 1_000))
    async with Talker(hearing.url) as talker:
        await talker.start(encoding=codec)
        for seq, message in enumerate(messages):
            await talker.emit("audio_chunk", {"chunk": message, "seq": seq})
        stopped = await talker.stop()
    assert talker.text == WORDS
    assert talker.acked == len(messages) - 1
    assert stopped["duration"] == pytest.approx(SECONDS, abs=0.05)


async def test_a_stream_joined_in_the_middle_is_heard_from_there(hearing: ServerProcess) -> None:
    # MediaRecorder's clusters are this short where it hands over its data in small time slices
    file = encode(speech("two-utterances"), "webm", options={"cluster_time_limit": "200"})
    middle = file.index(b"\x1f\x43\xb6\x75", len(file) // 2)
    text, _ = await stream_words(hearing, "webm", list(pieces(file[middle:], 500)))
    assert text
    assert transcripts()["two-utterances.wav"].endswith(text.split()[-1])


@pytest.mark.parametrize(
    ("codec", "junk", "code", "says"),
    [
        ("opus", b"", "bad_audio", "at least one byte"),
        ("opus", b"\x7b\x00", "bad_audio", "byte 1"),
        ("webm", b"RIFF" + bytes(4_000), "bad_audio", "WebM"),
        ("ogg", b"\x1a\x45\xdf\xa3" + bytes(4_000), "bad_audio", "Ogg"),
    ],
)
async def test_bytes_that_are_something_else_are_refused_and_the_next_stream_works(
    hearing: ServerProcess, codec: str, junk: bytes, code: str, says: str
) -> None:
    async with audio_stream(hearing.url) as stream:
        await stream.join(format={"codec": codec})
        await stream.websocket.send_bytes(junk)
        error = await stream.wait("error")
        assert error["code"] == code
        assert says in error["message"]
        assert not error["retryable"]
    text, _ = await stream_words(hearing, "opus", opus_packets(speech("go-forward")))
    assert text == WORDS


async def test_a_container_of_another_codec_is_refused_by_its_name(hearing: ServerProcess) -> None:
    async with audio_stream(hearing.url) as stream:
        await stream.join(format={"codec": "ogg"})
        await stream.websocket.send_bytes(encode(speech("go-forward"), "ogg-vorbis"))
        error = await stream.wait("error")
    assert error["code"] in ("unsupported_format", "bad_audio")
    assert "vorbis" in error["message"].lower()


async def test_a_container_cannot_come_in_rtp(hearing: ServerProcess) -> None:
    async with audio_stream(hearing.url) as stream:
        await stream.send({"type": "join", "framing": "rtp", "format": {"codec": "webm"}})
        error = await stream.wait("error")
        assert (error["code"], error["field"]) == ("unsupported_format", "framing")
        await stream.join(framing="plain", format={"codec": "webm"})


async def test_minutes_of_audio_in_one_message_hold_up_nobody() -> None:
    """So few bytes may hold so much audio that a message may hold more than may come at once."""
    minutes = encode(sine(200, 75, dbfs=-60), "ogg-opus")
    with start_server(*SCRIPTED) as server:
        await _greedy(server, minutes)


async def _greedy(server: ServerProcess, minutes: bytes) -> None:
    async with audio_stream(server.url) as greedy, audio_stream(server.url) as other:
        await greedy.join(format={"codec": "ogg"})
        await other.join()
        await greedy.websocket.send_bytes(minutes)
        await greedy.websocket.send_bytes(b"more")
        refusal = await greedy.wait("error")
        assert refusal["code"] == "rate_limited"
        assert refusal["retryAfter"] > 2
        await other.audio(bytes(32_000 * 3))
        assert (await other.leave())["duration"] == pytest.approx(3.0)
        left = await greedy.leave()
    assert left["duration"] == pytest.approx(75, abs=0.1)
