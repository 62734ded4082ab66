"""A text is cut where a speaker would breathe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.speech.sentences import cost, parts


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Once. Twice! Thrice?", ["Once.", " Twice!", " Thrice?"]),
        ("Dr. Smith pays 3.50 at example.org. He left.", ["Dr. Smith pays 3.50 at example.org.", " He left."]),
        ('He said "stop." Then he went.', ['He said "stop."', " Then he went."]),
        ("今天天气很好。我们走吧！", ["今天天气很好。", "我们走吧！"]),
        ("A heading\n\nand a text", ["A heading\n\n", "and a text"]),
        ("no end", ["no end"]),
        ("Wait... what?", ["Wait...", " what?"]),
        ("  \n ", []),
    ],
)
def test_sentences_come_apart(text: str, cut: list[str]) -> None:
    assert [part.text for part in parts(text, 1, 1000)] == cut


def test_short_sentences_are_joined_and_long_ones_cut_between_clauses_or_words() -> None:
    assert [part.text for part in parts("Once. Twice. Thrice. Later.", 10, 100)] == ["Once. Twice.", " Thrice. Later."]
    assert [part.text for part in parts("aaaa bbbb, cccc dddd", 1, 12)] == ["aaaa bbbb, ", "cccc dddd"]
    assert [part.text for part in parts("a" * 25, 1, 10)] == ["a" * 10, "a" * 10, "a" * 5]


@given(st.text(max_size=300), st.integers(1, 50), st.integers(50, 100))
def test_nothing_is_lost_and_no_part_is_too_long(text: str, wanted: int, most: int) -> None:
    found = parts(text, wanted, most)
    assert "".join(part.text for part in found).split() == text.split() or not text.split()
    assert all(cost(part.text) <= most for part in found)
    assert all(text[part.start : part.start + len(part.text)] == part.text for part in found)
    assert [part.last for part in found] == [False] * (len(found) - 1) + [True] * bool(found)


@pytest.mark.parametrize("text", ["." * 100_000, ". " * 50_000, '."' * 50_000, "\n" * 100_000, "a" * 100_000])
def test_a_hostile_text_is_cut_in_no_time(text: str) -> None:
    assert parts(text, 150, 300) or not text.strip()
