"""Where a text may be cut, so that a synthesiser gets it in parts. Sans-IO."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

SENTENCE_END = re.compile(
    r"""
    (?<![.!?…։؟۔।॥]) [.!?…։؟۔।॥]++ ["'”’»)\]]*+ (?=\s)    # needs a space after it, for there is 3.5 and example.org
    | [。！？｡]++ [」』）]*+    # needs none
    | \n \s* \n    # a paragraph
    """,
    re.VERBOSE,
)
ABBREVIATION = re.compile(r"(?:^|[\s(])(?:[A-Z][a-z]{0,2}|(?:[A-Za-z]\.)+[A-Za-z])\.$")
"""Dr. Mrs. J. e.g.: what looks like one is not cut after, which at worst leaves two sentences together."""

CLAUSE_END = re.compile(r"[,;:—–、，；：]\s*|\s+")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a text.

    Attributes:
        start: Its first character in the text, counted from 0.
        text: Not empty, and more than spaces.
        last: Nothing to be said follows it.
    """

    start: int
    text: str
    last: bool


def parts(text: str, wanted: int, most: int) -> list[Part]:
    """Cut a text between sentences; a sentence that is too long between clauses, or else between words.

    Args:
        text: What is to be said.
        wanted: Sentences are joined until a part costs this much; 1 keeps each apart.
        most: No part costs more. Costs are those of :func:`cost`.
    """
    cuts = [0]
    for end in _ends(text):
        if cost(text[cuts[-1] : end]) >= wanted or end == len(text):
            cuts.extend(_within(text, cuts[-1], end, most))
    found = [(start, text[start:end]) for start, end in pairwise(cuts)]
    said = [(start, piece) for start, piece in found if piece.strip()]
    return [Part(start, piece, last=index == len(said) - 1) for index, (start, piece) in enumerate(said)]


def cost(text: str) -> int:
    """About how long it takes to say, in letters of an alphabet; ten or fifteen of those are a second.

    A digit is said as a word or two, a Chinese character is a syllable, and a symbol may have a name of many words.
    """
    return sum(map(_cost, text))


def _cost(character: str) -> int:
    if character.isspace() or (character.isascii() and (character.isalpha() or character in ",.;:!?'\"-()")):
        return 1
    if character.isnumeric():
        return 8
    if character.isalpha():
        return 4 if character >= "\u2e80" else 1
    return 16


def _ends(text: str) -> Iterator[int]:
    for match in SENTENCE_END.finditer(text):
        before = text[max(0, match.end() - 12) : match.end()]
        if not ABBREVIATION.search(before):
            yield match.end()
    yield len(text)


def _within(text: str, start: int, end: int, most: int) -> Iterator[int]:
    """Where to cut from `start` on, up to and with `end`."""
    spent, place = 0, start
    for index in range(start, end):
        spent += _cost(text[index])
        while spent > most and index > place:
            ends = [match.end() for match in CLAUSE_END.finditer(text, place, index)]
            place = ends[-1] if ends else index
            yield place
            spent = cost(text[place : index + 1])
    yield end
