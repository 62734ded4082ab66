"""The same room by every way that a network leaves open: TURN over TCP or UDP, TCP, and UDP that loses packets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from antiphon.testing import UdpLink
from browser.kit import DEADLINE_MS, Browser, chromium
from browser.rooms import HEAR, RoomPage, open_room
from integration.observe import eventually, media_port
from support.audio import speech, transcripts, wav
from support.server import ServerProcess, start_server
from support.turn import SECRET, TurnProcess, needs_coturn, start_turn
from support.words import word_error_rate

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SPEAKERS = {"Hildegard": "quick-brown-fox.wav", "Kassia": "tomorrow-morning.wav"}
PAUSE = bytes(2 * 32_000)
"""Between one time that it is said and the next: each is a sentence of its own."""
ENERGY = 0.001
"""Of what is heard (``totalAudioEnergy`` of WebRTC's statistics): a third of a second of these voices has more."""
FEW = 0.25
"""Share of words that may be wrong without loss: a browser on a busy machine says them with gaps."""
READING = 60.0
"""Seconds until something has been said, and written down."""


@pytest.fixture(scope="module")
def turn() -> Iterator[TurnProcess]:
    """A TURN server that relays to this machine."""
    with start_turn("--allow-peer", "127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def behind_turn(turn: TurnProcess) -> Iterator[ServerProcess]:
    """A hearing server whose clients are told of TURN."""
    urls = f"{turn.urls['turn-udp']},{turn.urls['turn-tcp']}"
    with start_server("--turn-urls", urls, ANTIPHON_TURN_SECRET=SECRET) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(hearing: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, RoomPage]]:
    """Two speakers, each with a Chromium of its own and a recording for a microphone, which is played over and over."""
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine: install Debian's package 'chromium' to run the browser tests")
    async with async_playwright() as playwright, Browser(playwright, executable) as browser:
        said = {name: tmp_path_factory.mktemp("said") / file for name, file in SPEAKERS.items()}
        for path in said.values():
            path.write_bytes(wav(speech(path.name) + PAUSE))
        yield {name: await open_room(browser, hearing.url, tone=path, still=True) for name, path in said.items()}


# A browser's echo canceller takes most out of what is said while somebody else is heard, as both are here all the time.
UNPROCESSED = """
() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  navigator.mediaDevices.getUserMedia = () => open({ audio });
}
"""

# Only TURN by that transport is open: what the page is told of other servers, and its own addresses, are of no use.
ONLY_TURN = """
(transport) => {
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(configuration) {
      const iceServers = configuration.iceServers
        .map((server) => ({ ...server, urls: [server.urls].flat().filter((url) => url.endsWith(transport)) }))
        .filter(({ urls }) => urls.length > 0);
      super({ ...configuration, iceServers, iceTransportPolicy: "relay" });
    }
  };
}
"""

# What the server answers goes through this before the browser reads it.
REDIRECT = """
([pattern, replacement]) => {
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return set.call(this, { type, sdp: sdp.replace(new RegExp(pattern, "gim"), replacement) });
  };
}
"""
TCP_CANDIDATES, UDP_CANDIDATES = (rf"^a=candidate:\S+ \d {protocol} .*\r\n" for protocol in ("tcp", "udp"))
UDP_PORT = r"^(a=candidate:\S+ \d udp \d+ \S+) \d+"

# The way that packets take, and the sound that has come by it.
STATISTICS = """
async () => {
  const all = [...(await connections.at(-1).getStats()).values()];
  const byId = new Map(all.map((one) => [one.id, one]));
  const { selectedCandidatePairId } = all.find(({ type }) => type === "transport");
  const pair = byId.get(selectedCandidatePairId);
  const [local, remote] = [byId.get(pair.localCandidateId), byId.get(pair.remoteCandidateId)];
  const incoming = all.filter(({ type }) => type === "inbound-rtp");
  return {
    type: local.candidateType,
    protocol: local.protocol,
    relayProtocol: local.relayProtocol ?? null,
    remotePort: remote.port,
    energy: incoming.reduce((sum, { totalAudioEnergy }) => sum + (totalAudioEnergy ?? 0), 0),
  };
}
"""
HEARS = f"async (energy) => (await ({STATISTICS})()).energy > energy"


async def visit(page: RoomPage, url: str, *scripts: tuple[str, Any]) -> None:
    """Open the page of rooms anew, and run scripts in it."""
    await page.page.goto(url)
    await page.phase("idle")
    await page.page.evaluate(HEAR)
    await page.page.evaluate(UNPROCESSED)
    for script, argument in scripts:
        await page.page.evaluate(script, argument)


async def each_hears_and_reads_the_other(pages: dict[str, RoomPage], room: str) -> list[dict[str, Any]]:
    """Join all, with captions; how each is connected."""
    for name, page in pages.items():
        await page.join(room, name, "relay")
    for page in pages.values():
        await page.page.wait_for_function(HEARS, arg=ENERGY, timeout=DEADLINE_MS)
        for name in SPEAKERS:
            await mostly_reads(page, name, FEW)
    return [await page.page.evaluate(STATISTICS) for page in pages.values()]


@needs_coturn
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_two_talk_and_read_where_only_turn_is_open(
    behind_turn: ServerProcess, pages: dict[str, RoomPage], transport: str
) -> None:
    for page in pages.values():
        await visit(page, f"{behind_turn.url}/rooms.html", (ONLY_TURN, f"transport={transport}"))
    for way in await each_hears_and_reads_the_other(pages, f"turn-{transport}"):
        assert (way["type"], way["relayProtocol"]) == ("relay", transport)


async def test_two_talk_and_read_over_tcp_where_the_server_has_no_udp(
    hearing: ServerProcess, pages: dict[str, RoomPage]
) -> None:
    for page in pages.values():
        await visit(page, f"{hearing.url}/rooms.html", (REDIRECT, [UDP_CANDIDATES, ""]))
    for way in await each_hears_and_reads_the_other(pages, "tcp"):
        assert (way["protocol"], way["remotePort"]) == ("tcp", await media_port(hearing.url))


async def test_two_talk_and_read_over_a_network_that_loses_packets(
    hearing: ServerProcess, pages: dict[str, RoomPage]
) -> None:
    losses = {"Hildegard": 0.05, "Kassia": 0.2}
    port = await media_port(hearing.url)
    async with contextlib.AsyncExitStack() as stack:
        links = {
            name: await stack.enter_async_context(UdpLink(port, loss=loss, delay_ms=(10, 30), seed=5))
            for name, loss in losses.items()
        }
        for name, page in pages.items():
            redirects = [[TCP_CANDIDATES, ""], [UDP_PORT, f"$1 {links[name].port}"]]
            await visit(page, f"{hearing.url}/rooms.html", *((REDIRECT, redirect) for redirect in redirects))
            await page.join("lossy", name, "relay")
        for name, page in pages.items():
            await page.page.wait_for_function(HEARS, arg=ENERGY, timeout=DEADLINE_MS)
            way = await page.page.evaluate(STATISTICS)
            assert (way["protocol"], way["remotePort"]) == ("udp", links[name].port)
            for other, most in {"Hildegard": FEW, "Kassia": 0.5}.items():
                await mostly_reads(page, other, most)
        for name, loss in losses.items():
            assert links[name].up.share_lost == pytest.approx(loss, rel=0.5)
            assert links[name].down.share_lost == pytest.approx(loss, rel=0.5)


async def mostly_reads(page: RoomPage, name: str, most: float) -> None:
    """Wait for a final of somebody's in which no more than that share of the words is wrong."""
    said = transcripts()[SPEAKERS[name]]
    lines = page.page.locator("#lines li", has=page.page.get_by_text(name, exact=True)).locator("span")
    seen: list[str] = []

    async def understood() -> bool:
        seen[:] = await lines.all_inner_texts()  # it is said over and over
        return any(word_error_rate(said, line) <= most for line in seen)

    try:
        await eventually(understood, READING)
    except TimeoutError:
        raise AssertionError(f"{name} said {said!r}, and was read as {seen}") from None
