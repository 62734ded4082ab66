"""The messages of streams that are shared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError
from antiphon.protocol.sharing import no_beginning, parse_stream
from unit.protocol.anything import json_values, objects


@pytest.mark.parametrize("data", [b"x", bytearray(b"x"), memoryview(b"x"), {"data": b"x"}, {"data": b"x", "a": 1}])
def test_binary_may_be_bare_or_named(data: object) -> None:
    piece = parse_stream(data)
    assert (piece.data, piece.room_id, piece.language) == (b"x", None, None)


def test_a_room_and_a_language_may_be_named() -> None:
    piece = parse_stream({"roomId": "r", "data": b"x", "language": "en"})
    assert (piece.room_id, piece.language) == ("r", "en")


known: dict[str, st.SearchStrategy[Any]] = {
    "roomId": st.sampled_from(["default", "r"]),
    "data": st.binary(max_size=20),
    "language": st.just("en-US"),
}


@given(objects(known, binary=True) | json_values(binary=True))
def test_anything_is_a_piece_or_a_documented_error(data: Any) -> None:
    try:
        piece = parse_stream(data)
    except AntiphonError as error:
        assert error.as_dict()["message"]
        return
    assert piece.data


@given(st.binary(max_size=40))
def test_whatever_begins_no_stream_has_an_error_that_says_what_to_do(data: bytes) -> None:
    assert "audio/webm;codecs=opus" in no_beginning(data).message
