"""The browser SDK in a real headless Chromium, by itself, and what the server hears of it."""

from __future__ import annotations

import array
import math
import wave
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from browser.kit import DEADLINE_MS, Browser
from support.engines import FIRST_HZ, STEP_HZ
from support.server import ServerProcess, start_server

RATE = 48_000
TONE_S, GAP_S = 0.16, 0.14
"""Seconds of a tone, and of the silence after it."""
LEAD_S = 1.0
"""Seconds of silence before the first one: a browser needs some time from opening a microphone to hearing it."""
TESTS = Path(__file__).parents[1]

HEARS_TONES = ("--engine", "support.engines:ToneRecogniser")

# Everything is on window, so that a test can go on with it.
LOAD = """
async () => {
  const names = ["audio-capture", "audio-stream-manager", "adaptive-bitrate", "segment-recorder"];
  const modules = await Promise.all(names.map((name) => import(`/static/sdk/${name}.js`)));
  Object.assign(window, ...modules);
  window.heard = {};
  window.events = [];
  // sends what a channel of a capture gives, and keeps the words that come back
  window.send = (capture, channel, options = {}) => {
    const stream = new AudioStreamManager({ format: capture.format, ...options });
    heard[channel] = [];
    stream.on("transcript", ({ text, isPartial, own }) => own && !isPartial && heard[channel].push(text));
    for (const type of ["state", "take", "lost", "error"]) {
      stream.on(type, (detail) => events.push({ type, channel, ...detail }));
    }
    capture.on("frame", (frame) => frame.channel === channel && stream.sendAudioData(frame.data));
    stream.connect();
    return stream;
  };
  // tones of Web Audio, as a stream to hand in: [tone, start in seconds, seconds]
  window.play = (tones, context = new AudioContext()) => {
    const out = context.createMediaStreamDestination();
    for (const [tone, start, seconds] of tones) {
      const sine = new OscillatorNode(context, { frequency: FIRST_HZ + STEP_HZ * tone });
      const gain = new GainNode(context, { gain: 0.4 });
      sine.connect(gain).connect(out);
      sine.start(context.currentTime + start);
      sine.stop(context.currentTime + start + seconds);
    }
    return out.stream;
  };
}
""".replace("FIRST_HZ", str(FIRST_HZ)).replace("STEP_HZ", str(STEP_HZ))


def tone_track(path: Path, tones: Sequence[int], *, lead: float = LEAD_S) -> Path:
    """Write a WAV of tones with silences between them, and silence after."""
    samples: list[int] = [0] * round(RATE * lead)
    for tone in tones:
        hertz = FIRST_HZ + STEP_HZ * tone
        count = round(RATE * TONE_S)
        for i in range(count):
            edge = min(1.0, i / 480, (count - i) / 480)
            samples.append(round(13_000 * edge * math.sin(2 * math.pi * hertz * i / RATE)))
        samples += [0] * round(RATE * GAP_S)
    samples += [0] * RATE
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes(array.array("h", samples).tobytes())
    return path


def words(tones: Sequence[int]) -> list[str]:
    """What the server says when it has heard these tones."""
    return [f"t{tone}" for tone in tones]


def server_of_tones(*flags: str) -> ServerProcess:
    """A server that hears tones."""
    return start_server(*HEARS_TONES, *flags, PYTHONPATH=str(TESTS))


def hearing_tones() -> Iterator[ServerProcess]:
    """For a fixture; it also answers to a name that browsers take for insecure."""
    with server_of_tones("--allowed-hosts", "sdk.test") as server:
        yield server


@asynccontextmanager
async def sdk_page(browser: Browser, url: str, *, away: bool = False, **options: Any) -> AsyncIterator[Page]:
    """A page of the server with the SDK's classes on ``window``.

    Args:
        away: Whether the server is away for a time, which the browser notes on its console.
    """
    opened = await browser.open(url, **options)
    await opened.page.evaluate(LOAD)
    yield opened.page
    assert [line for line in opened.console if not (away and line.startswith("WebSocket connection to"))] == []


async def hears(page: Page, channel: str, tones: Sequence[int]) -> None:
    """Wait until as many tones are heard, and look that it are these, in order, each once."""
    await page.wait_for_function(
        "([channel, count]) => window.heard[channel]?.length >= count",
        arg=[channel, len(tones)],
        timeout=DEADLINE_MS + 1000 * len(tones),
    )
    assert await page.evaluate("channel => window.heard[channel]", channel) == words(tones)
