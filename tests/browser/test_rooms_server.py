"""Real browsers in a room through the media server: relayed and mixed, written down, by UDP, TCP and TURN."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.async_api import expect

from browser.kit import DEADLINE_MS, Browser
from browser.rooms import RoomPage, bursts, open_room, with_pause
from support.server import SCRIPTED, ServerProcess, start_server
from support.turn import SECRET, TurnProcess, needs_coturn

pytestmark = pytest.mark.browser

LOW, HIGH, HIGHER = 468.75, 1312.5, 2109.375
FOX, MORNING = "quick-brown-fox.wav", "tomorrow-morning.wav"
FOX_WORDS, MORNING_WORDS = "brown fox", "tomorrow morning"
"""What is sure to be understood of them after a browser has cleaned the sound up as for a call."""


@pytest.fixture(scope="module")
def scripted() -> Iterator[ServerProcess]:
    """A server that need not understand anything."""
    with start_server(*SCRIPTED, "--rtc-port", "0") as server:
        yield server


async def in_room(
    browser: Browser, tmp_path: Path, url: str, way: str, tones: dict[str, float], query: str = ""
) -> dict[str, RoomPage]:
    """A page for each name, which says its tone."""
    pages = {}
    for name, hertz in tones.items():
        page = await open_room(browser, url, tone=bursts(tmp_path / f"{hertz}.wav", hertz), query=query)
        await page.join(f"choir-{way}", name, way, captions=False)
        pages[name] = page
    return pages


@pytest.mark.parametrize("way", ["relay", "mix"])
async def test_each_hears_the_others_through_the_server_and_not_itself(
    browser: Browser, scripted: ServerProcess, tmp_path: Path, way: str
) -> None:
    tones = {"Hildegard": LOW, "Kassia": HIGH, "Leonin": HIGHER}
    pages = await in_room(browser, tmp_path, scripted.url, way, tones)
    for name, page in pages.items():
        for other, tone in tones.items():
            if other != name:
                await page.hears_only(tone, tones[name])
                await expect(page.voice(other)).to_be_visible()
        assert page.console == []
    first = pages["Hildegard"]
    await expect(first.voice("Kassia")).to_have_attribute("data-speaking", "", timeout=DEADLINE_MS)
    await expect(first.page.locator("#route")).to_have_text("Direct, UDP")
    await first.shot(f"{way}")


@pytest.mark.parametrize("way", ["relay", "mix"])
async def test_what_each_says_is_written_down_under_its_name(
    browser: Browser, hearing: ServerProcess, tmp_path: Path, way: str
) -> None:
    pages = {}
    for name, speech in (("Hildegard", FOX), ("Kassia", MORNING)):
        page = await open_room(browser, hearing.url, tone=with_pause(tmp_path / speech, speech))
        await page.join(f"words-{way}", name, way)
        pages[name] = page
    for page in pages.values():
        await page.reads("Hildegard", FOX_WORDS)
        await page.reads("Kassia", MORNING_WORDS)
    first = pages["Hildegard"]
    await first.shot(f"captions-{way}")
    async with first.page.expect_download() as started:
        await first.page.locator("#download").click()
    lines = Path(await (await started.value).path()).read_text().splitlines()
    for line in lines:  # each word has its speaker, although both speak at once
        assert ("Hildegard: " in line) is not ("Kassia: " in line)
        assert "Hildegard: " in line or "fox" not in line
        assert "Kassia: " in line or "tomorrow" not in line
    assert any(FOX_WORDS in line for line in lines)
    assert first.console == []


async def test_one_who_is_muted_is_not_heard_and_all_see_it(
    browser: Browser, scripted: ServerProcess, tmp_path: Path
) -> None:
    pages = await in_room(browser, tmp_path, scripted.url, "relay", {"Hildegard": LOW, "Kassia": HIGH})
    low, high = pages["Hildegard"], pages["Kassia"]
    await high.hears(LOW)
    await low.mute.click()
    await expect(high.voice("Hildegard")).to_contain_text("muted")
    await expect(low.state).to_have_text("Muted")
    await high.misses(LOW)
    await low.hears(HIGH)
    await low.mute.click()
    await high.hears(LOW)


async def test_the_bitrate_of_what_is_sent_can_be_set(
    browser: Browser, scripted: ServerProcess, tmp_path: Path
) -> None:
    page = await open_room(browser, scripted.url, tone=bursts(tmp_path / "low.wav", LOW))
    await page.page.evaluate(
        """async () => {
          const { WebRTCManager } = await import("/static/sdk/webrtc-manager.js");
          window.manager = new WebRTCManager();
          await manager.initialize();
          const connected = new Promise((resolve) => manager.on("connected", resolve));
          await manager.join({ room: "bitrate", user: "Hildegard" });
          await connected;
        }"""
    )
    target = """async (least, most) => {
      for (const entry of (await connections.at(-1).getStats()).values()) {
        if (entry.type === "outbound-rtp") return entry.targetBitrate >= least && entry.targetBitrate <= most;
      }
    }"""
    # what the browser's encoder is told; its sound takes more or less
    await page.page.wait_for_function(f"() => ({target})(24000, 64000)")
    await page.page.evaluate("() => manager.setBitrate(8000)")
    await page.page.wait_for_function(f"() => ({target})(8000, 8000)")


async def test_a_listener_who_can_take_little_has_the_speakers_of_a_relayed_room_send_less(
    browser: Browser, scripted: ServerProcess, tmp_path: Path
) -> None:
    pages = []
    for name, tone in (("Hildegard", LOW), ("Kassia", HIGH)):
        page = await open_room(browser, scripted.url, tone=bursts(tmp_path / f"{tone}.wav", tone))
        await page.page.evaluate(
            """async (user) => {
              const { WebRTCManager } = await import("/static/sdk/webrtc-manager.js");
              window.manager = new WebRTCManager();
              window.asked = [];
              manager.on("bitrate-change", ({ bitrate }) => asked.push(bitrate));
              await manager.initialize();
              const connected = new Promise((resolve) => manager.on("connected", resolve));
              await manager.join({ room: "little", user, mode: "relay" });
              await connected;
            }""",
            name,
        )
        pages.append(page)
    first, second = pages
    await first.page.evaluate("() => manager.setBitrate(9000)")
    await second.page.wait_for_function("() => asked.includes(9000)")
    # what the browser's encoder is told
    await second.page.wait_for_function(
        """async () => [...(await connections.at(-1).getStats()).values()]
          .some(({ type, targetBitrate }) => type === "outbound-rtp" && targetBitrate === 9000)"""
    )
    assert await first.page.evaluate("() => asked") == []  # its own wish is of no concern to it


async def test_one_who_connects_directly_is_heard_in_a_relayed_room(
    browser: Browser, scripted: ServerProcess, tmp_path: Path
) -> None:
    low = await open_room(browser, scripted.url, tone=bursts(tmp_path / "low.wav", LOW))
    high = await open_room(browser, scripted.url, tone=bursts(tmp_path / "high.wav", HIGH))
    await low.join("both-ways", "Hildegard", "relay", captions=False)
    await high.join("both-ways", "Kassia", "direct")
    await low.hears(HIGH)
    await high.hears(LOW)


async def test_a_server_that_comes_back_finds_everybody_again(browser: Browser, tmp_path: Path) -> None:
    server = start_server(*SCRIPTED, "--rtc-port", "0", "--shutdown-grace", "0")
    try:
        pages = await in_room(browser, tmp_path, server.url, "relay", {"Hildegard": LOW, "Kassia": HIGH})
        low, high = pages["Hildegard"], pages["Kassia"]
        await low.hears(HIGH)
        server.kill()
        await expect(low.state).to_have_text("Reconnecting…")
        server = server.restarted()
        for page in (low, high):
            await page.phase("live")
        await low.hears(HIGH)
        await high.hears(LOW)
        await expect(low.page.locator(".voice")).to_have_count(2)
    finally:
        server.kill()


@needs_coturn
@pytest.mark.parametrize("kind", ["turn-udp", "turn-tcp"])
async def test_the_same_room_works_where_only_turn_is_open(browser: Browser, tmp_path: Path, kind: str) -> None:
    with TurnProcess(("--allow-peer", "127.0.0.1"), None) as turn:
        flags = (*SCRIPTED, "--rtc-port", "0", "--turn-urls", turn.urls[kind])
        with start_server(*flags, ANTIPHON_TURN_SECRET=SECRET) as server:
            tones = {"Hildegard": LOW, "Kassia": HIGH}
            pages = await in_room(browser, tmp_path, server.url, "relay", tones, "?relay")
            await pages["Hildegard"].hears(HIGH)
            await pages["Kassia"].hears(LOW)
            transport = kind.removeprefix("turn-").upper()
            await expect(pages["Hildegard"].page.locator("#route")).to_have_text(f"TURN, {transport}")


@needs_coturn
async def test_an_interrupted_way_to_the_server_is_found_again_by_an_ice_restart(
    browser: Browser, tmp_path: Path
) -> None:
    with TurnProcess(("--allow-peer", "127.0.0.1"), None) as turn:
        flags = (*SCRIPTED, "--rtc-port", "0", "--turn-urls", turn.urls["turn-udp"])
        with start_server(*flags, ANTIPHON_TURN_SECRET=SECRET) as server:
            low = await open_room(browser, server.url, tone=bursts(tmp_path / "low.wav", LOW), query="?relay")
            high = await open_room(browser, server.url, tone=bursts(tmp_path / "high.wav", HIGH))
            await low.join("restart", "Hildegard", "relay", captions=False)
            await high.join("restart", "Kassia", "relay", captions=False)
            await high.hears(LOW)
            (coturn,) = psutil.Process(turn.pid).children()
            coturn.send_signal(signal.SIGSTOP)
            await expect(low.state).to_have_text("Reconnecting…", timeout=DEADLINE_MS)
            await high.misses(LOW)
            coturn.send_signal(signal.SIGCONT)
            await low.phase("live")
            await high.hears(LOW)
            await low.hears(HIGH)
            assert await low.connection_states() == ["connected"]  # the one it had


async def test_where_udp_is_blocked_tcp_is_used(browser: Browser, scripted: ServerProcess, tmp_path: Path) -> None:
    pages = {}
    for name, tone in {"Hildegard": LOW, "Kassia": HIGH}.items():
        page = await open_room(browser, scripted.url, tone=bursts(tmp_path / f"{tone}.wav", tone))
        await page.page.evaluate(WITHOUT_UDP)
        await page.join("tcp", name, "relay", captions=False)
        pages[name] = page
    await pages["Hildegard"].hears(HIGH)
    await pages["Kassia"].hears(LOW)
    await expect(pages["Kassia"].page.locator("#route")).to_have_text("Direct, TCP")


# The server's UDP candidates never arrive, as if a firewall had taken what is sent to them.
WITHOUT_UDP = """
() => {
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    const lines = sdp.split("\\r\\n").filter((line) => !/^a=candidate:\\S+ \\d udp /i.test(line));
    return set.call(this, { type, sdp: lines.join("\\r\\n") });
  };
}
"""
