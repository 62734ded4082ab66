"""A :js:class:`StreamPlayer` in a real page, and what comes out of its audio graph."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import Page, Route

from browser.kit import Browser
from support import beeps

RECORDER = Path(__file__).with_name("recorder.js")
FLAGS = (
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=LocalNetworkAccessChecks",  # a worker that a test changes counts as one from elsewhere
)
DEADLINE_MS = 60_000
INEXACT_MS = 15
"""By so much a codec and a resampler may lengthen or shorten a stream; less than a packet."""
PUNCTUAL_MS = 40
"""A machine on which nothing waits longer is not so busy that it is heard: a player has twice as much in hand."""

BEGIN = """
async ([options, order, how]) => {
  const { StreamPlayer } = await import("/static/sdk/stream-player.js");
  const context = new AudioContext(how.rate ? { sampleRate: how.rate } : {});
  const recorderUrl = URL.createObjectURL(new Blob([how.recorder], { type: "text/javascript" }));
  await context.audioWorklet.addModule(recorderUrl);
  const player = new StreamPlayer({ context, ...options });
  const recorder = new AudioWorkletNode(context, "test-recorder", { channelCount: 1, channelCountMode: "explicit" });
  recorder.connect(context.destination);
  const clockUrl = URL.createObjectURL(new Blob([how.clock], { type: "text/javascript" }));
  const clock = new Worker(clockUrl);
  const told = [];
  for (const type of ["state", "started", "ended", "dropped", "cleared", "reconnecting", "connected", "failed", "error",
    "saying", "said", "bitrate-change"]) {
    player.on(type, (detail) => {
      const { error } = detail;
      told.push(error ? { type, code: error.code, message: error.message, action: error.action } : { type, ...detail });
    });
  }
  window.listening = { player, recorder, told, clock };
  if (order.source !== undefined) await player.listen(order);
  else await player.open(order);
  player.node.connect(recorder);
}
"""
# A worker that has nothing to do but to look how late it is called.
CLOCK = """
let called = performance.now();
let longest = 0;
setInterval(() => {
  const now = performance.now();
  longest = Math.max(longest, now - called);
  called = now;
}, 5);
onmessage = () => postMessage(longest);
"""
STARVED = """
async () => {
  const { recorder, clock } = listening;
  const audio = new Promise((resolve) => {
    recorder.port.onmessage = ({ data }) => resolve(data.longest);
    recorder.port.postMessage("all");
  });
  const worker = new Promise((resolve) => {
    clock.onmessage = ({ data }) => resolve(data);
    clock.postMessage("longest");
  });
  return Math.max(await audio, await worker);
}
"""
SOUND = """
async () => {
  const { recorder } = listening;
  const sound = await new Promise((resolve) => {
    recorder.port.onmessage = ({ data }) => resolve(data.sound);
    recorder.port.postMessage("all");
  });
  const file = new Blob([sound.buffer]);
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.readAsDataURL(file);
  });
}
"""


@dataclass
class Listener:
    """One player.

    Attributes:
        page: Where it is.
        rate: Of the page's audio context, in hertz.
    """

    page: Page
    rate: int

    async def told(self, *types: str) -> list[dict[str, Any]]:
        """What the player has said so far, of those types."""
        told: list[dict[str, Any]] = await self.page.evaluate("() => listening.told")
        return [one for one in told if one["type"] in types]

    async def until(self, condition: str, arg: object = None) -> None:
        """Wait for an expression on ``player`` and ``told`` to be true."""
        await self.page.wait_for_function(
            f"(arg) => {{ const {{ player, told }} = listening; return {condition}; }}", arg=arg, timeout=DEADLINE_MS
        )

    async def ended(self) -> None:
        """Wait until all was heard."""
        await self.until("['ended', 'failed'].includes(player.state)")
        assert await self.page.evaluate("() => listening.player.state") == "ended", await self.told("failed", "error")

    async def stats(self) -> dict[str, Any]:
        """The player's figures."""
        stats: dict[str, Any] = await self.page.evaluate("() => listening.player.stats")
        return stats

    async def sound(self) -> beeps.Sound:
        """All that came out of the player."""
        return np.frombuffer(base64.b64decode(await self.page.evaluate(SOUND)), np.float32)

    async def beeps(self) -> list[int]:
        """The numbers of the beeps that were heard, in their order."""
        return [beep.number for beep in beeps.heard(await self.sound(), self.rate)]

    async def all_beeps(self, count: int) -> None:
        """Wait until all was heard, and see that it was all, in order and once."""
        await self.ended()
        found = beeps.heard(await self.sound(), self.rate)
        told = [(beep.number, round(beep.at, 3), round(beep.length, 3)) for beep in found]
        assert [beep.number for beep in found] == list(range(count)), (told, await self.stats())

    async def all_to_the_sample(self, count: int) -> None:
        """See to :meth:`all_beeps`, and that no packet was left out or came twice, of silence either."""
        await self.all_beeps(count)
        stats = await self.stats()
        played = stats["played"] - stats["concealed"] - stats["stretched"] + stats["shortened"]
        assert abs(played - 1000 * stats["position"]) < INEXACT_MS, (played, stats)
        assert stats["position"] > (count + 1) * beeps.EVERY - INEXACT_MS / 1000, stats

    async def unbroken(self, late_ms: float = 0.0) -> None:
        """See that nothing was made up, where nothing had to wait for a core of the machine.

        Args:
            late_ms: By how much the server was late at most.
        """
        starved: float = await self.page.evaluate(STARVED)
        stats = await self.stats()
        assert stats["concealed"] == 0 or max(starved, late_ms) > PUNCTUAL_MS, (starved, late_ms, stats)


async def listen(
    browser: Browser,
    page_url: str,
    order: Mapping[str, object],
    *,
    server: str | None = None,
    rate: int = 0,
    key: str = "",
    webcodecs: bool = True,
) -> Listener:
    """Open an empty page of a server and have a player play there.

    Args:
        browser: Where.
        page_url: Server whose SDK is used.
        order: For ``listen()`` or, without a ``source``, for ``open()``.
        server: That it listens to; the page's own by default.
        rate: Of the audio context, in hertz; the browser's choice by default.
        key: Access key.
        webcodecs: Whether the player's worker has WebCodecs.
    """
    opened = await browser.open(page_url, flags=FLAGS, fake_device=False)
    page = opened.page
    # the recorder is no part of the server, whose policy for content would refuse it
    session = await page.context.new_cdp_session(page)
    await session.send("Page.setBypassCSP", {"enabled": True})
    if not webcodecs:
        await page.context.route("**/sdk/player/worker.js", _without_webcodecs)
    await page.goto(f"{page_url}/healthz")
    options = {"server": server or page_url, "key": key}
    await page.evaluate(BEGIN, [options, dict(order), {"rate": rate, "recorder": RECORDER.read_text(), "clock": CLOCK}])
    used: int = await page.evaluate("() => listening.player.context.sampleRate")
    return Listener(page, used)


async def _without_webcodecs(route: Route) -> None:
    """The worker as the server sends it, its policy for content included, in a browser that lacks something."""
    answer = await route.fetch()
    await route.fulfill(response=answer, body=f"delete self.AudioDecoder;\n{await answer.text()}")
