"""A stream that a browser records, shared with another that comes late: it plays, by the code of the how-to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from browser.kit import Browser
from support.audio import SPEECH, transcripts
from support.server import ServerProcess

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "tests/js/node_modules/socket.io-client/dist/socket.io.esm.min.js"
HOW_TO = ROOT / "docs/how-to/send-segments.md"

SHARE = """
async () => {
  const { io } = await import("/static/socket.io.esm.min.js");
  const open = async () => {
    const socket = io({ forceNew: true, reconnection: false });
    await new Promise((resolve) => socket.once("connected", resolve));
    return socket;
  };
  const told = { errors: [], words: [], begins: 0 };
  const media = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false } });
  const sender = await open();
  sender.on("error", (error) => told.errors.push(error));
  sender.on("transcription_result", ({ text, is_partial }) => is_partial || told.words.push(text));
  const recorder = new MediaRecorder(media, { mimeType: "audio/webm;codecs=opus" });
  recorder.ondataavailable = ({ data }) => data.size > 0 && sender.emit("audio-stream", { roomId: "stage", data });
  recorder.start(100);
  const some = (count) => new Promise((resolve) => {
    let left = count;
    recorder.addEventListener("dataavailable", () => --left || resolve());
  });
  await some(15);

  const audio = document.body.appendChild(document.createElement("audio"));
  audio.muted = true;
  const listener = await open();
  listener.on("audio-data", (_, { begins }) => { told.begins += begins; });
  ((socket) => { PLAYER })(listener);
  const playing = new Promise((resolve, reject) => {
    audio.addEventListener("timeupdate", () => audio.currentTime > 1 && resolve());
    audio.addEventListener("error", () => reject(audio.error));
  });
  listener.once("audio-data", () => audio.play());
  await some(20);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.stop();
  await stopped;
  const ended = new Promise((resolve) => sender.once("audio-stream-ended", resolve));
  sender.emit("audio-stream-end");
  await ended;
  await playing;
  return { ...told, seconds: audio.buffered.end(audio.buffered.length - 1) - audio.buffered.start(0) };
}
"""


def player() -> str:
    """The code of the how-to that plays a stream."""
    blocks = re.findall(r"```js\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "MediaSource" in block]
    return str(block)


@pytest.mark.node
async def test_who_comes_late_hears_what_a_browser_records(browser: Browser, hearing: ServerProcess) -> None:
    opened = await browser.open(hearing.url, speech=SPEECH / "go-forward.wav")
    await opened.page.route(
        "**/static/socket.io.esm.min.js", lambda route: route.fulfill(path=CLIENT, content_type="text/javascript")
    )
    told: dict[str, Any] = await opened.page.evaluate(SHARE.replace("PLAYER", player()))
    assert not told["errors"]
    assert told["begins"] == 1
    assert told["seconds"] > 1.5
    assert transcripts()["go-forward.wav"] in " ".join(told["words"])
