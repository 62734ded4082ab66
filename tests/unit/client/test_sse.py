"""Server-sent events, put together from bytes however they are cut."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.client.errors import ProtocolFault
from antiphon.client.sse import MAX_PENDING, EventStreamParser, ServerSentEvent

line_text = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)), max_size=20)
events = st.lists(
    st.tuples(st.integers(1, 10**9), st.sampled_from(["partial", "final", "done"]), st.lists(line_text, min_size=1)),
    max_size=8,
)


def parse(*pieces: bytes) -> list[ServerSentEvent]:
    parser = EventStreamParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(told=events, end=st.sampled_from(["\n", "\r\n", "\r"]), data=st.data())
def test_events_survive_any_line_end_and_any_cut(
    told: list[tuple[int, str, list[str]]], end: str, data: st.DataObject
) -> None:
    stream = b""
    for number, name, lines in told:
        fields = [f"id: {number}", ": a comment", f"event: {name}", *(f"data: {line}" for line in lines), "", ""]
        stream += end.join(fields).encode()
    # a carriage return at the very end might belong to a line feed that is still to come
    stream += b": end\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[begin:to] for begin, to in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = [ServerSentEvent(str(number), name, "\n".join(lines)) for number, name, lines in told]
    assert parse(*pieces) == expected


@given(st.binary(max_size=400))
def test_garbage_raises_nothing_unexpected(data: bytes) -> None:
    for event in parse(data, b"\n\n"):
        with contextlib.suppress(ProtocolFault):
            event.object()


def test_an_event_without_data_is_none() -> None:
    assert parse(b"event: final\nid: 3\n\ndata\n\n") == [ServerSentEvent("3", "message", "")]


def test_a_space_after_the_colon_is_optional_and_only_one_is_taken() -> None:
    assert parse(b"data:a\ndata:  b\n\n") == [ServerSentEvent("", "message", "a\n b")]


def test_the_id_holds_until_another_comes() -> None:
    assert [event.id for event in parse(b"id:1\ndata:a\n\ndata:b\n\nid:2\ndata:c\n\n")] == ["1", "1", "2"]


def test_data_that_is_no_object_is_told() -> None:
    for text in ("[1]", "nonsense", ""):
        with pytest.raises(ProtocolFault, match="no JSON object"):
            ServerSentEvent("1", "final", text).object()


@pytest.mark.parametrize("block", [b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n"])
def test_an_event_without_end_is_given_up(block: bytes) -> None:
    with pytest.raises(ProtocolFault, match=str(MAX_PENDING)):
        parse(*[block] * (MAX_PENDING // 65_536 + 2))
