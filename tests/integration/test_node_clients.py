"""Node's ``socket.io-client`` as a foreign client."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.node_client import talk
from integration.observe import session_events
from support.audio import speech, transcripts
from support.server import ServerProcess, start_server

pytestmark = pytest.mark.node

WORDS = transcripts()["go-forward.wav"]


@pytest.mark.parametrize(
    ("transports", "ends_with"),
    [(["websocket"], "websocket"), (["polling"], "polling"), (["polling", "websocket"], "websocket")],
    ids=["websocket", "polling", "upgrade"],
)
@pytest.mark.parametrize("binary", [False, True], ids=["base64", "binary"])
async def test_node_hears_what_was_said(
    hearing: ServerProcess, tmp_path: Path, transports: list[str], ends_with: str, binary: bool
) -> None:
    # with pauses the upgrade comes in the middle of the audio
    told = talk(hearing, tmp_path, options={"transports": transports}, binary=binary, numbered=True, pause=5)
    assert told.text == WORDS
    assert told.all("transport") == [ends_with]
    assert not told.all("error")
    chunks = -(-len(speech("go-forward")) // 3_200)
    acks = [ack["seq"] for ack in told.all("audio_ack")]
    assert acks == sorted(set(acks))
    assert acks[-1] == chunks - 1
    assert told.messages[-2][0] == "transcription_stopped"
    (started,) = told.all("transcription_started")
    log = await session_events(hearing.url, started["session_id"])
    finals = [(event.id, event.data["text"]) for event in log if event.name == "final"]
    heard = [result for result in told.all("transcription_result") if not result["is_partial"]]
    assert [(result["event_id"], result["text"]) for result in heard] == finals


def test_node_without_a_key_gets_a_connect_error_with_the_reason(tmp_path: Path) -> None:
    key = "0123456789abcdef-key"
    with start_server("--engine", "antiphon.testing:ScriptedRecogniser", "--api-keys", key) as server:
        for auth in ({}, {"token": "wrong-wrong-wrong-wrong"}, {"token": 5}):
            told = talk(server, tmp_path, options={"auth": auth})
            (refused,) = told.all("connect_error")
            assert refused["data"]["code"] == "unauthorized"
            assert refused["data"]["message"] == refused["message"]
            assert "API key" in refused["message"] or "auth.token" in refused["message"]
        told = talk(server, tmp_path, options={"auth": {"token": key}})
        assert told.all("transcription_stopped")
