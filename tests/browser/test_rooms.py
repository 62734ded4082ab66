"""Two real browsers in one room, connected directly: each hears the other, and what goes wrong mends itself."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
from playwright.async_api import expect

from browser.kit import DEADLINE_MS, Browser, relay
from browser.rooms import RoomPage, bursts, open_room
from support.server import SCRIPTED, ServerProcess, start_server
from support.turn import SECRET, TurnProcess, needs_coturn

pytestmark = pytest.mark.browser

LOW, HIGH = 468.75, 1312.5
"""Tones of the two, each in the middle of a band of the measurement, and none a harmonic of the other."""


async def two_in_a_room(
    browser: Browser, tmp_path: Path, low_url: str, high_url: str, query: str = ""
) -> tuple[RoomPage, RoomPage]:
    """Hildegard, who says a low tone, and Kassia, who says a high one; each hears the other."""
    low = await open_room(browser, low_url, tone=bursts(tmp_path / "low.wav", LOW), query=query)
    high = await open_room(browser, high_url, tone=bursts(tmp_path / "high.wav", HIGH), query=query)
    await low.join("choir", "Hildegard")
    await high.join("choir", "Kassia")
    await low.hears(HIGH)
    await high.hears(LOW)
    return low, high


async def test_each_hears_the_other_and_not_itself(browser: Browser, hearing: ServerProcess, tmp_path: Path) -> None:
    low, high = await two_in_a_room(browser, tmp_path, hearing.url, hearing.url)
    await low.hears_only(HIGH, LOW)
    await high.hears_only(LOW, HIGH)
    await expect(low.voice("Kassia")).to_have_attribute("data-speaking", "")
    await expect(high.voice("Hildegard")).to_contain_text("speaking")
    await expect(low.voice("Hildegard")).to_contain_text("you")
    await expect(low.page.locator("#route")).to_have_text("Direct, UDP")
    await expect(low.page.locator("#grade")).to_have_text("Good")
    await low.shot("direct")
    assert low.console == high.console == []


async def test_one_who_is_muted_is_not_heard_until_it_is_unmuted(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    low, high = await two_in_a_room(browser, tmp_path, hearing.url, hearing.url)
    await low.mute.click()
    await expect(low.mute).to_have_attribute("aria-pressed", "true")
    await expect(high.voice("Hildegard")).to_contain_text("muted")
    await high.misses(LOW)
    await low.hears(HIGH)
    await low.page.keyboard.press("m")
    await expect(low.mute).to_have_text("Mute")
    await high.hears(LOW)
    await expect(high.voice("Hildegard")).not_to_contain_text("muted")


async def test_one_who_leaves_is_gone_and_may_come_back(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    low, high = await two_in_a_room(browser, tmp_path, hearing.url, hearing.url)
    await low.toggle.click()
    await low.phase("idle")
    await expect(high.voice("Hildegard")).to_have_count(0)
    assert await low.connection_states() == ["closed"]
    assert await high.connection_states() == ["closed"]
    assert await low.page.evaluate("() => document.querySelectorAll('audio').length") == 0
    await low.toggle.click()
    await low.phase("live")
    await low.hears(HIGH)
    await high.hears(LOW)


async def test_one_whose_browser_is_closed_is_gone(browser: Browser, hearing: ServerProcess, tmp_path: Path) -> None:
    low, high = await two_in_a_room(browser, tmp_path, hearing.url, hearing.url)
    await low.page.close()
    await expect(high.voice("Hildegard")).to_have_count(0, timeout=DEADLINE_MS)
    await expect(high.page.locator(".nobody")).to_have_text("Waiting for others")


CROSS = """
async (other) => {
  const { WebRTCManager } = await import("/static/sdk/webrtc-manager.js");
  window.manager = new WebRTCManager({ topology: "peers" });
  manager.on("track", ({ stream }) => {
    const player = new Audio();
    player.srcObject = stream;
    player.play();
  });
  await manager.initialize();
  await manager.join({ room: "glare", user: other });
  return manager.id;
}
"""


async def test_offers_that_cross_on_the_wire_still_make_one_connection(browser: Browser, tmp_path: Path) -> None:
    with start_server(*SCRIPTED) as server:
        low = await open_room(browser, server.url, tone=bursts(tmp_path / "low.wav", LOW))
        high = await open_room(browser, server.url, tone=bursts(tmp_path / "high.wav", HIGH))
        ids = [await page.page.evaluate(CROSS, name) for page, name in ((low, "Hildegard"), (high, "Kassia"))]
        await low.hears(HIGH)
        server.pause()  # both offers are on the way before either arrives
        for page, other in ((low, ids[1]), (high, ids[0])):
            await page.page.evaluate("id => manager.createOffer(id)", other)
            await page.page.wait_for_function("() => connections.at(-1).signalingState === 'have-local-offer'")
        server.resume()
        for page in (low, high):
            await page.page.wait_for_function("() => connections.at(-1).connectionState === 'connected'")
        await low.hears(HIGH)
        await high.hears(LOW)
        for page in (low, high):
            states = await page.connection_states()
            assert states.count("connected") == 1
            assert set(states) == {"connected", "closed"}


async def test_a_lost_connection_to_the_server_does_not_end_the_sound_and_is_made_again(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    async with relay(hearing.port) as line:
        low, high = await two_in_a_room(browser, tmp_path, line.url, hearing.url)
        await line.cut()
        await expect(low.state).to_have_text("Reconnecting…")
        await low.shot("reconnecting")
        await expect(high.voice("Hildegard")).to_have_count(0)
        retry = low.page.get_by_role("button", name="Retry now")
        await retry.click(trial=True)
        line.mend()
        await retry.dispatch_event("click")  # no later than now: the page goes on trying by itself
        await low.phase("live")
        await expect(high.voice("Hildegard")).to_have_count(1)
        await low.hears(HIGH)
        await high.hears(LOW)


@needs_coturn
async def test_an_interrupted_way_is_found_again_by_an_ice_restart(browser: Browser, tmp_path: Path) -> None:
    with TurnProcess(("--allow-peer", "127.0.0.1"), None) as turn:
        urls = [turn.urls["turn-udp"]]
        with start_server(*SCRIPTED, "--turn-urls", ",".join(urls), ANTIPHON_TURN_SECRET=SECRET) as server:
            low, high = await two_in_a_room(browser, tmp_path, server.url, server.url, "?relay")
            await expect(low.page.locator("#route")).to_have_text("TURN, UDP")
            (coturn,) = psutil.Process(turn.pid).children()
            coturn.send_signal(signal.SIGSTOP)
            for page, other in ((low, "Kassia"), (high, "Hildegard")):
                await expect(page.voice(other)).to_contain_text("interrupted", timeout=DEADLINE_MS)
            coturn.send_signal(signal.SIGCONT)
            for page, tone in ((low, HIGH), (high, LOW)):
                await page.page.wait_for_function("() => connections.at(-1).connectionState === 'connected'")
                await page.hears(tone)
                assert await page.connection_states() == ["connected"]  # the one it had
