"""What a browser's own MediaRecorder sends, live: the words come out."""

from __future__ import annotations

from typing import Any

import pytest

from browser.kit import Browser
from integration.observe import session_events
from support.audio import SPEECH, transcripts
from support.server import ServerProcess

pytestmark = pytest.mark.browser

RECORD = """
async ([url, stopAfter]) => {
  const media = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false } });
  const socket = new WebSocket(url);
  const told = [];
  await new Promise((resolve) => { socket.onopen = resolve; });
  const joined = new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      told.push(message);
      if (message.type === "joined") resolve(message);
    };
  });
  socket.send(JSON.stringify({ type: "join", format: { codec: "webm" } }));
  const { sessionId } = await joined;
  const recorder = new MediaRecorder(media, { mimeType: "audio/webm;codecs=opus" });
  const sent = [];
  recorder.ondataavailable = ({ data }) => { sent.push(data.size); socket.send(data); };
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start(100);
  await new Promise((resolve) => { setTimeout(resolve, stopAfter); });
  recorder.stop();
  await stopped;
  const closed = new Promise((resolve) => { socket.onclose = resolve; });
  socket.send(JSON.stringify({ type: "leave" }));
  await closed;
  return { sessionId, told, messages: sent.length };
}
"""


async def test_what_a_browser_records_is_heard_while_it_records(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / "go-forward.wav")
    result: dict[str, Any] = await page.page.evaluate(RECORD, [hearing.websocket_url, 4_500])
    assert result["messages"] > 20
    assert not [message for message in result["told"] if message["type"] == "error"]
    log = await session_events(hearing.url, result["sessionId"])
    heard = " ".join(event.data["text"] for event in log if event.name == "final")
    assert transcripts()["go-forward.wav"] in heard
