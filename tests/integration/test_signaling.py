"""Signaling between clients: rooms, what is relayed to whom, and what happens when somebody goes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.callers import Caller
from integration.clients import bystander, raw_socketio, transport_of
from integration.observe import Message, eventually
from support.server import SCRIPTED, ServerProcess, start_server

SDP = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
CANDIDATE = {"candidate": "candidate:1 1 udp 2130706431 10.0.0.1 50000 typ host", "sdpMid": "0", "sdpMLineIndex": 0}


@pytest.fixture
def room() -> str:
    """A room that no other test uses."""
    return f"room-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def callers(server: ServerProcess, room: str, *names: str) -> AsyncIterator[list[Caller]]:
    """Clients in one room, all told of each other."""
    async with AsyncExitStack() as stack:
        present: list[Caller] = []
        for name in names:
            caller = await stack.enter_async_context(Caller(server.url))
            await caller.enter(room, name)
            present.append(caller)
        for caller in present[:-1]:
            await caller.wait("peer-joined", where=lambda joined: joined["socketId"] == present[-1].id)
        yield present


async def test_two_meet_and_negotiate(scripted: ServerProcess, room: str) -> None:
    async with Caller(scripted.url) as ada, Caller(scripted.url) as bob, Caller(scripted.url) as eve:
        alone = await ada.enter(room, "ada")
        assert [(p["socketId"], p["userId"]) for p in alone["participants"]] == [(ada.id, "ada")]
        assert alone["mode"] == "relay"
        state = await bob.enter(room, "bob")
        assert [(p["socketId"], p.get("polite")) for p in state["participants"]] == [(ada.id, True), (bob.id, None)]
        joined = await ada.wait("peer-joined")
        assert (joined["socketId"], joined["userId"], joined["role"]) == (bob.id, "bob", "guest")
        assert joined["polite"] is False
        await eve.enter(f"{room}-b", "eve")

        offer = {"type": "offer", "sdp": SDP}
        assert await bob.call("offer", {"roomId": room, "targetSocketId": ada.id, "sdp": offer}) == {"status": "ok"}
        assert await ada.wait("offer") == {"fromSocketId": bob.id, "sdp": offer}
        # an answer as text stays text
        await ada.emit("answer", {"roomId": room, "targetSocketId": bob.id, "sdp": SDP})
        assert await bob.wait("answer") == {"fromSocketId": ada.id, "sdp": SDP}
        await ada.emit("ice-candidate", {"roomId": room, "targetSocketId": bob.id, "candidate": CANDIDATE})
        assert await bob.wait("ice-candidate") == {"fromSocketId": ada.id, "candidate": CANDIDATE}
        await ada.emit("ice-candidate", {"roomId": room, "targetSocketId": bob.id, "candidate": None})
        assert (await bob.wait("ice-candidate", 2))["candidate"] is None

        await ada.call("mute", {"roomId": room})
        for caller in (ada, bob):
            assert await caller.wait("peer-muted") == {"socketId": ada.id, "muted": True}
        assert await ada.call("leave-room", {"roomId": room}) == {"status": "left"}
        assert await bob.wait("peer-left") == {"socketId": ada.id, "userId": "ada", "role": "guest"}
        assert not eve.all("offer") + eve.all("peer-joined") + eve.all("peer-left")
        assert not ada.all("error") + bob.all("error") + eve.all("error")


async def test_offers_that_cross_reach_both(scripted: ServerProcess, room: str) -> None:
    async with callers(scripted, room, "ada", "bob") as (ada, bob):
        await asyncio.gather(
            ada.emit("offer", {"roomId": room, "targetSocketId": bob.id, "sdp": SDP}),
            bob.emit("offer", {"roomId": room, "targetSocketId": ada.id, "sdp": SDP}),
        )
        await ada.wait("offer")
        await bob.wait("offer")
        # Bob came later: he is the polite one, takes his offer back and answers
        assert (await bob.call("answer", {"roomId": room, "targetSocketId": ada.id, "sdp": SDP}))["status"] == "ok"
        await ada.wait("answer")
        late = await ada.call("answer", {"roomId": room, "targetSocketId": bob.id, "sdp": SDP})
        assert late["error"]["code"] == "conflict"


@pytest.mark.parametrize("how", ["leave", "disconnect", "vanish"])
async def test_the_others_are_told_of_who_goes_in_mid_offer(scripted: ServerProcess, room: str, how: str) -> None:
    async with callers(scripted, room, "ada", "bob", "cyd") as (ada, bob, cyd):
        gone = bob.id
        await ada.call("offer", {"roomId": room, "targetSocketId": gone, "sdp": SDP})
        await bob.wait("offer")
        if how == "leave":
            await bob.call("leave-room", {"roomId": room})
        elif how == "disconnect":
            await bob.sio.disconnect()
        else:
            await bob.cut()
        error = await ada.wait("error")
        assert (error["code"], error["event"], error["targetSocketId"]) == ("not_found", "offer", gone)
        for caller in (ada, cyd):
            assert (await caller.wait("peer-left"))["socketId"] == gone
        assert not cyd.all("error")
        # candidates that were on their way are no mistake, another offer is
        late = {"roomId": room, "targetSocketId": gone, "candidate": CANDIDATE}
        assert await ada.call("ice-candidate", late) == {"status": "ok"}
        refused = await ada.call("offer", {"roomId": room, "targetSocketId": gone, "sdp": SDP})
        assert refused["error"]["code"] == "not_found"
        if how == "leave":
            late = {"roomId": room, "targetSocketId": ada.id, "candidate": CANDIDATE}
            assert await bob.call("ice-candidate", late) == {"status": "ok"}
        assert not ada.all("ice-candidate")


REFUSED: list[tuple[str, Any, str, str, str | None]] = [
    ("join-room", None, "bad_message", "takes a JSON object", None),
    ("join-room", {"roomId": "../etc"}, "bad_message", "letters, digits", "roomId"),
    ("join-room", {"roomId": "other"}, "conflict", "leave-room first", "roomId"),
    ("join-room", {"roomId": "other", "captions": {"language_code": "tlh"}}, "unsupported_format", "tlh", None),
    ("join-room", {"roomId": "other", "captions": 5}, "bad_message", "takes a JSON object", "captions"),
    ("offer", {"targetSocketId": "x"}, "bad_message", "sdp must be a session description", "sdp"),
    ("offer", {"targetSocketId": b"x", "sdp": SDP}, "bad_message", "targetSocketId must be text", "targetSocketId"),
    ("offer", {"targetSocketId": "x", "sdp": SDP}, "not_found", "in this room", "targetSocketId"),
    ("offer", {"roomId": "other", "targetSocketId": "x", "sdp": SDP}, "conflict", "and not in that one", "roomId"),
    ("answer", {"sdp": SDP}, "conflict", "makes no offers", "targetSocketId"),
    ("ice-candidate", {"targetSocketId": "x", "candidate": "c"}, "not_found", "in this room", "targetSocketId"),
    ("leave-room", {"roomId": "other"}, "conflict", "and not in that one", "roomId"),
    ("mute", {"roomId": 5}, "bad_message", "must be text", "roomId"),
]


async def test_what_cannot_be_done_is_an_error_and_changes_nothing(scripted: ServerProcess, room: str) -> None:
    async with bystander(scripted.url), callers(scripted, room, "ada", "bob") as (ada, bob):
        for count, (event, data, code, says, field) in enumerate(REFUSED, 1):
            answer = await ada.call(event, data)
            error = await ada.wait("error", count)
            assert answer == {"status": "error", "error": error}
            assert error["code"] == code, error
            assert says in error["message"], error
            assert error["event"] == event
            assert error.get("field") == field or field is None, error
        await ada.call("offer", {"roomId": room, "targetSocketId": bob.id, "sdp": SDP})
        assert (await bob.wait("offer"))["fromSocketId"] == ada.id
        assert not bob.all("error") + bob.all("peer-left")


async def test_messages_outside_a_room_are_conflicts(scripted: ServerProcess) -> None:
    async with Caller(scripted.url) as ada:
        for event in ("offer", "answer", "ice-candidate", "leave-room", "mute", "unmute"):
            answer = await ada.call(event, {"sdp": SDP, "candidate": CANDIDATE, "targetSocketId": "x"})
            assert answer["error"]["code"] == "conflict", event
            assert "join-room first" in answer["error"]["message"]


async def test_an_event_that_nobody_knows_is_answered_with_those_that_are(scripted: ServerProcess) -> None:
    async with Caller(scripted.url) as ada:
        await ada.emit("knock", {})
        error = await ada.wait("error")
        assert error["code"] == "bad_message"
        assert "join-room" in error["message"]
        assert "audio_chunk" in error["message"]


async def test_what_is_too_large_is_refused_and_whoever_goes_on_is_shown_out(
    scripted: ServerProcess, room: str
) -> None:
    async with bystander(scripted.url), callers(scripted, room, "ada", "bob") as (ada, bob):
        answer = await ada.call("offer", {"targetSocketId": bob.id, "sdp": "v" * 65_537})
        assert answer["error"]["code"] == "too_large"
        assert answer["error"]["field"] == "sdp"
        answer = await ada.call("ice-candidate", {"targetSocketId": bob.id, "candidate": "c" * 2_049})
        assert answer["error"]["code"] == "too_large"
        fits = "v=0\r\n" + "a" * (65_536 - 5)
        assert (await ada.call("offer", {"targetSocketId": bob.id, "sdp": fits}))["status"] == "ok"
        assert (await bob.wait("offer"))["sdp"] == fits


async def test_a_flood_of_candidates_is_bounded_and_hurts_nobody_else(scripted: ServerProcess, room: str) -> None:
    async with bystander(scripted.url), callers(scripted, room, "ada", "bob") as (ada, bob):
        flood = {"roomId": room, "targetSocketId": bob.id, "candidate": CANDIDATE}
        for _ in range(900):
            await ada.emit("ice-candidate", flood)
        error = await ada.wait("error")
        assert error["code"] == "rate_limited"
        assert error["retryAfter"] > 0
        answer = await ada.call("leave-room")
        assert answer["status"] == "left"
        await bob.wait("peer-left")
        came = len(bob.all("ice-candidate"))
        assert 200 <= came < 900
        # the pace is each one's own
        assert (await bob.call("join-room", {"roomId": room}))["status"] == "joined"


async def test_a_flood_of_joins_is_bounded(scripted: ServerProcess, room: str) -> None:
    async with Caller(scripted.url) as ada:
        answers = [await ada.call("join-room", {"roomId": room}) for _ in range(12)]
    codes = {answer.get("error", {}).get("code") for answer in answers}
    assert codes == {None, "rate_limited"}


@pytest.fixture(scope="module")
def small() -> Iterator[ServerProcess]:
    """A server with little room."""
    key = "0123456789abcdef-key"
    with start_server(*SCRIPTED, "--max-rooms", "2", "--max-room-participants", "2", "--api-keys", key) as server:
        yield server


AUTH = {"token": "0123456789abcdef-key"}


async def test_rooms_are_bounded_and_room_is_made_by_leaving(small: ServerProcess) -> None:
    async with AsyncExitStack() as stack:
        ada, bob, cyd, dan = [await stack.enter_async_context(Caller(small.url, auth=AUTH)) for _ in range(4)]
        await ada.enter("one")
        await bob.enter("one")
        await cyd.enter("two")
        full = await dan.call("join-room", {"roomId": "one"})
        assert (full["error"]["code"], full["error"]["retryable"]) == ("session_limit", True)
        assert (await dan.call("join-room", {"roomId": "three"}))["error"]["code"] == "session_limit"
        await cyd.cut()

        async def joined() -> bool:
            answer: Message = await dan.call("join-room", {"roomId": "three"})
            await asyncio.sleep(0.2)
            return answer["status"] == "joined"

        await eventually(joined)


async def test_a_wrong_token_joins_no_room(small: ServerProcess) -> None:
    async with Caller(small.url, auth=AUTH) as ada:
        answer = await ada.call("join-room", {"roomId": "one", "token": "not-this-one-at-all"})
        assert answer["error"]["code"] == "unauthorized"
        answer = await ada.call("join-room", {"roomId": "one", **AUTH})
        assert answer["status"] == "joined"


async def test_who_does_not_read_holds_nobody_up_and_catches_up(scripted: ServerProcess, room: str) -> None:
    async with callers(scripted, room, "ada", "bob") as (ada, bob), raw_socketio(scripted.url) as slow:
        await slow.emit("join-room", {"roomId": room})
        await slow.wait("room-state")
        target = (await ada.wait("peer-joined", 2))["socketId"]
        transport = transport_of(slow.websocket)
        transport.pause_reading()
        big = {"targetSocketId": target, "sdp": "v=0\r\n" + "a" * 60_000}
        small = {"targetSocketId": target, "candidate": CANDIDATE}
        full = False
        # how much a socket buffers differs: go on until there is no room, with a pause where it is one's own pace
        while not full:
            for caller, event, data in ((ada, "offer", big), (bob, "offer", big), (ada, "ice-candidate", small)):
                answer = await caller.call(event, data)
                if answer["status"] == "error":
                    assert answer["error"]["code"] == "rate_limited"
                    full = full or "does not keep up" in answer["error"]["message"]
                    await asyncio.sleep(0 if full else answer["error"]["retryAfter"])
        async with callers(scripted, room, "cyd") as (cyd,):
            await ada.wait("peer-joined", 3)
            await cyd.call("mute")
            await bob.wait("peer-muted")
            transport.resume_reading()
            ids = {ada.id, bob.id, cyd.id, target}

            def view() -> set[str]:
                return {p["socketId"] for p in slow.all("room-state")[-1]["participants"]}

            await slow.until(lambda: bool(slow.all("peer-joined")) or view() == ids)
        await slow.wait("peer-left")


@pytest.mark.node
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_node_clients_meet_and_negotiate(scripted: ServerProcess, room: str, transport: str) -> None:
    script = Path(__file__).parent / "node" / "call.mjs"
    task = {"url": scripted.url, "room": room, "transports": [transport], "sdp": SDP, "candidate": CANDIDATE}
    done = subprocess.run(["node", str(script)], input=json.dumps(task), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    ada, bob = told["ids"]
    assert [p["socketId"] for p in told["state"]["participants"]] == [ada, bob]
    assert told["joined"]["socketId"] == bob
    assert told["offer"] == {"fromSocketId": bob, "sdp": {"type": "offer", "sdp": SDP}}
    assert told["answer"] == {"fromSocketId": ada, "sdp": {"type": "answer", "sdp": SDP}}
    assert told["candidate"] == {"fromSocketId": ada, "candidate": CANDIDATE}
    assert told["refused"]["status"] == "error"
    assert told["refused"]["error"]["code"] == "not_found"
    assert told["left"] == {"socketId": ada, "userId": "ada", "role": "host"}
