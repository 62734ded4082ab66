"""Audio becomes transcripts, in order and once, whatever the engine does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from antiphon.errors import EngineFailed, EngineUnavailable
from antiphon.events import Event, Failed, Speaking, Transcript
from antiphon.speech.recogniser import EngineOptions, RecogniserStream, Sink, Utterance
from antiphon.speech.transcriber import Transcriber, TranscriberOptions
from antiphon.testing import ScriptedRecogniser
from support.audio import speech

RATE = 16_000
TWO = speech("two-utterances")
QUICK = TranscriberOptions(retry_delay=0.001)


class Log(list[Event]):
    def finals(self) -> list[Transcript]:
        return [event for event in self if isinstance(event, Transcript) and not event.is_partial]

    def partials(self) -> list[Transcript]:
        return [event for event in self if isinstance(event, Transcript) and event.is_partial]


async def transcribe(
    engine: ScriptedRecogniser, pcm: bytes, options: TranscriberOptions = QUICK, step: int = 3200
) -> Log:
    log = Log()
    transcriber = Transcriber("p", engine, "en-US", RATE, log.append, options)
    for offset in range(0, len(pcm), step):
        transcriber.push(pcm[offset : offset + step])
        await asyncio.sleep(0)
    await transcriber.finish()
    return log


async def test_each_utterance_gets_one_final_with_times_of_the_stream() -> None:
    log = await transcribe(ScriptedRecogniser(endpointing=False), TWO)
    first, second = log.finals()
    assert (first.text, second.text) == ("one two three", "four five six")
    assert first.end <= second.start
    assert [word.word for word in second.words] == ["four", "five", "six"]
    assert second.start == second.words[0].start
    assert second.end == second.words[-1].end <= len(TWO) / 2 / RATE + 1e-6
    assert (first.result_id, second.result_id) == ("p-1", "p-2")


async def test_partials_come_before_their_final_and_share_its_id() -> None:
    log = await transcribe(ScriptedRecogniser(endpointing=False, seconds=1.5), TWO)
    seen: list[str] = []
    for event in log:
        if isinstance(event, Transcript):
            if event.is_partial:
                assert event.result_id not in seen, "a partial after its final"
            else:
                seen.append(event.result_id)
    assert {partial.result_id for partial in log.partials()} == set(seen)


async def test_without_interim_results_only_finals_come() -> None:
    log = await transcribe(ScriptedRecogniser(endpointing=False), TWO, replace(QUICK, interim_results=False))
    assert log.partials() == []
    assert len(log.finals()) == 2


async def test_silence_opens_no_decoder() -> None:
    engine = ScriptedRecogniser(endpointing=False)
    assert await transcribe(engine, bytes(2 * RATE * 10)) == []
    assert engine.utterances == 0


async def test_a_decoder_that_dies_is_replaced_and_hears_everything_again() -> None:
    engine = ScriptedRecogniser(endpointing=False, seconds=1.5, failures=2)
    log = await transcribe(engine, TWO)
    assert [final.text for final in log.finals()] == ["one two three", "four five six"]
    assert not any(isinstance(event, Failed) for event in log)
    assert engine.utterances == 4
    ends = [partial.end for partial in log.partials() if partial.result_id == "p-1"]
    assert ends == sorted(set(ends)), "what was shown once is not shown again"


async def test_an_utterance_that_kills_every_decoder_is_given_up_and_the_next_is_heard() -> None:
    engine = ScriptedRecogniser(endpointing=False, seconds=1.5, failures=3)
    log = await transcribe(engine, TWO)
    (failure,) = [event for event in log if isinstance(event, Failed)]
    assert failure.error["code"] == "engine_failed"
    assert failure.error["retryable"] is True
    assert "could not be transcribed" in failure.error["message"]
    assert len(log.finals()) == 1


async def test_an_engine_that_finds_ends_itself_hears_silence_too_and_goes_on_after_a_failure() -> None:
    engine = ScriptedRecogniser(seconds=1.0, failures=1)
    log = await transcribe(engine, bytes(2 * RATE * 3))
    assert [final.text for final in log.finals()] == ["one two three", "four five six", "seven eight nine"]
    assert [final.end for final in log.finals()] == [1.0, 2.0, 3.0]
    assert not any(isinstance(event, Speaking) for event in log)


async def test_a_gap_keeps_the_times_right() -> None:
    engine = ScriptedRecogniser(endpointing=False)
    log = Log()
    transcriber = Transcriber("p", engine, "en-US", RATE, log.append, QUICK)
    transcriber.push(speech("go-forward"))
    transcriber.skip(10 * RATE)
    transcriber.push(speech("go-forward"))
    await transcriber.finish()
    first, second = log.finals()
    length = len(speech("go-forward")) / 2 / RATE
    assert second.start - first.start == pytest.approx(length + 10, abs=0.05)
    assert transcriber.position == pytest.approx(2 * length + 10, abs=0.001)


class _Stuck(ScriptedRecogniser):
    """A double whose decoders take no audio until they are let."""

    def __init__(self) -> None:
        super().__init__(endpointing=False)
        self.gate = asyncio.Event()

    def open(self, language: str, sample_rate: int) -> RecogniserStream:
        return _StuckStream(super().open(language, sample_rate), self)


class _StuckStream(RecogniserStream):
    def __init__(self, inner: RecogniserStream, engine: _Stuck) -> None:
        self.inner = inner
        self.engine = engine

    async def utterance(self, sink: Sink) -> Utterance:
        await self.engine.gate.wait()
        return await self.inner.utterance(sink)


async def test_the_backlog_counts_speech_that_waits_and_readiness_waits_for_it() -> None:
    engine = _Stuck()
    log = Log()
    transcriber = Transcriber("p", engine, "en-US", RATE, log.append, QUICK)
    transcriber.push(TWO)
    assert transcriber.backlog > 1.0
    ready = asyncio.create_task(transcriber.ready(0.5))
    done, _ = await asyncio.wait([ready], timeout=0.05)
    assert not done
    engine.gate.set()
    async with asyncio.timeout(5):
        await ready
        await transcriber.finish()
    assert transcriber.backlog == 0
    assert len(log.finals()) == 2


async def test_closing_in_mid_utterance_lets_go_of_everything() -> None:
    engine = _Stuck()
    log = Log()
    transcriber = Transcriber("p", engine, "en-US", RATE, log.append, QUICK)
    transcriber.push(TWO)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await transcriber.close()
    assert transcriber.backlog == 0
    assert log.finals() == []


class _Closed(ScriptedRecogniser):
    def open(self, language: str, sample_rate: int) -> RecogniserStream:
        class Stream(RecogniserStream):
            async def utterance(self, sink: Sink) -> Utterance:
                raise EngineUnavailable("the recogniser is shutting down")

        return Stream()


async def test_an_engine_that_is_gone_is_told_at_once() -> None:
    log = await transcribe(_Closed(endpointing=False), TWO)
    codes = [event.error["code"] for event in log if isinstance(event, Failed)]
    assert codes == ["engine_unavailable"] * 2


async def test_an_utterance_that_begins_as_the_last_decoding_ends_is_heard() -> None:
    audio = TWO
    middle = len(audio) // 2 & ~1
    loop = asyncio.get_running_loop()
    heard: list[Transcript] = []
    second = asyncio.Event()

    def speak_again() -> None:
        transcriber.push(audio[middle:])
        second.set()

    def emit(event: Event) -> None:
        if isinstance(event, Transcript) and not event.is_partial:
            heard.append(event)
            if len(heard) == 1:
                # runs once the decoding is over, and before anybody is told that it is
                loop.call_soon(speak_again)

    transcriber = Transcriber("p", ScriptedRecogniser(endpointing=False), "en-US", RATE, emit)
    transcriber.push(audio[:middle])
    await asyncio.wait_for(second.wait(), 10)
    await transcriber.finish()
    assert len(heard) == 2


async def test_a_speaker_who_stalls_in_mid_word_does_not_keep_a_decoder() -> None:
    engine = ScriptedRecogniser(endpointing=False, seconds=1.5)
    log = Log()
    transcriber = Transcriber("p", engine, "en-US", RATE, log.append, replace(QUICK, stall_timeout=0.01))
    middle = 2 * (RATE * 12 // 10)
    transcriber.push(TWO[:middle])
    async with asyncio.timeout(5):
        while not log.partials():
            await asyncio.sleep(0)
    task = transcriber._task
    assert task is not None
    await asyncio.wait([task], timeout=0.1)
    assert engine.utterances == 1
    transcriber.push(TWO[middle:])
    await transcriber.finish()
    assert [final.text for final in log.finals()] == ["one two three", "four five six"]
    assert engine.utterances == 3, "the first utterance went on with another decoder"


def test_scripted_recogniser_is_made_from_options() -> None:
    engine = ScriptedRecogniser.create(EngineOptions(extra={"script": ["hello"], "seconds": 1.0}))
    assert engine.script == ("hello",)


async def test_the_scripted_failure_says_so() -> None:
    engine = ScriptedRecogniser(failures=1, seconds=0.1)
    utterance = await engine.open("en-US", RATE).utterance(lambda _: None)
    with pytest.raises(EngineFailed, match="script"):
        await utterance.push(bytes(RATE))
