"""The messages of stand-alone segments."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError, BadMessage
from antiphon.events import Entry, Transcript, Word
from antiphon.protocol.segments import (
    accepted,
    dropped_to_wire,
    error_to_wire,
    parse_segment,
    rejected,
    skipped,
    transcription_to_wire,
)
from unit.protocol.anything import json_values, objects

GOOD: dict[str, Any] = {
    "sessionId": "s-1",
    "audio": base64.b64encode(b"file").decode(),
    "format": "webm",
    "duration": 10,
    "timestamp": 1_764_000_000_000,
}


def test_the_message_of_the_document_is_taken_as_it_is() -> None:
    segment = parse_segment(GOOD)
    assert (segment.session_id, segment.audio, segment.format) == ("s-1", b"file", "webm")
    assert (segment.duration, segment.timestamp) == (10, 1_764_000_000_000)
    assert (segment.language, segment.last_event_id) == (None, None)


def test_only_three_fields_are_needed() -> None:
    segment = parse_segment({"sessionId": "s", "audio": b"", "timestamp": 0.5, "nobody": "knows"})
    assert (segment.audio, segment.format, segment.duration) == (b"", "webm", None)


@pytest.mark.parametrize("name", ["sessionId", "timestamp", "audio"])
def test_these_have_to_be_there(name: str) -> None:
    with pytest.raises(BadMessage) as error:
        parse_segment({key: value for key, value in GOOD.items() if key != name})
    assert error.value.field == name


def test_answers_have_a_status_and_a_reason() -> None:
    error = BadMessage("no").as_dict()
    assert accepted() == {"status": "accepted", "reason": "queued"}
    assert skipped("duplicate") == {"status": "skipped", "reason": "duplicate"}
    assert rejected(error) == {"status": "rejected", "reason": "bad_message", "error": error}


def test_what_is_told_of_a_segment_names_it() -> None:
    segment = parse_segment(GOOD)
    event = Transcript("p", "p-1", "a b c d", False, 1.0, 2.0, "en-US", (Word("a", 1.0, 1.2),))
    told = transcription_to_wire(Entry(7, 0.0, event), event, "s-1", segment)
    named = {"sessionId": "s-1", "text": "a b c d", "timestamp": segment.timestamp, "duration": 10}
    assert told.items() >= named.items()
    assert (told["eventId"], told["start"], told["words"]) == (7, 1.0, [{"word": "a", "start": 1.0, "end": 1.2}])
    assert dropped_to_wire(segment, 3)["reason"] == "few_words"
    assert dropped_to_wire(segment, 0)["reason"] == "no_words"
    failed = error_to_wire(BadMessage("no").as_dict(), segment)
    assert (failed["event"], failed["timestamp"], failed["code"]) == ("audio-chunk", segment.timestamp, "bad_message")


known = {
    "sessionId": st.sampled_from(["s", "a.b:c"]),
    "audio": st.binary(max_size=40) | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
    "format": st.sampled_from(["webm", "ogg", ""]),
    "duration": st.floats(0, 100),
    "timestamp": st.integers(0, 2**45),
    "language": st.just("en-US"),
    "lastEventId": st.integers(0, 100),
}


@given(objects(known, binary=True) | json_values(binary=True))
def test_anything_is_a_segment_or_a_documented_error(data: Any) -> None:
    try:
        segment = parse_segment(data)
    except AntiphonError as error:
        assert error.as_dict()["message"]
        return
    assert isinstance(segment.audio, bytes)
    assert abs(segment.timestamp) < 2**53
