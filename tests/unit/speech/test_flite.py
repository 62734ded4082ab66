"""Flite speaks English well enough for another machine to hear it, sentence by sentence."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import psutil
import pytest

from antiphon.errors import EngineFailed, EngineUnavailable
from antiphon.speech.engines.flite import FliteSynthesiser
from antiphon.speech.engines.pocketsphinx import PocketSphinxRecogniser
from antiphon.speech.recogniser import EngineOptions, Hypothesis
from antiphon.speech.synthesiser import SpeechAudio, SpeechRequest, SynthesiserOptions

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@pytest.fixture
async def engine() -> AsyncIterator[FliteSynthesiser]:
    synthesiser = FliteSynthesiser(SynthesiserOptions(max_workers=2))
    await synthesiser.start()
    yield synthesiser
    await synthesiser.close()


async def say(engine: FliteSynthesiser, text: str, voice: str = "rms", rate: float = 1.0) -> list[SpeechAudio]:
    return [piece async for piece in engine.synthesise(SpeechRequest(text, voice=voice, rate=rate))]


def seconds(pieces: list[SpeechAudio]) -> float:
    return sum(len(piece.pcm) for piece in pieces) / 2 / pieces[0].sample_rate


def processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == "flite"]


@needs_flite
async def test_another_machine_hears_every_word(engine: FliteSynthesiser) -> None:
    heard: list[Hypothesis] = []
    recogniser = PocketSphinxRecogniser(EngineOptions(max_decoders=1))
    await recogniser.start()
    try:
        utterance = await recogniser.open("en-US", 16_000).utterance(heard.append)
        for piece in await say(engine, "Go forward ten meters."):
            assert piece.sample_rate == 16_000
            await utterance.push(piece.pcm)
        await utterance.finish()
    finally:
        await recogniser.close()
    assert heard[-1].text == "go forward ten meters"


@needs_flite
async def test_voices_and_rates_differ(engine: FliteSynthesiser) -> None:
    assert [voice.id for voice in engine.capabilities.voices][:2] == ["rms", "slt"]
    normal = await say(engine, "Go forward ten meters.")
    assert seconds(await say(engine, "Go forward ten meters.", rate=2.0)) < 0.7 * seconds(normal)
    assert (await say(engine, "Hello there.", "kal"))[0].sample_rate == 8_000
    energy = np.frombuffer(b"".join(piece.pcm for piece in normal), "<i2").astype(float).std()
    assert energy > 500


@needs_flite
async def test_the_first_sentence_is_heard_before_the_last_is_begun(engine: FliteSynthesiser) -> None:
    async with aclosing(engine.synthesise(SpeechRequest("It was a dark and stormy night. " * 200))) as audio:
        await anext(audio)
        assert engine.statistics()["workers_started_total"] < 10


@needs_flite
async def test_closing_ends_its_process(engine: FliteSynthesiser) -> None:
    audio = engine.synthesise(SpeechRequest("word " * 40 + ". " + "and so on and on " * 10))
    first = asyncio.create_task(anext(audio))
    while not processes():
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.wait([first])
    await audio.aclose()
    assert processes() == []
    assert engine.statistics()["workers_busy"] == 0


@needs_flite
async def test_twenty_texts_share_two_processes(engine: FliteSynthesiser) -> None:
    lengths = {
        seconds(said) for said in await asyncio.gather(*(say(engine, "Go forward. Ten meters.") for _ in range(20)))
    }
    assert len(lengths) == 1


@needs_flite
@pytest.mark.parametrize("text", ["-h --help", "<speak>x</speak>", "你好", "9" * 300, "/etc/passwd", "a" * 3000])
async def test_strange_texts_are_data(engine: FliteSynthesiser, text: str) -> None:
    assert seconds(await say(engine, text)) > 0.1


@needs_flite
async def test_its_text_is_in_no_list_of_processes(engine: FliteSynthesiser) -> None:
    saying = asyncio.create_task(say(engine, "confidential " * 15))
    while not (found := processes()):
        await asyncio.sleep(0.001)
    assert not any("confidential" in argument for argument in found[0].cmdline())
    await saying


@pytest.mark.parametrize(
    ("program", "message"),
    [("exit 3", "exit code 3"), ("cat >/dev/null", "no audio"), ("sleep 60", "said nothing for")],
)
async def test_a_program_that_fails_or_hangs_ends_in_engine_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    fake = tmp_path / "flite"
    fake.write_text(f'#!/bin/sh\nif [ "$1" = -lv ]; then echo "Voices available: rms"; exit 0; fi\n{program}\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    engine = FliteSynthesiser(SynthesiserOptions(worker_timeout=0.3))
    await engine.start()
    with pytest.raises(EngineFailed, match=message):
        await say(engine, "Hello there.")
    assert engine.statistics()["workers_busy"] == 0
    await engine.close()


async def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineUnavailable, match="apt install flite"):
        await FliteSynthesiser(SynthesiserOptions()).start()
