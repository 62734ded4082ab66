"""Fields of a client's JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.errors import BadMessage
from antiphon.protocol import fields
from unit.protocol.anything import json_values


@given(json_values())
@example(float("nan"))
def test_a_field_of_any_value_is_read_or_refused_by_name(value: Any) -> None:
    message = {"it": value}
    readers = (
        (fields.text, str),
        (fields.whole_number, int),
        (fields.session_id, str),
        (lambda source, name: fields.boolean(source, name, True), bool),
    )
    for read, kind in readers:
        try:
            got = read(message, "it")
        except BadMessage as refusal:
            assert refusal.field == "it"
            assert refusal.message.startswith("it ")
            assert len(refusal.message) < 300
        else:
            assert got is None or isinstance(got, kind)


@pytest.mark.parametrize("read", [fields.text, fields.whole_number, fields.session_id])
@pytest.mark.parametrize("message", [{}, {"it": None}])
def test_absent_and_null_are_the_same(read: Any, message: dict[str, Any]) -> None:
    assert read(message, "it") is None


def test_defaults_stand_in_for_what_is_absent() -> None:
    assert fields.text({}, "it", "so") == "so"
    assert fields.whole_number({}, "it", 3) == 3
    assert fields.boolean({"it": None}, "it", False) is False


@given(st.integers(0, 2**53 - 1))
def test_whole_numbers_may_come_as_digits(number: int) -> None:
    assert fields.whole_number({"it": number}, "it") == number
    if number < 10**15:
        assert fields.whole_number({"it": str(number)}, "it") == number


@pytest.mark.parametrize("value", [-1, 2**53, True, 1.0, 1.5, "", "-1", "1.0", "٣", "0x10", "1" * 16, [], {}])
def test_what_is_no_whole_number_from_0_on_is_refused(value: Any) -> None:
    with pytest.raises(BadMessage, match="it must be a whole number from 0 on") as refusal:
        fields.whole_number({"it": value}, "it")
    assert refusal.value.field == "it"


def test_text_has_a_longest_length() -> None:
    assert fields.text({"it": "a" * 256}, "it") == "a" * 256
    with pytest.raises(BadMessage, match="it has 257 characters; at most 256 are taken"):
        fields.text({"it": "a" * 257}, "it")


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", fullmatch=True))
def test_good_session_ids_are_taken_as_they_are(name: str) -> None:
    assert fields.session_id({"it": name}, "it") == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", "a/b", "a b", "a\n", "a\0", "é", "a" * 129, "../etc/passwd", "a?b", "a%2e"]
)
def test_session_ids_that_could_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(BadMessage, match="it "):
        fields.session_id({"it": name}, "it")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "true or false"),
        (1, "a number"),
        (1.5, "a number"),
        ("a", "text"),
        (b"a", "binary data"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_types_are_called_as_json_calls_them(value: Any, name: str) -> None:
    assert fields.json_type(value) == name


@given(json_values())
def test_only_objects_have_fields(value: Any) -> None:
    if isinstance(value, dict):
        assert fields.as_object(value, "this") is value
    else:
        with pytest.raises(BadMessage, match="this takes a JSON object, not "):
            fields.as_object(value, "this")
