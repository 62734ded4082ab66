"""What the doors write is read back as it was, and what they would never write is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.client.errors import ProtocolFault
from antiphon.client.wire import entry_from_wire
from antiphon.errors import BadAudio, RateLimited
from antiphon.events import Ended, Entry, Event, Failed, Progress, Speaking, Started, Transcript, Word
from antiphon.protocol import audio_stream, transcription

ids = st.integers(1, 2**53 - 1)
text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
seconds = st.floats(0, 1e6)
words = st.builds(Word, text, seconds, seconds, st.none() | st.floats(0, 1))
transcripts = st.builds(
    Transcript, text, text, text, st.booleans(), seconds, seconds, text, st.lists(words, max_size=4).map(tuple)
)
failures = st.sampled_from(
    [Failed.of("p", BadAudio("odd", field="chunk")), Failed.of("p", RateLimited("fast", retry_after=1.5))]
)
others = st.one_of(
    st.builds(Speaking, text, st.booleans(), seconds),
    st.builds(Ended, text, text, seconds, st.integers(0, 100)),
    failures,
)
everything = st.one_of(
    transcripts,
    others,
    st.builds(Started, text, text, text),
    st.builds(Progress, text, seconds, st.none() | seconds),
)


def over_the_wire(data: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = orjson.loads(orjson.dumps(data))
    return decoded


@given(ids, everything)
def test_server_sent_events_are_read_back(number: int, event: Event) -> None:
    name, data = transcription.entry_to_wire(Entry(number, 1.0, event))
    assert entry_from_wire(name, over_the_wire(data), 2.0) == Entry(number, 2.0, event)


@given(ids, transcripts)
def test_socketio_results_are_read_back(number: int, event: Transcript) -> None:
    data = over_the_wire(transcription.result_to_wire(number, event))
    assert entry_from_wire("transcription_result", data, 2.0) == Entry(number, 2.0, event)


@given(ids, st.one_of(transcripts, others))
def test_websocket_messages_are_read_back(number: int, event: Event) -> None:
    message = audio_stream.entry_to_wire(Entry(number, 1.0, event), event.participant_id)
    assert message is not None
    read = entry_from_wire(message["type"], over_the_wire(message), 2.0)
    if isinstance(event, Failed):  # this door does not say whose failure it is: it tells one's own only
        assert read is not None
        assert isinstance(read.event, Failed)
        assert read.event.error == event.error
    else:
        assert read == Entry(number, 2.0, event)


def test_a_job_that_went_well_is_done() -> None:
    data = {"event_id": 9, "participant_id": "p", "reason": "stopped", "duration": 1.0, "dropped": 0}
    assert entry_from_wire("done", data, 0.0) == Entry(9, 0.0, Ended("p", "stopped", 1.0, 0))


def test_messages_of_a_newer_server_are_passed_over() -> None:
    assert entry_from_wire("clear", {"type": "clear"}, 0.0) is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("transcript", {}),
        ("final", {"event_id": 1, "text": "so"}),
        ("speaking", {"eventId": 1, "participantId": "p", "active": True, "at": "soon"}),
        ("left", {"participantId": "p", "reason": "left", "duration": 1, "dropped": 0}),
        ("progress", {"event_id": None, "done": 1, "total": None}),
    ],
)
def test_what_makes_no_sense_is_told(name: str, data: dict[str, Any]) -> None:
    with pytest.raises(ProtocolFault, match=name):
        entry_from_wire(name, data, 0.0)
