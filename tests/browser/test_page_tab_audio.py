"""The page hears what another tab plays."""

from __future__ import annotations

import base64

import pytest
from playwright.async_api import Page, expect

from browser.kit import Browser, CaptionsPage
from support.audio import SPEECH, transcripts
from support.server import ServerProcess

pytestmark = pytest.mark.browser

TITLE = "A tab that speaks"
PICK_IT = f"--auto-select-tab-capture-source-by-title={TITLE}"
AUTOPLAY = "--autoplay-policy=no-user-gesture-required"


async def speaking_tab(page: CaptionsPage, speech: str) -> Page:
    """Another tab, which plays a speech file when its ``audio`` element is told to."""
    sound = base64.b64encode((SPEECH / speech).read_bytes()).decode()
    tab = await page.page.context.new_page()
    await tab.goto(f"data:text/html,<title>{TITLE}</title><audio></audio>")
    await tab.evaluate(
        "sound => { document.querySelector('audio').src = 'data:audio/wav;base64,' + sound; }",
        sound,
    )
    await page.page.bring_to_front()
    return tab


async def test_what_another_tab_plays_is_captioned_until_it_is_closed(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url, flags=[PICK_IT, AUTOPLAY], allowed=False, fake_device=False)
    tab = await speaking_tab(page, "quick-brown-fox.wav")
    await page.choose("tab").click()
    await page.toggle.click()
    await page.phase("live")
    await tab.evaluate("() => document.querySelector('audio').play()")
    await page.hears(transcripts()["quick-brown-fox.wav"])
    await page.shot("tab-audio")
    await tab.close()
    await page.phase("ended")
    await expect(page.alert).to_contain_text("Sharing was ended")
    assert await page.words() == transcripts()["quick-brown-fox.wav"]
    assert page.console == []
