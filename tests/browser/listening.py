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

BEGIN = """
async ([options, order, how]) => {
  const { StreamPlayer } = await import("/static/sdk/stream-player.js");
  const context = new AudioContext(how.rate ? { sampleRate: how.rate } : {});
  const recorderUrl = URL.createObjectURL(new Blob([how.recorder], { type: "text/javascript" }));
  await context.audioWorklet.addModule(recorderUrl);
  const player = new StreamPlayer({ context, ...options });
  const recorder = new AudioWorkletNode(context, "test-recorder", { channelCount: 1, channelCountMode: "explicit" });
  recorder.connect(context.destination);
  const told = [];
  for (const type of ["state", "started", "ended", "dropped", "cleared", "reconnecting", "connected", "failed", "error",
    "saying", "said", "bitrate-change"]) {
    player.on(type, (detail) => {
      const { error } = detail;
      told.push(error ? { type, code: error.code, message: error.message, action: error.action } : { type, ...detail });
    });
  }
  window.listening = { player, recorder, told };
  if (order.source !== undefined) await player.listen(order);
  else await player.open(order);
  player.node.connect(recorder);
}
"""
SOUND = """
async () => {
  const { recorder } = listening;
  const sound = await new Promise((resolve) => {
    recorder.port.onmessage = ({ data }) => resolve(data);
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
    await page.evaluate(BEGIN, [options, dict(order), {"rate": rate, "recorder": RECORDER.read_text()}])
    used: int = await page.evaluate("() => listening.player.context.sampleRate")
    return Listener(page, used)


async def _without_webcodecs(route: Route) -> None:
    """The worker as the server sends it, its policy for content included, in a browser that lacks something."""
    answer = await route.fetch()
    await route.fulfill(response=answer, body=f"delete self.AudioDecoder;\n{await answer.text()}")
