"""A listener knows where it is, over any number of connections."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.client.errors import ProtocolFault
from antiphon.client.listening import (
    Cleared,
    Listening,
    ListenOptions,
    Notice,
    Packet,
    PacketsLost,
    StreamEnded,
    listening_url,
)


def started(position: float = 0.0, live: bool = False, **more: Any) -> str:
    message = {
        "type": "started",
        "source": "file:a.wav",
        "codec": "opus",
        "sampleRate": 24_000,
        "frameMs": 20,
        "channels": 1,
        "bitrate": 32_000,
        "preSkip": 312,
        "live": live,
        "duration": None if live else 10.0,
        "position": position,
        **more,
    }
    return json.dumps(message)


@pytest.mark.parametrize(
    ("url", "door", "query"),
    [
        ("http://a:1", "http://a:1/ws-audio", {}),
        ("wss://a/ws-audio?source=file:x&token=k", "https://a/ws-audio", {"source": "file:x", "token": "k"}),
        ("ws://a/voice/ws-audio/", "http://a/voice/ws-audio", {}),
        ("https://a/voice", "https://a/voice/ws-audio", {}),
    ],
)
def test_the_door_is_found(url: str, door: str, query: dict[str, str]) -> None:
    found, fields = listening_url(url)
    assert (str(found), fields) == (door, query)


def test_the_query_has_what_was_asked_for_and_nothing_else() -> None:
    assert ListenOptions("room:a").query(0) == {"source": "room:a", "events": "true"}
    options = ListenOptions("say:hi", frame_ms=10, rate=1.5, more=(("token", "k"),))
    assert options.query(1.23456) == {
        "source": "say:hi", "frameMs": "10", "rate": "1.5", "position": "1.235", "events": "true", "token": "k",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_each_packet_comes_once_however_often_the_connection_breaks(seed: int) -> None:
    random = Random(seed)
    tape = [number.to_bytes(2, "big") for number in range(500)]
    listening = Listening(ListenOptions("file:a.wav"))
    heard: list[bytes] = []
    while len(heard) < len(tape):
        listening.connected()
        # a server may begin a little before where it was asked to
        at = max(0, round(listening.position * 50) - random.randint(0, 3))
        listening.text(started(at / 50), 0.0)
        for packet in tape[at : at + random.randint(0, 100)]:
            heard += [item.data for item in listening.binary(packet) if isinstance(item, Packet)]
    assert heard == tape
    assert listening.position == 10.0


def test_what_the_server_left_out_is_told_and_counts() -> None:
    listening = Listening(ListenOptions("file:a.wav", position=2.0))
    assert listening.query()["position"] == "2.0"
    listening.text(started(2.0), 0.0)
    assert listening.text('{"type":"dropped","packets":5,"total":5}', 0.0) == [PacketsLost(5)]
    listening.binary(b"a")
    assert listening.position == pytest.approx(2.12)
    listening.connected()
    assert listening.text(started(2.5), 0.0) == [PacketsLost(19)]


def test_a_live_source_goes_on_with_what_is_said_now() -> None:
    listening = Listening(ListenOptions("room:a"))
    listening.text(started(live=True), 0.0)
    listening.binary(b"a")
    listening.connected()
    assert "position" not in listening.query()
    assert listening.text(started(live=True), 0.0) == []
    assert listening.binary(b"b") == [Packet(b"b")]


def test_other_messages_are_told_for_what_they_are() -> None:
    listening = Listening(ListenOptions("say:"))
    listening.text(started(live=True), 0.0)
    assert listening.text('{"type":"clear"}', 0.0) == [Cleared()]
    assert listening.text('{"type":"saying","id":1,"text":"hi"}', 0.0) == [Notice("saying", {"id": 1, "text": "hi"})]
    assert listening.text('{"type":"pong","t":1.5,"serverTime":9}', 1.75) == []
    assert listening.round_trip == 0.25
    listening.text('{"type":"error","code":"bad_message","message":"no","id":1}', 0.0)
    assert listening.error is None, "it is about a text, not about the connection"
    listening.text('{"type":"error","code":"engine_failed","message":"no"}', 0.0)
    assert listening.error is not None
    assert listening.text('{"type":"ended","reason":"failed","position":1}', 0.0) == []
    assert listening.failed
    assert listening.text('{"type":"ended","reason":"complete","position":1}', 0.0) == [StreamEnded("complete")]


@pytest.mark.parametrize(
    "message",
    ["", "[]", "{}", "1", '"a"', '{"type":"started"}', '{"type":"dropped","packets":-1}', '{"type":"dropped"}',
     started(codec="mp3"), started(channels=2), started(frameMs=0), started(position=-1), started(duration="x"),
     started(frameMs=1e999)],
)  # fmt: skip
def test_nonsense_is_a_fault_of_the_protocol(message: str) -> None:
    with pytest.raises(ProtocolFault, match="does not understand"):
        Listening(ListenOptions("file:a")).text(message, 0.0)


def test_another_format_after_the_connection_was_lost_is_a_fault() -> None:
    listening = Listening(ListenOptions("file:a"))
    listening.text(started(), 0.0)
    with pytest.raises(ProtocolFault, match="another format"):
        listening.text(started(frameMs=40), 0.0)


def test_audio_before_the_beginning_is_a_fault() -> None:
    with pytest.raises(ProtocolFault, match="before the server said"):
        Listening(ListenOptions("file:a")).binary(b"a")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("type", "source", "codec", "sampleRate", "frameMs", "channels", "preSkip", "live", "duration", "position",
          "packets", "reason", "t", "id", "bitrate")  # fmt: skip
TYPES = ("started", "dropped", "ended", "error", "closing", "pong", "clear", "x")


@given(
    st.lists(
        st.text(max_size=20) | st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(TYPES) | JSON).map(json.dumps),
        max_size=5,
    )
)
def test_any_message_gives_values_or_a_fault_of_the_protocol(messages: list[str]) -> None:
    listening = Listening(ListenOptions("file:a"))
    listening.text(started(), 0.0)
    for message in messages:
        try:
            listening.text(message, 0.0)
        except ProtocolFault:
            return
