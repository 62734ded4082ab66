"""Texts one after another: in order, told when they are heard, stopped when that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.errors import RateLimited
from antiphon.media.broadcast import ReaderListener
from antiphon.protocol.audio_out import SoundFormat, Speech, Wanted
from antiphon.sessions.conversation import MAX_TEXTS, Conversation
from antiphon.speech.synthesiser import SpeechRequest
from unit.sessions.test_programmes import Studio

SOUND = SoundFormat()


class Talk:
    """A conversation whose listener hears when the test says so."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.told: list[dict[str, Any]] = []
        self.reader = -1
        self.conversation = Conversation(studio.voice, SOUND, self._tell, self.position)
        wanted = Wanted(Speech(""), "say:", SOUND, 0.0, True)
        self.programme = studio.programmes.converse(SOUND, self.conversation, wanted)
        self.reader = studio.tapes.attach(self.programme.tape, 0, ReaderListener())

    def position(self) -> int:
        return 0 if self.reader < 0 else int(self.studio.tapes.reader_stats(self.reader)["position"])

    def say(self, text: str) -> int:
        return self.conversation.say(SpeechRequest(text))

    def kinds(self) -> list[tuple[str, int]]:
        return [(message["type"], message["id"]) for message in self.told]

    async def hear(self, until: tuple[str, int]) -> None:
        """Listen until something is told."""
        async with asyncio.timeout(30):
            while until not in self.kinds():
                self.studio.tapes.play(self.reader, 10)
                await asyncio.sleep(0.001)

    def _tell(self, message: dict[str, Any]) -> None:
        self.told.append(message)


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    studio = Studio(tmp_path)
    made = Talk(studio)
    yield made
    studio.programmes.leave(made.programme)
    await studio.close()


async def test_texts_are_said_in_order_and_each_is_told(talk: Talk) -> None:
    assert (talk.say("one two"), talk.say("three")) == (1, 2)
    await talk.hear(("said", 2))
    assert talk.kinds() == [("saying", 1), ("said", 1), ("saying", 2), ("said", 2)]
    assert talk.studio.voice.words == ["one", "two", "three"]
    # three seconds, and the encoder's look-ahead for each text
    assert talk.position() == talk.programme.end == 3 * 50 + 2


async def test_said_is_told_when_it_was_heard_and_not_when_it_was_made(talk: Talk) -> None:
    talk.say("one")
    await talk.programme.reached(50)
    for _ in range(20):
        await asyncio.sleep(0)
    assert talk.kinds() == [("saying", 1)]


async def test_clear_stops_what_is_said_and_what_waits(talk: Talk) -> None:
    talk.say("one two three four five six seven eight")
    talk.say("nine")
    await talk.programme.reached(100)
    talk.conversation.clear()
    assert [message for message in talk.told if message["type"] == "said"] == [
        {"type": "said", "id": 1, "cleared": True},
        {"type": "said", "id": 2, "cleared": True},
    ]
    talk.studio.tapes.seek(talk.reader)
    talk.programme.on_low()
    talk.say("ten")
    await talk.hear(("said", 3))
    assert "eight" not in talk.studio.voice.words
    assert "nine" not in talk.studio.voice.words
    assert talk.kinds()[-2:] == [("saying", 3), ("said", 3)]


async def test_a_text_that_fails_is_told_and_the_next_is_said(talk: Talk) -> None:
    talk.say("die")
    talk.say("two")
    await talk.hear(("said", 2))
    assert talk.kinds() == [("error", 1), ("saying", 2), ("said", 2)]
    assert talk.told[0]["code"] == "engine_failed"


async def test_what_cannot_be_said_is_told_with_its_number(talk: Talk) -> None:
    talk.conversation.say(SpeechRequest("one", voice="nobody"))
    await talk.hear(("error", 1))
    assert talk.told[0]["field"] == "voice"


async def test_texts_that_wait_are_bounded(talk: Talk) -> None:
    for _ in range(MAX_TEXTS):
        talk.say("one")
    with pytest.raises(RateLimited) as error:
        talk.say("one more")
    assert error.value.retry_after
    talk.conversation.clear()
    assert talk.say("one") == MAX_TEXTS + 1


async def test_a_conversation_is_nobody_elses_and_ends_with_its_listener(talk: Talk) -> None:
    other = Talk(talk.studio)
    assert other.programme is not talk.programme
    talk.studio.programmes.leave(other.programme)
    assert len(talk.studio.programmes) == 1
