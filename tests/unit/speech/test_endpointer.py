"""Utterances are cut where people pause, and no speech falls between them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.speech.endpointer import Endpointer, EndpointerOptions, SpeechAudio, SpeechEnd, SpeechEvent, SpeechStart
from support.audio import speech

RATE = 16_000
TWO = speech("two-utterances")


def cut(pcm: bytes, pieces: list[int], options: EndpointerOptions | None = None) -> list[SpeechEvent]:
    endpointer = Endpointer(RATE, options)
    events: list[SpeechEvent] = []
    position = 0
    for samples in pieces:
        events += endpointer.push(pcm[position : position + 2 * samples])
        position += 2 * samples
    events += endpointer.push(pcm[position:])
    return events + endpointer.flush()


def boundaries(events: list[SpeechEvent]) -> list[tuple[str, int]]:
    return [(type(event).__name__, event.at) for event in events if isinstance(event, SpeechStart | SpeechEnd)]


def utterances(events: list[SpeechEvent]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for event in events:
        if isinstance(event, SpeechStart):
            found.append((event.at, b""))
        elif isinstance(event, SpeechAudio):
            found[-1] = (found[-1][0], found[-1][1] + event.pcm)
    return found


def test_a_pause_between_two_sentences_makes_two_utterances() -> None:
    marks = boundaries(cut(TWO, []))
    assert [name for name, _ in marks] == ["SpeechStart", "SpeechEnd"] * 2
    (_, first_start), (_, first_end), (_, second_start), (_, second_end) = marks
    assert 0 < first_start < first_end < second_start < second_end <= len(TWO) // 2
    assert second_start - first_end > 0.3 * RATE, "the silence between them belongs to neither"


def test_silence_and_digital_zero_are_not_speech() -> None:
    assert cut(bytes(2 * RATE * 5), []) == []


def test_an_utterance_is_the_audio_of_its_place_in_the_stream() -> None:
    for start, audio in utterances(cut(TWO, [])):
        assert TWO[2 * start : 2 * start + len(audio)] == audio


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9_000), max_size=60))
def test_how_the_stream_is_cut_into_messages_does_not_matter(pieces: list[int]) -> None:
    whole, parts = cut(TWO, []), cut(TWO, pieces)
    assert boundaries(parts) == boundaries(whole)
    assert utterances(parts) == utterances(whole)


def test_speech_without_a_pause_is_cut_at_the_longest_utterance_and_loses_nothing() -> None:
    pcm = speech("quick-brown-fox")
    voiced = pcm[2 * RATE * 6 // 10 : 2 * RATE * 26 // 10]
    options = EndpointerOptions(max_utterance_s=1.0)
    found = utterances(cut(voiced * 3, [], options))
    assert len(found) >= 5
    for (start, audio), (following, _) in itertools.pairwise(found):
        assert following <= start + len(audio) // 2 + 0.1 * RATE, "the next begins where this one was cut"


def test_a_pause_is_told_before_the_end_and_again_after_more_speech() -> None:
    names = [type(event).__name__ for event in cut(TWO, []) if not isinstance(event, SpeechAudio)]
    assert names == ["SpeechStart", "SpeechPause", "SpeechEnd"] * 2
    short = speech("go-forward")
    sentence = short[2 * RATE * 4 // 10 : -2 * RATE]
    hesitating = [
        type(event).__name__
        for event in cut(sentence + bytes(2 * RATE * 45 // 100) + sentence + bytes(2 * RATE), [])
        if not isinstance(event, SpeechAudio)
    ]
    assert hesitating == ["SpeechStart", "SpeechPause", "SpeechPause", "SpeechEnd"]


def test_a_gap_ends_the_utterance_and_moves_the_position() -> None:
    endpointer = Endpointer(RATE)
    half = TWO[: 2 * RATE]
    events = endpointer.push(half)
    assert any(isinstance(event, SpeechStart) for event in events)
    ended = endpointer.skip(3 * RATE)
    assert isinstance(ended[-1], SpeechEnd)
    assert not endpointer.speaking
    assert endpointer.samples == 4 * RATE


@pytest.mark.parametrize("rate", [8_000, 16_000, 32_000, 48_000])
def test_every_rate_of_the_detector_works(rate: int) -> None:
    endpointer = Endpointer(rate)
    assert endpointer.push(bytes(rate)) == []
    assert endpointer.samples == rate // 2
