"""What the page of rooms says and does where something stands in the way; and that it can be used by everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from browser.kit import DEADLINE_MS, Browser
from browser.rooms import RoomPage, bursts, open_room, with_pause
from support.server import SCRIPTED, ServerProcess, start_server

pytestmark = pytest.mark.browser

PHONE = (360, 740)
KEY = "open-sesame-to-this-server"
FOX = "quick-brown-fox.wav"


@pytest.fixture(scope="module")
def scripted() -> Iterator[ServerProcess]:
    """A server that writes the same words down whatever is said."""
    with start_server(*SCRIPTED, "--rtc-port", "0") as server:
        yield server


async def test_a_microphone_that_is_refused_tells_how_to_allow_it(browser: Browser, hearing: ServerProcess) -> None:
    page = await open_room(browser, hearing.url, allowed=False)
    await page.fill("choir", "Hildegard", "relay")
    await page.toggle.click()
    await expect(page.alert).to_contain_text("The browser was not allowed to listen")
    await expect(page.alert).to_contain_text("allow the microphone for this page")
    await page.phase("idle")
    await page.shot("refused")
    await expect(page.toggle).to_have_text("Join")
    await expect(page.page.locator(".voice")).to_have_count(0)


async def test_a_computer_without_a_microphone_says_so(browser: Browser, hearing: ServerProcess) -> None:
    page = await open_room(browser, hearing.url, fake_device=False)
    await page.fill("choir", "Hildegard", "relay")
    await page.toggle.click()
    await expect(page.alert).to_contain_text("No microphone was found")


async def test_an_address_without_encryption_is_named_as_the_cause(browser: Browser, hearing: ServerProcess) -> None:
    url = f"http://rooms.test:{hearing.port}"
    page = await open_room(browser, url, flags=["--host-resolver-rules=MAP rooms.test 127.0.0.1"])
    await page.fill("choir", "Hildegard", "relay")
    await page.toggle.click()
    await expect(page.alert).to_contain_text("not secure enough for a microphone")
    await expect(page.alert).to_contain_text("https://")


async def test_a_server_with_keys_is_given_one(browser: Browser) -> None:
    with start_server(*SCRIPTED, "--api-keys", KEY, "--rtc-port", "0") as server:
        page = await open_room(browser, server.url)
        await expect(page.hints).to_contain_text("asks for an access key")
        await page.fill("choir", "Hildegard", "relay")
        await page.toggle.click()
        await expect(page.alert).to_contain_text("key")
        await page.page.get_by_label("Access key of this server").fill(KEY)
        await page.join("choir", "Hildegard", "relay")


async def test_a_server_that_is_away_is_named_as_the_cause(browser: Browser) -> None:
    with start_server(*SCRIPTED) as server:
        page = await open_room(browser, server.url)
        await page.fill("choir", "Hildegard", "relay")
        server.kill()
        await page.toggle.click()
        await expect(page.alert).to_contain_text("The server could not be reached", timeout=DEADLINE_MS)
        await page.phase("idle")


async def test_a_name_and_a_room_are_asked_for(browser: Browser, hearing: ServerProcess) -> None:
    page = await open_room(browser, hearing.url, query="?room=choir")
    await expect(page.page.locator("#room")).to_have_value("choir")
    await page.toggle.click()
    await expect(page.page.locator("#user")).to_be_focused()
    await page.page.locator("#room").fill("evening prayer")
    await expect(page.page.locator("#room")).to_have_value("evening-prayer")


async def test_a_microphone_that_is_pulled_out_is_told_and_another_takes_its_place(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    low = await open_room(browser, hearing.url, tone=bursts(tmp_path / "low.wav", 468.75))
    high = await open_room(browser, hearing.url)
    await low.page.evaluate(
        """() => {
          const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = async (wanted) => (window.microphone = await open(wanted));
        }"""
    )
    await low.join("unplugged", "Hildegard", "relay", captions=False)
    await high.join("unplugged", "Kassia", "relay", captions=False)
    await high.hears(468.75)
    await low.page.evaluate(
        """() => {
          const [track] = window.microphone.getTracks();
          track.stop();
          track.dispatchEvent(new Event("ended"));
        }"""
    )
    await expect(low.alert).to_contain_text("The microphone was disconnected")
    await high.misses(468.75)
    await low.shot("device-gone")
    await low.page.locator("#device").select_option(index=1)
    await high.hears(468.75)
    await expect(low.alert).to_have_count(0)


async def test_a_microphone_that_gives_nothing_but_silence_is_noticed_unless_it_is_muted(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    page = await open_room(browser, hearing.url, tone=bursts(tmp_path / "silence.wav", 0))
    await page.join("silence", "Hildegard")
    await expect(page.hints).to_contain_text("Nothing but silence is arriving", timeout=DEADLINE_MS)
    await page.mute.click()
    await expect(page.hints).to_have_count(0)


async def test_an_invitation_leads_into_the_room(browser: Browser, hearing: ServerProcess) -> None:
    page = await open_room(browser, hearing.url)
    await page.join("evening-prayer", "Hildegard")
    await page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.page.locator("#invite").click()
    await expect(page.page.locator("#invite")).to_have_text("Copied")
    link = await page.page.evaluate("() => navigator.clipboard.readText()")
    assert link == f"{hearing.url}/rooms.html?room=evening-prayer&way=direct"


async def test_everything_can_be_done_with_the_keyboard_alone(browser: Browser, hearing: ServerProcess) -> None:
    page = await open_room(browser, hearing.url)
    keys = page.page.keyboard
    stops: list[str] = []
    while not stops or stops[-1] != "check":
        await keys.press("Tab")
        stops.append(
            await page.page.evaluate(
                """() => {
                  const active = document.activeElement;
                  const shows = (node) => node !== null && parseFloat(getComputedStyle(node).outlineWidth) >= 2
                    && getComputedStyle(node).outlineStyle !== "none";
                  const name = active.id || active.value || active.textContent.trim();
                  return shows(active) || shows(active.closest("label")) ? name : `${name} does not show`;
                }"""
            )
        )
        assert len(stops) < 20, stops
    before = ["Skip to who is there", "Captions", "Rooms", "Listen", "user", "room", "relay"]
    assert stops == [*before, "captions-on", "language", "device", "toggle", "check"]

    await keys.press("Enter")
    await expect(page.page.get_by_role("dialog")).to_be_visible()
    await keys.press("Escape")
    await expect(page.page.get_by_role("dialog")).to_be_hidden()
    await expect(page.page.locator("#check")).to_be_focused()

    await page.page.locator("#user").focus()
    await keys.type("Hildegard mumbles")
    await keys.press("Tab")
    await keys.type("keys")
    await keys.press("Tab")
    await keys.press("ArrowLeft")
    await expect(page.page.locator("input[value=direct]")).to_be_checked()
    await keys.press("Enter")
    await page.phase("live")
    await expect(page.toggle).to_be_focused()
    await keys.press("m")
    await expect(page.mute).to_have_attribute("aria-pressed", "true")
    await keys.press("Shift+Tab")
    await expect(page.mute).to_be_focused()
    await keys.press("Space")
    await expect(page.mute).to_have_attribute("aria-pressed", "false")
    await keys.press("Tab")
    await keys.press("Enter")
    await page.phase("idle")
    await expect(page.toggle).to_be_focused()


async def test_each_part_has_a_name_for_those_who_do_not_see_it(browser: Browser, hearing: ServerProcess) -> None:
    page = await open_room(browser, hearing.url)
    controls: list[tuple[Any, str]] = [
        ("textbox", "Your name"),
        ("textbox", "Room"),
        ("radiogroup", "How the sound travels"),
        ("radio", "Relayed"),
        ("radio", "Mixed"),
        ("radio", "Direct"),
        ("checkbox", "Write down what is said"),
        ("combobox", "Language of the captions"),
        ("combobox", "Microphone"),
        ("button", "Join"),
        ("button", "Check my connection"),
        ("list", "Who is there"),
        ("log", "Finished captions"),
    ]
    for role, name in controls:
        await expect(page.page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    await page.join("names", "Hildegard")
    await expect(page.page.get_by_role("button", name="Mute", exact=True)).to_be_visible()
    other = await open_room(browser, hearing.url)
    await other.join("names", "Kassia")
    await expect(page.page.locator("#news")).to_have_text("Kassia joined")
    await other.toggle.click()
    await expect(page.page.locator("#news")).to_have_text("Kassia left")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, (1280, 800)], ids=["phone", "desktop"])
async def test_nothing_is_wider_than_the_window(
    browser: Browser, scripted: ServerProcess, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    look = f"{size[0]}-{'dark' if dark else 'light'}"
    page = await open_room(browser, scripted.url, tone=with_pause(tmp_path / FOX, FOX), size=size, dark=dark)

    async def fits(state: str, shown: RoomPage = page) -> None:
        await shown.shot(f"{look}-{state}")
        assert await shown.overflow() == 0, state

    await fits("before")
    await page.join(f"evening-prayer-{look}", "Hildegard von Bingen, abbess and composer", "relay")
    other = await open_room(browser, scripted.url)
    await other.join(f"evening-prayer-{look}", "Kassia", "relay")
    await page.reads("Hildegard von Bingen, abbess and composer", "one two three")
    await expect(page.page.locator("#grade")).not_to_have_text("—")
    await expect(page.toggle).to_be_in_viewport()
    await expect(page.mute).to_be_in_viewport()
    await fits("talking")
    await page.mute.click()
    await page.page.locator("#check").click()
    await expect(page.page.locator("#checker-run")).to_be_enabled(timeout=DEADLINE_MS)
    await fits("check")
    await page.page.keyboard.press("Escape")
    await page.toggle.click()
    await fits("after")
