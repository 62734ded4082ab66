"""Clients written from the documents alone: only the fields named there, no waiting for answers, no resume, no acks.

A client of ``start_transcription`` sends audio right after it, in 100 or 200 ms chunks of 16 kHz mono PCM. A client of
``/audio-stream`` joins with ``sessionId`` and ``role``, sends binary frames, and knows no other message. One of
``audio-stream`` emits what a recorder hands over, and plays the ``audio-data`` of others. One of ``audio-chunk`` emits
whole files in base64 and looks at no callback. All ignore what they do not know.
"""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import aiohttp
import pytest
import socketio

from integration.clients import Inbox, pieces
from integration.node_client import run_node, talk
from integration.observe import eventually, session_events
from support.audio import encode, speech, transcripts
from support.server import ServerProcess

WORDS = transcripts()["go-forward.wav"]


@pytest.mark.parametrize("size", [3_200, 6_400])
async def test_a_socketio_client_that_knows_five_events(hearing: ServerProcess, size: int) -> None:
    inbox = Inbox()
    client = socketio.AsyncClient(reconnection=False)
    for name in ("connected", "transcription_started", "transcription_result", "transcription_stopped", "error"):
        client.on(name, lambda data, name=name: inbox.put(name, data))
    await client.connect(hearing.url)
    await client.emit("start_transcription", {"language_code": "en-US"})
    for chunk in pieces(speech("go-forward"), size):
        await client.emit("audio_chunk", {"chunk": base64.b64encode(chunk).decode()})
    await client.emit("stop_transcription")
    await inbox.wait("transcription_stopped")
    await client.disconnect()

    (connected,) = inbox.all("connected")
    assert connected["status"].startswith("Connected")
    (started,) = inbox.all("transcription_started")
    assert started.keys() >= {"status", "message", "language_code"}
    assert started["language_code"] == "en-US"
    results = inbox.all("transcription_result")
    assert all(isinstance(result["text"], str) and isinstance(result["is_partial"], bool) for result in results)
    assert [result["text"] for result in results if not result["is_partial"]] == [WORDS]
    assert results[0]["is_partial"]
    (stopped,) = inbox.all("transcription_stopped")
    assert stopped.keys() >= {"status", "message"}
    assert not inbox.all("error")
    # nothing but the documented fields is needed to understand a result
    assert [name for name, _ in inbox.messages if name != "transcription_result"] == [
        "connected",
        "transcription_started",
        "transcription_stopped",
    ]


@pytest.mark.node
def test_a_node_client_that_does_not_wait_for_the_start(hearing: ServerProcess, tmp_path: Path) -> None:
    told = talk(hearing, tmp_path, hasty=True)
    assert told.text == WORDS
    assert not told.all("error")


async def test_clients_that_broadcast_a_recorder(hearing: ServerProcess) -> None:
    parts = list(pieces(encode(speech("go-forward"), "webm"), 4_000))
    heard: list[bytes] = []
    done = asyncio.Event()

    def play(data: bytes, _: object) -> None:
        heard.append(data)
        if len(heard) == len(parts):
            done.set()

    sender, listener = socketio.AsyncClient(reconnection=False), socketio.AsyncClient(reconnection=False)
    listener.on("audio-data", play)
    for client in (listener, sender):
        await client.connect(hearing.url)
    for part in parts:
        await sender.emit("audio-stream", part)
    async with asyncio.timeout(20):
        await done.wait()
    assert heard == parts
    for client in (listener, sender):
        await client.disconnect()


async def test_a_client_that_sends_ten_second_files_and_waits_for_nothing(hearing: ServerProcess) -> None:
    inbox = Inbox()
    client = socketio.AsyncClient(reconnection=False)
    for name in ("transcription", "error"):
        client.on(name, lambda data, name=name: inbox.put(name, data))
    await client.connect(hearing.url)
    for number, name in enumerate(("go-forward", "quick-brown-fox")):
        audio = base64.b64encode(encode(speech(name), "webm")).decode()
        fields = {"sessionId": "document-2", "audio": audio, "format": "webm", "duration": 10}
        await client.emit("audio-chunk", {**fields, "timestamp": 1_764_000_000_000 + 10_000 * number})
    await inbox.wait("transcription", 2)
    told = inbox.all("transcription")
    assert [one["text"] for one in told] == [WORDS, transcripts()["quick-brown-fox.wav"]]
    assert [one["timestamp"] for one in told] == [1_764_000_000_000, 1_764_000_010_000]
    assert all(one["sessionId"] == "document-2" and one["duration"] == 10 for one in told)
    assert not inbox.all("error")
    await client.disconnect()


@pytest.mark.node
def test_node_clients_of_both_documents(hearing: ServerProcess, tmp_path: Path) -> None:
    recording = tmp_path / "recording.webm"
    recording.write_bytes(encode(speech("go-forward"), "webm", options={"live": "1"}))
    task = {"url": hearing.url, "file": str(recording), "size": 4_000, "sessionId": "document-3"}
    told = run_node("documents.mjs", task)
    (heard,) = told.all("heard")
    assert base64.b64decode(heard) == recording.read_bytes()
    assert told.text == WORDS
    assert told.all("acknowledged") == [
        {"status": "accepted", "reason": "queued"},
        {"status": "skipped", "reason": "duplicate"},
        {"status": "skipped", "reason": "too_small"},
    ]
    assert [one["text"] for one in told.all("transcription")] == [WORDS]
    assert not told.all("error")


async def test_an_audio_stream_client_that_knows_join_and_binary_frames(hearing: ServerProcess) -> None:
    told: list[dict[str, object]] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{hearing.url}/audio-stream") as websocket:
        await websocket.send_json({"type": "join", "sessionId": "document-1", "role": "agent"})
        for frame in pieces(speech("go-forward"), 640):
            await websocket.send_bytes(frame)
        await websocket.send_json({"type": "bitrate-change", "bitrate": 64_000})
        async for message in websocket:
            told.append(json.loads(message.data))
            if told[-1]["type"] == "transcript" and not told[-1]["isPartial"]:
                break
    assert told[0]["type"] == "joined"
    assert told[-1]["text"] == WORDS
    assert not [message for message in told if message["type"] == "error"]


async def test_events_and_fields_that_nobody_knows_do_no_harm(scripted: ServerProcess) -> None:
    inbox = Inbox()
    client = socketio.AsyncClient(reconnection=False)
    for name in ("transcription_started", "transcription_stopped", "error"):
        client.on(name, lambda data, name=name: inbox.put(name, data))
    await client.connect(scripted.url)
    await client.emit("start_transcription", {"language_code": "en-US", "vocabulary": ["x"], "user": {"id": 1}})
    started = await inbox.wait("transcription_started")
    for name in ("knock", "audio-flow", "", "__proto__", "💬"):
        await client.emit(name, {"a": 1})
    await client.emit("audio_chunk", {"chunk": base64.b64encode(bytes(3_200)).decode(), "level": 0.1})
    await client.emit("stop_transcription", {"why": "done"})
    stopped = await inbox.wait("transcription_stopped")
    assert stopped["duration"] == 0.1
    errors = inbox.all("error")
    assert len(errors) == 5
    assert all(error["code"] == "bad_message" and "not known here" in error["message"] for error in errors)
    await client.disconnect()
    assert (await session_events(scripted.url, started["session_id"]))[-1].data["reason"] == "stopped"
    await eventually(lambda: not client.connected)
