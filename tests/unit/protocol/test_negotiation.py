"""The messages of signaling: what they may be, and what is said of those that may not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import BadMessage, TooLarge
from antiphon.protocol.negotiation import (
    MAX_CANDIDATE_BYTES,
    MAX_SDP_BYTES,
    Candidate,
    Captions,
    Description,
    JoinRoom,
    parse_candidate,
    parse_description,
    parse_join,
    parse_room,
)
from unit.protocol.anything import json_values, objects

CANDIDATE = objects(
    {
        "candidate": st.text(max_size=20),
        "sdpMid": st.sampled_from(["0", None, 5]),
        "sdpMLineIndex": st.sampled_from([0, None, -1, 1.5, True]),
        "usernameFragment": st.sampled_from(["ab", None, []]),
    }
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "roomId": st.sampled_from(["r1", "", "a b"]),
    "userId": st.text(max_size=140),
    "role": st.text(max_size=70),
    "mode": st.sampled_from(["relay", "mix", "both"]),
    "captions": objects({"language_code": st.sampled_from(["en-US", 5])}) | st.booleans(),
    "token": st.text(max_size=20),
    "targetSocketId": st.sampled_from(["server", "", "abc", 7]),
    "sdp": st.text(max_size=9) | objects({"type": st.sampled_from(["offer", "rollback"]), "sdp": st.text(max_size=9)}),
    "candidate": CANDIDATE | st.text(max_size=20),
}
PARSERS: list[Callable[[object], Any]] = [
    parse_join,
    parse_candidate,
    partial(parse_description, "offer"),
    partial(parse_description, "answer"),
    lambda data: parse_room(data, "mute"),
]


@given(json_values() | objects(FIELDS))
def test_anything_is_a_message_or_a_documented_error(data: Any) -> None:
    for parse in PARSERS:
        try:
            parsed = parse(data)
        except (BadMessage, TooLarge) as refusal:
            assert refusal.message
            assert len(refusal.message) < 600
        else:
            assert parsed is None or isinstance(parsed, str | JoinRoom | Candidate | Description)


def test_a_join_as_the_documents_write_it() -> None:
    assert parse_join({"roomId": "r1", "userId": "ada", "role": "agent"}) == JoinRoom("r1", "ada", "agent")


@pytest.mark.parametrize(
    ("value", "captions"),
    [(True, Captions()), (False, None), (None, None), ({}, Captions()), ({"language_code": "de"}, Captions("de"))],
)
def test_captions_are_asked_for_in_several_ways(value: Any, captions: Captions | None) -> None:
    assert parse_join({"roomId": "r1", "captions": value}).captions == captions


@pytest.mark.parametrize("sdp", ["v=0\r\n", {"type": "offer", "sdp": "v=0\r\n"}, {"sdp": "v=0\r\n"}])
@pytest.mark.parametrize("target", ["server", "", None])
def test_an_offer_may_be_text_or_an_object(sdp: Any, target: str | None) -> None:
    offer = parse_description("offer", {"roomId": "r1", "targetSocketId": target, "sdp": sdp})
    assert offer.text == "v=0\r\n"
    assert offer.target is None
    assert offer.sdp == ({"type": "offer", "sdp": "v=0\r\n"} if isinstance(sdp, dict) else sdp)


@pytest.mark.parametrize("end", [None, "", {"candidate": ""}, {"candidate": None, "sdpMid": "0"}])
def test_the_end_of_candidates_is_an_empty_one(end: Any) -> None:
    assert parse_candidate({"candidate": end}).line == ""


def test_a_candidate_keeps_the_members_that_browsers_know() -> None:
    init = {"candidate": "candidate:1 1 udp 1 10.0.0.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
    parsed = parse_candidate({"targetSocketId": "abc", "candidate": {**init, "foundation": {"deep": []}}})
    assert parsed == Candidate(None, "abc", init, init["candidate"])


@pytest.mark.parametrize(
    ("parse", "data", "error", "field"),
    [
        (parse_join, {}, BadMessage, "roomId"),
        (parse_join, {"roomId": "a b"}, BadMessage, "roomId"),
        (parse_join, {"roomId": "r", "mode": "both"}, BadMessage, "mode"),
        (parse_join, {"roomId": "r", "captions": "en"}, BadMessage, "captions"),
        (parse_join, {"roomId": "r", "captions": {"language_code": 5}}, BadMessage, "captions"),
        (PARSERS[2], {"sdp": ""}, BadMessage, "sdp"),
        (PARSERS[2], {"sdp": {"type": "answer", "sdp": "v=0"}}, BadMessage, "sdp.type"),
        (PARSERS[3], {"sdp": {"type": "pranswer", "sdp": "v=0"}}, BadMessage, "sdp.type"),
        (PARSERS[2], {"sdp": "é" * (MAX_SDP_BYTES // 2 + 1)}, TooLarge, "sdp"),
        (parse_candidate, {"candidate": 5}, BadMessage, "candidate"),
        (parse_candidate, {"candidate": "c" * (MAX_CANDIDATE_BYTES + 1)}, TooLarge, "candidate"),
        (
            parse_candidate,
            {"candidate": {"candidate": "c", "sdpMLineIndex": -1}},
            BadMessage,
            "candidate.sdpMLineIndex",
        ),
        (parse_candidate, {"candidate": {"candidate": "c", "sdpMid": 0}}, BadMessage, "candidate.sdpMid"),
    ],
)
def test_the_field_at_fault_is_named(parse: Any, data: Any, error: type[Exception], field: str) -> None:
    with pytest.raises(error) as refusal:
        parse(data)
    assert refusal.value.field == field  # type: ignore[attr-defined]
