"""The control messages of ``/audio-stream``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError, BadAudio, BadMessage, UnsupportedFormat
from antiphon.events import Ended, Entry, Failed, Progress, Speaking, Started, Transcript, Word
from antiphon.formats import AudioFormat
from antiphon.protocol.audio_stream import (
    BitrateChange,
    Join,
    Leave,
    Mute,
    Ping,
    Stats,
    entry_to_wire,
    format_to_wire,
    parse_control,
)
from antiphon.protocol.transcription import Resume
from unit.protocol.anything import json_values, objects

TYPES = st.sampled_from(["join", "leave", "mute", "unmute", "ping", "stats", "bitrate-change", "offer", ""])
FORMAT = objects(
    {
        "codec": st.sampled_from(["pcm_s16le", "opus", "flac"]),
        "sampleRate": st.sampled_from([8_000, 48_000, 100]),
        "channels": st.integers(0, 9),
    }
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "type": TYPES,
    "sessionId": st.sampled_from(["s1", "a b", ""]),
    "role": st.text(max_size=70),
    "language": st.just("en"),
    "token": st.text(max_size=20),
    "framing": st.sampled_from(["plain", "rtp", "RTP"]),
    "interimResults": st.booleans(),
    "format": FORMAT,
    "reply": FORMAT,
    "resume": objects({"token": st.text(max_size=5), "lastEventId": st.integers(-1, 9)}),
    "t": st.integers() | st.floats() | st.text(max_size=5),
    "bitrate": st.sampled_from([0, 6_000, 64_000.5, 512_001, 1e300, -1]),
}


def parse_or_refuse(text: str) -> None:
    try:
        control = parse_control(text)
    except (BadMessage, UnsupportedFormat) as refusal:
        assert refusal.message
        assert len(refusal.message) < 600
        return
    assert isinstance(control, Join | Leave | Mute | Ping | BitrateChange | Stats)
    if isinstance(control, BitrateChange):
        assert 6_000 <= control.bitrate <= 512_000


@given(st.text())
@example("")
@example("{")
@example("\0")
@example("[" * 100_000)
@example('{"type":"ping","t":' + "[" * 2000 + "]" * 2000 + "}")
@example('{"type":"ping","t":' + "9" * 5000 + "}")
@example('{"type":"bitrate-change","bitrate":1e999}')
@example('{"type":"ping","t":NaN}')
@example('{"type":"\\ud800"}')
def test_any_text_is_a_message_or_an_error_for_the_client(text: str) -> None:
    parse_or_refuse(text)


@given(json_values() | objects(FIELDS))
def test_any_json_is_a_message_or_an_error_for_the_client(value: Any) -> None:
    parse_or_refuse(json.dumps(value))


def join(**fields: Any) -> Join:
    control = parse_control(json.dumps({"type": "join", **fields}))
    assert isinstance(control, Join)
    return control


def test_what_the_documents_send_is_a_join_with_all_defaults() -> None:
    assert join(sessionId="s1", role="agent") == Join(
        session_id="s1",
        role="agent",
        language=None,
        token=None,
        format=AudioFormat(),
        reply=None,
        rtp=False,
        interim_results=True,
        resume=None,
    )
    assert join().session_id is None
    assert join(sessionId=None, format=None, reply=None, resume=None) == join()


def test_a_join_may_choose_format_framing_and_reply() -> None:
    chosen = join(
        format={"codec": "pcm_s16le", "sampleRate": 48_000, "channels": 2},
        reply={"codec": "pcm_s16le", "sampleRate": 24_000, "frameMs": 20},
        framing="rtp",
        interimResults=False,
    )
    assert chosen.format == AudioFormat(sample_rate=48_000, channels=2)
    assert chosen.reply == AudioFormat(sample_rate=24_000)
    assert chosen.rtp
    assert not chosen.interim_results
    assert format_to_wire(chosen.format) == {"codec": "pcm_s16le", "sampleRate": 48_000, "channels": 2}


def test_a_join_may_go_on_with_a_stream() -> None:
    assert join(sessionId="s", resume={"token": "t"}).resume == Resume("t", None)
    assert join(sessionId="s", resume={"token": "t", "lastEventId": 4}).resume == Resume("t", 4)


@pytest.mark.parametrize(
    ("fields", "error", "field", "says"),
    [
        ({"framing": "raw"}, BadMessage, "framing", "use 'plain' or 'rtp'"),
        ({"framing": 1}, BadMessage, "framing", "must be text, not a number"),
        ({"format": []}, BadMessage, None, "format takes a JSON object, not an array"),
        (
            {"format": {"codec": "mp3"}},
            UnsupportedFormat,
            "format.codec",
            "send alaw, mulaw, ogg, opus, pcm_s16le, webm",
        ),
        ({"format": {"codec": "opus", "sampleRate": 44_100}}, UnsupportedFormat, "format.sampleRate", "8000, 12000"),
        ({"format": {"codec": "webm", "channels": 3}}, UnsupportedFormat, "format.channels", "send 1 to 2"),
        ({"format": {"codec": "ogg"}, "framing": "rtp"}, UnsupportedFormat, "framing", "send it with framing 'plain'"),
        ({"format": {"sampleRate": 4_000}}, UnsupportedFormat, "format.sampleRate", "send 8000 to 192000 Hz"),
        ({"format": {"sampleRate": 1e9}}, BadMessage, "format.sampleRate", "whole number"),
        ({"format": {"channels": 9}}, UnsupportedFormat, "format.channels", "send 1 to 8"),
        ({"reply": {"codec": "opus"}}, UnsupportedFormat, "reply.codec", "send pcm_s16le"),
        ({"reply": 5}, BadMessage, None, "reply takes a JSON object"),
        ({"role": "r" * 65}, BadMessage, "role", "at most 64"),
        ({"sessionId": "a/b"}, BadMessage, "sessionId", "letters, digits"),
        ({"resume": {"token": "t"}}, BadMessage, "sessionId", "resume needs the sessionId"),
        ({"resume": {}, "sessionId": "s"}, BadMessage, "resume.token", "resume needs the token"),
        ({"resume": {"token": "t", "lastEventId": "x"}, "sessionId": "s"}, BadMessage, "lastEventId", "whole number"),
        ({"interimResults": 1}, BadMessage, "interimResults", "true or false"),
    ],
)
def test_a_refused_join_names_the_field(
    fields: dict[str, Any], error: type[AntiphonError], field: str | None, says: str
) -> None:
    with pytest.raises(error, match=says) as refusal:
        join(**fields)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("message", "control"),
    [
        ({"type": "leave"}, Leave()),
        ({"type": "mute"}, Mute(True)),
        ({"type": "unmute"}, Mute(False)),
        ({"type": "ping"}, Ping(None)),
        ({"type": "ping", "t": 1.5}, Ping(1.5)),
        ({"type": "ping", "t": "now"}, Ping("now")),
        ({"type": "stats", "rtt": 20, "loss": [0, 1]}, Stats({"rtt": 20, "loss": [0, 1]})),
        ({"type": "bitrate-change", "bitrate": 32_000.9}, BitrateChange(32_000)),
    ],
)
def test_the_other_messages(message: dict[str, Any], control: object) -> None:
    assert parse_control(json.dumps(message)) == control


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "a text frame must be JSON: .*; audio goes in binary frames"),
        ('"join"', "a text frame takes a JSON object, not text"),
        ("{}", "type 'None' is not known here; known are join, leave"),
        ('{"type":"offer"}', "type 'offer' is not known here"),
        ('{"type":["join"]}', "is not known here"),
        ('{"type":"ping","t":{}}', "t must be a number or text, not an object"),
        ('{"type":"bitrate-change"}', "bitrate must be a number from 6000 to 512000"),
        ('{"type":"bitrate-change","bitrate":true}', "bitrate must be a number from 6000 to 512000"),
    ],
)
def test_a_refusal_says_what_is_taken(text: str, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        parse_control(text)


# What the log looks like at this door


def test_a_transcript_is_told_in_camel_case() -> None:
    said = Transcript("p1", "p1-1", "go", False, 0.5, 0.75, "en-US", (Word("go", 0.5, 0.75, 0.9),))
    assert entry_to_wire(Entry(3, 0.0, said), "p2") == {
        "type": "transcript",
        "eventId": 3,
        "resultId": "p1-1",
        "text": "go",
        "isPartial": False,
        "start": 0.5,
        "end": 0.75,
        "speaker": "p1",
        "language": "en-US",
        "words": [{"word": "go", "start": 0.5, "end": 0.75, "confidence": 0.9}],
    }


def test_speaking_and_leaving_are_told_of_everybody() -> None:
    assert entry_to_wire(Entry(1, 0.0, Speaking("p1", True, 0.25)), "p2") == {
        "type": "speaking",
        "eventId": 1,
        "participantId": "p1",
        "active": True,
        "at": 0.25,
    }
    assert entry_to_wire(Entry(2, 0.0, Ended("p1", "lost", 1.5, 3)), "p2") == {
        "type": "left",
        "eventId": 2,
        "participantId": "p1",
        "reason": "lost",
        "duration": 1.5,
        "dropped": 3,
    }


def test_errors_are_told_to_whom_they_concern() -> None:
    failed = Entry(1, 0.0, Failed.of("p1", BadAudio("no")))
    told = {"type": "error", "eventId": 1, "message": "no", "code": "bad_audio", "retryable": False}
    assert entry_to_wire(failed, "p1") == told
    assert entry_to_wire(failed, "p2") is None


def test_beginnings_and_progress_are_not_told_here() -> None:
    assert entry_to_wire(Entry(1, 0.0, Started("p1")), "p1") is None
    assert entry_to_wire(Entry(1, 0.0, Progress("p1", 1.0, None)), "p1") is None
