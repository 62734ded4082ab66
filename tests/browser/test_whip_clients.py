"""Foreign WHIP and WHEP clients (``whip-whep`` from npm) on a page of another origin: heard, and written down."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.async_api import Page

from browser.kit import DEADLINE_MS, Browser
from browser.rooms import EVERY_INTERFACE
from integration.callers import Caller
from support.audio import speech, transcripts, wav
from support.server import ServerProcess, start_server
from support.words import word_error_rate

pytestmark = [pytest.mark.browser, pytest.mark.node]

PACKAGE = Path(__file__).parents[1] / "js" / "node_modules" / "whip-whep"
FOX = "quick-brown-fox.wav"
PAUSE = bytes(2 * 32_000)
ENERGY = 0.001
READING = 60.0
"""Seconds until something has been said, and written down."""


class Pages(SimpleHTTPRequestHandler):
    """The files of the package; a list of them is the page."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(PACKAGE))

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the pages come from."""
    if not PACKAGE.exists():
        pytest.skip("whip-whep is not installed: run python -m scripts.node tests/js")
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def server(origin: str) -> Iterator[ServerProcess]:
    """A hearing server that lets the pages in."""
    with start_server("--cors-origins", origin) as started:
        yield started


PUBLISH = """
async (url) => {
  const { WHIPClient } = await import("/whip.js");
  // a canceller would take the voice for an echo of itself: the page that listens plays it in the same browser
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false } });
  window.connection = new RTCPeerConnection();
  for (const track of microphone.getTracks()) connection.addTransceiver(track, { direction: "sendonly" });
  window.client = new WHIPClient();
  await client.publish(connection, url);
}
"""
LISTEN = """
async (url) => {
  const { WHEPClient } = await import("/whep.js");
  window.connection = new RTCPeerConnection();
  connection.addTransceiver("audio", { direction: "recvonly" });
  connection.ontrack = ({ track }) => {
    window.player = new Audio();
    player.srcObject = new MediaStream([track]);
    player.play();
  };
  window.client = new WHEPClient();
  await client.view(connection, url);
}
"""
CONNECTED = "() => connection.connectionState === 'connected'"
HEARS = """
async (energy) => {
  const incoming = [...(await connection.getStats()).values()].find(({ type }) => type === "inbound-rtp");
  return (incoming?.totalAudioEnergy ?? 0) > energy;
}
"""


async def foreign_page(page: Page, origin: str, script: str, url: str) -> Page:
    """Open a page of the other origin, and connect."""
    await page.goto(origin)
    await page.evaluate(script, url)
    await page.wait_for_function(CONNECTED, timeout=DEADLINE_MS)
    return page


async def test_what_a_foreign_client_publishes_is_heard_and_written_down(
    browser: Browser, origin: str, server: ServerProcess, tmp_path: Path
) -> None:
    said = tmp_path / FOX
    said.write_bytes(wav(speech(FOX) + PAUSE))
    flags = [*EVERY_INTERFACE, f"--use-file-for-fake-audio-capture={said}"]
    first = (await browser.open(server.url, flags=flags)).page
    async with Caller(server.url) as caller:
        await caller.enter("broadcast", "Ada", captions=True)
        published = await foreign_page(first, origin, PUBLISH, f"{server.url}/whip/broadcast?userId=Radio")
        listening = await foreign_page(await first.context.new_page(), origin, LISTEN, f"{server.url}/whep/broadcast")
        assert [(await caller.wait("peer-joined", n))["transport"] for n in (1, 2)] == ["whip", "whep"]
        await listening.wait_for_function(HEARS, arg=ENERGY, timeout=DEADLINE_MS)

        words = transcripts()[FOX]
        await caller.until(
            lambda: any(
                final["userId"] == "Radio" and word_error_rate(words, final["text"]) < 0.25 for final in caller.finals
            ),
            READING,
        )
        for number, page in enumerate((published, listening), 1):
            await page.evaluate("() => client.stop()")
            await caller.wait("peer-left", number)
