"""Subtitles: cues that can be read, in order, with every word."""

from __future__ import annotations

import io
import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.formats import (
    CUE_CHARACTERS,
    CUE_SECONDS,
    LINE_CHARACTERS,
    WRITERS,
    Format,
    cues,
    timestamp,
)
from antiphon.events import Transcript, Word

spoken = st.lists(
    st.tuples(st.text("abcdefgh'", min_size=1, max_size=12), st.floats(0, 2), st.floats(0.05, 1.5)), max_size=80
)


def transcript(words: list[tuple[str, float, float]]) -> Transcript:
    timed = []
    at = 0.0
    for text, pause, length in words:
        timed.append(Word(text, round(at + pause, 3), round(at + pause + length, 3)))
        at += pause + length
    return Transcript("p", "p-1", " ".join(word.word for word in timed), False, 0.0, at, "en-US", tuple(timed))


def written(style: Format, *finals: Transcript) -> str:
    target = io.StringIO()
    writer = WRITERS[style](target)
    writer.begin()
    for final in finals:
        writer.utterance(final)
    writer.end(12.5)
    return target.getvalue()


@given(spoken)
def test_cues_hold_every_word_once_and_are_short(words: list[tuple[str, float, float]]) -> None:
    final = transcript(words)
    made = list(cues(final))
    assert " ".join(cue.text for cue in made) == final.text
    for cue in made:
        assert len(cue.text) <= CUE_CHARACTERS
        assert cue.end - cue.start <= CUE_SECONDS + 1e-6 or " " not in cue.text
    for one, two in itertools.pairwise(made):
        assert one.end <= two.start + 1e-6


@given(spoken)
def test_lines_of_subtitles_are_not_too_wide(words: list[tuple[str, float, float]]) -> None:
    for line in written(Format.SRT, transcript(words)).splitlines():
        assert len(line) <= LINE_CHARACTERS


def test_an_utterance_without_word_times_is_one_cue() -> None:
    final = Transcript("p", "p-1", "so it is", False, 1.0, 2.5, "en-US")
    assert written(Format.SRT, final) == "1\n00:00:01,000 --> 00:00:02,500\nso it is\n\n"


def test_cues_are_numbered_over_all_utterances() -> None:
    final = Transcript("p", "p-1", "so", False, 1.0, 2.5, "en-US")
    assert re.findall(r"^\d+$", written(Format.SRT, final, final, final), re.MULTILINE) == ["1", "2", "3"]


def test_markup_is_escaped_in_webvtt() -> None:
    final = Transcript("p", "p-1", "a < b & c --> d", False, 0.0, 1.0, "en-US")
    assert written(Format.VTT, final) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na &lt; b &amp; c --&gt; d\n\n"


def test_json_is_one_object_with_all_that_is_known() -> None:
    final = Transcript("p", "p-1", "hé", False, 0.0, 1.0, "fr-FR", (Word("hé", 0.1, 0.9, 0.5),))
    assert json.loads(written(Format.JSON, final, final)) == {
        "text": "hé hé",
        "duration": 12.5,
        "results": [
            {
                "text": "hé",
                "start": 0.0,
                "end": 1.0,
                "language": "fr-FR",
                "words": [{"word": "hé", "start": 0.1, "end": 0.9, "confidence": 0.5}],
            }
        ]
        * 2,
    }


def test_nothing_said_is_nothing_but_the_frame() -> None:
    assert written(Format.TEXT) == written(Format.SRT) == ""
    assert written(Format.VTT) == "WEBVTT\n\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3_599.9994, "00:59:59.999"), (360_000, "100:00:00.000")],
)
def test_times_carry_over(seconds: float, shown: str) -> None:
    assert timestamp(seconds, ".") == shown
