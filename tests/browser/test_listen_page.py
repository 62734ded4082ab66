"""The listening page in Chromium, on the server itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from browser.kit import DEADLINE_MS, Browser, CaptionsPage
from support import beeps
from support.server import ServerProcess, start_server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media folder with something to hear, and something that only says so."""
    made = tmp_path_factory.mktemp("media")
    beeps.write(made / "beeps.wav", 20)
    (made / "notes.wav").write_text("this is no sound")
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with start_server("--media-folder", str(folder)) as running:
        yield running


async def opened(browser: Browser, server: ServerProcess, query: str = "", **how: object) -> CaptionsPage:
    size = how.get("size", (1280, 800))
    assert isinstance(size, tuple)
    return await browser.open(
        f"{server.url}/listen.html{query}", size=size, dark=bool(how.get("dark")), fake_device=False
    )


async def plays(page: Page) -> None:
    """Wait until sound comes out."""
    await expect(page.locator("#state-text")).to_have_text("Playing", timeout=DEADLINE_MS)


async def ends(page: Page) -> None:
    """Wait until all was heard."""
    await expect(page.locator("#state-text")).to_have_text("Ended", timeout=DEADLINE_MS)


async def test_a_file_is_played_and_its_figures_are_shown(browser: Browser, server: ServerProcess) -> None:
    listening = await opened(browser, server)
    page = listening.page
    await expect(page.locator("#file option")).to_have_count(2)
    await page.select_option("#file", "beeps.wav")
    await page.locator("#toggle").click()
    await plays(page)
    await expect(page.locator("#place")).to_contain_text("of 0:05 · Opus, 24 kHz, 20 ms")
    await expect(page.locator("#decoder")).to_have_text("WebCodecs")
    drawn = await page.evaluate(
        """() => {
          const canvas = document.getElementById("course");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value) => value > 0);
        }"""
    )
    assert drawn
    await ends(page)
    await expect(page.locator("#place")).to_have_text("It was played to its end.")
    await expect(page.locator("#toggle")).to_have_text("Play")
    assert listening.console == []


async def test_a_text_is_said(browser: Browser, server: ServerProcess) -> None:
    listening = await opened(browser, server, "?say=One+two+three.")
    page = listening.page
    await expect(page.locator("#voice option").first).to_be_attached()
    await page.locator("#toggle").click()
    await plays(page)
    await ends(page)
    assert listening.console == []


async def test_a_text_that_is_too_long_for_an_address_is_said_to_its_end(
    browser: Browser, server: ServerProcess
) -> None:
    page = (await opened(browser, server)).page
    await page.locator("label.source:has(input[value=say])").click()
    await page.locator("#text").fill("." * 4_500 + " Yes.")
    await page.locator("#toggle").click()
    await ends(page)


async def test_a_room_is_heard_until_it_is_stopped(browser: Browser, server: ServerProcess) -> None:
    page = (await opened(browser, server, "?room=choir")).page
    await page.locator("#toggle").click()
    await expect(page.locator("#place")).to_contain_text("live", timeout=DEADLINE_MS)
    await page.locator("#toggle").click()
    await expect(page.locator("#place")).to_have_text("Stopped.")
    await expect(page.locator("#toggle")).to_have_text("Play")


async def test_keys_alone_play_pause_and_stop(browser: Browser, server: ServerProcess) -> None:
    page = (await opened(browser, server, "?file=beeps.wav")).page
    await expect(page.locator("#file")).to_have_value("beeps.wav")
    await page.locator("#toggle").focus()
    await page.keyboard.press("Enter")
    await plays(page)
    await page.keyboard.press("Shift+Tab")
    await expect(page.locator("#pause")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#state-text")).to_have_text("Paused")
    await page.keyboard.press("Enter")
    await plays(page)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#state-text")).to_have_text("Ready")


@pytest.mark.parametrize(
    ("query", "title", "detail"),
    [
        ("?file=notes.wav", "This file is not audio that the server can read", "text"),
        ("?say=" + 5_100 * "a", "The text is too long for this server", "5100"),
    ],
)
async def test_what_cannot_be_played_is_told_with_what_to_do(
    browser: Browser, server: ServerProcess, query: str, title: str, detail: str
) -> None:
    listening = await opened(browser, server)
    page = listening.page
    kind, _, value = query.removeprefix("?").partition("=")
    await page.locator(f"label.source:has(input[value={kind}])").click()
    if kind == "file":
        await page.select_option("#file", value)
    else:
        await page.locator("#text").fill(value)
    await page.locator("#toggle").click()
    alert = listening.alert
    await expect(alert.locator(".title")).to_have_text(title, timeout=DEADLINE_MS)
    await expect(alert.locator(".detail")).to_contain_text(detail)
    await expect(alert.locator(".todo")).not_to_be_empty()
    await expect(page.locator("#toggle")).to_have_text("Play")


async def test_without_a_media_folder_the_page_says_how_to_have_one(browser: Browser, hearing: ServerProcess) -> None:
    page = (await opened(browser, hearing)).page
    await expect(page.locator("#file-hint")).to_contain_text("--media-folder")
    await page.locator("#toggle").click()
    assert await page.locator("#file").evaluate("(field) => field.validationMessage") != ""
    await expect(page.locator("#state-text")).to_have_text("Ready")


async def test_a_file_that_is_gone_is_told_and_the_list_is_read_again(
    browser: Browser, server: ServerProcess, folder: Path
) -> None:
    beeps.write(folder / "brief.wav", 2)
    listening = await opened(browser, server)
    page = listening.page
    await page.select_option("#file", "brief.wav")
    (folder / "brief.wav").unlink()
    await page.locator("#toggle").click()
    await expect(listening.alert.locator(".title")).to_have_text("The server has no such file", timeout=DEADLINE_MS)
    await expect(page.locator("#file option[value='brief.wav']")).to_have_count(0)


async def test_a_server_with_a_key_is_asked_with_it(browser: Browser, folder: Path) -> None:
    with start_server("--media-folder", str(folder), "--api-keys", "a long secret key") as server:
        listening = await opened(browser, server)
        page = listening.page
        await expect(listening.hints.filter(has_text="access key")).to_be_visible(timeout=DEADLINE_MS)
        await page.locator("#key").fill("a long secret key")
        await page.locator("#key").press("Tab")
        await expect(page.locator("#file option")).to_have_count(2)
        await page.select_option("#file", "beeps.wav")
        await page.locator("#toggle").click()
        await plays(page)


async def test_a_server_that_goes_is_looked_for_and_found(browser: Browser, folder: Path) -> None:
    with start_server("--media-folder", str(folder)) as server:
        page = (await opened(browser, server, "?file=beeps.wav")).page
        await expect(page.locator("#file")).to_have_value("beeps.wav")
        await page.locator("#toggle").click()
        await plays(page)
        server.kill()
        await expect(page.locator("#state-text")).to_contain_text("Reconnecting", timeout=DEADLINE_MS)
        await expect(page.locator("#retry")).to_be_visible()
        with server.restarted():
            await page.locator("#retry").click()
            await ends(page)
    await expect(page.locator("#reconnects")).to_have_text("once")


@pytest.mark.parametrize("dark", [False, True])
async def test_a_phone_shows_all_of_it(browser: Browser, server: ServerProcess, dark: bool) -> None:
    listening = await opened(browser, server, "?file=beeps.wav", size=(360, 740), dark=dark)
    await expect(listening.page.locator("#file")).to_have_value("beeps.wav")
    assert await listening.overflow() == 0
    await listening.page.locator("#toggle").click()
    await plays(listening.page)
    assert await listening.overflow() == 0
    await expect(listening.page.locator("#course")).to_be_in_viewport()
    await listening.shot(f"listen-phone-{'dark' if dark else 'light'}")


async def test_the_pages_lead_to_each_other(browser: Browser, server: ServerProcess) -> None:
    page = (await opened(browser, server)).page
    await page.get_by_role("link", name="Rooms").click()
    await page.get_by_role("link", name="Listen").click()
    await page.get_by_role("link", name="Captions").click()
    await page.get_by_role("link", name="Listen").click()
    await expect(page).to_have_url(f"{server.url}/listen.html")
