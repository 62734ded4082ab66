"""Programmes: encoded once for all, ahead of the furthest, kept for a while, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from antiphon.errors import AntiphonError, BadAudio, BadMessage, EngineFailed, EngineUnavailable, NotFound, SessionLimit
from antiphon.media.broadcast import ReaderListener
from antiphon.protocol.audio_out import File, RoomSound, SoundFormat, Source, Speech, Wanted
from antiphon.sessions.media_folder import MediaFolder
from antiphon.sessions.programmes import AHEAD_MS, Programme, ProgrammeOptions, Programmes
from antiphon.speech.synthesiser import Speech as ToSay
from antiphon.speech.synthesiser import (
    SpeechAudio,
    Synthesiser,
    SynthesiserCapabilities,
    SynthesiserOptions,
    Voice,
)
from antiphon.testing.broadcast import ManualBroadcaster
from support.audio import sine, wav
from unit.sessions.house import House

AHEAD = AHEAD_MS // 20


class Humming(Synthesiser):
    """A double: a second for each word, which it hums."""

    name = "humming"
    description = "A double"
    capabilities = SynthesiserCapabilities((Voice("hum", "Hum", "en"),), (22_050,), streaming=True, word_marks=False)

    def __init__(self) -> None:
        self.words: list[str] = []
        self.stopped = 0

    @classmethod
    def create(cls, options: SynthesiserOptions) -> Humming:
        return cls()

    async def speak(self, speech: ToSay) -> AsyncGenerator[SpeechAudio, None]:
        try:
            for word in speech.text.split():
                self.words.append(word)
                if word == "die":
                    raise EngineFailed("it died")
                yield SpeechAudio(sine(300.0, 1.0, sample_rate=22_050), 22_050)
        finally:
            self.stopped += 1


class Studio:
    """Programmes, and what they stand on."""

    def __init__(self, folder: Path, **options: float) -> None:
        self.tapes = ManualBroadcaster()
        self.house = House()
        self.folder = folder
        self.voice = Humming()
        chosen = replace(ProgrammeOptions(retention_s=1000.0), **options)
        self.programmes = Programmes(self.tapes, MediaFolder(folder), self.house.rooms, chosen)
        self.programmes.synthesiser = self.voice

    async def tune(self, source: Source, packet: int = 0, *, fresh: bool = False, **sound: int) -> Programme:
        wanted = Wanted(source, "", SoundFormat(**sound), 0.0, False)
        return await self.programmes.tune(wanted, wanted.format, packet, fresh=fresh)

    def listen(self, programme: Programme, packet: int = 0) -> int:
        return self.tapes.attach(programme.tape, 0, ReaderListener(), position=packet)

    async def hear(self, programme: Programme, packet: int = 0) -> list[bytes]:
        """Everything from a packet on."""
        reader = self.listen(programme, packet)
        heard: list[bytes] = []
        async with asyncio.timeout(30):
            while not (programme.finished and packet + len(heard) >= programme.end):
                await programme.reached(packet + len(heard))
                heard += self.tapes.play(reader, 10_000)
        self.tapes.detach(reader)
        return heard

    async def close(self) -> None:
        await self.programmes.close()
        await self.house.close()


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    (tmp_path / "tone.wav").write_bytes(wav(sine(440.0, 20.0)))
    (tmp_path / "other.wav").write_bytes(wav(sine(440.0, 1.0)))
    (tmp_path / "words.wav").write_bytes(b"these are words " * 100)
    made = Studio(tmp_path)
    yield made
    await made.close()


async def test_two_listeners_get_the_same_packets_made_once(studio: Studio) -> None:
    first, second = await studio.tune(File("tone.wav")), await studio.tune(File("tone.wav"))
    assert first is second
    heard = await studio.hear(first)
    assert heard == await studio.hear(second)
    # 20 s, and the encoder's look-ahead
    assert len(heard) == studio.programmes.packets_total == 1001
    assert (len(studio.programmes), studio.programmes.started_total) == (1, 1)
    assert first.duration == 20.0


async def test_another_format_is_another_programme(studio: Studio) -> None:
    a, b = await studio.tune(File("tone.wav")), await studio.tune(File("tone.wav"), frame_ms=60, bitrate=64_000)
    assert a is not b
    assert len(await studio.hear(b)) == 334


async def test_packets_are_made_some_seconds_ahead_and_no_further(studio: Studio) -> None:
    programme = await studio.tune(File("tone.wav"))
    assert programme.end == 0
    reader = studio.listen(programme)
    await programme.reached(AHEAD - 1)
    # half a second is made at a time
    for _ in range(50):
        await asyncio.sleep(0)
    assert programme.end <= AHEAD + 26
    before = programme.end
    assert len(studio.tapes.play(reader, 100)) == 100
    await programme.reached(before + 50)
    assert programme.end <= 100 + AHEAD + 26


async def test_a_lost_connection_goes_on_in_the_same_programme(studio: Studio) -> None:
    programme = await studio.tune(File("tone.wav"))
    heard = studio.tapes.play(reader := studio.listen(programme), 1)
    await programme.reached(50)
    heard += studio.tapes.play(reader, 49 + 1 - len(heard))
    studio.tapes.detach(reader)
    studio.programmes.leave(programme)
    again = await studio.tune(File("tone.wav"), 50)
    assert again is programme
    whole = heard + await studio.hear(again, 50)
    assert whole == await studio.hear(again)


async def test_who_comes_back_to_nothing_far_in_gets_what_begins_there(studio: Studio) -> None:
    late = await studio.tune(File("tone.wav"), 500)
    assert late.first == 500
    assert len(await studio.hear(late, 500)) == 501
    early = await studio.tune(File("tone.wav"), 100)
    assert (early.first, early is late) == (0, False)
    # the one that goes back least is enough
    assert await studio.tune(File("tone.wav"), 600) is late
    assert await studio.tune(File("tone.wav"), 600, fresh=True) is not late


async def test_who_is_far_ahead_of_a_programme_does_not_wait_for_it(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "minute.wav").write_bytes(wav(sine(440.0, 60.0, sample_rate=8_000), sample_rate=8_000))
    first = await studio.tune(File("minute.wav"))
    assert await studio.tune(File("minute.wav"), 1400) is first
    ahead = await studio.tune(File("minute.wav"), 2500)
    assert ahead.first == 2500
    assert len(await studio.hear(ahead, 2500)) == 501
    # who comes to the end of what is finished needs no other
    assert await studio.tune(File("minute.wav"), 9_000) is ahead


async def test_a_tape_that_no_longer_has_a_packet_is_not_joined_there(studio: Studio) -> None:
    programme = await studio.tune(Speech("one two three four"))
    await studio.hear(programme)
    studio.tapes.drop(programme.tape, 100)
    assert await studio.tune(Speech("one two three four"), 100) is programme
    assert await studio.tune(Speech("one two three four"), 99) is not programme


async def test_a_file_that_is_no_audio_is_refused_and_forgotten(studio: Studio) -> None:
    for _ in range(2):
        with pytest.raises(AntiphonError):
            await studio.tune(File("words.wav"))
    assert len(studio.programmes) == 0
    with pytest.raises(NotFound):
        await studio.tune(File("none.wav"))


async def test_a_killed_decoder_ends_the_programme_and_the_next_begins_anew(studio: Studio) -> None:
    programme = await studio.tune(File("tone.wav"))
    decoder = programme._source._decoder  # type: ignore[attr-defined]  # what an operator's kill would hit
    studio.listen(programme)
    await programme.reached(10)
    decoder._process.kill()
    # what was decoded already is heard
    reader = studio.listen(programme)
    async with asyncio.timeout(30):
        while not programme.finished:
            studio.tapes.play(reader, 100)
            await asyncio.sleep(0)
    assert isinstance(programme.error, BadAudio)
    again = await studio.tune(File("tone.wav"))
    assert again is not programme
    assert len(await studio.hear(again)) == 1001


async def test_programmes_are_bounded_and_those_without_listeners_give_way(tmp_path: Path) -> None:
    studio = Studio(tmp_path, max_programmes=2)
    first = await studio.tune(Speech("one"))
    await studio.tune(Speech("two"))
    with pytest.raises(SessionLimit) as error:
        await studio.tune(Speech("three"))
    assert error.value.retry_after
    studio.programmes.leave(first)
    await studio.tune(Speech("three"))
    assert len(studio.programmes) == 2
    await studio.close()
    assert studio.tapes.tapes == {}


async def test_without_retention_a_programme_ends_with_its_last_listener(tmp_path: Path) -> None:
    studio = Studio(tmp_path, retention_s=0.0)
    programme = await studio.tune(Speech("one two three four five six"))
    studio.listen(programme)
    await programme.reached(1)
    studio.programmes.leave(programme)
    async with asyncio.timeout(30):
        while studio.tapes.tapes:
            await asyncio.sleep(0)
    assert studio.voice.stopped == 1
    await studio.close()


async def test_a_text_is_heard_while_it_is_still_being_spoken(studio: Studio) -> None:
    programme = await studio.tune(Speech("one two three four five six seven eight"))
    reader = studio.listen(programme)
    await programme.reached(0)
    assert studio.voice.words[0] == "one"
    assert "eight" not in studio.voice.words
    assert studio.tapes.play(reader, 1)
    assert len(await studio.hear(programme)) == 401


async def test_what_cannot_be_spoken_is_refused_at_once(studio: Studio) -> None:
    with pytest.raises(BadMessage, match="no voice"):
        await studio.tune(Speech("one", voice="nobody"))
    studio.programmes.synthesiser = None
    studio.programmes.silent = "somebody took it"
    with pytest.raises(EngineUnavailable, match="somebody took it"):
        await studio.tune(Speech("one"))
    assert len(studio.programmes) == 0


async def test_a_synthesiser_that_dies_ends_the_programme_with_its_error(studio: Studio) -> None:
    programme = await studio.tune(Speech("one die"))
    assert await studio.hear(programme)
    assert isinstance(programme.error, EngineFailed)


async def test_a_room_is_one_participant_for_all_listeners_of_a_format(studio: Studio) -> None:
    rooms, native = studio.house.rooms, studio.house.native
    first, second = await studio.tune(RoomSound("r1")), await studio.tune(RoomSound("r1"))
    assert first is second
    (room,) = rooms.describe_rooms()
    assert [member["role"] for member in room["participants"]] == ["listener"]
    *_, formats, number = native.asked("join_local")[0]
    assert formats == {
        "reply_encoding": "opus", "reply_rate": 24_000, "reply_bitrate": 32_000, "reply_frame_ms": 20,
    }  # fmt: skip
    reader = studio.listen(first)
    native.tell(("audio", number, b"one"), ("audio", number, b"two"))
    await first.reached(1)
    assert studio.tapes.play(reader, 9) == [b"one", b"two"]
    studio.programmes.leave(first)
    assert rooms.describe_rooms()
    studio.programmes.leave(second)
    async with asyncio.timeout(30):
        while rooms.describe_rooms():
            await asyncio.sleep(0)


async def test_a_room_in_packets_that_the_engine_does_not_make_is_encoded_here(studio: Studio) -> None:
    programme = await studio.tune(RoomSound("r1"), frame_ms=10)
    *_, formats, number = studio.house.native.asked("join_local")[0]
    assert formats == {"reply_encoding": "pcm_s16le", "reply_rate": 24_000}
    reader = studio.listen(programme)
    studio.house.native.tell(("audio", number, bytes(960)))
    await programme.reached(1)
    assert len(studio.tapes.play(reader, 9)) == 2


async def test_a_room_that_the_engine_closes_ends_the_programme(studio: Studio) -> None:
    programme = await studio.tune(RoomSound("r1"))
    number = studio.house.native.asked("join_local")[0][-1]
    studio.house.native.tell(("closed", number, "room closed"))
    await programme.reached(0)
    assert isinstance(programme.error, EngineUnavailable)


async def test_without_an_engine_no_room_is_heard(studio: Studio) -> None:
    engine, studio.house.rooms.engine = studio.house.rooms.engine, None
    with pytest.raises(EngineUnavailable, match="no-rtc"):
        await studio.tune(RoomSound("r1"))
    studio.house.rooms.engine = engine
