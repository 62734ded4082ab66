"""Somebody's address changes in the middle of a call: an ICE restart finds the new way, and the call goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

pytest.importorskip("aiortc")

from browser.kit import DEADLINE_MS, Browser, chromium
from browser.rooms import bursts, open_room
from integration.callers import Caller
from integration.observe import eventually
from integration.webrtc import Peer, connect, peer
from support.audio import SPEECH_RATE, tone_dbfs
from support.namespaces import Namespace, need_namespaces
from support.namespaces import connect as cable
from support.server import SCRIPTED, start_server

pytestmark = pytest.mark.browser

TONE = 468.75
MEDIA = "10.231.9.1"
"""Address of the server for media, on none of the cables."""
LOUD_DB = -50


@pytest.fixture
def networks() -> Iterator[tuple[Namespace, Namespace]]:
    """A server's and a client's, with a cable between them for signaling."""
    need_namespaces()
    with contextlib.ExitStack() as stack:
        server, client = (stack.enter_context(Namespace(name)) for name in ("server", "client"))
        cable(server, client, 1, "office")
        # nor is there a way for media with this cable's address
        client.ip(f"rule add from 10.231.1.2 to {MEDIA} prohibit")
        server.ip(f"addr add {MEDIA}/32 dev lo")
        yield server, client


def plug(server: Namespace, client: Namespace, network: int, device: str) -> None:
    """Connect the client anew; media takes this way."""
    cable(server, client, network, device)
    client.lose(device, 5.0)
    client.ip(f"route add {MEDIA} via 10.231.{network}.1")


async def test_a_call_goes_on_from_another_address(networks: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    server_network, client_network = networks
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine: install Debian's package 'chromium' to run the browser tests")
    plug(server_network, client_network, 2, "wifi")
    with contextlib.ExitStack() as stack:
        stack.enter_context(server_network.inside())
        flags = ("--host", "10.231.1.1", "--insecure", "--rtc-host", "0.0.0.0", "--rtc-announce", MEDIA)
        server = stack.enter_context(start_server(*SCRIPTED, *flags))
        async with contextlib.AsyncExitStack() as calls:
            driver = async_playwright()
            with client_network.inside():
                playwright = await calls.enter_async_context(driver)
            browser = await calls.enter_async_context(Browser(playwright, executable))
            trusted = f"--unsafely-treat-insecure-origin-as-secure={server.url}"
            page = await open_room(browser, server.url, tone=bursts(tmp_path / "tone.wav", TONE), flags=[trusted])
            await page.join("roaming", "Hildegard", "relay", captions=False)

            caller = await calls.enter_async_context(Caller(server.url))
            listener = await calls.enter_async_context(peer())
            await caller.enter("roaming", "Kassia")
            await connect(caller, listener)
            await hears(listener)
            assert await address(page.page) == "10.231.2.2"

            server_network.ip("link del wifi")
            plug(server_network, client_network, 3, "mobile")
            await page.page.wait_for_function(
                f"async () => (await ({ADDRESS})()) === '10.231.3.2'", timeout=2 * DEADLINE_MS
            )
            listener.ears[0].clear()
            await hears(listener)
            assert await page.connection_states() == ["connected"]  # the one it had
            assert not caller.all("peer-left")
            assert page.console == []


# The address that packets are sent from.
ADDRESS = """
async () => {
  const all = [...(await connections.at(-1).getStats()).values()];
  const byId = new Map(all.map((one) => [one.id, one]));
  const pair = byId.get(all.find(({ type }) => type === "transport")?.selectedCandidatePairId);
  return byId.get(pair?.localCandidateId)?.address ?? null;
}
"""


async def address(page: object) -> str:
    found: str = await page.evaluate(ADDRESS)  # type: ignore[attr-defined]
    return found


async def hears(listener: Peer) -> None:
    """Wait until the tone comes in."""

    def loud() -> bool:
        heard = listener.ears[0].pcm[-2 * SPEECH_RATE :] if listener.ears else b""
        return len(heard) >= 2 * SPEECH_RATE and tone_dbfs(heard, TONE) > LOUD_DB

    await eventually(loud)
