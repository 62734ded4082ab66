"""``antiphon transcribe`` and its sisters as processes: what they print where, and how they end."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon import __version__
from support.audio import SPEECH, encode, speech, transcripts, wav
from support.cli import Running, antiphon
from support.server import ServerProcess, start_server

KEY = "a-key-that-is-long-enough"
GO = SPEECH / "go-forward.wav"
TWO = SPEECH / "two-utterances.wav"
TWO_LINES = "please open the window\nit is very warm in here\n"
TESTS = Path(__file__).parent.parent
HALF = 90_000
"""Bytes of two-utterances.wav that end in the pause between the two."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_server() as running:
        yield running


# Without a server


def test_a_file_is_printed_with_nothing_around_it() -> None:
    ran = antiphon("transcribe", str(GO))
    assert (ran.code, ran.out, ran.err) == (0, "go forward ten meters\n", "")


def test_every_utterance_is_a_line() -> None:
    ran = antiphon("transcribe", str(TWO))
    assert (ran.code, ran.out, ran.err) == (0, TWO_LINES, "")


def test_json_is_one_object_with_words_and_times() -> None:
    ran = antiphon("transcribe", str(TWO), "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert told["text"] == transcripts()[TWO.name]
    assert told["duration"] == pytest.approx(5.673, abs=0.001)
    assert [result["text"] for result in told["results"]] == TWO_LINES.splitlines()
    for result in told["results"]:
        assert [word["word"] for word in result["words"]] == result["text"].split()
        assert result["start"] <= result["words"][0]["start"] < result["words"][-1]["end"] <= result["end"] + 0.001
        assert result["language"] == "en-US"


@pytest.mark.parametrize(
    ("style", "head", "cue"),
    [
        ("srt", "", r"{n}\n00:00:0{s},\d{{3}} --> 00:00:0{e},\d{{3}}\n{text}\n\n"),
        ("vtt", r"WEBVTT\n\n", r"00:00:0{s}\.\d{{3}} --> 00:00:0{e}\.\d{{3}}\n{text}\n\n"),
    ],
)
def test_subtitles_have_the_times_of_the_words(style: str, head: str, cue: str) -> None:
    ran = antiphon("transcribe", str(TWO), "--format", style)
    one = cue.format(n=1, s=0, e=1, text="please open the window")
    two = cue.format(n=2, s=3, e=4, text="it is very warm in here")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(head + one + two, ran.out), ran.out


def test_output_goes_to_a_file(tmp_path: Path) -> None:
    target = tmp_path / "words.txt"
    ran = antiphon("transcribe", str(GO), "--output", str(target))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert target.read_text() == "go forward ten meters\n"


def test_a_failure_leaves_an_older_output_alone(tmp_path: Path) -> None:
    target, bad = tmp_path / "words.txt", tmp_path / "bad.wav"
    target.write_text("precious\n")
    bad.write_bytes(b"RIFF")
    assert antiphon("transcribe", str(bad), "--output", str(target)).code == 1
    assert target.read_text() == "precious\n"


def test_a_container_comes_through_standard_input() -> None:
    ran = antiphon("transcribe", "-", stdin=encode(speech("go-forward"), "ogg-opus"))
    assert (ran.code, ran.out, ran.err) == (0, "go forward ten meters\n", "")


def test_raw_samples_come_through_standard_input() -> None:
    stereo = b"".join(speech("go-forward")[at : at + 2] * 2 for at in range(0, len(speech("go-forward")), 2))
    ran = antiphon("transcribe", "-", "--raw", "--channels", "2", stdin=stereo)
    assert (ran.code, ran.out, ran.err) == (0, "go forward ten meters\n", "")


def test_half_a_sample_at_the_end_of_raw_input_is_told() -> None:
    ran = antiphon("transcribe", "-", "--raw", stdin=speech("go-forward") + b"?")
    assert (ran.code, ran.out) == (0, "go forward ten meters\n")
    assert ran.err.count("\n") == 1
    assert "last 1 bytes" in ran.err


def test_words_show_while_they_are_spoken() -> None:
    with Running("transcribe", "-", "--raw", terminal=True) as command:
        command.stdin.write(speech("two-utterances")[:HALF])
        command.stdin.flush()
        command.until(lambda ran: ran.out == "please open the window\n")
        assert "please open" in command.err, "no partial was shown"
        command.stdin.write(speech("two-utterances")[HALF:])
        assert command.wait() == 0
        assert command.out == TWO_LINES


def test_progress_shows_on_a_terminal() -> None:
    with Running("transcribe", str(TWO), terminal=True) as command:
        assert command.wait() == 0
        assert command.out == TWO_LINES
        assert re.search(r"0:0\d / 0:05", command.err)


@pytest.mark.parametrize("style", ["text", "json"])
def test_ctrl_c_prints_what_was_heard_so_far(style: str) -> None:
    with Running("transcribe", "-", "--raw", "--format", style, terminal=True) as command:
        command.stdin.write(speech("two-utterances")[:150_000])
        command.stdin.flush()
        command.until(lambda ran: "it is very" in ran.err)
        command.signal(signal.SIGINT)
        assert command.wait() == 130
        said = command.out if style == "text" else "\n".join(r["text"] for r in json.loads(command.out)["results"])
        assert said.startswith("please open the window\nit is very")


@pytest.mark.parametrize("door", [None, "http", "websocket"])
def test_ctrl_c_ends_what_waits_for_a_pipe(server: ServerProcess, door: str | None) -> None:
    with Running("transcribe", "-", *(["--server", server.url, "--door", door] if door else [])) as command:
        command.stdin.write(GO.read_bytes()[:20])
        command.stdin.flush()
        command.until_taken()
        command.signal(signal.SIGINT)
        assert command.wait(hang_up=False) == 130
        assert (command.out, command.err) == ("", "")


def test_realtime_gives_the_same_words() -> None:
    ran = antiphon("transcribe", str(GO), "--realtime")
    assert (ran.code, ran.out, ran.err) == (0, "go forward ten meters\n", "")


def test_silence_is_no_text_and_no_error(tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    silence.write_bytes(wav(bytes(64_000)))
    ran = antiphon("transcribe", str(silence))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    told = json.loads(antiphon("transcribe", str(silence), "--format", "json").out)
    assert told == {"text": "", "duration": 2.0, "results": []}


def test_another_engine_can_be_named() -> None:
    ran = antiphon("transcribe", str(TWO), "--engine", "antiphon.testing:ScriptedRecogniser", "--language", "de")
    assert (ran.code, ran.out, ran.err) == (0, "one two three\nfour five six\n", "")


# What goes wrong


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.wav", None, "there is no file"),
        ("", None, "is a directory"),
        ("empty.wav", b"", "is empty"),
        ("text.wav", b"Dear Sir or Madam, " * 100, "not audio"),
        ("zip.wav", b"PK\x03\x04" + bytes(200), "zip"),
        ("cut.flac", b"fLaC" + bytes(30), "truncated or corrupt"),
    ],
)
@pytest.mark.parametrize("with_server", [False, True])
def test_a_bad_file_is_one_line_and_code_1(
    tmp_path: Path, server: ServerProcess, name: str, content: bytes | None, told: str, with_server: bool
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    ran = antiphon("transcribe", str(path), *(("--server", server.url) if with_server else ()))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("antiphon: ")
    assert told in ran.err.lower()
    assert ran.err.count("\n") == 1, ran.err


def test_empty_standard_input_is_told() -> None:
    ran = antiphon("transcribe", "-")
    assert ran.code == 1
    assert "empty" in ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([str(GO), "--language", "tlh"], "language 'tlh' is not known"),
        ([str(GO), "--raw"], "--raw is for standard input"),
        ([str(GO), "--door", "http"], "--door needs --server"),
        ([str(GO), "--server", "nonsense"], "http://127.0.0.1:8080"),
        ([str(GO), "--server", "http://127.0.0.1:9", "--engine", "pocketsphinx"], "--engine"),
        ([str(GO), "--server", "http://127.0.0.1:9", "--realtime"], "--realtime"),
        (["-", "--raw", "--server", "http://127.0.0.1:9", "--door", "http"], "not a file"),
        (["-", "--raw", "--sample-rate", "400"], "--sample-rate 400"),
        ([str(GO), "--output", "/"], "directory"),
        ([str(GO), "--output", "/no/such/place.txt"], "no directory /no/such"),
        ([str(GO), "--format", "docx"], "docx"),
        ([], "file"),
    ],
)
def test_wrong_usage_is_told_with_code_2(arguments: list[str], told: str) -> None:
    ran = antiphon("transcribe", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told.lower() in ran.err.lower()


def test_wrong_settings_are_told_with_code_2() -> None:
    ran = antiphon("transcribe", str(GO), ANTIPHON_MAX_STREAMS="many")
    assert ran.code == 2
    assert "max_streams" in ran.err


def test_an_engine_that_is_not_there_is_code_3() -> None:
    ran = antiphon("transcribe", str(GO), "--engine", "babelfish")
    assert (ran.code, ran.out) == (3, "")
    assert "pocketsphinx" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("door", ["http", "websocket", "socketio"])
def test_a_server_that_is_not_there_is_code_3(unused_tcp_port: int, door: str) -> None:
    ran = antiphon("transcribe", str(GO), "--server", f"http://127.0.0.1:{unused_tcp_port}", "--door", door)
    assert (ran.code, ran.out) == (3, "")
    assert "cannot reach a server" in ran.err
    assert ran.err.count("\n") == 1


# With a server


@pytest.mark.parametrize("door", [[], ["--door", "http"], ["--door", "websocket"], ["--door", "socketio"]])
def test_every_door_of_a_server_gives_the_same_words(server: ServerProcess, door: list[str]) -> None:
    ran = antiphon("transcribe", str(TWO), "--server", server.url, *door)
    assert (ran.code, ran.out, ran.err) == (0, TWO_LINES, "")


@pytest.mark.parametrize("door", ["http", "websocket", "socketio"])
def test_a_key_is_asked_for_and_shown(door: str) -> None:
    with start_server("--api-keys", KEY) as server:
        command = ("transcribe", str(GO), "--server", server.url, "--door", door)
        refused = antiphon(*command)
        assert (refused.code, refused.out) == (2, "")
        assert "--api-key" in refused.err
        assert antiphon(*command, ANTIPHON_API_KEY=KEY).out == "go forward ten meters\n"


@pytest.mark.parametrize("door", ["websocket", "socketio"])
def test_live_doors_show_words_while_they_are_spoken(server: ServerProcess, door: str) -> None:
    with Running("transcribe", "-", "--raw", "--server", server.url, "--door", door, terminal=True) as command:
        command.stdin.write(speech("two-utterances")[:HALF])
        command.stdin.flush()
        command.until(lambda ran: ran.out == "please open the window\n")
        command.stdin.write(speech("two-utterances")[HALF:])
        assert command.wait() == 0
        assert command.out == TWO_LINES


def test_a_container_on_standard_input_is_uploaded(server: ServerProcess) -> None:
    ran = antiphon("transcribe", "-", "--server", server.url, stdin=GO.read_bytes())
    assert (ran.code, ran.out, ran.err) == (0, "go forward ten meters\n", "")


def test_an_unknown_language_is_code_2_with_a_server_too(server: ServerProcess) -> None:
    for door in ("http", "websocket", "socketio"):
        ran = antiphon("transcribe", str(GO), "--server", server.url, "--door", door, "--language", "tlh")
        assert (ran.code, ran.out) == (2, "")
        assert "tlh" in ran.err


def test_speech_that_the_engine_fails_on_is_told_with_code_3() -> None:
    ran = antiphon("transcribe", str(GO), "--engine", "support.engines:DyingRecogniser", PYTHONPATH=str(TESTS))
    assert (ran.code, ran.out) == (3, "")
    assert "could not be transcribed" in ran.err


# The other commands


def test_engines_reads_well_on_80_columns() -> None:
    ran = antiphon("engines", columns=80)
    assert ran.code == 0
    assert max(len(line) for line in ran.out.splitlines()) <= 80
    told = {}
    for block in ran.out.split("\n\n"):
        name, *rows = block.splitlines()
        told[name] = dict(re.split(r"\s{2,}", row.strip(), maxsplit=1) for row in rows if re.match(r"  \S", row))
    assert told["pocketsphinx"]["languages"].strip() == "en-US"
    assert told["pocketsphinx"]["partial results"].strip() == "yes"
    assert told["espeak"]["sample rates"].strip() == "22050 Hz"
    assert told["espeak"]["languages"].startswith("en-US, af, am")


def test_help_lists_the_commands_and_documents_exit_codes() -> None:
    listed = antiphon("--help")
    assert listed.code == 0
    for command in ("serve", "transcribe", "stream", "play", "say", "engines", "config", "version"):
        assert re.search(rf"^  {command}\s", listed.out, re.MULTILINE)
    told = antiphon("transcribe", "--help", columns=80)
    assert told.code == 0
    assert "Exit codes: 0 " in told.out
    assert "one object at the end" in " ".join(told.out.split())
    for command in ("stream", "play", "say"):
        assert "Exit codes: 0 " in antiphon(command, "--help").out


def test_config_masks_keys() -> None:
    ran = antiphon("config", ANTIPHON_API_KEYS=KEY)
    assert ran.code == 0
    assert KEY not in ran.out
    assert "********" in ran.out


def test_version_is_the_packages() -> None:
    assert antiphon("version").out == f"{__version__}\n"


def test_a_port_in_use_is_told(server: ServerProcess) -> None:
    ran = antiphon("serve", "--port", str(server.port))
    assert ran.code == 1
    assert "choose another with --port" in ran.err


def test_a_media_port_in_use_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        ran = antiphon("serve", "--port", "0", "--rtc-port", str(taken.getsockname()[1]))
    assert ran.code == 1
    assert "choose another port with --rtc-port" in ran.err
