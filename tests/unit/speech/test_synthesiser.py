"""What a synthesiser may be asked, whichever it is."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError, BadMessage, TooLarge, UnsupportedFormat
from antiphon.speech.synthesiser import (
    MAX_CHUNK_MS,
    Speech,
    SpeechAudio,
    SpeechRequest,
    Synthesiser,
    SynthesiserCapabilities,
    SynthesiserOptions,
    Voice,
    WordMark,
    match_voice,
    prepare,
)
from antiphon.testing import ScriptedSynthesiser

VOICES = (
    Voice("en-US", "English (America)", "en-US", "male"),
    Voice("en-GB", "English (Britain)", "en-GB", "male"),
    Voice("de", "German", "de", "male"),
    Voice("de+f2", "German, female", "de", "female"),
    Voice("pt", "Portuguese", "pt"),
    Voice("pt-BR", "Portuguese (Brazil)", "pt-BR"),
)
CAN = SynthesiserCapabilities(VOICES, (16_000,), streaming=True, word_marks=True, max_text=1000)


@pytest.mark.parametrize(
    ("voice", "language", "found"),
    [
        ("", "", "en-US"),
        ("", "en", "en-US"),
        ("", "EN_gb", "en-GB"),
        ("", "en-AU", "en-US"),
        ("", "de-LI", "de"),
        ("", "pt-br", "pt-BR"),
        ("", "pt-PT", "pt"),
        ("DE+F2", "", "de+f2"),
        ("german", "de-DE", "de"),
        ("de", "de-AT", "de"),
    ],
)
def test_a_voice_is_found_by_its_id_its_name_or_a_language(voice: str, language: str, found: str) -> None:
    assert match_voice(voice, language, VOICES).id == found


@pytest.mark.parametrize(
    ("request_", "error", "field", "message"),
    [
        (SpeechRequest(""), BadMessage, "text", "nothing to say"),
        (SpeechRequest(" \n\t "), BadMessage, "text", "nothing to say"),
        (SpeechRequest("\0\x01"), BadMessage, "text", "nothing to say"),
        (SpeechRequest("a\ud800b"), BadMessage, "text", "character 1 .* surrogate"),
        (SpeechRequest("a" * 1001), TooLarge, "text", "1001 characters .* takes 1000"),
        (SpeechRequest("a", voice="nobody"), BadMessage, "voice", "no voice 'nobody'.* de\\+f2"),
        (SpeechRequest("a", voice="de", language="en"), BadMessage, "voice", "'de' speaks de and not 'en'"),
        (SpeechRequest("a", language="xx"), UnsupportedFormat, "language", "speaks 'xx'; it speaks en-US, en-GB, de"),
        (SpeechRequest("a", rate=0.1), BadMessage, "rate", "0.5 to 2 times"),
        (SpeechRequest("a", rate=math.nan), BadMessage, "rate", "out of range"),
        (SpeechRequest("a", rate=math.inf), BadMessage, "rate", "out of range"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_field_at_fault(
    request_: SpeechRequest, error: type[AntiphonError], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as refused:
        prepare(request_, CAN)
    assert refused.value.field == field


def test_control_characters_become_spaces_so_that_places_in_the_text_stay() -> None:
    assert prepare(SpeechRequest("a\0b\x01+10Sc\r\nd\u202ee\tf"), CAN).text == "a b +10Sc \nd e\tf"


@given(st.text(alphabet=st.characters(), max_size=200), st.text(max_size=20), st.text(max_size=20), st.floats())
def test_any_request_gives_a_speech_or_the_documented_error(text: str, voice: str, language: str, rate: float) -> None:
    try:
        speech = prepare(SpeechRequest(text, language, voice, rate), CAN)
    except (BadMessage, UnsupportedFormat, TooLarge) as error:
        assert error.field in ("text", "voice", "language", "rate")
    else:
        assert len(speech.text) == len(text)
        assert speech.text.strip()
        assert speech.voice in VOICES


class Blurting(Synthesiser):
    """Gives all its audio at once."""

    name = "blurting"
    description = "gives a second of audio in one piece"
    capabilities = CAN

    @classmethod
    def create(cls, options: SynthesiserOptions) -> Blurting:
        return cls()

    async def speak(self, speech: Speech) -> AsyncGenerator[SpeechAudio, None]:
        pcm = b"".join(index.to_bytes(2, "little") for index in range(16_000))
        yield SpeechAudio(pcm, 16_000, (WordMark(0, 1, 0.0), WordMark(2, 1, 0.5), WordMark(4, 1, 0.999)))
        yield SpeechAudio(b"\1\0", 16_000, (WordMark(6, 1, 1.0),))


async def test_audio_comes_in_small_pieces_with_its_marks_where_words_begin() -> None:
    pieces = [piece async for piece in Blurting().synthesise(SpeechRequest("a b c d"))]
    assert all(len(piece.pcm) <= 2 * 16_000 * MAX_CHUNK_MS // 1000 for piece in pieces)
    assert b"".join(piece.pcm for piece in pieces)[:6] == b"\0\0\1\0\2\0"
    assert [len(piece.marks) for piece in pieces] == [1, 0, 1, 0, 1, 1]


async def test_the_scripted_synthesiser_says_the_same_each_time_and_counts_who_stopped() -> None:
    engine = ScriptedSynthesiser()
    request = SpeechRequest("one four")
    first = [piece async for piece in engine.synthesise(request)]
    assert first == [piece async for piece in engine.synthesise(request)]
    assert [mark.start for piece in first for mark in piece.marks] == [0, 4]
    async with aclosing(engine.synthesise(request)) as audio:
        await anext(audio)
    assert (engine.stopped, engine.texts) == (1, ["one four"] * 3)
