"""Rooms between their members and the media engine, with a double for the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.errors import AntiphonError, Conflict, EngineUnavailable, NotFound, UnsupportedFormat
from antiphon.formats import AudioFormat
from antiphon.protocol.negotiation import Candidate, Captions, Description, JoinRoom
from antiphon.sessions import speaking
from antiphon.sessions.rooms import RoomOptions
from unit.sessions.house import OFFER, Ears, House

OTHER_OFFER = OFFER.replace("o=- 7", "o=- 8")
SECOND = bytes(32_000)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.close()


async def test_the_server_answers_in_the_shape_of_the_offer(house: House) -> None:
    ada = house.join("ada", mode="mix")
    number = house.offer("ada")
    assert [call[0] for call in house.native.asked("open_room")] == ["mix"]
    house.native.tell(("answer", number, "the answer"))
    answer = await ada.wait("answer")
    assert answer == {"fromSocketId": "server", "sdp": {"type": "answer", "sdp": "the answer"}}
    house.rooms.candidate("ada", Candidate(None, None, "candidate:1", "candidate:1"))
    house.rooms.candidate("ada", Candidate(None, None, None, ""))
    assert house.native.asked("candidate") == [(number, "candidate:1")]


async def test_a_refused_offer_is_an_error_and_another_one_may_follow(house: House) -> None:
    ada = house.join("ada")
    number = house.offer("ada")
    house.native.tell(("refused", number, "unsupported_format", "no audio in it"))
    error = await ada.wait("error")
    assert (error["code"], error["event"], error["targetSocketId"]) == ("unsupported_format", "offer", "server")
    with pytest.raises(Conflict, match="send an offer first"):
        house.rooms.candidate("ada", Candidate(None, None, "candidate:1", "candidate:1"))
    again = house.offer("ada")
    house.native.tell(("answer", again, "answer"))
    await ada.wait("answer")


async def test_an_offer_of_the_same_connection_goes_to_its_peer_and_a_fresh_one_replaces_it(house: House) -> None:
    ada = house.join("ada")
    number = await house.connect("ada")
    restart = OFFER.replace("o=- 7 1", "o=- 7 2")
    assert house.offer("ada", restart) == number
    assert house.native.asked("offer") == [(number, restart)]
    house.native.tell(("refused", number, "bad_message", "no"))
    assert (await ada.wait("error"))["code"] == "bad_message"
    # refused, the peer stays as it was
    assert house.offer("ada", restart) == number
    fresh = house.offer("ada", OTHER_OFFER)
    assert fresh != number
    assert house.native.asked("leave") == [(number,)]
    closed = await ada.wait("media-state", 2)
    assert (closed["state"], closed["reason"]) == ("closed", "replaced")
    # the offer that waited is answered with an error, not with the next one's answer
    assert ada.all("error")[-1]["code"] == "engine_unavailable"
    house.native.tell(("answer", fresh, "for the fresh one"))
    assert (await ada.wait("answer", 2))["sdp"]["sdp"] == "for the fresh one"


async def test_leaving_ends_the_peer_and_the_last_one_the_room(house: House) -> None:
    house.join("ada")
    house.join("bob")
    first, second = await house.connect("ada"), await house.connect("bob")
    house.rooms.leave("ada")
    assert house.native.asked("leave") == [(first,)]
    assert not house.native.asked("close_room")
    house.rooms.gone("bob")
    assert house.native.asked("leave") == [(first,), (second,)]
    assert len(house.native.asked("close_room")) == 1


async def test_a_closed_peer_leaves_its_member_in_the_room(house: House) -> None:
    ada = house.join("ada")
    number = await house.connect("ada")
    house.native.tell(("closed", number, "no packets"))
    state = await ada.wait("media-state", 2)
    assert (state["state"], state["reason"]) == ("closed", "no packets")
    assert "ada" in house.rooms.rooms["r1"].members
    assert house.offer("ada") != number


async def test_a_vanished_connection_keeps_its_media_until_its_user_is_back(house: House) -> None:
    bob = house.join("bob")
    house.join("ada", user="Ada")
    number = await house.connect("ada")
    house.rooms.vanished("ada")
    assert not bob.all("peer-left")
    assert not house.native.asked("leave")
    house.join("cyd", user="Cyd")
    assert not bob.all("peer-left")
    house.join("ada-again", user="Ada")
    assert [left["socketId"] for left in bob.all("peer-left")] == ["ada"]
    assert house.native.asked("leave") == [(number,)]
    # without media there is nothing to keep
    house.rooms.vanished("cyd")
    assert [left["socketId"] for left in bob.all("peer-left")] == ["ada", "cyd"]


async def test_a_vanished_connection_is_gone_after_the_grace_and_when_its_media_end(house: House) -> None:
    house.rooms._options = RoomOptions(grace_s=0.01)
    bob = house.join("bob")
    house.join("ada")
    await house.connect("ada")
    house.rooms.vanished("ada")
    assert (await bob.wait("peer-left"))["socketId"] == "ada"
    house.rooms._options = RoomOptions(grace_s=60.0)
    house.join("cyd")
    number = await house.connect("cyd")
    house.rooms.vanished("cyd")
    house.native.tell(("closed", number, "timeout"))
    assert (await bob.wait("peer-left", 2))["socketId"] == "cyd"


async def test_who_speaks_is_told_to_everybody_by_both_ways_and_not_too_often(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "INTERVAL", 1000.0)
    ada, bob = house.join("ada"), house.join("bob")
    first, second = await house.connect("ada"), await house.connect("bob")
    house.native.tell(("speaking", first, True))
    for ears in (ada, bob):
        assert await ears.wait("speaking") == {"participantId": "ada", "active": True}
    for number in (first, second):
        assert house.said(number, "speaking") == [{"type": "speaking", "participantId": "ada", "active": True}]
    for _ in range(50):
        house.native.tell(("speaking", second, True), ("speaking", second, False))
    await house.heard()
    assert len(bob.all("speaking")) == 1
    # who comes later is told how things stand
    house.join("cyd")
    third = await house.connect("cyd")
    assert house.said(third, "speaking") == [{"type": "speaking", "participantId": "ada", "active": True}]


async def test_slots_are_told_by_the_names_of_members(house: House) -> None:
    house.join("ada")
    house.join("bob")
    first = house.offer("ada")
    second = await house.connect("bob")
    house.native.tell(("slots", first, [("0", second), ("1", None), ("2", 999)]))
    await house.heard()
    slots = (
        {"mid": "0", "participantId": "bob"},
        {"mid": "1", "participantId": None},
        {"mid": "2", "participantId": None},
    )
    assert house.said(first, "slots") == [{"type": "slots", "slots": list(slots)}]
    # said before the channel was open it was lost
    house.native.tell(("answer", first, "sdp"), ("connected", first), ("channel", first))
    await house.heard()
    assert len(house.said(first, "slots")) == 2


async def test_muting_reaches_engine_and_everybody_by_socket_or_channel(house: House) -> None:
    house.join("ada")
    bob = house.join("bob")
    house.rooms.mute("ada", True)
    number = await house.connect("ada")
    # muted before it had media
    assert house.native.asked("mute") == [(number, True)]
    house.native.tell(("message", number, '{"type": "unmute"}'))
    await bob.wait("peer-muted", 2)
    assert house.native.asked("mute") == [(number, True), (number, False)]


async def test_the_metadata_channel_answers(house: House) -> None:
    house.join("ada")
    number = await house.connect("ada")
    house.native.tell(
        ("message", number, '{"type": "ping", "t": 5}'),
        ("message", number, '{"type": "bitrate-change", "bitrate": 20000}'),
        ("message", number, '{"type": "stats"}'),
        ("message", number, '{"type": "join"}'),
        ("message", number, "nonsense"),
        ("message", number, "x" * 5000),
    )
    await house.heard()
    assert house.said(number, "pong") == [{"type": "pong", "t": 5, "serverTime": 0.0}]
    assert house.native.asked("set_bitrate") == [(number, 20_000)]
    assert house.native.asked("stats") == [(number,)]
    assert [error["code"] for error in house.said(number, "error")] == ["bad_message", "bad_message", "too_large"]
    house.native.tell(("stats", number, {"packets_received": 3, "loss": None}))
    await house.heard()
    assert house.said(number, "stats") == [{"type": "stats", "packetsReceived": 3, "loss": None}]


async def test_a_flood_over_the_metadata_channel_is_answered_once(house: House) -> None:
    house.join("ada")
    number = await house.connect("ada")
    house.native.tell(*[("message", number, '{"type": "ping"}')] * 500)
    await house.heard()
    assert len(house.said(number, "pong")) == 50
    assert [error["code"] for error in house.said(number, "error")] == ["rate_limited"]


async def test_each_speaker_is_written_down_apart(house: House) -> None:
    ada = house.join("ada", user="Ada", captions=Captions("en"))
    bob = house.join("bob", user="Bob", captions=Captions("de-DE"))
    first, second = await house.connect("ada"), await house.connect("bob")
    assert house.native.asked("tap") == [(first, 16_000), (second, 16_000)]
    for number in (first, second):
        house.native.tell(*[("tap", number, SECOND)] * 3)
    async with asyncio.timeout(20):
        while {r["speaker"] for r in bob.all("transcription_result") if not r["is_partial"]} != {"ada", "bob"}:
            bob.news.clear()
            await bob.news.wait()
    results = [result for result in ada.all("transcription_result") if not result["is_partial"]]
    by_speaker = {result["speaker"]: result for result in results}
    assert by_speaker["ada"]["userId"] == "Ada"
    assert by_speaker["ada"]["language"] == "en-US"
    assert by_speaker["bob"]["language"] == "de-DE"
    assert by_speaker["ada"]["session_id"] != by_speaker["bob"]["session_id"]
    # the channel brings the same events with the same ids
    by_channel = {(m["speaker"], m["eventId"]) for m in house.said(first, "transcript")}
    assert by_channel == {(r["speaker"], r["event_id"]) for r in ada.all("transcription_result")}
    assert house.sessions.streams == 2
    house.rooms.leave("bob")
    async with asyncio.timeout(20):
        while house.sessions.streams != 1:
            await asyncio.sleep(0)


async def test_captions_that_are_asked_for_later_are_for_everybody(house: House) -> None:
    ada = house.join("ada")
    number = await house.connect("ada")
    assert not house.native.asked("tap")
    house.join("bob", captions=Captions(None))
    assert await ada.wait("room-captions") == {"roomId": "r1", "captions": {"language_code": "en-US"}}
    assert house.native.asked("tap") == [(number, 16_000)]
    with pytest.raises(UnsupportedFormat) as refusal:
        house.join("cyd", captions=Captions("tlh"))
    assert refusal.value.field == "captions"


async def test_where_all_streams_are_in_use_captions_wait_and_the_speaker_is_told_once() -> None:
    house = House(max_streams=1)
    ada = house.join("ada", captions=Captions(None))
    bob = house.join("bob")
    first, second = await house.connect("ada"), await house.connect("bob")
    house.native.tell(("tap", first, SECOND))
    await ada.wait("transcription_result")
    house.native.tell(("tap", second, SECOND))
    error = await bob.wait("error")
    assert (error["code"], error["event"]) == ("session_limit", "captions")
    refused = house.sessions.refused_total
    house.clock.advance(60.0)
    house.native.tell(("tap", second, SECOND))
    async with asyncio.timeout(20):
        while house.sessions.refused_total == refused:
            await asyncio.sleep(0)
    house.rooms.leave("ada")
    async with asyncio.timeout(20):
        while house.sessions.streams:
            await asyncio.sleep(0)
    house.clock.advance(60.0)
    house.native.tell(("tap", second, SECOND))
    result = await bob.wait("transcription_result", len(bob.all("transcription_result")) + 1)
    assert result["speaker"] == "bob"
    assert len(bob.all("error")) == 1
    await house.close()


async def test_who_comes_by_http_leaves_with_its_peer_or_with_a_refusal(house: House) -> None:
    bob = house.join("bob")
    ears = Ears()

    async def join(member_id: str, kind: Any, event: tuple[Any, ...]) -> str:
        task = asyncio.ensure_future(house.rooms.join_http(member_id, JoinRoom("r1"), kind, ears, OFFER))
        await asyncio.sleep(0)
        number = house.native.asked("join")[-1][-1]
        house.native.tell((event[0], number, *event[1:]))
        return await task

    assert await join("phone", "whip", ("answer", "sdp")) == "sdp"
    assert house.native.asked("join")[-1][2:4] == (True, False)
    assert (await bob.wait("peer-joined"))["transport"] == "whip"
    with pytest.raises(UnsupportedFormat):
        await join("radio", "whep", ("refused", "unsupported_format", "no"))
    assert house.native.asked("join")[-1][2:4] == (False, True)
    assert [left["socketId"] for left in bob.all("peer-left")] == ["radio"]
    house.native.tell(("closed", house.native.asked("join")[0][-1], "timeout"))
    await bob.wait("peer-left", 2)
    assert ears.all("media-state")[-1]["state"] == "closed"
    with pytest.raises(NotFound):
        await house.rooms.negotiate("phone", OFFER)


async def test_a_stream_of_its_own_is_heard_and_hears(house: House) -> None:
    ada = house.join("ada", captions=Captions(None))
    number = await house.connect("ada")
    participant = await house.sessions.begin(None, "speaker", AudioFormat(), None)
    ears, played = Ears(), list[bytes]()
    wanted = JoinRoom("r1", "Phone")
    audio = {"publish": True, "listen": True, "encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
    peer = house.rooms.join_local(participant, wanted, ears, played.append, **audio)
    joined = await ada.wait("peer-joined")
    assert (joined["socketId"], joined["transport"]) == (participant.id, "websocket")
    participant.inflow.tee = lambda payload: house.rooms.push(peer, payload)
    participant.ingest(SECOND, 0.0)
    assert house.native.asked("push") == [(peer.number, SECOND)]
    participant.inflow.muted = True
    participant.ingest(SECOND, 0.0)
    assert len(house.native.asked("push")) == 1
    house.native.tell(("audio", peer.number, b"mix"), ("tap", number, SECOND))
    result = await ada.wait("transcription_result")
    assert result["speaker"] == participant.id
    # its own words come to it with its own session, those of others from the room
    async with asyncio.timeout(20):
        while not ears.all("transcript"):
            ears.news.clear()
            await ears.news.wait()
    assert {transcript["speaker"] for transcript in ears.all("transcript")} == {"ada"}
    assert played == [b"mix"]
    house.rooms.gone(participant.id)
    assert house.native.asked("leave") == [(peer.number,)]
    await participant.finish("left")


async def test_without_an_engine_there_is_no_media(house: House) -> None:
    house.rooms.engine, engine = None, house.rooms.engine
    house.join("ada")
    with pytest.raises(EngineUnavailable):
        house.offer("ada")
    with pytest.raises(EngineUnavailable):
        await house.rooms.join_http("phone", JoinRoom("r1"), "whip", Ears(), OFFER)
    assert list(house.rooms.rooms["r1"].members) == ["ada"]
    house.rooms.engine = engine


async def test_a_message_to_one_who_does_not_keep_up_is_the_senders_to_send_again(house: House) -> None:
    house.join("ada")
    bob = house.join("bob")
    bob.deaf = True
    with pytest.raises(AntiphonError, match="does not keep up"):
        house.rooms.describe("ada", Description("offer", None, "bob", OFFER, OFFER))
