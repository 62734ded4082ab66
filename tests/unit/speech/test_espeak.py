"""The embedded synthesiser speaks many languages, while it is still at work, and survives its processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import psutil
import pytest

from antiphon.errors import EngineFailed, EngineUnavailable
from antiphon.media import Resampler
from antiphon.speech.engines.espeak import EspeakSynthesiser
from antiphon.speech.engines.pocketsphinx import PocketSphinxRecogniser
from antiphon.speech.processes import NICENESS
from antiphon.speech.recogniser import EngineOptions, Hypothesis
from antiphon.speech.synthesiser import SpeechAudio, SpeechRequest, SynthesiserOptions

SENTENCE = "Go forward ten meters. "
STORY = "It was a dark and stormy night, and the rain fell in torrents upon the roofs of the town. "


@pytest.fixture
async def engine() -> AsyncIterator[EspeakSynthesiser]:
    synthesiser = EspeakSynthesiser(SynthesiserOptions(max_workers=2, worker_timeout=5.0))
    await synthesiser.start()
    yield synthesiser
    await synthesiser.close()
    assert workers() == []


def workers() -> list[psutil.Process]:
    """The workers of this process."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "antiphon.speech.engines.espeak.worker" in process.cmdline():
                found.append(process)
    return found


async def say(engine: EspeakSynthesiser, text: str, **how: object) -> list[SpeechAudio]:
    request = SpeechRequest(text, **how)  # type: ignore[arg-type]  # a test's own arguments
    return [piece async for piece in engine.synthesise(request)]


def seconds(pieces: list[SpeechAudio]) -> float:
    return sum(len(piece.pcm) for piece in pieces) / 2 / pieces[0].sample_rate


def samples(pieces: list[SpeechAudio]) -> np.ndarray:
    return np.frombuffer(b"".join(piece.pcm for piece in pieces), "<i2").astype(np.float32)


async def until_idle(engine: EspeakSynthesiser) -> None:
    while engine.statistics()["workers_busy"]:
        await asyncio.sleep(0.005)


async def test_it_speaks_over_a_hundred_languages_as_man_and_woman(engine: EspeakSynthesiser) -> None:
    can = engine.capabilities
    assert can.voices[0].id == can.languages[0] == "en-US"
    assert len({language.partition("-")[0] for language in can.languages}) > 100
    assert {voice.gender for voice in can.voices} == {"male", "female"}
    assert len({voice.id for voice in can.voices}) == len(can.voices)


async def test_speech_is_as_loud_and_as_long_as_speech(engine: EspeakSynthesiser) -> None:
    said = await say(engine, STORY)
    assert 4 < seconds(said) < 8
    assert np.sqrt(np.mean(samples(said) ** 2)) > 1000
    assert (
        seconds(await say(engine, STORY, rate=2.0))
        < 0.7 * seconds(said)
        < seconds(await say(engine, STORY, rate=0.5)) / 2
    )


async def test_languages_and_voices_differ(engine: EspeakSynthesiser) -> None:
    text = "Restaurant, station, 1984"
    said = [samples(await say(engine, text, language=tag)) for tag in ("en-US", "de", "fr", "es", "ja")]
    said.append(samples(await say(engine, text, voice="en-US+f2")))
    assert len({pcm.tobytes() for pcm in said}) == 6


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ru", "Доброе утро"),
        ("ar", "صباح الخير"),
        ("hi", "सुप्रभात"),
        ("el", "Καλημέρα"),
        ("fa", "صبح بخیر"),
        ("zh", "早上好"),
    ],
)
async def test_other_scripts_are_read(engine: EspeakSynthesiser, language: str, text: str) -> None:
    assert 0.3 < seconds(await say(engine, text, language=language)) < 5


async def test_another_machine_hears_words_of_it(engine: EspeakSynthesiser) -> None:
    heard: list[Hypothesis] = []
    recogniser = PocketSphinxRecogniser(EngineOptions(max_decoders=1))
    await recogniser.start()
    try:
        said = await say(engine, "The weather is good tomorrow morning.", rate=0.8)
        down = Resampler(said[0].sample_rate, 16_000)
        pcm = np.concatenate([down.push(samples(said).astype(np.int16)), down.flush_int16()]).tobytes()
        utterance = await recogniser.open("en-US", 16_000).utterance(heard.append)
        await utterance.push(pcm)
        await utterance.finish()
    finally:
        await recogniser.close()
    understood = set(heard[-1].text.split()) & {"the", "weather", "is", "good", "tomorrow", "morning"}
    assert len(understood) >= 4, heard[-1].text


async def test_words_have_marks_at_their_places(engine: EspeakSynthesiser) -> None:
    text = "Grüße aus Köln, 😀 world. " + STORY + "The end."
    pieces = await say(engine, text)
    marks = [mark for piece in pieces for mark in piece.marks]
    words = [text[mark.start : mark.start + mark.length] for mark in marks]
    assert words[0] == "Grüße"
    assert words[-2:] == ["The", "end"]
    assert [mark.at for mark in marks] == sorted(mark.at for mark in marks)
    at = 0.0
    for piece in pieces:
        until = at + len(piece.pcm) / 2 / piece.sample_rate
        assert all(at - 0.1 < mark.at < until + 0.1 for mark in piece.marks)
        at = until


async def test_audio_comes_before_the_text_is_finished(engine: EspeakSynthesiser) -> None:
    async with aclosing(engine.synthesise(SpeechRequest(STORY * 100))) as audio:
        first = await anext(audio)
        assert 0 < len(first.pcm) <= 2 * first.sample_rate // 5
        # the rest is not even begun: nobody has listened
        await until_idle(engine)
        assert engine.statistics()["workers_waiting"] == 0
    assert [len(workers())] == [1]


async def test_closing_in_mid_word_frees_the_worker_for_the_next(engine: EspeakSynthesiser) -> None:
    (worker,) = workers()
    for _ in range(5):
        async with aclosing(engine.synthesise(SpeechRequest(STORY * 3))) as audio:
            await anext(audio)
    await until_idle(engine)
    assert seconds(await say(engine, SENTENCE)) > 1
    assert worker in workers()
    assert engine.statistics()["workers_killed_total"] == 0


async def test_twenty_texts_share_two_workers_and_all_are_said_alike(engine: EspeakSynthesiser) -> None:
    text = STORY * 3
    alone = samples(await say(engine, text))
    together = await asyncio.gather(*(say(engine, text) for _ in range(20)))
    assert engine.statistics()["workers_started_total"] <= 2
    assert all(abs(len(samples(said)) / len(alone) - 1) < 0.01 for said in together)


async def test_twenty_who_do_not_listen_keep_nobody_from_speaking(engine: EspeakSynthesiser) -> None:
    sleepers = [engine.synthesise(SpeechRequest(STORY * 20)) for _ in range(20)]
    for sleeper in sleepers:
        await anext(sleeper)
    assert seconds(await say(engine, SENTENCE)) > 1
    for sleeper in sleepers:
        await sleeper.aclose()


async def test_workers_let_media_go_first(engine: EspeakSynthesiser) -> None:
    await say(engine, "Good morning.")
    assert {process.nice() for process in workers()} == {psutil.Process().nice() + NICENESS}


async def test_a_killed_worker_is_replaced_and_the_text_goes_on_where_it_was(engine: EspeakSynthesiser) -> None:
    text = STORY * 6
    whole = samples(await say(engine, text))
    pieces = []
    async for piece in engine.synthesise(SpeechRequest(text)):
        pieces.append(piece)
        if len(pieces) in (1, 60):
            for worker in workers():
                worker.kill()
    assert abs(len(samples(pieces)) / len(whole) - 1) < 0.01
    assert engine.statistics()["workers_started_total"] >= 2


async def test_a_worker_that_hangs_is_killed_and_replaced() -> None:
    engine = EspeakSynthesiser(SynthesiserOptions(max_workers=1, worker_timeout=0.5))
    await engine.start()
    try:
        (worker,) = workers()
        os.kill(worker.pid, signal.SIGSTOP)
        assert seconds(await say(engine, SENTENCE)) > 1
        assert engine.statistics()["workers_killed_total"] == 1
        assert worker not in workers()
    finally:
        await engine.close()


async def test_workers_that_cannot_be_had_end_in_engine_failed(
    engine: EspeakSynthesiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    for worker in workers():
        worker.kill()
    with pytest.raises(EngineFailed, match="could not be said from character 0 on, in 3 attempts"):
        await say(engine, SENTENCE)
    assert engine.statistics()["workers_busy"] == 0


async def test_a_worker_is_shown_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_API_KEYS", "a-key-of-the-tests-0123456789")
    engine = EspeakSynthesiser(SynthesiserOptions())
    await engine.start()
    try:
        (worker,) = workers()
        assert "ANTIPHON_API_KEYS" not in worker.environ()
        assert "PATH" in worker.environ()
    finally:
        await engine.close()


async def test_a_closed_engine_says_so() -> None:
    engine = EspeakSynthesiser(SynthesiserOptions())
    await engine.start()
    audio = engine.synthesise(SpeechRequest(STORY * 50))
    await anext(audio)
    await engine.close()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        async for _ in audio:
            pass
    assert workers() == []


@pytest.mark.parametrize(
    "text",
    [
        "<speak><audio src='/etc/passwd'/><break time='9999s'/>hello</speak>",
        "[[h@'loU]] &lt; {} %s %n \\x00 ../../etc",
        "😀🧨" * 50,
        "9" * 2000,
        "a" * 5000,
        "." * 5000 + "a",
        "\u0301" * 500 + "a",
        "\u200f\u202eabc\u0600",
        "क्षत्रियाँ " * 50,
    ],
)
async def test_strange_texts_are_read_as_they_stand_and_leave_the_worker_well(
    engine: EspeakSynthesiser, text: str
) -> None:
    async with aclosing(engine.synthesise(SpeechRequest(text))) as audio:
        count = 0
        async for _ in audio:
            count += 1
            if count == 500:
                break
    assert 1 < seconds(await say(engine, SENTENCE)) < 4
    assert engine.statistics()["workers_killed_total"] == 0
