"""The page of rooms in a real headless Chromium, and what it hears of the others."""

from __future__ import annotations

import array
import math
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from browser.kit import DEADLINE_MS, Browser, CaptionsPage
from support.audio import SPEECH

RATE = 48_000
BURST_S = 0.2
"""Seconds of a tone, and of the pause after it: what neither begins nor ends is taken for noise by the browser."""
PAUSE_S = 3.0
LOUD_DB = -60
"""A tone that is heard is over this, in a band of 12 Hz; one that is not is far under."""

EVERY_INTERFACE = (
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
)

# Keeps every connection, and measures what comes out of it.
HEAR = """
() => {
  const Real = window.RTCPeerConnection;
  window.connections = [];
  window.RTCPeerConnection = class extends Real {
    constructor(...options) {
      super(...options);
      window.connections.push(this);
    }
  };
  const context = new AudioContext({ sampleRate: 48000 });
  const ears = new Map();
  window.heard = [];
  const look = () => {
    for (const connection of window.connections) {
      if (connection.connectionState === "closed") continue;
      for (const { track } of connection.getReceivers()) {
        if (ears.has(track)) continue;
        const analyser = context.createAnalyser();
        analyser.fftSize = 4096;
        analyser.smoothingTimeConstant = 0;
        context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
        ears.set(track, analyser);
      }
    }
    const spectra = [];
    for (const [track, analyser] of ears) {
      if (track.readyState === "ended") {
        ears.delete(track);
        continue;
      }
      const spectrum = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(spectrum);
      spectra.push(spectrum);
    }
    window.heard.push({ at: performance.now(), spectra });
    while (window.heard[0].at < performance.now() - 800) window.heard.shift();
  };
  setInterval(look, 40);
  // dB of the loudest moment of the last 0.8 s around a frequency, over all that is received
  window.loudness = (hertz) => {
    const bin = Math.round(hertz / (48000 / 4096));
    let most = -200;
    for (const { spectra } of window.heard) {
      for (const spectrum of spectra) most = Math.max(most, spectrum[bin - 1], spectrum[bin], spectrum[bin + 1]);
    }
    return most;
  };
}
"""


def bursts(path: Path, hertz: float) -> Path:
    """Write a WAV with bursts of a tone, which can be repeated without a click."""
    count = round(RATE * BURST_S)
    loud = [round(12_000 * math.sin(2 * math.pi * hertz * i / RATE)) for i in range(count)]
    samples = array.array("h", (loud + [0] * count) * 5)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return path


def with_pause(path: Path, name: str) -> Path:
    """Write a speech file of that name with a pause after it, so that repeated it is an utterance each time."""
    with wave.open(str(SPEECH / name), "rb") as speech, wave.open(str(path), "wb") as file:
        file.setparams(speech.getparams())
        file.writeframes(speech.readframes(speech.getnframes()))
        file.writeframes(bytes(2 * round(PAUSE_S * speech.getframerate())))
    return path


@dataclass
class RoomPage:
    """The page, with names for what is on it.

    Attributes:
        page: Playwright's page.
        console: Errors that the browser wrote to its console, and exceptions that nobody caught.
    """

    page: Page
    console: list[str] = field(default_factory=list)

    @property
    def toggle(self) -> Locator:
        return self.page.locator("#toggle")

    @property
    def mute(self) -> Locator:
        return self.page.locator("#mute")

    @property
    def state(self) -> Locator:
        return self.page.locator("#state-text")

    @property
    def alert(self) -> Locator:
        return self.page.locator("#notices [role=alert]")

    @property
    def hints(self) -> Locator:
        return self.page.locator("#notices [role=status]")

    def voice(self, name: str) -> Locator:
        """The tile of somebody."""
        return self.page.locator(".voice", has=self.page.get_by_text(name, exact=True))

    async def join(self, room: str, name: str, way: str = "direct", *, captions: bool = True) -> None:
        """Fill the form in, press Join and wait until it is in the room and connected."""
        await self.fill(room, name, way, captions=captions)
        await self.toggle.click()
        await self.phase("live")

    async def fill(self, room: str, name: str, way: str = "direct", *, captions: bool = True) -> None:
        """Fill the form in."""
        await self.page.locator("#user").fill(name)
        await self.page.locator("#room").fill(room)
        await self.page.locator(f"label.source:has(input[value={way}])").click()
        if way != "direct":
            await self.page.locator("#captions-on").set_checked(captions)

    async def phase(self, *names: str) -> None:
        """Wait for one of the page's phases."""
        await self.page.wait_for_function(
            "names => names.includes(document.body.dataset.phase)", arg=list(names), timeout=DEADLINE_MS
        )

    async def hears(self, hertz: float) -> None:
        """Wait until a tone comes in."""
        await self.page.wait_for_function(
            "([hertz, loud]) => window.loudness(hertz) > loud", arg=[hertz, LOUD_DB], timeout=DEADLINE_MS
        )

    async def misses(self, hertz: float) -> None:
        """Wait until a tone does not come in any more."""
        await self.page.wait_for_function(
            "([hertz, loud]) => window.heard.length > 10 && window.loudness(hertz) < loud - 10",
            arg=[hertz, LOUD_DB],
            timeout=DEADLINE_MS,
        )

    async def hears_only(self, heard: float, own: float) -> None:
        """Wait for a moment in which a tone comes in, and another one far more softly if at all."""
        await self.page.wait_for_function(
            "([heard, own, loud]) => loudness(heard) > loud && loudness(own) < loudness(heard) - 20",
            arg=[heard, own, LOUD_DB],
            timeout=DEADLINE_MS,
        )

    async def connection_states(self) -> list[str]:
        """Of every connection that the page has made."""
        states: list[str] = await self.page.evaluate("() => window.connections.map((one) => one.connectionState)")
        return states

    async def reads(self, name: str, words: str) -> None:
        """Wait for a final with these words by somebody."""
        line = self.page.locator("#lines li", has=self.page.get_by_text(name, exact=True)).filter(has_text=words)
        # recognition has to keep up with two browsers beside it
        await expect(line.first).to_be_visible(timeout=2 * DEADLINE_MS)

    async def overflow(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        return await CaptionsPage(self.page).overflow()

    async def shot(self, name: str) -> Path:
        """Save what it looks like to ``test-output/browser``."""
        return await CaptionsPage(self.page).shot(f"rooms-{name}")


async def open_room(
    browser: Browser, url: str, *, tone: Path | None = None, flags: Sequence[str] = (), query: str = "", **options: Any
) -> RoomPage:
    """Open the page of rooms.

    Args:
        browser: Opens it.
        url: Of the server.
        tone: WAV that the microphone hears over and over.
        flags: More flags for Chromium.
        query: Of the page's address.
        options: Those of :meth:`Browser.open`.
    """
    if tone is not None:
        flags = [*flags, f"--use-file-for-fake-audio-capture={tone}"]
    opened = await browser.open(f"{url}/rooms.html{query}", flags=[*EVERY_INTERFACE, *flags], **options)
    await opened.page.evaluate(HEAR)
    return RoomPage(opened.page, opened.console)
