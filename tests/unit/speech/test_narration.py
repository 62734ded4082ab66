"""A text goes on when its worker does not, and its worker does not wait for who listens slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from antiphon.errors import EngineFailed
from antiphon.speech.narration import Attempts, narrate
from antiphon.speech.sentences import Part, parts
from antiphon.speech.synthesiser import SpeechAudio, WordMark

RATE = 1000
QUICK = Attempts(most=3, retry_delay=0.001)


class Reader:
    """Says each letter as so many samples of its code; dies where it is told to.

    Args:
        samples: For each letter.
        deaths: How many letters each attempt may say before its worker dies; the attempts after these live.
    """

    def __init__(self, samples: int = 10, deaths: tuple[int, ...] = ()) -> None:
        self.samples = samples
        self.deaths = list(deaths)
        self.busy = 0
        self.begun: list[int] = []

    async def say(self, part: Part) -> AsyncGenerator[SpeechAudio, None]:
        left = self.deaths.pop(0) if self.deaths else 1_000_000
        self.busy += 1
        self.begun.append(part.start)
        try:
            for index, letter in enumerate(part.text):
                if not left:
                    raise EngineFailed("it died")
                left -= 1
                mark = WordMark(index, 1, index * self.samples / RATE)
                yield SpeechAudio(ord(letter).to_bytes(2, "little") * self.samples, RATE, (mark,))
                await asyncio.sleep(0)
        finally:
            self.busy -= 1


def heard(pieces: list[SpeechAudio]) -> str:
    pcm = b"".join(piece.pcm for piece in pieces)
    return "".join(chr(int.from_bytes(pcm[at : at + 2], "little")) for at in range(0, len(pcm), 2))


@pytest.mark.parametrize("deaths", [(), (0,), (3,), (3, 3), (1, 4), (4, 1)])
async def test_each_sample_and_mark_comes_once_however_often_workers_die(deaths: tuple[int, ...]) -> None:
    text = "abcde. fghij."
    reader = Reader(deaths=deaths)
    pieces = [piece async for piece in narrate(parts(text, 1, 100), reader.say, QUICK)]
    assert heard(pieces) == "".join(letter * 10 for letter in text)
    marks = [mark for piece in pieces for mark in piece.marks]
    assert [(mark.start, mark.at) for mark in marks] == [(index, round(index * 0.01, 3)) for index in range(len(text))]


async def test_a_part_that_cannot_be_said_ends_the_text_after_what_could() -> None:
    reader = Reader(deaths=(100, 2, 2, 2))
    audio = narrate(parts("abcde. fghij.", 1, 100), reader.say, QUICK)
    pieces = [await anext(audio) for _ in range(8)]
    with pytest.raises(EngineFailed, match="from character 6 on, in 3 attempts: it died"):
        await anext(audio)
    assert heard(pieces) == "".join(letter * 10 for letter in "abcde. f")


async def test_who_does_not_listen_holds_no_worker_and_gets_little_ahead() -> None:
    reader = Reader(samples=600)
    async with aclosing(narrate(parts("abcde. fghij. klmno.", 1, 100), reader.say)) as audio:
        await anext(audio)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (reader.busy, reader.begun) == (0, [0])
        rest = [piece async for piece in audio]
    assert reader.begun == [0, 6, 13]
    assert len(rest) == 19


async def test_closing_stops_the_worker() -> None:
    reader = Reader()
    audio = narrate(parts("a" * 1000, 1, 2000), reader.say)
    await anext(audio)
    assert reader.busy == 1
    await audio.aclose()
    assert reader.busy == 0
