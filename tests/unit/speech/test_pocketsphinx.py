"""The embedded engine hears real speech, and survives its processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from antiphon.errors import EngineFailed, EngineUnavailable
from antiphon.speech.engines.pocketsphinx import PocketSphinxRecogniser
from antiphon.speech.processes import NICENESS
from antiphon.speech.recogniser import EngineOptions, Hypothesis, RecogniserStream, Utterance
from support.audio import speech, transcripts

WORDS = transcripts()


@pytest.fixture
async def engine() -> AsyncIterator[PocketSphinxRecogniser]:
    recogniser = PocketSphinxRecogniser(EngineOptions(max_decoders=2, decoder_timeout=60.0))
    await recogniser.start()
    yield recogniser
    await recogniser.close()
    assert decoders() == []


def parents() -> list[psutil.Process]:
    """What the decoders of this process are forked from; servers that other tests run have theirs further down."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "antiphon.speech.engines.pocketsphinx.worker" in process.cmdline():
                found.append(process)
    return found


def decoders() -> list[psutil.Process]:
    """The decoders of this process."""
    return [process for parent in parents() for process in parent.children()]


async def hear(stream: RecogniserStream, pcm: bytes) -> list[Hypothesis]:
    heard: list[Hypothesis] = []
    utterance = await stream.utterance(heard.append)
    await utterance.push(pcm)
    await utterance.finish()
    return heard


@pytest.mark.parametrize("name", [name for name in WORDS if "two" not in name])
async def test_it_hears_speech_exactly(engine: PocketSphinxRecogniser, name: str) -> None:
    heard = await hear(engine.open("en-US", 16_000), speech(name))
    assert heard[-1].is_final
    assert heard[-1].text == WORDS[name]
    assert [word.word for word in heard[-1].words] == WORDS[name].split()


async def test_words_have_times_and_confidences_in_order(engine: PocketSphinxRecogniser) -> None:
    pcm = speech("go-forward")
    words = (await hear(engine.open("en-US", 16_000), pcm))[-1].words
    assert words[0].start > 0
    assert words[-1].end < len(pcm) / 32_000
    for word, following in itertools.pairwise(words):
        assert word.start < word.end <= following.start
    assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in words)


async def test_partials_come_every_tenth_of_a_second_once_there_is_something(engine: PocketSphinxRecogniser) -> None:
    partials = (await hear(engine.open("en-US", 16_000), speech("quick-brown-fox")))[:-1]
    steps = [after.end - before.end for before, after in itertools.pairwise(partials)]
    assert len(partials) > 10
    assert max(steps) <= 0.3


async def test_the_speaker_is_known_from_the_second_utterance_on(engine: PocketSphinxRecogniser) -> None:
    stream = engine.open("en-US", 16_000)
    for name in ("quick-brown-fox", "go-forward", "tomorrow-morning"):
        assert (await hear(stream, speech(name)))[-1].text == WORDS[f"{name}.wav"]


async def test_a_final_prepared_in_a_pause_is_the_one_without(engine: PocketSphinxRecogniser) -> None:
    pcm = speech("go-forward")
    plain = (await hear(engine.open("en-US", 16_000), pcm))[-1]
    heard: list[Hypothesis] = []
    utterance = await engine.open("en-US", 16_000).utterance(heard.append)
    await utterance.push(pcm)
    await utterance.pause()
    await utterance.finish()
    assert heard[-1].is_final
    assert [(word.word, word.start, word.end) for word in heard[-1].words] == [
        (word.word, word.start, word.end) for word in plain.words
    ]


async def test_speech_that_goes_on_after_a_pause_is_heard_whole(engine: PocketSphinxRecogniser) -> None:
    pcm = speech("quick-brown-fox")
    heard: list[Hypothesis] = []
    stream = engine.open("en-US", 16_000)
    utterance = await stream.utterance(heard.append)
    for offset in range(0, len(pcm), 16_000):
        await utterance.push(pcm[offset : offset + 16_000])
        await utterance.pause()
    await utterance.finish()
    assert heard[-1].text == WORDS["quick-brown-fox.wav"]
    assert (await hear(stream, speech("go-forward")))[-1].text == "go forward ten meters"
    (decoder,) = decoders()
    assert decoder.children() == [], "what prepared a final is gone"


async def test_nothing_is_heard_in_silence(engine: PocketSphinxRecogniser) -> None:
    heard = await hear(engine.open("en-US", 16_000), bytes(32_000))
    assert [hypothesis.text for hypothesis in heard if hypothesis.is_final] == [""]


async def test_decoders_are_started_on_demand_and_shared(engine: PocketSphinxRecogniser) -> None:
    assert decoders() == []
    streams = [engine.open("en-US", 16_000) for _ in range(4)]
    results = await asyncio.gather(*(hear(stream, speech("go-forward")) for stream in streams))
    assert [heard[-1].text for heard in results] == ["go forward ten meters"] * 4
    assert engine.statistics()["decoders_started_total"] == 2


async def begin(engine: PocketSphinxRecogniser) -> tuple[Utterance, psutil.Process]:
    utterance = await engine.open("en-US", 16_000).utterance(lambda _: None)
    await utterance.push(speech("go-forward")[:32_000])
    (process,) = decoders()
    return utterance, process


async def test_decoders_let_media_go_first(engine: PocketSphinxRecogniser) -> None:
    await hear(engine.open("en-US", 16_000), speech("go-forward"))
    assert {process.nice() for process in decoders()} == {psutil.Process().nice() + NICENESS}


async def test_a_killed_decoder_fails_its_utterance_and_the_next_one_works(engine: PocketSphinxRecogniser) -> None:
    utterance, process = await begin(engine)
    process.kill()
    with pytest.raises(EngineFailed, match="ended unexpectedly"):
        await utterance.finish()
    await utterance.abort()
    assert (await hear(engine.open("en-US", 16_000), speech("go-forward")))[-1].text == "go forward ten meters"


async def test_a_decoder_that_hangs_is_noticed_and_killed() -> None:
    engine = PocketSphinxRecogniser(EngineOptions(max_decoders=1, decoder_timeout=0.2))
    await engine.start()
    try:
        utterance, process = await begin(engine)
        process.suspend()
        with pytest.raises(EngineFailed, match="no progress"):
            await utterance.finish()
        await utterance.abort()
        await asyncio.to_thread(psutil.wait_procs, [process], 5)
        assert not process.is_running()
        assert engine.statistics()["decoders_killed_total"] == 1
        await asyncio.wait_for((await engine.open("en-US", 16_000).utterance(lambda _: None)).abort(), 10)
    finally:
        await engine.close()


async def test_the_parent_of_the_decoders_is_replaced(engine: PocketSphinxRecogniser) -> None:
    (parent,) = parents()
    os.kill(parent.pid, signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, [parent], 5)
    assert (await hear(engine.open("en-US", 16_000), speech("go-forward")))[-1].text == "go forward ten meters"


async def test_waiting_for_a_decoder_can_be_given_up(engine: PocketSphinxRecogniser) -> None:
    held = [await engine.open("en-US", 16_000).utterance(lambda _: None) for _ in range(2)]
    waiting = asyncio.create_task(engine.open("en-US", 16_000).utterance(lambda _: None))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    for utterance in held:
        await utterance.abort()
    assert (await hear(engine.open("en-US", 16_000), speech("go-forward")))[-1].text == "go forward ten meters"


async def test_a_start_that_is_given_up_leaves_the_pool_in_order(engine: PocketSphinxRecogniser) -> None:
    for _ in range(3):
        starting = asyncio.create_task(engine.open("en-US", 16_000).utterance(lambda _: None))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
    results = await asyncio.gather(
        *(hear(engine.open("en-US", 16_000), speech("go-forward")) for _ in range(3)),
    )
    assert {heard[-1].text for heard in results} == {"go forward ten meters"}
    assert len(decoders()) <= 2


async def test_a_closed_engine_says_so() -> None:
    engine = PocketSphinxRecogniser(EngineOptions())
    await engine.start()
    await engine.close()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        await engine.open("en-US", 16_000).utterance(lambda _: None)
