"""The Socket.IO transcription door: what its messages mean, and how its answers look."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError, BadAudio, BadMessage, UnsupportedFormat
from antiphon.events import Ended, Entry, Event, Failed, Progress, Speaking, Started, Transcript, Word
from antiphon.formats import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, AudioFormat
from antiphon.protocol.transcription import (
    Resume,
    StartTranscription,
    entry_to_wire,
    parse_chunk,
    parse_start,
    result_to_wire,
)
from unit.protocol.anything import json_values, objects

START_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "language_code": st.just("en-US"),
    "encoding": st.sampled_from(["pcm_s16le", "opus", "webm", "mp3"]),
    "sample_rate": st.sampled_from([8_000, 16_000, 44_100, 192_000, 7_999]),
    "channels": st.integers(0, 9),
    "interim_results": st.booleans(),
    "session_id": st.sampled_from(["a", "call-17", "../a"]),
    "resume_token": st.text(max_size=10),
    "last_event_id": st.integers(-1, 5),
}


@given(json_values() | objects(START_FIELDS))
def test_any_json_is_a_start_or_an_error_for_the_client(data: Any) -> None:
    try:
        start = parse_start(data)
    except (BadMessage, UnsupportedFormat) as refusal:
        assert refusal.message
        assert len(refusal.message) < 500
        return
    assert MIN_SAMPLE_RATE <= start.format.sample_rate <= MAX_SAMPLE_RATE
    assert 1 <= start.format.channels <= MAX_CHANNELS
    assert start.resume is None or start.session_id is not None


def test_what_the_documents_send_is_a_start_with_all_defaults() -> None:
    plain = StartTranscription(None, AudioFormat(), interim_results=True, session_id=None, resume=None)
    assert parse_start(None) == plain
    assert parse_start({}) == plain
    assert parse_start({"somebody": "else's field"}) == plain
    assert parse_start({"language_code": "en-US"}).language == "en-US"


def test_a_resume_needs_the_session_it_belongs_to() -> None:
    start = parse_start({"session_id": "a", "resume_token": "t", "last_event_id": "17"})
    assert start.resume == Resume("t", 17)
    with pytest.raises(BadMessage, match="resume_token needs the session_id") as refusal:
        parse_start({"resume_token": "t"})
    assert refusal.value.field == "session_id"


@pytest.mark.parametrize(
    ("fields", "error", "field", "says"),
    [
        ({"sample_rate": 7_999}, UnsupportedFormat, "sample_rate", "7999 is out of range; send 8000 to 192000 Hz"),
        ({"sample_rate": 10**18}, UnsupportedFormat, "sample_rate", "out of range"),
        ({"sample_rate": "16000"}, BadMessage, "sample_rate", "must be a whole number"),
        ({"sample_rate": True}, BadMessage, "sample_rate", "must be a whole number"),
        ({"channels": 0}, UnsupportedFormat, "channels", "send 1 to 8"),
        ({"encoding": "opus", "sample_rate": 22_050}, UnsupportedFormat, "sample_rate", "not a rate of Opus"),
        ({"encoding": "mp3"}, UnsupportedFormat, "encoding", "not an encoding of this server"),
        ({"encoding": 1}, BadMessage, "encoding", "must be text"),
        ({"interim_results": "yes"}, BadMessage, "interim_results", "must be true or false, not text"),
        ({"language_code": ["en"]}, BadMessage, "language_code", "must be text, not an array"),
        ({"last_event_id": -1}, BadMessage, "last_event_id", "whole number from 0 on"),
    ],
)
def test_a_refused_start_names_the_field(
    fields: dict[str, Any], error: type[AntiphonError], field: str, says: str
) -> None:
    with pytest.raises(error, match=says) as refusal:
        parse_start(fields)
    assert refusal.value.field == field


# Chunks


@given(json_values(binary=True) | objects({"chunk": st.text(), "seq": st.integers()}, binary=True))
def test_any_value_is_a_chunk_or_an_error_for_the_client(data: Any) -> None:
    try:
        audio, seq = parse_chunk(data)
    except (BadMessage, BadAudio) as refusal:
        assert refusal.field in ("chunk", "seq")
        assert len(refusal.message) < 300
        return
    assert isinstance(audio, bytes)
    assert seq is None or seq >= 0


@given(st.binary(max_size=300), st.integers(0, 2**53 - 1))
def test_audio_comes_through_as_base64_and_as_binary(audio: bytes, seq: int) -> None:
    text = base64.b64encode(audio).decode()
    lines = base64.encodebytes(audio).decode()
    for chunk in (
        text,
        text.rstrip("="),
        lines,
        lines.replace("\n", "\r\n"),
        audio,
        bytearray(audio),
        memoryview(audio),
    ):
        assert parse_chunk({"chunk": chunk, "seq": seq}) == (audio, seq)
        assert parse_chunk({"chunk": chunk}) == (audio, None)
        assert parse_chunk(chunk) == (audio, None)


@pytest.mark.parametrize(
    "text", ["A", "AA=A", "!!!!", "AA-_", "AAA=AAA=", "AA AA", "go forward", "ÄÄÄÄ", "data:;base64,AAAA"]
)
def test_what_is_not_base64_is_bad_audio(text: str) -> None:
    with pytest.raises(BadAudio, match="chunk is not base64") as refusal:
        parse_chunk({"chunk": text})
    assert refusal.value.field == "chunk"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "chunk is null"),
        ({}, "chunk is null"),
        ({"chunk": None}, "chunk is null"),
        ({"chunk": 5}, "chunk is a number"),
        ({"chunk": [0, 1]}, "chunk is an array"),
        ({"chunk": {"0": 1}}, "chunk is an object"),
    ],
)
def test_a_chunk_that_is_no_audio_is_a_bad_message(data: Any, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        parse_chunk(data)


@pytest.mark.parametrize("seq", [-1, 2**53, 1.0, True, "0", [0]])
def test_a_chunk_has_a_whole_number_or_none(seq: Any) -> None:
    with pytest.raises(BadMessage, match="seq must be a whole number from 0 on") as refusal:
        parse_chunk({"chunk": "", "seq": seq})
    assert refusal.value.field == "seq"


# Answers

FINAL = Transcript(
    "p1", "p1-2", "go forward", False, 0.5, 1.25, "en-US", (Word("go", 0.5, 0.75, 0.9), Word("forward", 0.75, 1.25))
)


def test_a_result_has_the_fields_of_the_contract() -> None:
    assert result_to_wire(7, FINAL) == {
        "text": "go forward",
        "is_partial": False,
        "event_id": 7,
        "result_id": "p1-2",
        "start": 0.5,
        "end": 1.25,
        "speaker": "p1",
        "language": "en-US",
        "words": [
            {"word": "go", "start": 0.5, "end": 0.75, "confidence": 0.9},
            {"word": "forward", "start": 0.75, "end": 1.25},
        ],
    }


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (Started("p", "agent", "en-US"), "started", {"role": "agent", "language": "en-US"}),
        (Speaking("p", True, 1.5), "speaking", {"active": True, "at": 1.5}),
        (Progress("p", 2.0, None), "progress", {"done": 2.0, "total": None}),
        (Ended("p", "left", 3.5, 1), "ended", {"reason": "left", "duration": 3.5, "dropped": 1}),
        (
            Failed.of("p", BadAudio("no")),
            "error",
            {"message": "no", "code": "bad_audio", "retryable": False},
        ),
    ],
)
def test_every_event_has_a_name_and_its_id(event: Event, name: str, data: dict[str, Any]) -> None:
    assert entry_to_wire(Entry(9, 0.0, event)) == (name, {"event_id": 9, "participant_id": "p", **data})


def test_transcripts_are_partials_and_finals() -> None:
    partial = Transcript("p", "p-1", "go", True, 0.0, 0.5, "en-US")
    assert entry_to_wire(Entry(1, 0.0, partial)) == ("partial", result_to_wire(1, partial))
    assert entry_to_wire(Entry(2, 0.0, FINAL)) == ("final", result_to_wire(2, FINAL))
