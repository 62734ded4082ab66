"""Files and requests that cannot be taken: a clear error, nothing left behind, and nobody else hurt."""

from __future__ import annotations

import asyncio
import io
import json
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from integration.clients import bystander
from integration.observe import Message, events, eventually, rss_mb, streams_are
from support.audio import encode, speech, wav
from support.server import SCRIPTED, ServerProcess, start_server

MAX_UPLOAD = 2_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server puts what it receives."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of objects, beside which lies a secret."""
    outside = tmp_path_factory.mktemp("outside")
    objects = outside / "objects"
    (objects / "odd#name").mkdir(parents=True)
    (outside / "secret.wav").write_bytes(wav(bytes(32_000)))
    (outside / "objects-too").mkdir()
    (outside / "objects-too" / "secret.wav").write_bytes(wav(bytes(32_000)))
    (objects / "good.wav").write_bytes(wav(bytes(32_000)))
    (objects / "link.wav").symlink_to(outside / "secret.wav")
    (objects / "large.wav").write_bytes(bytes(MAX_UPLOAD + 1))
    return objects


@pytest.fixture(scope="module")
def server(folder: Path, store: Path) -> Iterator[ServerProcess]:
    flags = ("--max-upload-bytes", str(MAX_UPLOAD), "--object-store", f"file://{store}")
    with start_server(*SCRIPTED, *flags, TMPDIR=str(folder)) as running:
        yield running


@pytest.fixture(autouse=True)
async def nothing_left(server: ServerProcess, folder: Path) -> Any:
    """Whatever happened, no file stays, no job keeps its place, and memory is where it was."""
    before = rss_mb(server.pid)
    yield
    await eventually(lambda: not list(folder.iterdir()))
    await streams_are(server.url, 0)
    assert rss_mb(server.pid) < before + 40


async def refused(url: str, path: str = "/v1/transcriptions", **request: Any) -> tuple[int, Message]:
    async with aiohttp.ClientSession() as session, session.post(f"{url}{path}", **request) as response:
        return response.status, await response.json()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("speech.wav", wav(bytes(32_000)))
    return file.getvalue()


SPEECH = speech("go-forward")
LYING_WAV = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\xff\xff\xff\xff"
HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "a zip called .wav": (zipped(), "bad_audio", "a ZIP archive, not audio; send WAV"),
    "text": (b"go forward ten meters\n" * 10, "bad_audio", "text, not audio"),
    "html": (b"<!DOCTYPE html><html></html>" * 10, "bad_audio", "an HTML page"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "bad_audio", "a PNG image"),
    "raw pcm": (SPEECH, "bad_audio", "raw PCM has to be sent with a WAV header"),
    "zero bytes": (bytes(10_000), "bad_audio", "nothing but zero bytes"),
    "noise": (os.urandom(10_000).replace(b"\xff", b"\xfe"), "bad_audio", "of no kind known here"),
    "one byte": (b"R", "bad_audio", ""),
    "a playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "bad_audio", "a playlist"),
    "ffconcat": (b"ffconcat version 1.0\nfile /etc/passwd\n", "bad_audio", "a playlist"),
    "midi": (b"MThd" + bytes(100), "unsupported_format", "a MIDI file"),
    "wav without a format": (b"RIFF\x04\0\0\0WAVE", "bad_audio", "truncated or corrupt"),
    "wav cut in its header": (wav(SPEECH)[:30], "bad_audio", "truncated or corrupt"),
    "wav of no channels": (
        wav(SPEECH).replace(b"\x01\0\x01\0", b"\x01\0\0\0", 1),
        "",
        "",
    ),
    "wav of absurd rate": (
        wav(SPEECH).replace(struct.pack("<I", 16_000), struct.pack("<I", 2**31), 1),
        "",
        "",
    ),
    "flac cut short": (encode(SPEECH, "flac")[:60], "bad_audio", "corrupt"),
    "mp4 cut short": (encode(SPEECH, "m4a")[:2_000], "bad_audio", "corrupt"),
    "ogg cut short": (encode(SPEECH, "ogg-opus")[:40], "bad_audio", "corrupt"),
    "webm cut short": (encode(SPEECH, "webm")[:60], "bad_audio", "corrupt"),
    "mp4 of boxes in boxes": (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + b"\0\0\0\x08moov" * 5_000, "bad_audio", ""),
    "mp4 with an endless box": (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42\xff\xff\xff\xffmoov", "bad_audio", ""),
    "webm with an endless element": (
        encode(SPEECH, "webm")[:40] + b"\x01\xff\xff\xff\xff\xff\xff\xff" * 100,
        "bad_audio",
        "",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_file_that_is_none_fails_with_a_reason(server: ServerProcess, name: str) -> None:
    data, code, says = HOSTILE[name]
    async with bystander(server.url), aiohttp.ClientSession() as session:
        async with session.post(f"{server.url}/v1/transcribe", data=data) as response:
            assert response.status == 200
            job = response.headers["X-Antiphon-Job"]
            told = [event async for event in events(response)]
        async with session.get(f"{server.url}/v1/transcriptions/{job}") as response:
            described = await response.json()
    error = told[-2].data
    assert (told[-2].name, told[-1].name) == ("error", "ended")
    assert told[-1].data["reason"] == "failed"
    assert error["retryable"] is False
    assert error["code"] == code or (not code and error["code"] in ("bad_audio", "unsupported_format"))
    assert says in error["message"]
    assert described["status"] == "failed"
    assert described["error"]["message"] == error["message"]
    assert "result" not in described


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg-opus", "webm"])
async def test_what_comes_before_the_cut_is_heard(server: ServerProcess, name: Any) -> None:
    """A file that lost its end, as players take it: without an error."""
    data = encode(bytes(192_000), name)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/v1/transcribe", data=data[: len(data) * 2 // 3]) as response,
    ):
        told = [event async for event in events(response)]
    assert next(event.data["text"] for event in told if event.name == "final") == "one two three"


async def test_a_header_that_claims_gigabytes_costs_nothing(server: ServerProcess) -> None:
    async with (
        bystander(server.url),
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/v1/transcribe", data=LYING_WAV + bytes(96_000)) as response,
    ):
        told = [event async for event in events(response)]
    assert told[-1].data["duration"] == 3.0


@pytest.mark.parametrize("path", ["/v1/transcribe", "/v1/transcriptions"])
async def test_an_empty_file_is_refused(server: ServerProcess, path: str) -> None:
    empty = aiohttp.FormData()
    empty.add_field("file", b"", filename="empty.wav")
    for data in (b"", empty):
        status, error = await refused(server.url, path, data=data)
        assert (status, error["code"]) == (422, "bad_audio")
        assert "the file is empty; send WAV, FLAC" in error["message"]


# Forms


def form(*fields: tuple[str, Any]) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields:
        # a content type makes it multipart even without a file
        data.add_field(name, value, filename="x.wav" if name == "file" else None, content_type="text/plain")
    return data


GOOD = wav(bytes(32_000))
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=xyz"}


@pytest.mark.parametrize(
    ("request_", "status", "code", "says", "field"),
    [
        ({"data": form(("audio", GOOD.hex()[:100]))}, 400, "bad_message", "the form has no field 'file'", "file"),
        ({"data": form(("language", "en"))}, 400, "bad_message", "the form has no field 'file'", "file"),
        ({"data": form(("notes", "x" * 5_000), ("file", GOOD))}, 413, "too_large", "'notes' has more than", "notes"),
        ({"data": form(*[(f"f{n}", "x") for n in range(20)])}, 400, "bad_message", "more than 16 fields", None),
        ({"data": form(("file", GOOD), ("file", GOOD))}, 400, "bad_message", "two files", "file"),
        ({"data": form(("file", GOOD), ("language", "tlh"))}, 415, "unsupported_format", "tlh", "language"),
        (
            {"data": form(("file", GOOD), ("interim_results", "maybe"))},
            400,
            "bad_message",
            "interim_results must be true or false",
            "interim_results",
        ),
        ({"data": b"", "headers": BOUNDARY}, 400, "bad_message", "form", None),
        ({"data": b"no form at all", "headers": BOUNDARY}, 400, "bad_message", "form", None),
        ({"data": b"--xyz\r\n", "headers": BOUNDARY}, 400, "bad_message", "form", None),
        (
            {"data": b"--xyz\r\nX: " + b"y" * 100_000 + b"\r\n\r\n--xyz--\r\n", "headers": BOUNDARY},
            400,
            "bad_message",
            "form",
            None,
        ),
        (
            {"data": b"--xyz\r\nContent-Disposition: ;;;\r\n\r\nabc\r\n--xyz--\r\n", "headers": BOUNDARY},
            400,
            "bad_message",
            "the form has no field 'file'",
            "file",
        ),
        ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_message", "form", None),
        (
            {
                "data": b"--xyz\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n--xyz--",
                "headers": BOUNDARY,
            },
            400,
            "bad_message",
            "form",
            None,
        ),
        ({"data": GOOD, "params": {"language": "tlh"}}, 415, "unsupported_format", "tlh", "language"),
        ({"data": GOOD, "params": {"interim_results": "1"}}, 400, "bad_message", "true or false", "interim_results"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of aiohttp's client, about large bodies
async def test_a_bad_form_is_refused_with_the_field(
    server: ServerProcess, request_: dict[str, Any], status: int, code: str, says: str, field: str | None
) -> None:
    got, error = await refused(server.url, **request_)
    assert (got, error["code"]) == (status, code), error
    assert says in error["message"]
    assert error.get("field") == field


async def test_an_endless_form_field_is_not_read(server: ServerProcess) -> None:
    async def body() -> Any:
        yield b'--xyz\r\nContent-Disposition: form-data; name="notes"\r\n\r\n'
        for _ in range(1_000):
            yield bytes(100_000)

    async with bystander(server.url):
        try:
            status, error = await refused(server.url, data=body(), headers=BOUNDARY)
        except aiohttp.ClientConnectionError:
            # the server has hung up on the rest of it
            return
    assert (status, error["code"]) == (413, "too_large")


async def test_a_form_of_very_many_fields_costs_nothing(server: ServerProcess) -> None:
    part = b'--xyz\r\nContent-Disposition: form-data; name="n%d"\r\n\r\n' + b"x" * 1_000 + b"\r\n"
    data = io.BytesIO(b"".join(part % n for n in range(1_500)))
    status, error = await refused(server.url, data=data, headers=BOUNDARY)
    assert (status, error["code"]) == (400, "bad_message")


# Too large, too long, cut


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize("multipart", [False, True], ids=["body", "form"])
async def test_a_file_over_the_maximum_is_refused(server: ServerProcess, chunked: bool, multipart: bool) -> None:
    async def body() -> Any:
        if multipart:
            yield b'--xyz\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        for _ in range(30):
            yield bytes(100_000)
        if multipart:
            yield b"\r\n--xyz--\r\n"

    length = 3_000_000 + 64
    headers = BOUNDARY if multipart else {"Content-Type": "audio/wav"}
    if not chunked:
        headers = {**headers, "Content-Length": str(length if multipart else 3_000_000)}
    async with bystander(server.url):
        try:
            status, error = await refused(server.url, data=body(), headers=headers)
        except aiohttp.ClientConnectionError:
            return
    assert (status, error["code"]) == (413, "too_large")
    assert f"up to {MAX_UPLOAD} bytes" in error["message"]


async def test_an_upload_that_is_cut_in_the_middle_leaves_nothing(server: ServerProcess, folder: Path) -> None:
    for head in (
        b"POST /v1/transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n",
        b"POST /v1/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
        b"POST /v1/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        b"Content-Type: multipart/form-data; boundary=xyz\r\n\r\n"
        b'--xyz\r\nContent-Disposition: form-data; name="file"\r\n\r\n',
        b"POST /v1/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        b"Content-Type: application/json\r\n\r\n{",
    ):
        async with bystander(server.url):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head + GOOD[:20_000])
            await writer.drain()
            if b"json" not in head:
                await eventually(lambda: any(path.stat().st_size >= 0 for path in folder.iterdir()))
            writer.transport.abort()
            await eventually(lambda: not list(folder.iterdir()))


async def test_a_file_that_is_too_long_says_how_long_it_may_be() -> None:
    with start_server(*SCRIPTED, "--max-session", "2") as short:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{short.url}/v1/transcribe", data=wav(bytes(96_000))) as response,
        ):
            told = [event async for event in events(response)]
    assert told[-2].data["code"] == "duration_limit"
    assert "2 seconds" in told[-2].data["message"]


# Naming an object


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_message"),
        (b"{", 400, "bad_message"),
        (b"[]", 400, "bad_message"),
        (b"null", 400, "bad_message"),
        (b"{}", 400, "bad_message"),
        (b'{"url":5}', 400, "bad_message"),
        (b'{"url":null}', 400, "bad_message"),
        (b'{"url":"\xff"}', 400, "bad_message"),
        (b'{"url":"\\ud800"}', 400, "bad_message"),
        (b"[" * 4_000, 400, "bad_message"),
        (b'{"url":"' + b"x" * 3_000 + b'"}', 400, "bad_message"),
        (b'{"url":"' + b"x" * 10_000 + b'"}', 413, "too_large"),
    ],
)
async def test_a_bad_json_body_is_refused(server: ServerProcess, body: bytes, status: int, code: str) -> None:
    got, error = await refused(server.url, data=body, headers={"Content-Type": "application/json"})
    assert (got, error["code"]) == (status, code), error


TRICKS = [
    "file:///etc/passwd",
    "http://127.0.0.1:1/x.wav",
    "http://[",
    "//[",
    "STORE",
    "STORE/",
    "STORE/../secret.wav",
    "STORE/./../secret.wav",
    "STORE/x/../../secret.wav",
    "STORE/%2e%2e/secret.wav",
    "STORE/..%2fsecret.wav",
    "STORE//etc/passwd",
    "STORE-too/secret.wav",
    "STORE/link.wav",
    "STORE/odd#name/../../secret.wav",
    "STORE/odd#/../../secret.wav",
    "STORE/good.wav?x=/../../secret.wav",
    "STORE/good.wav::file:///etc/passwd",
    "STORE/simplecache::http://127.0.0.1:1/x",
    "STORE/good.wav\0",
    "STORE/..\\secret.wav",
    "STORE/\n../secret.wav",
    "file://localhost/etc/passwd",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_only_objects_of_the_store_can_be_named(server: ServerProcess, store: Path, trick: str) -> None:
    url = trick.replace("STORE", f"file://{store}")
    status, error = await refused(server.url, json={"url": url})
    assert (status, error["code"], error.get("field")) == (403, "forbidden", "url"), error
    assert "not inside the server's object store" in error["message"]


@pytest.mark.parametrize("name", ["nobody.wav", "odd#name", "good.wav/x", "x" * 300, "*.wav", "~root", "[g]ood.wav"])
async def test_an_object_that_is_not_there_is_not_found(server: ServerProcess, store: Path, name: str) -> None:
    status, error = await refused(server.url, json={"url": f"file://{store}/{name}"})
    assert (status, error["code"], error["field"]) == (404, "not_found", "url"), error


async def test_an_object_over_the_maximum_is_refused(server: ServerProcess, store: Path) -> None:
    status, error = await refused(server.url, json={"url": f"file://{store}/large.wav"})
    assert (status, error["code"]) == (413, "too_large")


async def test_without_a_store_nothing_can_be_named(scripted: ServerProcess) -> None:
    status, error = await refused(scripted.url, json={"url": "file:///etc/passwd"})
    assert (status, error["code"]) == (404, "not_found")
    assert "no object store" in error["message"]


# Limits of jobs, and jobs that are not there


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("job", ["nobody", "..", "%2e%2e%2f", "a" * 2_000, "é"])
async def test_a_job_that_is_not_there_is_not_found(server: ServerProcess, method: str, job: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{server.url}/v1/transcriptions/{job}") as response,
    ):
        assert response.status == 404
        error = json.loads(await response.text())
    assert error["code"] == "not_found"
    assert len(error["message"]) < 300


async def test_files_wait_their_turn_up_to_a_limit() -> None:
    long = wav(speech("quick-brown-fox") * 30)
    with start_server("--max-jobs", "1", "--max-queued-jobs", "1") as server:
        async with aiohttp.ClientSession() as session:
            jobs = []
            for _ in range(2):
                async with session.post(f"{server.url}/v1/transcriptions", data=io.BytesIO(long)) as response:
                    assert response.status == 202
                    jobs.append((await response.json())["id"])

            async def states() -> list[str]:
                found = []
                for job in jobs:
                    async with session.get(f"{server.url}/v1/transcriptions/{job}") as response:
                        found.append((await response.json())["status"])
                return found

            async def one_runs() -> bool:
                return await states() == ["running", "queued"]

            await eventually(one_runs)
            async with session.post(f"{server.url}/v1/transcriptions", data=io.BytesIO(long)) as response:
                assert response.status == 429
                assert response.headers["Retry-After"] == "60"
                assert (await response.json())["code"] == "rate_limited"
            async with session.delete(f"{server.url}/v1/transcriptions/{jobs[0]}") as response:
                assert response.status == 200

            async def the_other_runs() -> bool:
                return await states() == ["failed", "running"]

            await eventually(the_other_runs)
            async with session.delete(f"{server.url}/v1/transcriptions/{jobs[1]}") as response:
                assert response.status == 200
        await streams_are(server.url, 0)
