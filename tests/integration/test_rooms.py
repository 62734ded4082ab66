"""Rooms with media: everybody hears everybody, whichever way they came, and every word has its speaker."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

pytest.importorskip("aiortc")

from integration.callers import Caller
from integration.clients import Inbox, Stream, audio_stream, pieces
from integration.observe import Message, eventually, metrics, session_events
from integration.webrtc import Ear, Peer, connect, finals_in, heard_in, peer
from support.audio import speech, transcripts
from support.server import ServerProcess, start_server
from support.words import READING, NotUnderstood, among, until_understood

SILENCE = bytes(16_000)
"""Half a second."""
WORDS = {name.removesuffix(".wav"): words for name, words in transcripts().items()}
FRAME = 640
PCM = {"codec": "pcm_s16le", "sampleRate": 16_000}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server that hears, and gives vanished connections a second."""
    with start_server(
        "--rtc-grace", "1", "--max-rate", "100", "--max-streams", "50", "--cors-origins", PAGE
    ) as started:
        yield started


PAGE = "https://page.example"


@pytest.fixture
def room() -> str:
    """A room that no other test uses."""
    return f"room-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def talker(
    server: ServerProcess, room: str, user: str, *, ears: int = 1, **fields: Any
) -> AsyncIterator[tuple[Caller, Peer]]:
    """A Socket.IO client in a room, connected to the media server."""
    async with Caller(server.url) as caller, peer(ears=ears) as made:
        await caller.enter(room, user, **fields)
        await connect(caller, made)
        yield caller, made


async def says(made: Peer, name: str) -> None:
    """Say a file of speech, and half a second of silence before and after."""
    made.voice.say(SILENCE + speech(name) + SILENCE + SILENCE)
    await made.voice.said()


def finals(caller: Caller, speaker: str) -> list[Message]:
    """The final results of a speaker so far."""
    return [result for result in caller.finals if result["text"] and result["speaker"] == speaker]


async def reads(caller: Caller, speaker: str, name: str, share: float = 0.75) -> None:
    """Wait for the words of a file by a speaker."""
    await words_come(caller, lambda: [final["text"] for final in finals(caller, speaker)], name, share)


async def words_come(inbox: Inbox, texts: Callable[[], list[str]], name: str, share: float = 0.75) -> None:
    """Wait until the words of a file are among those texts."""
    try:
        await inbox.until(lambda: among(texts(), WORDS[name], share=share), READING)
    except AssertionError:
        raise NotUnderstood(f"{WORDS[name]!r} was read as {texts()}") from None


async def hears(server: ServerProcess, ear: Ear, name: str, share: float = 0.75) -> None:
    """See that the words of a file are in what somebody heard."""
    await heard_in(server.url, ear.pcm, WORDS[name], share)


@pytest.mark.parametrize("mode", ["relay", "mix"])
async def test_two_hear_each_other_and_each_word_has_its_speaker(server: ServerProcess, room: str, mode: str) -> None:
    async with (
        talker(server, room, "Ada", mode=mode, captions={"language_code": "en-US"}) as (ada, ada_peer),
        talker(server, room, "Bob") as (bob, bob_peer),
    ):
        await until_understood(
            lambda: says(ada_peer, "go-forward"),
            lambda: reads(bob, ada.id, "go-forward"),
            lambda: hears(server, bob_peer.ears[0], "go-forward"),
        )
        final = finals(bob, ada.id)[0]
        assert final["userId"] == "Ada"
        assert not [result for result in bob.finals if result["speaker"] != ada.id]
        spoke = await bob.wait("speaking", where=lambda told: told["active"])
        assert spoke["participantId"] == ada.id
        await bob.wait("speaking", where=lambda told: not told["active"])

        await until_understood(
            lambda: says(bob_peer, "tomorrow-morning"),
            lambda: reads(ada, bob.id, "tomorrow-morning"),
            lambda: hears(server, ada_peer.ears[0], "tomorrow-morning"),
        )

        # the metadata channel brings the same words with the same ids, and so does the log of the speaker's session
        await bob_peer.until(
            lambda: any(not t["isPartial"] for t in bob_peer.all("transcript") if t["speaker"] == ada.id)
        )
        by_channel = {(t["speaker"], t["eventId"], t["text"]) for t in bob_peer.all("transcript") if not t["isPartial"]}
        assert (ada.id, final["event_id"], final["text"]) in by_channel
        await ada.call("leave-room")
        log = await session_events(server.url, final["session_id"])
        assert (final["event_id"], final["text"]) in {(e.id, e.data["text"]) for e in log if e.name == "final"}
        assert not ada.all("error") + bob.all("error")


async def test_a_relayed_room_is_heard_by_speaker_on_several_tracks(server: ServerProcess, room: str) -> None:
    async with (
        talker(server, room, "Ada", ears=3) as (_, ada_peer),
        talker(server, room, "Bob") as (bob, bob_peer),
        talker(server, room, "Cyd") as (cyd, cyd_peer),
    ):
        said = {"go-forward": (bob, bob_peer), "tomorrow-morning": (cyd, cyd_peer)}

        async def both_at_once() -> None:
            for name, (_, speaker) in said.items():
                speaker.voice.say(SILENCE + speech(name) + SILENCE)
            for _, speaker in said.values():
                await speaker.voice.said()

        async def each_on_a_track_of_its_own() -> None:
            carried = {slot["participantId"]: slot["mid"] for told in ada_peer.all("slots") for slot in told["slots"]}
            assert {bob.id, cyd.id} <= set(carried)
            assert carried[bob.id] != carried[cyd.id]
            mids = [transceiver.mid for transceiver in ada_peer.pc.getTransceivers()]
            for name, (caller, _) in said.items():
                await hears(server, ada_peer.ears[mids.index(carried[caller.id])], name)

        await until_understood(both_at_once, each_on_a_track_of_its_own)


async def test_a_muted_speaker_is_heard_by_nobody(server: ServerProcess, room: str) -> None:
    async with (
        talker(server, room, "Ada", captions=True) as (ada, ada_peer),
        talker(server, room, "Bob") as (bob, bob_peer),
    ):
        await ada.call("mute")
        await bob.wait("peer-muted")
        await says(ada_peer, "go-forward")
        bob_peer.ears[0].clear()
        ada_peer.say({"type": "unmute"})
        assert (await bob.wait("peer-muted", 2))["muted"] is False
        await until_understood(
            lambda: says(ada_peer, "tomorrow-morning"),
            lambda: reads(bob, ada.id, "tomorrow-morning"),
            lambda: hears(server, bob_peer.ears[0], "tomorrow-morning"),
        )
        assert not among([final["text"] for final in bob.finals], WORDS["go-forward"], share=0.5)
        assert not among(await finals_in(server.url, bob_peer.ears[0].pcm), WORDS["go-forward"], share=0.5)


async def test_the_metadata_channel_goes_both_ways(server: ServerProcess, room: str) -> None:
    async with talker(server, room, "Ada") as (_, made):
        made.say({"type": "ping", "t": 7})
        assert (await made.wait("pong"))["t"] == 7

        async def counted() -> bool:
            # a channel takes twenty messages a second
            await asyncio.sleep(0.1)
            made.say({"type": "stats"})
            stats = await made.wait("stats", len(made.all("stats")) + 1)
            return stats["transport"] == "udp" and stats["packetsReceived"] > 0

        await eventually(counted)
        made.say("nonsense")
        assert (await made.wait("error"))["code"] == "bad_message"
        made.say({"type": "bitrate-change", "bitrate": 24_000})
        made.say({"type": "ping", "t": 8})
        await made.wait("pong", 2)
        assert len(made.all("error")) == 1


@pytest.mark.parametrize(("loss", "share"), [(0.01, 0.75), (0.05, 0.65), (0.2, 0.5)])
async def test_words_come_through_a_network_that_loses_packets(
    server: ServerProcess, room: str, loss: float, share: float
) -> None:
    name = "quick-brown-fox"
    async with (
        talker(server, room, "Ada", mode="mix", captions=True) as (ada, ada_peer),
        talker(server, room, "Bob") as (bob, bob_peer),
    ):
        ada_peer.lose(loss)
        await until_understood(
            lambda: says(ada_peer, name),
            lambda: hears(server, bob_peer.ears[0], name, share),
            lambda: reads(bob, ada.id, name, share),
        )
        assert {final["speaker"] for final in bob.finals} == {ada.id}
        ada_peer.say({"type": "stats"})
        stats = await ada_peer.wait("stats")
        assert stats["lost"] > 0
        assert loss / 3 < stats["concealed"] < 2 * loss + 0.1


@asynccontextmanager
async def player(server: ServerProcess, room: str, user: str, **fields: Any) -> AsyncIterator[tuple[Stream, bytearray]]:
    """A WebSocket in a room, and what it hears there."""
    async with audio_stream(server.url) as stream:
        heard = bytearray()
        stream.on_audio = heard.extend
        await stream.join(**{"roomId": room, "userId": user, "format": PCM, "reply": PCM, **fields})
        yield stream, heard


async def pace(stream: Stream, pcm: bytes) -> None:
    """Send audio at the pace of speech."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for count, piece in enumerate(pieces(pcm, FRAME)):
        await asyncio.sleep(max(0.0, begun + 0.02 * count - loop.time()))
        await stream.websocket.send_bytes(piece)


@pytest.mark.parametrize("mode", ["relay", "mix"])
async def test_a_websocket_hears_and_is_heard(server: ServerProcess, room: str, mode: str) -> None:
    async with (
        talker(server, room, "Ada", mode=mode, captions=True) as (ada, ada_peer),
        player(server, room, "Phone") as (phone, heard),
    ):
        joined = phone.all("joined")[0]
        assert joined["roomId"] == room
        state = await phone.wait("room-state")
        assert {p["socketId"]: p["transport"] for p in state["participants"]} == {
            ada.id: "webrtc",
            joined["participantId"]: "websocket",
        }
        assert (await ada.wait("peer-joined"))["userId"] == "Phone"

        def transcripts_told() -> list[str]:
            return [told["text"] for told in phone.all("transcript") if not told["isPartial"]]

        await until_understood(
            lambda: says(ada_peer, "go-forward"),
            lambda: words_come(phone, transcripts_told, "go-forward"),
            lambda: heard_in(server.url, bytes(heard), WORDS["go-forward"]),
        )
        transcript = phone.all("transcript")[0]
        assert (transcript["speaker"], transcript["userId"]) == (ada.id, "Ada")
        before = len(heard)
        await until_understood(
            lambda: pace(phone, SILENCE + speech("tomorrow-morning") + SILENCE + SILENCE),
            lambda: reads(ada, joined["participantId"], "tomorrow-morning"),
            lambda: hears(server, ada_peer.ears[0], "tomorrow-morning"),
        )
        # nobody hears themselves
        assert not among(await finals_in(server.url, bytes(heard[before:])), WORDS["tomorrow-morning"], share=0.3)
        await phone.send({"type": "leave"})
        await phone.wait("left")
        assert (await ada.wait("peer-left"))["socketId"] == joined["participantId"]


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"format": {"codec": "webm"}}, "unsupported_format", "format.codec"),
        ({"format": {"codec": "pcm_s16le", "sampleRate": 44_100}}, "unsupported_format", "format.sampleRate"),
        ({"format": {"codec": "mulaw", "sampleRate": 16_000}}, "unsupported_format", "format.sampleRate"),
        ({"reply": {"codec": "pcm_s16le", "sampleRate": 44_100}}, "unsupported_format", "reply.sampleRate"),
        ({"reply": None, "listen": True}, "bad_message", "reply"),
        ({"captions": {"language_code": "tlh"}}, "unsupported_format", "captions"),
        ({"mode": "both"}, "bad_message", "mode"),
    ],
)
async def test_a_websocket_that_cannot_take_part_may_join_otherwise(
    server: ServerProcess, room: str, fields: Message, code: str, field: str
) -> None:
    async with audio_stream(server.url) as stream:
        wanted = {"roomId": room, "format": PCM, "reply": PCM}
        await stream.send({"type": "join", **wanted, **fields})
        error = await stream.wait("error")
        assert (error["code"], error["field"]) == (code, field)
        await stream.join(**wanted)


async def test_a_publisher_and_a_listener_come_by_http(server: ServerProcess, room: str) -> None:
    async with (
        Caller(server.url) as ada,
        aiohttp.ClientSession() as http,
        peer(ears=0) as publisher,
        peer(speaks=False) as listener,
    ):
        await ada.enter(room, "Ada", captions=True)
        published = await post(http, f"{server.url}/whip/{room}?userId=Radio", await publisher.offer())
        await publisher.take(published[1])
        listening = await post(http, f"{server.url}/whep/{room}", await listener.offer())
        await listener.take(listening[1])
        assert [(await ada.wait("peer-joined", n))["transport"] for n in (1, 2)] == ["whip", "whep"]
        radio = (await ada.wait("peer-joined"))["socketId"]
        await until_understood(
            lambda: says(publisher, "go-forward"),
            lambda: reads(ada, radio, "go-forward"),
            lambda: hears(server, listener.ears[0], "go-forward"),
        )
        assert {final["userId"] for final in finals(ada, radio)} == {"Radio"}
        assert await listener.wait("transcript", where=lambda told: not told["isPartial"])
        for location in (published[0], listening[0]):
            async with http.delete(location) as response:
                assert response.status == 200
            async with http.delete(location) as response:
                assert response.status == 404
        await ada.wait("peer-left", 2)


async def post(http: aiohttp.ClientSession, url: str, offer: str) -> tuple[str, str, str]:
    """Where the resource is, the answer, and the entity tag."""
    async with http.post(url, data=offer, headers={"Content-Type": "application/sdp"}) as response:
        answer = await response.text()
        assert response.status == 201, answer
        assert response.content_type == "application/sdp"
        return (
            str(response.url.join(response.url.with_path(response.headers["Location"]))),
            answer,
            response.headers["ETag"],
        )


async def test_ice_is_restarted_by_socket_from_another_port(server: ServerProcess, room: str) -> None:
    async with talker(server, room, "Ada") as (ada, ada_peer), talker(server, room, "Bob") as (bob, bob_peer):
        before = ada.all("answer")[0]["sdp"]["sdp"]
        path = await ada_peer.new_path()
        await ada.call("offer", {"sdp": path.offer})
        answer = (await ada.wait("answer", 2))["sdp"]
        assert set(_lines(answer, "a=ice-pwd")).isdisjoint(_lines(before, "a=ice-pwd"))
        assert set(_lines(answer, "a=fingerprint")) == set(_lines(before, "a=fingerprint"))
        await path.take(answer)
        # nothing above ICE has noticed
        ada_peer.say({"type": "ping", "t": 1})
        await ada_peer.wait("pong")
        await until_understood(
            lambda: says(ada_peer, "go-forward"), lambda: hears(server, bob_peer.ears[0], "go-forward")
        )
        await until_understood(
            lambda: says(bob_peer, "tomorrow-morning"), lambda: hears(server, ada_peer.ears[0], "tomorrow-morning")
        )
        assert not bob.all("peer-left")
        assert not [told for told in ada.all("media-state") if told["state"] == "closed"]


def _lines(sdp: str, name: str) -> list[str]:
    return [line for line in sdp.split("\r\n") if line.startswith(name)]


FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


async def test_http_trickles_and_restarts_ice(server: ServerProcess, room: str) -> None:
    async with aiohttp.ClientSession() as http, peer(ears=0) as publisher:
        offer = await publisher.offer()
        candidates = [line for line in offer.split("\r\n") if line.startswith("a=candidate")]
        bare = "\r\n".join(line for line in offer.split("\r\n") if "candidate" not in line)
        location, answer, tag = await post(http, f"{server.url}/whip/{room}", bare)
        credentials = [line for line in offer.split("\r\n") if line.startswith(("a=ice-ufrag", "a=ice-pwd"))][:2]
        trickle = "\r\n".join((*credentials, "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *candidates)) + "\r\n"

        async def patch(body: str, **headers: str) -> tuple[int, str, str]:
            async with http.patch(location, data=body, headers={**FRAGMENT, **headers}) as response:
                return response.status, await response.text(), response.headers.get("ETag", "")

        assert (await patch(trickle))[0] == 428
        assert (await patch(trickle, **{"If-Match": '"another"'}))[0] == 412
        assert await patch(trickle, **{"If-Match": tag}) == (204, "", tag)
        await publisher.take(answer)

        path = await publisher.new_path()
        status, fragment, new_tag = await patch(path.fragment, **{"If-Match": "*"})
        assert status == 200, fragment
        assert new_tag != tag
        assert len(_lines(fragment, "a=ice-pwd")) == 1
        assert set(_lines(fragment, "a=ice-pwd")).isdisjoint(_lines(answer, "a=ice-pwd"))
        await path.take(fragment)
        publisher.say({"type": "ping", "t": 1})
        await publisher.wait("pong")
        assert "a=candidate" in fragment
        assert (await patch(trickle, **{"If-Match": tag}))[0] == 412
        status, text, _ = await patch("a=ice-ufrag:x\r\n", **{"If-Match": new_tag})
        assert status == 400
        assert json.loads(text)["code"] == "bad_message"
        async with http.delete(location) as response:
            assert response.status == 200


@pytest.mark.parametrize("kind", ["whip", "whep"])
async def test_http_says_what_it_takes_and_refuses_the_rest(server: ServerProcess, room: str, kind: str) -> None:
    url = f"{server.url}/{kind}/{room}"
    sdp = {"Content-Type": "application/sdp", "Origin": PAGE}
    async with aiohttp.ClientSession() as http:
        async with http.options(url, headers={"Origin": PAGE}) as response:
            assert response.status == 204
            assert response.headers["Accept-Post"] == "application/sdp"
            assert response.headers["Access-Control-Allow-Origin"] == PAGE
            assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
            assert "If-Match" in response.headers["Access-Control-Allow-Headers"]
            exposed = response.headers["Access-Control-Expose-Headers"]
            assert {"Location", "Link", "ETag"} <= {name.strip() for name in exposed.split(",")}
        refusals: list[tuple[str, str, Any, dict[str, str], int, str]] = [
            ("POST", url, "v=0", {"Content-Type": "text/plain"}, 415, "unsupported_format"),
            ("POST", url, "v=0", {**sdp, "Origin": "https://other.example"}, 403, "forbidden"),
            ("POST", url, "x" * (1 << 20), sdp, 413, "too_large"),
            ("POST", url, "nonsense", sdp, 400, "bad_message"),
            ("POST", url, b"\xff\xfe", sdp, 400, "bad_message"),
            ("POST", f"{url}?mode=both", "v=0", sdp, 400, "bad_message"),
            ("POST", f"{server.url}/{kind}/a%20b", "v=0", sdp, 400, "bad_message"),
            ("GET", url, None, {}, 405, "bad_message"),
            ("PATCH", f"{url}/nobody", "", {**FRAGMENT, "If-Match": "*"}, 404, "not_found"),
            ("DELETE", f"{url}/nobody", None, {}, 404, "not_found"),
        ]
        for method, where, body, headers, status, code in refusals:
            async with http.request(method, where, data=body, headers=headers) as response:
                error = await response.json()
                assert (response.status, error["code"]) == (status, code), (method, where, error)
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/v1/rooms") as response:
        assert room not in [there["roomId"] for there in (await response.json())["rooms"]]


HOSTILE = [
    "v=0",
    "v=0\r\n" * 1000,
    "\x00" * 100,
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n",
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" * 500,
    "é" * 30_000,
]


async def test_hostile_offers_and_candidates_hurt_nobody(server: ServerProcess, room: str) -> None:
    async with (
        talker(server, room, "Ada", captions=True) as (ada, ada_peer),
        Caller(server.url) as eve,
    ):
        await eve.enter(room, "Eve")
        for count, sdp in enumerate(HOSTILE, 1):
            await eve.call("offer", {"sdp": sdp})
            error = await eve.wait("error", count)
            assert error["code"] in ("bad_message", "unsupported_format", "too_large"), error
            assert error["event"] == "offer"
        async with peer() as made:
            good = await made.offer()
            for cut in range(0, len(good), 97):
                await eve.emit("offer", {"sdp": good[:cut]})
            await eve.call("leave-room")
        await eve.enter(room, "Eve")
        async with peer() as made:
            await connect(eve, made, shaped=False)
            before = len(eve.all("error"))
            for bad in ("candidate:", "candidate:1 1 udp x 999.1.1.1 70000 typ host", "c" * 2000):
                await eve.emit("ice-candidate", {"candidate": bad})
            error = await eve.wait("error", before + 1)
            assert (error["code"], error["event"]) == ("bad_message", "ice-candidate")
            await until_understood(
                lambda: says(ada_peer, "go-forward"), lambda: hears(server, made.ears[0], "go-forward")
            )
        assert not ada.all("error")


@pytest.mark.parametrize("how", ["cut", "disconnect"])
async def test_the_media_of_a_lost_connection_go_on_for_a_while(server: ServerProcess, room: str, how: str) -> None:
    async with Caller(server.url) as bob, AsyncExitStack() as stack:
        await bob.enter(room, "Bob")
        ada, made = await stack.enter_async_context(talker(server, room, "Ada"))
        ada_id = ada.id
        await bob.wait("peer-joined")
        if how == "disconnect":
            await ada.sio.disconnect()
            await bob.wait("peer-left")
            return
        await ada.cut()
        made.say({"type": "ping", "t": 1})
        await made.wait("pong")
        async with talker(server, room, "Ada") as (again, _):
            left, joined = await bob.wait("peer-left"), await bob.wait("peer-joined", 2)
            assert (left["socketId"], joined["socketId"]) == (ada_id, again.id)
            again_id = again.id
            await again.cut()
            # nobody comes back: after the grace it is over
            assert (await bob.wait("peer-left", 2))["socketId"] == again_id


async def test_a_fresh_offer_replaces_a_connection_and_leaving_frees_everything(
    server: ServerProcess, room: str
) -> None:
    before = await metrics(server.url)
    async with Caller(server.url) as ada:
        await ada.enter(room, "Ada")
        async with peer() as first:
            await connect(ada, first)
            async with peer() as second:
                await connect(ada, second)
                closed = await ada.wait("media-state", where=lambda told: told["state"] == "closed")
                assert closed["reason"] == "replaced"
                second.say({"type": "ping", "t": 1})
                await second.wait("pong")
        await ada.call("leave-room")

    async def freed() -> bool:
        counted = await metrics(server.url)
        return counted["antiphon_rtc_participants"] == before["antiphon_rtc_participants"] and (
            counted["antiphon_rooms"] == before["antiphon_rooms"]
        )

    await eventually(freed)
