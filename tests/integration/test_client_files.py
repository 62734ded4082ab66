"""Whole files through the Python client, over connections that break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from random import Random

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from antiphon.client import Backoff, ConnectionLost, ProtocolFault, transcribe_file
from antiphon.errors import BadAudio, NotFound, TooLarge, Unauthorized, UnsupportedFormat
from antiphon.events import Ended, Entry, Progress, Started, Transcript
from support.audio import SPEECH, encode, speech, transcripts, wav
from support.proxy import Proxy
from support.server import SCRIPTED, ServerProcess, start_server

KEY = "a-key-that-is-long-enough"
TWO = SPEECH / "two-utterances.wav"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_server() as running:
        yield running


def quick() -> Backoff:
    return Backoff(first=0.02, cap=0.2, random=Random(7))


async def everything(url: str, path: Path, **options: object) -> list[Entry]:
    return [entry async for entry in transcribe_file(url, path, backoff=quick(), **options)]  # type: ignore[arg-type]


def said(entries: list[Entry]) -> str:
    events = [entry.event for entry in entries]
    return " ".join(event.text for event in events if isinstance(event, Transcript) and not event.is_partial)


def assert_each_once(entries: list[Entry]) -> None:
    ids = [entry.id for entry in entries]
    assert ids == list(range(1, len(ids) + 1)), "an event is missing, came twice or out of order"


async def test_a_file_gives_its_words_with_progress(server: ServerProcess) -> None:
    entries = await everything(server.url, TWO)
    assert said(entries) == transcripts()[TWO.name]
    assert_each_once(entries)
    assert isinstance(entries[0].event, Started)
    assert isinstance(entries[-1].event, Ended)
    progress = [entry.event for entry in entries if isinstance(entry.event, Progress)]
    assert [event.done for event in progress] == sorted(event.done for event in progress)
    assert progress[-1].done == progress[-1].total == pytest.approx(5.67, abs=0.01)


async def test_compressed_files_are_taken(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "spoken.ogg"
    encode(speech("go-forward"), "ogg-opus", to=path)
    assert said(await everything(server.url, path, interim_results=False)) == "go forward ten meters"


async def test_events_go_on_where_the_connection_broke(server: ServerProcess) -> None:
    async with Proxy(server.port, seed=1, cut_down=(600, 1_200), cuts=2) as proxy:
        entries = await everything(proxy.url, TWO)
        assert proxy.cut_off == 2
    assert said(entries) == transcripts()[TWO.name]
    assert_each_once(entries)


async def test_an_upload_that_broke_off_is_begun_again(server: ServerProcess) -> None:
    async with Proxy(server.port, seed=2, cut_up=(1_000, 150_000), cuts=2) as proxy:
        entries = await everything(proxy.url, TWO)
        assert proxy.cut_off == 2
    assert said(entries) == transcripts()[TWO.name]
    assert_each_once(entries)


async def test_what_is_no_audio_is_told(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "letter.wav"
    path.write_bytes(b"Dear Sir or Madam, " * 200)
    with pytest.raises(BadAudio, match="text, not audio"):
        await everything(server.url, path)


async def test_a_broken_file_is_told_after_its_first_events(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "broken.flac"
    whole = encode(speech("two-utterances"), "flac")
    path.write_bytes(whole[:200])
    heard: list[Entry] = []
    with pytest.raises(BadAudio):
        await read_into(heard, server.url, path)
    assert isinstance(heard[0].event, Started)
    assert_each_once(heard)


async def test_an_empty_file_is_told(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    with pytest.raises(BadAudio, match="empty"):
        await everything(server.url, path)


async def test_a_file_that_is_not_there_is_told(server: ServerProcess, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await everything(server.url, tmp_path / "none.wav")
    with pytest.raises(IsADirectoryError):
        await everything(server.url, tmp_path)


async def test_a_wrong_key_and_a_large_file_are_told_at_once(tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(wav(bytes(6_000_000)))
    with start_server("--api-keys", KEY, "--max-upload-bytes", "1000000") as server:
        async with Proxy(server.port) as proxy:
            with pytest.raises(Unauthorized):
                await everything(proxy.url, TWO, api_key="another-key-than-that")
            assert proxy.connections == 1
            with pytest.raises(TooLarge, match="1000000 bytes"):
                await everything(proxy.url, large, api_key=KEY)
            assert proxy.connections == 2
            assert said(await everything(proxy.url, TWO, api_key=KEY)) == transcripts()[TWO.name]


async def test_an_unknown_language_is_told(server: ServerProcess) -> None:
    with pytest.raises(UnsupportedFormat, match="tlh"):
        await everything(server.url, TWO, language="tlh")


async def test_no_server_and_another_kind_of_server_are_told(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionLost, match="cannot reach"):
        await everything(f"http://127.0.0.1:{unused_tcp_port}", TWO)
    async with TestServer(web.Application()) as other:
        with pytest.raises(ProtocolFault, match="404"):
            await everything(str(other.make_url("/")), TWO)


async def test_a_reader_that_leaves_early_ends_the_work(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(speech("two-utterances") * 20))
    with start_server() as server:
        async with aclosing(transcribe_file(server.url, path)) as entries:
            async for entry in entries:
                if isinstance(entry.event, Transcript):
                    job = (await anext(entries)).event.participant_id
                    break
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession() as session,
            session.get(f"{server.url}/v1/sessions/{job}/events") as log,
        ):
            last = json.loads((await log.text()).rstrip().rpartition("data: ")[2])
    assert last["reason"] == "cancelled"


async def test_a_file_that_the_server_has_forgotten_is_told(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(speech("two-utterances") * 20))
    with start_server() as first:
        async with aclosing(transcribe_file(first.url, path, backoff=quick())) as entries:
            assert isinstance((await anext(entries)).event, Started)
            first.kill()
            with (
                await asyncio.to_thread(first.restarted, *SCRIPTED),
                pytest.raises(NotFound, match="send the file again"),
            ):
                await drain(entries)


async def test_a_server_that_does_not_come_back_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(speech("two-utterances") * 20))
    with start_server() as server:
        async with aclosing(transcribe_file(server.url, path, backoff=quick(), reconnect_timeout=0.5)) as entries:
            assert isinstance((await anext(entries)).event, Started)
            server.kill()
            with pytest.raises(ConnectionLost, match="did not come back"):
                await drain(entries)


async def read_into(entries: list[Entry], url: str, path: Path) -> None:
    """Keep what comes even where it ends with an error."""
    async for entry in transcribe_file(url, path, backoff=quick()):
        entries.append(entry)  # noqa: PERF401 - an error must not lose what came before it


async def drain(entries: object) -> None:
    async for _ in entries:  # type: ignore[attr-defined]
        pass
