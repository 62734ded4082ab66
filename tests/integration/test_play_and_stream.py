"""``antiphon say``, ``antiphon play`` and ``antiphon stream`` as users run them."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.audio import KINDS, SPEECH, encode, notes, notes_heard, speech, wav
from support.cli import ANTIPHON, Running, antiphon
from support.server import SCRIPTED, ServerProcess, clean_environment, start_server

NOTES = 8
FILE = "file:notes.wav"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "notes.wav").write_bytes(wav(notes(NOTES)))
    (folder / "not-audio.wav").write_bytes(b"this is a text and no audio" * 100)
    return folder


@pytest.fixture(scope="module")
def server(media: Path) -> Iterator[ServerProcess]:
    with start_server("--media-folder", str(media)) as running:
        yield running


def samples(path: Path) -> tuple[bytes, int]:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.readframes(file.getnframes()), file.getframerate()


def told(out: str, kind: str) -> list[dict[str, Any]]:
    return [message for line in out.splitlines() if (message := json.loads(line))["type"] == kind]


@pytest.fixture
def no_loudspeaker(tmp_path: Path) -> dict[str, str]:
    """An environment in which PortAudio is not installed, whatever this machine has."""
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    return {"PYTHONPATH": str(tmp_path)}


# play


def test_a_file_is_played_into_a_file_complete_and_in_order(server: ServerProcess, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    ran = antiphon("play", server.url, "--source", FILE, "--output", str(target), "--sample-rate", "16000")
    assert (ran.code, ran.out) == (0, ""), ran.err
    pcm, rate = samples(target)
    assert rate == 16_000
    assert len(pcm) == len(notes(NOTES))
    assert notes_heard(pcm, rate) == list(range(NOTES))
    assert "0:02 / 0:02  level" in ran.err.splitlines()[-1]
    assert "buffer" in ran.err


def test_a_file_is_played_into_a_named_pipe(server: ServerProcess, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        taken = reader.submit(pipe.read_bytes)
        ran = antiphon("play", server.url, "--source", FILE, "--output", str(pipe), "--sample-rate", "16000")
        assert ran.code == 0, ran.err
        header, pcm = (whole := taken.result(60))[:44], whole[44:]
    # its end is not known before it is over
    assert header[4:8] == header[40:44] == b"\xff" * 4
    assert notes_heard(pcm, 16_000) == list(range(NOTES))


def test_the_address_of_the_door_with_a_query_will_do(server: ServerProcess, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    url = server.websocket_url.replace("audio-stream", f"ws-audio?source={FILE}&sampleRate=8000&frameMs=40")
    ran = antiphon("play", url, "--output", str(target), "--json")
    assert ran.code == 0, ran.err
    assert ran.err == ""
    (started,) = told(ran.out, "started")
    assert (started["sampleRate"], started["frameMs"], started["duration"]) == (8000, 40, NOTES / 4)
    assert told(ran.out, "ended") == [{"type": "ended", "reason": "complete"}]
    assert told(ran.out, "summary")[0]["position"] == NOTES / 4
    assert notes_heard(*samples(target)) == list(range(NOTES))


def test_samples_go_to_standard_output_for_other_programs(server: ServerProcess) -> None:
    with Running("play", server.url, "--source", "say:Hello.", "--output", "-", "--quiet") as running:
        assert running.wait() == 0
        assert len(running.out) > 1000
        assert running.err == ""


def test_the_end_and_the_beginning_can_be_chosen(server: ServerProcess, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    ran = antiphon("play", server.url, "--source", FILE, "--position", "0.5", "--seconds", "1", "--output", str(target))
    assert ran.code == 0, ran.err
    pcm, rate = samples(target)
    assert len(pcm) == 2 * rate
    assert notes_heard(pcm, rate) == [2, 3, 4, 5]


def test_a_terminal_shows_level_and_buffer_and_ctrl_c_keeps_what_was_heard(
    server: ServerProcess, tmp_path: Path
) -> None:
    target = tmp_path / "out.wav"
    with Running("play", server.url, "--source", "room:quiet", "--output", str(target), terminal=True) as running:
        # a second was heard, and so written
        running.until(lambda running: "buffer" in running.err and "░" in running.err and "0:01" in running.err)
        running.signal(signal.SIGINT)
        assert running.wait() == 130
    pcm, rate = samples(target)
    assert len(pcm) >= 2 * rate


def test_what_begins_behind_the_end_of_a_file_becomes_an_empty_one(server: ServerProcess, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    ran = antiphon("play", server.url, "--source", FILE, "--position", "99", "-o", str(target), "--sample-rate", "8000")
    assert ran.code == 0, ran.err
    assert samples(target) == (b"", 8000)


def test_a_server_that_is_killed_in_mid_file_costs_nothing(media: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    server = start_server("--media-folder", str(media))
    try:
        with Running("play", server.url, "--source", FILE, "--output", str(target), "--json") as running:
            running.until(lambda running: bool(told(running.out, "status")))
            server.kill()
            server = server.restarted()
            assert running.wait() == 0, running.err
    finally:
        server.stop()
    assert len(told(running.out, "reconnected")) >= 1
    assert notes_heard(*samples(target)) == list(range(NOTES))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--source", "file:nothing.wav"], 1, "nothing.wav"),
        (["--source", "file:not-audio.wav"], 1, "audio"),
        (["--source", "file:../../etc/passwd"], 2, "media folder"),
        (["--source", "radio:one"], 2, "file:NAME, room:ID or say:TEXT"),
        (["--source", "say: "], 2, "say:TEXT needs a text"),
        (["--source", "say:hi", "--voice", "nobody"], 2, "no voice 'nobody'"),
        (["--source", "say:hi", "--rate", "9"], 2, "0.5 to 2"),
        (["--source", FILE, "--sample-rate", "44100"], 2, "44100 is not made here"),
        (["--source", FILE, "--preset", "best"], 2, "preset 'best' is not known"),
        ([], 2, "--source file:NAME, room:ID or say:TEXT; the server lists its files at /v1/media"),
        (["--source", FILE, "--json", "-o", "-"], 2, "both want standard output"),
        (["--source", FILE, "-o", "/no/such/folder/a.wav"], 2, "there is no directory /no/such/folder"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(
    server: ServerProcess, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    target = [] if "-o" in arguments else ["-o", str(tmp_path / "out.wav")]
    ran = antiphon("play", server.url, *arguments, *target)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out.wav").exists()


def test_no_server_and_no_address_are_told_apart(tmp_path: Path) -> None:
    ran = antiphon("play", "http://127.0.0.1:9", "--source", FILE, "-o", str(tmp_path / "out.wav"))
    assert ran.code == 3
    assert "cannot reach a server at http://127.0.0.1:9" in ran.err
    ran = antiphon("play", "ftp://x", "--source", FILE)
    assert ran.code == 2
    assert "write it like http://127.0.0.1:8080" in ran.err


def test_without_a_loudspeaker_a_file_is_proposed(server: ServerProcess, no_loudspeaker: dict[str, str]) -> None:
    for arguments in (["play", server.url, "--source", FILE], ["say", "Hello."]):
        ran = antiphon(*arguments, **no_loudspeaker)
        assert ran.code == 1
        assert "PortAudio library not found" in ran.err
        assert "--output FILE.wav" in ran.err


# stream


def test_a_file_is_sent_at_the_pace_of_speech_and_its_words_are_printed(server: ServerProcess) -> None:
    ran = antiphon("stream", str(SPEECH / "go-forward.wav"), "--server", server.url)
    assert (ran.code, ran.out) == (0, "go forward ten meters\n"), ran.err
    assert "buffer" in ran.err


def test_any_format_will_do(tmp_path: Path) -> None:
    with start_server(*SCRIPTED) as server:
        for kind in KINDS:
            path = tmp_path / f"audio.{kind}"
            encode(speech("go-forward")[:32_000], kind, to=path)
            ran = antiphon("stream", str(path), "--server", server.url, "--json")
            assert ran.code == 0, ran.err
            assert told(ran.out, "ended")[0]["duration"] == pytest.approx(1.0, abs=0.08)


def test_what_is_streamed_into_a_room_is_heard_by_who_plays_the_room(server: ServerProcess, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    path = tmp_path / "in.wav"
    path.write_bytes(wav(notes(NOTES)))
    with Running("play", server.url, "--source", "room:hall", "-o", str(target), "--json") as listening:
        listening.until(lambda running: bool(told(running.out, "started")))
        ran = antiphon("stream", str(path), "--room", "hall", "--server", server.url)
        assert ran.code == 0, ran.err
        heard_at = told(listening.out, "status")
        listening.until(lambda running: len(told(running.out, "status")) > len(heard_at))
        listening.signal(signal.SIGINT)
        assert listening.wait() == 130
    assert notes_heard(*samples(target)) == list(range(NOTES))


def test_what_was_recorded_can_be_read_when_the_program_is_killed(server: ServerProcess, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    with Running("play", server.url, "--source", FILE, "-o", str(target), "--json") as running:
        running.until(lambda _: target.exists() and target.stat().st_size > 48_000)
        running.signal(signal.SIGKILL)
        running.wait()
    pcm, _ = samples(target)
    # all of it but for what was just being written
    assert len(pcm) > target.stat().st_size - 10_000


def test_a_stream_survives_a_server_that_is_killed_and_started_anew() -> None:
    def finals(running: Running) -> list[str]:
        return [words["text"] for words in told(running.out, "transcript") if not words["isPartial"]]

    server = start_server()
    try:
        with Running("stream", "-", "--raw", "--server", server.url, "--json") as running:
            running.stdin.write(speech("go-forward") + bytes(32_000))
            running.stdin.flush()
            running.until(lambda running: bool(finals(running)))
            server.kill()
            server = server.restarted()
            running.until(lambda running: bool(told(running.out, "reconnected")))
            running.stdin.write(speech("quick-brown-fox"))
            assert running.wait() == 0, running.err
    finally:
        server.stop()
    assert [back["resumed"] for back in told(running.out, "reconnected")] == [False]
    assert finals(running) == ["go forward ten meters", "the quick brown fox jumped over the lazy dog"]


@pytest.mark.parametrize("codec", ["opus", "pcm_s16le"])
def test_samples_or_opus_are_sent(server: ServerProcess, codec: str) -> None:
    ran = antiphon("stream", str(SPEECH / "go-forward.wav"), "--server", server.url, "--codec", codec, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "go forward ten meters\n", "")


def test_raw_samples_are_sent_as_they_come(server: ServerProcess) -> None:
    with Running("stream", "-", "--raw", "--server", server.url) as running:
        running.stdin.write(speech("go-forward"))
        running.stdin.close()
        assert running.wait() == 0, running.err
    assert running.out == "go forward ten meters\n"


def test_a_loop_goes_on_until_interrupted(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    path.write_bytes(wav(notes(2)))
    with Running("stream", str(path), "--loop", "--server", server.url, terminal=True) as running:
        running.until(lambda running: "0:02" in running.err)
        running.signal(signal.SIGINT)
        assert running.wait() == 130


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["/no/such/file.wav"], 1, "there is no file /no/such/file.wav"),
        (["NOT-AUDIO"], 1, "audio"),
        (["SPEECH", "--language", "xx-XX"], 2, "language 'xx-XX' is not known"),
        (["SPEECH", "--room", "no room"], 2, "roomId"),
        (["SPEECH", "--send-rate", "44100"], 2, "--send-rate 44100 is not known"),
        (["-", "--loop"], 2, "--loop needs a file"),
        (["SPEECH", "--raw"], 2, "--raw is for standard input"),
    ],
)
def test_what_cannot_be_streamed_is_said_in_one_line(
    server: ServerProcess, media: Path, arguments: list[str], code: int, message: str
) -> None:
    files = {"SPEECH": str(SPEECH / "go-forward.wav"), "NOT-AUDIO": str(media / "not-audio.wav")}
    ran = antiphon("stream", *(files.get(argument, argument) for argument in arguments), "--server", server.url)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_streaming_to_nobody_fails_at_once() -> None:
    ran = antiphon("stream", str(SPEECH / "go-forward.wav"), "--server", "http://127.0.0.1:9")
    assert ran.code == 3
    assert "cannot reach a server" in ran.err


# say


def test_a_text_becomes_a_wav(tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    assert antiphon("say", "Good morning.", "-o", str(target)).code == 0
    pcm, rate = samples(target)
    assert 0.5 < len(pcm) / 2 / rate < 3
    assert antiphon("say", "-", "-o", str(target), "--rate", "2", stdin=b"Good morning.").code == 0
    assert len(samples(target)[0]) < len(pcm)


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_what_one_says_the_other_hears() -> None:

    said = subprocess.run(
        [*ANTIPHON, "say", "Go forward ten meters.", "--synthesiser", "flite", "-o", "-"],
        capture_output=True,
        env=clean_environment(),
        check=True,
    )
    with wave.open(io.BytesIO(said.stdout)) as file:
        assert file.getframerate() == 16_000
    assert antiphon("transcribe", "-", stdin=said.stdout).out == "go forward ten meters\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, 'antiphon say "Good morning"'),
        (["  "], 2, "nothing to say"),
        (["hi", "--voice", "nobody"], 2, "no voice 'nobody'"),
        (["hi", "--language", "xx"], 2, "speaks 'xx'"),
        (["hi", "--rate", "7"], 2, "0.5 to 2"),
        (["hi", "--synthesiser", "nonesuch"], 3, "there is no synthesiser 'nonesuch'; installed are: espeak"),
        (["hi", "-o", "/no/such/folder/a.wav"], 2, "there is no directory"),
    ],
)
def test_what_cannot_be_said_is_told_in_one_line(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    target = [] if "-o" in arguments else ["-o", str(tmp_path / "out.wav")]
    ran = antiphon("say", *arguments, *target)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert not (tmp_path / "out.wav").exists()


def test_engines_of_both_kinds_are_listed() -> None:
    ran = antiphon("engines")
    assert ran.code == 0
    for line in ("pocketsphinx", "espeak", "flite", "22050 Hz", "antiphon say --voices"):
        assert line in ran.out
    assert "en-US+f2" in antiphon("say", "--voices").out
