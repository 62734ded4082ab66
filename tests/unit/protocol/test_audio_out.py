"""The query of ``/ws-audio``, and what its listeners say."""

from __future__ import annotations

import json
import operator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.errors import AntiphonError, BadMessage, ErrorCode, TooLarge, UnsupportedFormat
from antiphon.media.opus import PRESETS
from antiphon.protocol.audio_out import (
    LADDER,
    MAX_BITRATE,
    MIN_BITRATE,
    Clear,
    File,
    RoomSound,
    Say,
    SoundFormat,
    Speech,
    Wanted,
    ended_to_wire,
    parse_control,
    parse_query,
    rung,
    started_to_wire,
)
from antiphon.protocol.audio_stream import BitrateChange, Ping
from unit.protocol.anything import json_values, objects

LONGEST = 100
VALUES = st.sampled_from(["", "0", "10", "20", "24000", "8000", "32000", "nan", "1e400", "true", "²", "1_0", "-1"])
SOURCES = st.builds(
    operator.add,
    st.sampled_from(["file:", "room:", "say:", "file:a/../b", "room:a b", "ftp:x", "say", ""]),
    st.text(max_size=20) | st.just("a" * 101),
)


def parse(**query: str) -> Wanted:
    return parse_query(query, LONGEST)


def refusal(**query: str) -> AntiphonError:
    with pytest.raises(AntiphonError) as refused:
        parse(**query)
    return refused.value


def test_without_options_it_is_20_ms_of_24_khz_at_32_kbit() -> None:
    wanted = parse(source="file:songs/a.wav")
    assert wanted == Wanted(File("songs/a.wav"), "file:songs/a.wav", SoundFormat(24_000, 20, 32_000, None), 0.0, False)


def test_each_option_is_read() -> None:
    wanted = parse(source="say:Hello", sampleRate="8000", frameMs="60", bitrate="9000", events="true", position="1.5",
                   voice="v", language="de", rate="1.25", preset="voice_low_bandwidth", token="x")  # fmt: skip
    assert wanted.source == Speech("Hello", "v", "de", 1.25)
    assert wanted.format == SoundFormat(8_000, 60, 8_000, "voice_low_bandwidth")
    assert (wanted.events, wanted.position) == (True, 1.5)


def test_rooms_are_named_as_everywhere() -> None:
    assert parse(source="room:choir").source == RoomSound("choir")
    assert refusal(source="room:").field == "source"
    assert refusal(source="room:a b").field == "source"


def test_an_empty_text_waits_for_messages() -> None:
    assert parse(source="say:").source == Speech("")
    assert parse(source="say: \n").source == Speech("")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_everything_that_is_not_said(preset: str) -> None:
    known = PRESETS[preset]
    found = parse(source="file:a", preset=preset)
    assert (found.format.sample_rate, found.format.bitrate) == (known.sample_rate, known.bitrate)
    config = found.format.encoder_config(found.source)
    assert (config.application, config.dtx, config.vbr) == (known.application, known.dtx, known.vbr)
    explicit = parse(source="file:a", preset=preset, sampleRate="12000", bitrate="16000", frameMs="40")
    assert explicit.format == SoundFormat(12_000, 40, 16_000, preset)


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({}, "bad_message", "source"),
        ({"source": ""}, "bad_message", "source"),
        ({"source": "tape:1"}, "bad_message", "source"),
        ({"source": "file"}, "bad_message", "source"),
        ({"source": "file:"}, "bad_message", "source"),
        ({"source": "file:../secret.wav"}, "bad_message", "source"),
        ({"source": "file:/etc/passwd"}, "bad_message", "source"),
        ({"source": "file:a//b"}, "bad_message", "source"),
        ({"source": "file:a\\b"}, "bad_message", "source"),
        ({"source": "file:a\0.wav"}, "bad_message", "source"),
        ({"source": "file:" + "a" * 1025}, "bad_message", "source"),
        ({"source": "say:" + "a" * 101}, "too_large", "source"),
        ({"source": "say:a", "rate": "3"}, "unsupported_format", "rate"),
        ({"source": "say:a", "rate": "fast"}, "bad_message", "rate"),
        ({"source": "say:a", "voice": "v" * 129}, "bad_message", "voice"),
        ({"source": "file:a", "sampleRate": "44100"}, "unsupported_format", "sampleRate"),
        ({"source": "file:a", "sampleRate": "24k"}, "bad_message", "sampleRate"),
        ({"source": "file:a", "sampleRate": "24000.5"}, "unsupported_format", "sampleRate"),
        ({"source": "file:a", "frameMs": "5"}, "unsupported_format", "frameMs"),
        ({"source": "file:a", "bitrate": "5999"}, "unsupported_format", "bitrate"),
        ({"source": "file:a", "bitrate": "nan"}, "bad_message", "bitrate"),
        ({"source": "file:a", "preset": "loud"}, "unsupported_format", "preset"),
        ({"source": "file:a", "position": "-1"}, "bad_message", "position"),
        ({"source": "file:a", "position": "inf"}, "bad_message", "position"),
        ({"source": "room:a", "position": "1"}, "bad_message", "position"),
        ({"source": "say:", "position": "1"}, "bad_message", "position"),
        ({"source": "file:a", "events": "yes"}, "bad_message", "events"),
    ],
)
def test_what_cannot_be_had_is_refused_by_the_field(query: dict[str, str], code: str, field: str) -> None:
    error = refusal(**query)
    assert (error.code, error.field) == (ErrorCode(code), field)


@given(
    query=st.dictionaries(
        st.sampled_from(["source", "sampleRate", "frameMs", "bitrate", "position", "rate", "events", "preset"]),
        VALUES | SOURCES,
    )
)
def test_any_query_is_wanted_or_refused_in_few_words(query: dict[str, str]) -> None:
    try:
        wanted = parse_query(query, LONGEST)
    except (BadMessage, UnsupportedFormat, TooLarge) as error:
        assert error.field is not None
        assert len(error.message) < 400
        return
    assert wanted.format.bitrate in LADDER
    assert wanted.format.encoder_config(wanted.source).encoder().frame_samples == wanted.format.frame_samples


@given(st.floats(MIN_BITRATE, MAX_BITRATE))
def test_a_bitrate_goes_to_the_nearest_rung(bitrate: float) -> None:
    found = rung(bitrate)
    assert found in LADDER
    assert all(max(found / bitrate, bitrate / found) <= max(other / bitrate, bitrate / other) for other in LADDER)


@given(st.integers(0, 10**7), st.sampled_from([10, 20, 40, 60]))
def test_a_count_of_packets_is_found_again_from_its_seconds(packets: int, frame_ms: int) -> None:
    sound = SoundFormat(frame_ms=frame_ms)
    assert sound.packet_at(sound.seconds(packets)) == packets
    assert sound.packet_at(round(sound.seconds(packets), 3)) == packets


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["ping", "bitrate-change", "say", "clear", "join", ""]),
    "t": st.integers() | st.text(max_size=5),
    "bitrate": st.sampled_from([0, 6_000, 64_000.5, 512_000, 1e300, -1]),
    "text": st.text(max_size=120),
    "voice": st.text(max_size=5),
    "language": st.just("en"),
    "rate": st.sampled_from([0.1, 1, 2.0, "fast"]),
}


@given(objects(FIELDS) | json_values())
@example({"type": "say", "text": "a", "rate": float("inf")})
def test_any_json_is_understood_or_refused(message: Any) -> None:
    any_text(json.dumps(message))


@given(st.text(max_size=100))
@example("")
@example("\ud800")
def test_any_text_is_understood_or_refused(text: str) -> None:
    any_text(text)


def any_text(text: str) -> None:
    try:
        control = parse_control(text, LONGEST)
    except (BadMessage, UnsupportedFormat, TooLarge) as refused:
        assert len(refused.message) < 400
        return
    assert isinstance(control, Ping | BitrateChange | Say | Clear)


def test_messages_are_read() -> None:
    assert parse_control('{"type":"ping","t":7}', LONGEST) == Ping(7)
    assert parse_control('{"type":"clear"}', LONGEST) == Clear()
    assert parse_control('{"type":"bitrate-change","bitrate":512000}', LONGEST) == BitrateChange(MAX_BITRATE)
    assert parse_control('{"type":"say","text":" Hello ","voice":"v","rate":2}', LONGEST) == Say(
        Speech("Hello", "v", None, 2.0)
    )
    with pytest.raises(BadMessage, match="nothing in text"):
        parse_control('{"type":"say","text":" "}', LONGEST)
    with pytest.raises(TooLarge):
        parse_control(json.dumps({"type": "say", "text": "a" * 101}), LONGEST)


def test_what_is_told_has_the_documented_shape() -> None:
    wanted = parse(source="say:" + "long " * 20, sampleRate="48000")
    started = started_to_wire(wanted, pre_skip=312, live=False, duration=None, position=0.0)
    assert started == {
        "type": "started",
        "source": "say:" + ("long " * 20)[:80],
        "codec": "opus",
        "sampleRate": 48_000,
        "frameMs": 20,
        "channels": 1,
        "bitrate": 32_000,
        "preSkip": 312,
        "live": False,
        "duration": None,
        "position": 0.0,
    }
    assert ended_to_wire("complete", 1.23456) == {"type": "ended", "reason": "complete", "position": 1.235}
