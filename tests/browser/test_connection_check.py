"""“Check my connection” in a real browser: each way is tried by itself, and what is blocked is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from browser.kit import DEADLINE_MS, Browser
from browser.rooms import RoomPage, bursts, open_room
from support.server import SCRIPTED, start_server
from support.turn import SECRET, TurnProcess, free_port, make_certificate, needs_coturn

pytestmark = pytest.mark.browser

WITHOUT_UDP = """
() => {
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    const nowhere = sdp.replace(/^(a=candidate:\\S+ \\d udp \\d+) \\S+ \\d+/gim, "$1 127.0.0.1 9");
    return set.call(this, { type, sdp: nowhere });
  };
}
"""
"""The server's UDP port leads nowhere, as if a firewall had taken what is sent to it."""


async def check(page: RoomPage) -> dict[str, str]:
    """Run the check, and return each status by what was checked."""
    await page.page.locator("#check").click()
    await expect(page.page.locator("#checker-run")).to_be_enabled(timeout=DEADLINE_MS)
    found: dict[str, str] = await page.page.evaluate(
        """() => Object.fromEntries(
          [...document.querySelectorAll("#steps li")].map(({ dataset }) => [dataset.check, dataset.status])
        )"""
    )
    return found


@needs_coturn
async def test_every_way_that_is_open_is_found_open(browser: Browser, tmp_path: Path) -> None:
    with TurnProcess(("--allow-peer", "127.0.0.1"), make_certificate(tmp_path)) as turn:
        urls = turn.urls
        turns = ",".join(url for kind, url in urls.items() if kind != "stun")
        flags = ("--rtc-port", "0", "--stun-urls", urls["stun"], "--turn-urls", turns)
        with start_server(*SCRIPTED, *flags, ANTIPHON_TURN_SECRET=SECRET) as server:
            page = await open_room(
                browser,
                server.url,
                tone=bursts(tmp_path / "tone.wav", 468.75),
                flags=["--ignore-certificate-errors"],  # the TURN server's is of an authority of its own
            )
            found = await check(page)
            await page.shot("check-open")
            ways = ["websocket", "microphone", "media-udp", "media-tcp", "servers", *urls.values()]
            assert found == dict.fromkeys(ways, "ok")
            await expect(page.page.locator("#checker-summary")).to_contain_text("gets through directly")


@needs_coturn
async def test_each_way_that_is_closed_is_named(browser: Browser, tmp_path: Path) -> None:
    dead = free_port()
    silence = tmp_path / "silence.wav"
    bursts(silence, 0)
    with TurnProcess((), None) as turn:
        stun, tcp, tls = f"stun:127.0.0.1:{dead}", f"turn:127.0.0.1:{dead}?transport=tcp", f"turns:127.0.0.1:{dead}"
        urls = (turn.urls["turn-udp"], tcp, tls)
        flags = ("--rtc-port", "0", "--stun-urls", stun, "--turn-urls", ",".join(urls))
        wrong = "another-secret-than-that-of-coturn"
        with start_server(*SCRIPTED, *flags, ANTIPHON_TURN_SECRET=wrong) as server:
            page = await open_room(browser, server.url, tone=silence)
            await page.page.evaluate(WITHOUT_UDP)
            found = await check(page)
            await page.shot("check-blocked")
            assert found == {
                "websocket": "ok",
                "microphone": "warn",
                "media-udp": "blocked",
                "media-tcp": "ok",
                "servers": "ok",
                stun: "blocked",
                **dict.fromkeys(urls, "blocked"),
            }
            step = page.page.locator(f'#steps li[data-check="{turn.urls["turn-udp"]}"]')
            await expect(step).to_contain_text("refused")
            await expect(step).to_contain_text("same secret")
            await expect(page.page.locator("#checker-summary")).to_contain_text("UDP is blocked")


async def test_a_refused_microphone_is_named_and_nothing_stays_open(browser: Browser) -> None:
    with start_server(*SCRIPTED, "--rtc-port", "0") as server:
        page = await open_room(browser, server.url, allowed=False)
        found = await check(page)
        assert found["microphone"] == "blocked"
        await expect(page.page.locator("#steps")).to_contain_text("not allowed to listen")
        assert set(await page.connection_states()) == {"closed"}
