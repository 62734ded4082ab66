"""Streams that are shared (``audio-stream``, ``audio-data``): binary as it was sent, playable from any moment on."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Self

import aiohttp
import av
import numpy as np
import numpy.typing as npt
import pytest
import socketio

from integration.clients import Inbox, Polling, bystander, pieces, transport_of
from integration.observe import Message, eventually, metrics, session_events, streams_are
from support.audio import Kind, encode, sine, speech, transcripts
from support.server import SCRIPTED, ServerProcess, start_server

WORDS = transcripts()["go-forward.wav"]
EVENTS = (
    "audio-stream-started",
    "audio-stream-ended",
    "audio-data-ended",
    "transcription_result",
    "transcription_started",
    "room-state",
    "peer-joined",
    "error",
    "closing",
)


class Sharer(Inbox):
    """A python-socketio client that shares streams, hears those of others and remembers what it is told."""

    def __init__(self, url: str, transports: tuple[str, ...] = ("websocket",)) -> None:
        super().__init__()
        self.id = ""
        self._url = url
        self._transports = list(transports)
        self.sio = socketio.AsyncClient(reconnection=False)
        for event in EVENTS:
            self.sio.on(event, lambda data=None, event=event: self.put(event, data))
        self.sio.on("audio-data", lambda data, about: self.put("audio-data", {"data": data, **about}))
        self.sio.on("disconnect", lambda *_: self.close())

    async def __aenter__(self) -> Self:
        await self.sio.connect(self._url, transports=self._transports)
        self.id = self.sio.get_sid()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sio.disconnect()

    async def call(self, event: str, data: Any = None) -> Message:
        answer: Message = await self.sio.call(event, data, timeout=30)
        return answer

    async def share(self, parts: list[bytes], room: str | None = None) -> list[Message]:
        """Send pieces, each as soon as the one before was answered; the answers."""
        return [
            await self.call("audio-stream", part if room is None else {"roomId": room, "data": part}) for part in parts
        ]

    @property
    def heard(self) -> bytes:
        return b"".join(told["data"] for told in self.all("audio-data"))

    @property
    def text(self) -> str:
        return " ".join(told["text"] for told in self.all("transcription_result") if not told["is_partial"])


class SlowListener(Polling):
    """A polling client that hears streams, and does not poll when it is told so."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        super().__init__(session, url)
        self.awake = asyncio.Event()
        self.awake.set()

    async def _read(self) -> None:
        about: Message = {}
        while True:
            await self.awake.wait()
            async with self.session.get(self.url) as response:
                if response.status != 200:
                    break
                packets = (await response.text()).split("\x1e")
            for packet in packets:
                if packet == "2":
                    await self.post(b"3")
                elif packet.startswith("b"):
                    self.put("audio-data", {"data": base64.b64decode(packet[1:]), **about})
                elif packet.startswith("451-"):
                    _, _, about = json.loads(packet[4:])
                elif packet.startswith("42"):
                    event, *data = json.loads(packet[2:])
                    self.put(event, data[0])
        self.close()


@pytest.fixture(scope="module")
def saying() -> Iterator[ServerProcess]:
    """A server with the double."""
    with start_server(*SCRIPTED, "--max-rate", "100", "--max-streams", "100") as server:
        yield server


@cache
def recorded(name: str = "go-forward", kind: Kind = "webm") -> list[bytes]:
    """What a recorder hands over, in pieces that are cut anywhere."""
    return list(pieces(encode(speech(name), kind, options=LIVE[kind]), 4_000))


LIVE: dict[Kind, dict[str, str]] = {"webm": {"live": "1"}, "ogg-opus": {"page_duration": "100000"}}


def samples(data: bytes) -> npt.NDArray[np.float32]:
    with av.open(io.BytesIO(data), "r") as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def packets(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data), "r") as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


@pytest.mark.parametrize("kind", ["webm", "ogg-opus"])
async def test_others_get_what_was_sent_and_the_sender_its_words(hearing: ServerProcess, kind: Kind) -> None:
    parts = recorded(kind=kind)
    async with Sharer(hearing.url) as sender, Sharer(hearing.url) as near, Sharer(hearing.url, ("polling",)) as far:
        answers = await sender.share(parts)
        assert [answer["seq"] for answer in answers] == list(range(len(parts)))
        assert {(answer["status"], answer["roomId"]) for answer in answers} == {("ok", "default")}
        ended = await sender.call("audio-stream-end")
        assert (ended["status"], ended["pieces"]) == ("ok", len(parts))
        await sender.wait("audio-stream-ended")
        for listener in (near, far):
            await listener.wait("audio-data-ended")
            assert listener.heard == b"".join(parts)
            told = listener.all("audio-data")
            assert [one["seq"] for one in told] == list(range(len(parts)))
            assert [one["begins"] for one in told] == [True] + [False] * (len(parts) - 1)
            assert {one["socketId"] for one in told} == {sender.id}
            assert told[0]["format"] == ("webm" if kind == "webm" else "ogg")
            # words are the sender's own, as long as no room wants captions
            assert not listener.all("transcription_result")
        assert np.array_equal(samples(near.heard), samples(b"".join(parts)))
        assert sender.text == WORDS
        assert not sender.all("audio-data")
        (started,) = sender.all("audio-stream-started")
    log = await session_events(hearing.url, started["session_id"])
    assert [event.data["text"] for event in log if event.name == "final"] == [WORDS]
    assert (log[-1].name, log[-1].data["reason"]) == ("ended", "stopped")
    results = sender.all("transcription_result")
    assert {(one["speaker"], one["session_id"]) for one in results} == {(sender.id, started["session_id"])}


@pytest.mark.parametrize("kind", ["webm", "ogg-opus"])
async def test_who_comes_late_can_play_from_there_on(saying: ServerProcess, kind: Kind) -> None:
    parts = recorded("two-utterances", kind)
    whole = packets(b"".join(parts))
    async with Sharer(saying.url) as sender:
        await sender.share(parts[:4])
        async with Sharer(saying.url) as late:
            await sender.share(parts[4:])
            await sender.call("audio-stream-end")
            await late.wait("audio-data-ended")
            first = late.all("audio-data")[0]
            assert first["begins"]
            assert first["seq"] >= 4
            rest = packets(late.heard)
    assert 0 < len(rest) < len(whole)
    assert rest == whole[-len(rest) :]
    assert len(rest) > len(whole) * (len(parts) - 6) / len(parts)
    assert samples(late.heard).size > 0


async def test_a_recorder_that_begins_anew_is_one_stream_with_two_headers(hearing: ServerProcess) -> None:
    first, second = recorded(), recorded("quick-brown-fox")
    async with Sharer(hearing.url) as sender, Sharer(hearing.url) as listener:
        await sender.share(first + second)
        await sender.call("audio-stream-end")
        await listener.wait("audio-data-ended")
        await sender.wait("audio-stream-ended")
    begins = [number for number, one in enumerate(listener.all("audio-data")) if one["begins"]]
    assert begins == [0, len(first)]
    assert len(sender.all("audio-stream-started")) == 1
    assert sender.text == f"{WORDS} {transcripts()['quick-brown-fox.wav']}"


async def test_a_room_is_joined_by_naming_it_and_nobody_else_hears(saying: ServerProcess) -> None:
    parts = recorded()
    async with (
        Sharer(saying.url) as sender,
        Sharer(saying.url) as member,
        Sharer(saying.url) as outsider,
        Sharer(saying.url) as elsewhere,
    ):
        assert (await member.call("join-room", {"roomId": "r1", "userId": "m"}))["status"] == "joined"
        assert (await elsewhere.call("join-room", {"roomId": "r2"}))["status"] == "joined"
        answers = await sender.share(parts[:3], "r1")
        # who is in a room need not name it
        answers += await sender.share(parts[3:])
        assert {answer["roomId"] for answer in answers} == {"r1"}
        joined = await member.wait("peer-joined")
        assert (joined["socketId"], joined["transport"]) == (sender.id, "stream")
        assert [one["userId"] for one in (await sender.wait("room-state"))["participants"]] == ["m", ""]
        await sender.call("audio-stream-end")
        await member.wait("audio-data-ended")
        assert member.heard == b"".join(parts)
        # one room at a time
        refused = await sender.call("audio-stream", {"roomId": "r2", "data": parts[0]})
        assert (refused["error"]["code"], refused["error"]["field"]) == ("conflict", "roomId")
        # and having left it, nothing goes on to everybody by mistake
        await sender.share(parts[:2])
        assert (await sender.call("leave-room", {"roomId": "r1"}))["status"] == "left"
        stopped = await sender.call("audio-stream", parts[2])
        assert stopped["error"]["code"] == "bad_audio"
        assert "not the beginning" in stopped["error"]["message"]
        assert (await sender.call("audio-stream", parts[0]))["roomId"] == "default"
        await outsider.wait("audio-data")
        assert outsider.heard == parts[0]
        assert not elsewhere.all("audio-data")


async def test_a_room_with_captions_is_told_the_words(hearing: ServerProcess) -> None:
    async with Sharer(hearing.url) as sender, Sharer(hearing.url) as member:
        await member.call("join-room", {"roomId": "c1", "captions": True})
        await sender.share(recorded(), "c1")
        await sender.call("audio-stream-end")
        await sender.wait("audio-stream-ended")
        await member.until(lambda: member.text == WORDS)
    assert sender.text == WORDS
    assert member.all("transcription_result")[-1]["speaker"] == sender.id
    assert member.all("transcription_result") == [
        {**result, "userId": ""} for result in sender.all("transcription_result")
    ]


async def test_who_transcribes_or_sends_segments_is_not_in_the_default_room(saying: ServerProcess) -> None:
    async with (
        Sharer(saying.url) as sender,
        Sharer(saying.url) as listener,
        Sharer(saying.url) as speaker,
        Sharer(saying.url) as segments,
    ):
        await speaker.sio.emit("start_transcription", {})
        await speaker.wait("transcription_started")
        await segments.call("audio-chunk", {"sessionId": "s", "audio": b"", "timestamp": 1})
        await sender.share(recorded()[:2])
        await listener.wait("audio-data", 2)
        # what comes to one client comes in order
        for other in (speaker, segments):
            await other.call("audio-stream-end")
            assert not other.all("audio-data")


async def test_two_senders_are_told_apart(saying: ServerProcess) -> None:
    one, two = recorded(), recorded("quick-brown-fox", "ogg-opus")
    async with Sharer(saying.url) as first, Sharer(saying.url) as second, Sharer(saying.url) as listener:
        for a, b in zip(one, two, strict=False):
            await first.share([a])
            await second.share([b])
        count = min(len(one), len(two))
        await listener.wait("audio-data", 2 * count)
        for sender, parts in ((first, one), (second, two)):
            heard = [told["data"] for told in listener.all("audio-data") if told["socketId"] == sender.id]
            assert heard == parts[:count]
        await first.wait("audio-data", count)
        assert first.heard == b"".join(two[:count])


NONSENSE: list[tuple[Any, str, str, str | None]] = [
    (None, "bad_message", "this is null", None),
    ("GkXfo59ChoEB", "bad_message", "base64 is not taken", None),
    ({"roomId": "r", "data": "GkXfo59ChoEB"}, "bad_message", "base64 is not taken", "data"),
    ({"roomId": "r"}, "bad_message", "this is null", "data"),
    ({"roomId": "../r", "data": b"x"}, "bad_message", "letters, digits", "roomId"),
    ({"roomId": 5, "data": b"x"}, "bad_message", "must be text", "roomId"),
    ([1, 2], "bad_message", "an array", None),
    (b"", "bad_audio", "empty", None),
    (bytes(4_000), "bad_audio", "not the beginning", None),
    (b"\x1f\x43\xb6\x75\xff" + bytes(50), "bad_audio", "start it again", None),
    (b"\0\0\0\x1cftypiso5" + bytes(50), "unsupported_format", "audio/webm", None),
    (b"RIFF" + bytes(50), "unsupported_format", "audio-chunk", None),
    ({"data": b"\x1a\x45\xdf\xa3", "language": "tlh"}, "unsupported_format", "tlh", "language"),
]


@pytest.mark.parametrize(("data", "code", "says", "field"), NONSENSE, ids=map(str, range(len(NONSENSE))))
async def test_nonsense_is_answered_and_goes_nowhere(
    saying: ServerProcess, data: Any, code: str, says: str, field: str | None
) -> None:
    async with bystander(saying.url), Sharer(saying.url) as sender, Sharer(saying.url) as listener:
        refused = await sender.call("audio-stream", data)
        assert refused["status"] == "error"
        assert refused["error"]["code"] == code
        assert says in refused["error"]["message"]
        assert refused["error"].get("field") == field
        assert (await sender.wait("error"))["event"] == "audio-stream"
        assert (await sender.call("audio-stream-end"))["error"]["code"] == "conflict"
        await sender.share(recorded()[:1])
        await listener.wait("audio-data")
        assert listener.heard == recorded()[0]
        assert not sender.all("room-state")


async def test_a_container_of_something_else_is_passed_on_and_its_sender_told(saying: ServerProcess) -> None:
    parts = list(pieces(encode(speech("go-forward"), "ogg-vorbis"), 4_000))
    async with Sharer(saying.url) as sender, Sharer(saying.url) as listener:
        await sender.share(parts)
        error = await sender.wait("error")
        assert error["code"] in ("bad_audio", "unsupported_format")
        assert "passed on all the same" in error["message"]
        await listener.wait("audio-data", len(parts))
        assert listener.heard == b"".join(parts)


async def test_without_a_recogniser_to_spare_a_stream_is_passed_on() -> None:
    parts = recorded()
    with start_server(*SCRIPTED, "--max-streams", "1", "--max-rate", "100") as server:
        async with Sharer(server.url) as other, Sharer(server.url) as sender, Sharer(server.url) as listener:
            await other.sio.emit("start_transcription", {})
            await other.wait("transcription_started")
            await sender.share(parts)
            error = await sender.wait("error")
            assert (error["code"], error["event"]) == ("session_limit", "audio-stream")
            assert "passed on all the same" in error["message"]
            await listener.wait("audio-data", len(parts))
            assert listener.heard == b"".join(parts)
            assert sender.sio.connected


async def test_a_sender_that_vanishes_leaves_its_words(hearing: ServerProcess) -> None:
    async with Sharer(hearing.url) as sender, Sharer(hearing.url) as listener:
        await sender.share(recorded())
        started = await sender.wait("audio-stream-started")
        transport_of(sender.sio.eio.ws).abort()
        await listener.wait("audio-data-ended")
    log = await session_events(hearing.url, started["session_id"])
    assert [event.data["text"] for event in log if event.name == "final"] == [WORDS]
    assert log[-1].data["reason"] == "left"
    await streams_are(hearing.url, 0)


async def test_whoever_sends_too_much_is_told_and_listeners_begin_anew(saying: ServerProcess) -> None:
    parts = list(pieces(encode(speech("two-utterances") * 12, "webm", options={"live": "1"}), 20_000))
    flood = encode(sine(440, 9, sample_rate=48_000), "wav")
    async with bystander(saying.url), Sharer(saying.url) as sender, Sharer(saying.url) as listener:
        half = len(parts) // 2
        await sender.share(parts[:half])
        refused: list[Message] = []
        while not refused:
            answer = await sender.call("audio-stream", b"\xa3" + flood)
            refused += [answer] if answer["status"] == "error" else []
        error = refused[0]["error"]
        assert error["code"] == "rate_limited"
        assert error["retryAfter"] > 0
        assert (await sender.wait("error", where=lambda told: told["code"] == "rate_limited")) == error
        taken = 0
        while taken < 5:
            answer = await sender.call("audio-stream", parts[half + taken])
            taken += answer["status"] == "ok"
        await listener.wait("audio-data", where=lambda one: one["seq"] == answer["seq"])
    told = listener.all("audio-data")
    assert [one["begins"] for one in told].count(True) == 2
    last = max(number for number, one in enumerate(told) if one["begins"])
    assert packets(b"".join(one["data"] for one in told[last:]))


async def test_a_message_that_is_too_large_leaves_a_hole_that_listeners_get_over(saying: ServerProcess) -> None:
    parts = list(pieces(encode(speech("two-utterances"), "webm", options={"live": "1"}), 4_000))
    async with Sharer(saying.url) as sender, Sharer(saying.url) as listener:
        await sender.share(parts[:5])
        await sender.sio.emit("audio-stream", bytes(1_100_000))
        assert (await sender.wait("error"))["code"] == "too_large"
        answers = await sender.share(parts[6:])
        await listener.wait("audio-data", where=lambda one: one["seq"] == answers[-1]["seq"])
    told = listener.all("audio-data")
    assert [one["begins"] for one in told].count(True) == 2
    last = max(number for number, one in enumerate(told) if one["begins"])
    rest = packets(b"".join(one["data"] for one in told[last:]))
    assert rest == packets(b"".join(parts))[-len(rest) :]


async def test_streams_begin_no_faster_than_they_may(saying: ServerProcess) -> None:
    head = recorded()[0]
    async with Sharer(saying.url) as sender:
        answers: list[Message] = []
        while not answers or answers[-1]["status"] == "ok":
            answers += await sender.share([head])
            await sender.call("audio-stream-end")
        assert len(answers) >= 11
        assert answers[-1]["error"]["code"] == "rate_limited"
        assert "streams of one connection" in answers[-1]["error"]["message"]


async def test_a_slow_listener_loses_the_oldest_and_begins_where_it_can_play(saying: ServerProcess) -> None:
    # fewer than may come at once
    parts = list(pieces(encode(speech("two-utterances") * 12, "webm", options={"live": "1"}), 5_000))
    assert len(parts) < 200
    whole = packets(b"".join(parts))
    before = (await metrics(saying.url))["antiphon_audio_data_dropped_total"]
    async with Sharer(saying.url) as sender, Sharer(saying.url) as quick, aiohttp.ClientSession() as session:
        slow = SlowListener(session, saying.url)
        await slow.connect()
        await sender.share(parts[:1])
        await slow.wait("audio-data")
        # the poll that is under way is the last for now
        slow.awake.clear()
        await sender.share(parts[1:])
        await quick.wait("audio-data", len(parts))
        assert quick.heard == b"".join(parts)
        await sender.call("audio-stream-end")
        dropped = (await metrics(saying.url))["antiphon_audio_data_dropped_total"] - before
        assert dropped > len(parts) / 2
        slow.awake.set()
        await slow.wait("audio-data-ended")
        await slow.finish()
    told = slow.all("audio-data")
    lost = [one["dropped"] for one in told]
    assert sum(lost) == dropped
    assert sum(lost) + len(told) == len(parts)
    late = next(number for number, count in enumerate(lost) if count)
    assert told[late]["begins"]
    assert [one["seq"] for one in told[late:]] == list(range(told[late]["seq"], len(parts)))
    rest = packets(b"".join(one["data"] for one in told[late:]))
    assert rest == whole[-len(rest) :]


async def test_shutdown_lets_the_last_words_be_told() -> None:
    with start_server("--shutdown-grace", "20") as server:
        async with Sharer(server.url) as sender:
            await sender.share(recorded())
            await sender.wait("audio-stream-started")
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            await sender.until(lambda: sender.text == WORDS)
            await stopping


async def test_streams_are_counted(saying: ServerProcess) -> None:
    async with Sharer(saying.url) as sender:
        await sender.share(recorded()[:1])
        assert (await metrics(saying.url))["antiphon_shared_streams"] >= 1
        await sender.call("audio-stream-end")

    async def none() -> bool:
        return (await metrics(saying.url))["antiphon_shared_streams"] == 0

    await eventually(none)
