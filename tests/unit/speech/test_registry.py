"""Engines are found by name, and languages by tag."""

from __future__ import annotations

import pytest

from antiphon.errors import EngineUnavailable, UnsupportedFormat
from antiphon.speech.engines.pocketsphinx import PocketSphinxRecogniser
from antiphon.speech.recogniser import EngineOptions
from antiphon.speech.registry import create_recogniser, match_language, recogniser_class, recogniser_names
from antiphon.testing import ScriptedRecogniser


def test_the_embedded_engine_is_registered() -> None:
    assert "pocketsphinx" in recogniser_names()
    assert recogniser_class("pocketsphinx") is PocketSphinxRecogniser


def test_an_engine_can_be_named_by_its_class() -> None:
    engine = create_recogniser("antiphon.testing:ScriptedRecogniser", EngineOptions())
    assert isinstance(engine, ScriptedRecogniser)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonesuch", "there is no recogniser 'nonesuch'; installed are: .*pocketsphinx"),
        ("no.such.module:Engine", "cannot be imported"),
        ("antiphon.testing:Nothing", "cannot be imported"),
        ("antiphon.testing:VirtualClock", "is not a Recogniser class"),
    ],
)
def test_what_is_no_engine_is_refused_with_a_reason(name: str, message: str) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        recogniser_class(name)


@pytest.mark.parametrize("tag", ["en-US", "en-us", "EN_us", "en"])
def test_languages_match_whatever_their_case(tag: str) -> None:
    assert match_language(tag, ("de-DE", "en-US")) == "en-US"


@pytest.mark.parametrize("tag", ["xx-XX", "en-GB", "", "e"])
def test_unknown_languages_are_refused_with_the_known_ones(tag: str) -> None:
    with pytest.raises(UnsupportedFormat, match="it knows de-DE, en-US"):
        match_language(tag, ("de-DE", "en-US"))
