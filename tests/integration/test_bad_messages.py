"""Messages that a live door cannot take: each is answered, changes nothing, and hurts nobody else."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from integration.clients import (
    CHUNK,
    RawSocketIO,
    Talker,
    audio_stream,
    bystander,
    pieces,
    raw_socketio,
    rtp,
    rtp_packets,
    transport_of,
)
from integration.observe import Message, session_events
from support.server import ServerProcess

SECOND = bytes(32_000)
GOOD = base64.b64encode(bytes(CHUNK)).decode()


def is_error(error: Message, code: str, says: str, field: str | None = None) -> None:
    assert error["code"] == code, error
    assert says in error["message"], error
    assert error.get("field") == field, error
    assert error["retryable"] is False


# Socket.IO

BAD_CHUNKS: list[tuple[Any, str, str, str | None]] = [
    ({"chunk": base64.b64encode(bytes(3_201)).decode()}, "bad_audio", "3201 bytes are not a whole number", None),
    ({"chunk": bytes(1)}, "bad_audio", "1 bytes are not a whole number of 2-byte samples", None),
    ({"chunk": "not base64!"}, "bad_audio", "chunk is not base64", "chunk"),
    ({"chunk": "go forward ten meters"}, "bad_audio", "chunk is not base64", "chunk"),
    ({"chunk": [1, 2, 3]}, "bad_message", "chunk is an array", "chunk"),
    ({"chunk": {}}, "bad_message", "chunk is an object", "chunk"),
    ({"audio": GOOD}, "bad_message", "chunk is null", "chunk"),
    (None, "bad_message", "chunk is null", "chunk"),
    (17, "bad_message", "chunk is a number", "chunk"),
    ({"chunk": GOOD, "seq": -1}, "bad_message", "seq must be a whole number from 0 on", "seq"),
    ({"chunk": GOOD, "seq": 1.5}, "bad_message", "seq must be", "seq"),
    ({"chunk": GOOD, "seq": 10**30}, "bad_message", "seq must be", "seq"),
    ({"chunk": GOOD, "seq": "1"}, "bad_message", "seq must be", "seq"),
]


async def test_bad_chunks_are_refused_and_the_stream_goes_on(scripted: ServerProcess) -> None:
    async with bystander(scripted.url), Talker(scripted.url, ["websocket"]) as talker:
        started = await talker.start()
        await talker.send(SECOND)
        for count, (data, code, says, field) in enumerate(BAD_CHUNKS, 1):
            await talker.emit("audio_chunk", data)
            is_error(await talker.wait("error", count), code, says, field)
        await talker.send(SECOND + SECOND)
        stopped = await talker.stop()
    assert stopped["duration"] == 3.0
    assert stopped["dropped"] == 0
    assert talker.text == "one two three"
    # errors of one client's messages are no events of the session
    assert all(event.name != "error" for event in await session_events(scripted.url, started["session_id"]))


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_base64_may_be_broken_into_lines(scripted: ServerProcess, transport: str) -> None:
    async with Talker(scripted.url, [transport]) as talker:
        await talker.start()
        for piece in pieces(SECOND, CHUNK):
            await talker.emit("audio_chunk", {"chunk": base64.encodebytes(piece).decode()})
            await talker.emit("audio_chunk", {"chunk": base64.encodebytes(piece).decode().replace("\n", "\r\n")})
        assert (await talker.stop())["duration"] == 2.0
        assert not talker.all("error")


@pytest.mark.parametrize(
    ("fields", "code", "says", "field"),
    [
        ({"language_code": "tlh"}, "unsupported_format", "tlh", "language_code"),
        ({"language_code": "x" * 1000}, "bad_message", "at most", "language_code"),
        ({"encoding": "mp3"}, "unsupported_format", "send alaw, mulaw, ogg, opus, pcm_s16le, webm", "encoding"),
        ({"encoding": "webm", "channels": 6}, "unsupported_format", "send 1 to 2", "channels"),
        ({"sample_rate": 4_000}, "unsupported_format", "send 8000 to 192000 Hz", "sample_rate"),
        ({"channels": 0}, "unsupported_format", "send 1 to 8", "channels"),
        ({"session_id": "../../etc/passwd"}, "bad_message", "letters, digits", "session_id"),
        ({"session_id": "a" * 129}, "bad_message", "at most 128", "session_id"),
        ({"session_id": "a\u0000b"}, "bad_message", "letters, digits", "session_id"),
        ({"session_id": 5}, "bad_message", "must be text", "session_id"),
        ({"resume_token": "t"}, "bad_message", "needs the session_id", "session_id"),
        ({"session_id": "a", "resume_token": "é"}, "not_found", "cannot be resumed", "session_id"),
        ("en-US", "bad_message", "takes a JSON object, not text", None),
        ([], "bad_message", "takes a JSON object, not an array", None),
    ],
)
async def test_a_bad_start_is_refused_and_a_good_one_may_follow(
    scripted: ServerProcess, fields: Any, code: str, says: str, field: str | None
) -> None:
    async with Talker(scripted.url, ["websocket"]) as talker:
        await talker.emit("start_transcription", fields)
        is_error(await talker.wait("error"), code, says, field)
        await talker.start()
        assert (await talker.stop())["status"] == "stopped"


async def test_messages_in_the_wrong_order_are_conflicts(scripted: ServerProcess) -> None:
    async with bystander(scripted.url), Talker(scripted.url, ["websocket"]) as talker:
        await talker.emit("audio_chunk", {"chunk": GOOD})
        is_error(await talker.wait("error", 1), "conflict", "send start_transcription first")
        await talker.emit("stop_transcription")
        is_error(await talker.wait("error", 2), "conflict", "no transcription is running")
        first = await talker.start()
        await talker.emit("start_transcription", {})
        is_error(await talker.wait("error", 3), "conflict", "send stop_transcription first")
        # nothing of that has hurt the stream that runs
        await talker.send(3 * SECOND)
        assert (await talker.stop())["duration"] == 3.0
        assert talker.text == "one two three"
        await talker.emit("audio_chunk", {"chunk": GOOD})
        is_error(await talker.wait("error", 4), "conflict", "send start_transcription first")
        await talker.emit("stop_transcription")
        is_error(await talker.wait("error", 5), "conflict", "no transcription is running")
    assert (await session_events(scripted.url, first["session_id"]))[-1].data["dropped"] == 0


DEEP = "[" * 900 + "]" * 900
BAD_PACKETS: list[str] = [
    "4",
    "42",
    "42[",
    "42{}",
    "42[]",
    "42[5]",
    "42[null,{}]",
    '42["audio_chunk"',
    '42["audio_chunk",',
    '42["audio_chunk",}',
    '42["audio_chunk",{"chunk":NaN}]',
    '42["audio_chunk",{"chunk":"\\ud800"}]',
    "42" + "[" * 100_000,
    "4" + "[" * 100_000,
    "2" + "[" * 100_000,
    "9",
    "x",
    "",
    "bAAAA",
    "b!!!!",
    "44",
    "45",
    "49",
    "4é",
    "42" + "1" * 200 + '["x"]',
    '451-["audio_chunk",{"_placeholder":true}]',
    '45999999999-["audio_chunk",{}]',
    '4599999999999-["audio_chunk",{}]',
    '45-1-["audio_chunk",{}]',
    "450",
]


@pytest.mark.parametrize("packet", BAD_PACKETS, ids=[repr(packet[:30]) for packet in BAD_PACKETS])
async def test_what_is_no_packet_is_answered_and_the_stream_goes_on(scripted: ServerProcess, packet: str) -> None:
    async with raw_socketio(scripted.url) as raw:
        await raw.start()
        await raw.send(packet)
        if packet.startswith(("451-", "450")):
            # an attachment is announced; this is it, or nobody waits for it
            await raw.send(bytes(CHUNK))
        error = await raw.wait("error")
        assert error["code"] == "bad_message", error
        await raw.emit("audio_chunk", {"chunk": base64.b64encode(3 * SECOND).decode()})
        await raw.emit("stop_transcription")
        stopped = await raw.wait("transcription_stopped")
        assert stopped["duration"] == 3.0
        assert [r["text"] for r in raw.all("transcription_result") if not r["is_partial"]] == ["one two three"]


ATTACHED = [
    ('451-["audio_chunk",{"chunk":{"_placeholder":true,"num":1}}]', "bad_message"),
    ('451-["audio_chunk",{"chunk":{"_placeholder":true,"num":-2}}]', "bad_message"),
    ('451-["audio_chunk",{"chunk":{"_placeholder":true,"num":"0"}}]', "bad_message"),
    (f'451-["audio_chunk",{DEEP},{{"_placeholder":true,"num":0}}]', "bad_message"),
    (f'451-["other",{DEEP}]', "bad_message"),
]


@pytest.mark.parametrize(("packet", "code"), ATTACHED)
async def test_hostile_attachments_are_answered(scripted: ServerProcess, packet: str, code: str) -> None:
    async with raw_socketio(scripted.url) as raw:
        await raw.start()
        await raw.send(packet)
        await raw.send(bytes(CHUNK))
        assert (await raw.wait("error"))["code"] == code
        await ends_well(raw)


async def ends_well(raw: RawSocketIO) -> None:
    await raw.emit("stop_transcription")
    assert (await raw.wait("transcription_stopped"))["status"] == "stopped"


async def test_an_attachment_that_does_not_come_takes_no_other_event_with_it(scripted: ServerProcess) -> None:
    async with raw_socketio(scripted.url) as raw:
        await raw.start()
        await raw.send('451-["audio_chunk",{"chunk":{"_placeholder":true,"num":0}}]')
        await ends_well(raw)
        assert (await raw.wait("error"))["code"] == "bad_message"


async def test_a_binary_frame_that_nobody_announced_is_answered(scripted: ServerProcess) -> None:
    async with raw_socketio(scripted.url) as raw:
        await raw.start()
        await raw.send(bytes(CHUNK))
        assert (await raw.wait("error"))["code"] == "bad_message"
        await ends_well(raw)


@pytest.mark.parametrize("packet", ["4", "42[]", "4x", '42["audio_chunk",{}]', "9", "", "45", "41", "2" + "[" * 2000])
async def test_whoever_does_not_connect_first_is_not_served(scripted: ServerProcess, packet: str) -> None:
    async with bystander(scripted.url), raw_socketio(scripted.url, connect=False) as raw:
        await raw.wait("0{")
        await raw.send(packet)
        await raw.send("40")
        # either the packet meant nothing, or it has ended the connection
        await raw.until(lambda: raw.closed or bool(raw.all("connected")))


async def test_invalid_utf8_in_a_text_frame_ends_that_connection_only(scripted: ServerProcess) -> None:
    async with bystander(scripted.url), raw_socketio(scripted.url) as raw, audio_stream(scripted.url) as stream:
        await stream.join()
        for client in (raw, stream):
            writer = client.websocket._writer
            await writer.send_frame(b'42["x\xff\xfe"]', 0x1)
            await client.wait_closed()
            # RFC 6455 section 8.1
            assert client.websocket.close_code == 1007


# /audio-stream

BAD_CONTROLS: list[tuple[str, str, str | None]] = [
    ("hello", "must be JSON", None),
    ("", "must be JSON", None),
    ("[]", "takes a JSON object, not an array", None),
    ("null", "takes a JSON object, not null", None),
    ("{}", "is not known here; known are join", "type"),
    ('{"type":"offer"}', "'offer' is not known here", "type"),
    ('{"type":5}', "'5' is not known here", "type"),
    ('{"type":"ping","t":{}}', "t must be a number or text", "t"),
    ('{"type":"ping","t":NaN}', "must be JSON", None),
    ('{"type":"ping","t":' + DEEP + "}", "t must be a number or text, not an array", "t"),
    ("[" * 500_000, "must be JSON", None),
    ('{"type":"bitrate-change","bitrate":1}', "6000 to 512000", "bitrate"),
    ('{"type":"bitrate-change","bitrate":1e400}', "", None),
    ('{"type":"bitrate-change","bitrate":"fast"}', "6000 to 512000", "bitrate"),
    ('{"type":"\\ud800"}', "must be JSON", None),
    (base64.b64encode(bytes(CHUNK)).decode(), "audio goes in binary frames", None),
]


async def test_bad_control_messages_are_answered_and_the_stream_goes_on(scripted: ServerProcess) -> None:
    async with bystander(scripted.url), audio_stream(scripted.url) as stream:
        await stream.join()
        await stream.audio(SECOND)
        for count, (text, says, field) in enumerate(BAD_CONTROLS, 1):
            await stream.send(text)
            error = await stream.wait("error", count)
            assert error["code"] == "bad_message", (text[:40], error)
            assert says in error["message"]
            assert "1e400" in text or error.get("field") == field
        await stream.audio(2 * SECOND)
        assert (await stream.leave())["duration"] == 3.0
        assert stream.text == "one two three"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"language": "tlh"}, "unsupported_format", "language"),
        ({"sessionId": "a/../b"}, "bad_message", "sessionId"),
        ({"sessionId": "x" * 200}, "bad_message", "sessionId"),
        ({"role": "r" * 65}, "bad_message", "role"),
        ({"framing": "raw"}, "bad_message", "framing"),
        ({"format": {"codec": "mp3"}}, "unsupported_format", "format.codec"),
        ({"format": {"sampleRate": 1}}, "unsupported_format", "format.sampleRate"),
        ({"format": {"channels": 10**30}}, "bad_message", "format.channels"),
        ({"reply": {"codec": "opus"}}, "unsupported_format", "reply.codec"),
        ({"resume": {"token": "x"}, "sessionId": "nobody"}, "not_found", "resume.token"),
        ({"resume": {}}, "bad_message", "resume.token"),
    ],
)
async def test_a_bad_join_is_answered_and_a_good_one_may_follow(
    scripted: ServerProcess, fields: dict[str, Any], code: str, field: str
) -> None:
    async with audio_stream(scripted.url) as stream:
        await stream.send({"type": "join", **fields})
        error = await stream.wait("error")
        assert (error["code"], error["field"]) == (code, field)
        await stream.join()
        assert (await stream.leave())["reason"] == "left"


async def test_audio_stream_messages_in_the_wrong_order_are_conflicts(scripted: ServerProcess) -> None:
    async with bystander(scripted.url), audio_stream(scripted.url) as stream:
        await stream.websocket.send_bytes(bytes(CHUNK))
        is_error(await stream.wait("error", 1), "conflict", "audio came before join")
        await stream.send({"type": "mute"})
        is_error(await stream.wait("error", 2), "conflict", "send join as the first message")
        await stream.send({"type": "ping", "t": 7})
        assert (await stream.wait("pong"))["t"] == 7
        await stream.join()
        await stream.send({"type": "join"})
        is_error(await stream.wait("error", 3), "conflict", "has joined already")
        await stream.audio(3 * SECOND)
        await stream.send({"type": "leave"})
        await stream.websocket.send_bytes(bytes(CHUNK))
        left = await stream.wait("left")
        await stream.wait_closed()
        assert left["duration"] == 3.0
        assert stream.text == "one two three"


async def test_whoever_only_makes_mistakes_before_joining_is_shown_out(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream:
        for _ in range(3):
            await stream.send("{}")
        await stream.wait_closed()
        assert {error["code"] for error in stream.all("error")} == {"bad_message"}


async def test_an_odd_number_of_bytes_is_refused(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as plain, audio_stream(scripted.url) as stereo:
        await plain.join()
        await stereo.join(format={"channels": 2}, framing="rtp")
        await plain.websocket.send_bytes(bytes(641))
        is_error(await plain.wait("error"), "bad_audio", "641 bytes are not a whole number of 2-byte samples")
        await stereo.websocket.send_bytes(rtp(0, 0, bytes(642)))
        is_error(await stereo.wait("error"), "bad_audio", "642 bytes are not a whole number of 4-byte samples")
        for stream in (plain, stereo):
            left = await stream.leave()
            assert (left["duration"], left["dropped"]) == (0.0, 0)


HOSTILE_RTP = [
    (b"", "at least 12 bytes"),
    (bytes(11), "at least 12 bytes"),
    (bytes(700), "RTP version 0"),
    (rtp(0, 0, bytes(640), first=0xC0), "RTP version 3"),
    (rtp(0, 0, b"", first=0x8F), "says it is 72 bytes long"),
    (rtp(0, 0, b"\0\0", first=0x90), "byte 12: the RTP header extension is cut off"),
    (rtp(0, 0, b"\0\0\xff\xff", first=0x90), "says it is 262156 bytes long"),
    (rtp(0, 0, bytes(640), first=0xA0), "0 bytes of RTP padding"),
    (rtp(0, 0, bytes(99) + b"\xff", first=0xAF), "255 bytes of RTP padding"),
    (rtp(0, 0, b"", first=0xA0), "padding"),
]


async def test_hostile_rtp_is_answered_and_the_stream_goes_on(scripted: ServerProcess) -> None:
    good = rtp_packets(3 * SECOND)
    async with bystander(scripted.url), audio_stream(scripted.url) as stream:
        await stream.join(framing="rtp")
        for packet in good[:10]:
            await stream.websocket.send_bytes(packet)
        for count, (data, says) in enumerate(HOSTILE_RTP, 1):
            await stream.websocket.send_bytes(data)
            is_error(await stream.wait("error", count), "bad_message", says)
        for packet in good[10:]:
            await stream.websocket.send_bytes(packet)
        left = await stream.leave()
    assert (left["duration"], left["dropped"]) == (3.0, 0)
    assert stream.text == "one two three"


async def test_a_connection_cut_in_mid_message_hurts_nobody(scripted: ServerProcess) -> None:
    async with bystander(scripted.url):
        async with audio_stream(scripted.url) as stream, raw_socketio(scripted.url) as raw:
            joined = await stream.join()
            started = await raw.start()
            await stream.audio(SECOND)
            for client in (stream, raw):
                transport = transport_of(client.websocket)
                # a masked binary frame of 64 KiB, of which little comes
                transport.write(bytes([0x82, 0xFE, 0xFF, 0xFF, 1, 2, 3, 4]) + bytes(1000))
                transport.close()
        async with audio_stream(scripted.url) as again:
            resume = {"token": joined["resumeToken"]}
            await again.join(sessionId=joined["sessionId"], resume=resume)
            assert (await again.leave())["duration"] == 1.0
        async with Talker(scripted.url) as talker:
            await talker.start(session_id=started["session_id"], resume_token=started["resume_token"])
            assert (await talker.stop())["duration"] == 0.0
