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


async def test_a_tab_and_the_microphone_are_captioned_together_until_both_are_gone(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url, flags=[PICK_IT, AUTOPLAY], allowed=False, fake_device=False)
    tab = await speaking_tab(page, "quick-brown-fox.wav")
    sound = base64.b64encode((SPEECH / "go-forward.wav").read_bytes()).decode()
    await page.page.evaluate(MICROPHONE, sound)
    await page.choose("tab").click()
    await expect(page.page.locator("#device")).to_be_hidden()
    await page.page.get_by_label("And what I say myself").check()
    await expect(page.page.locator("#device")).to_be_visible()
    await page.shot("tab-and-microphone-idle")
    await page.toggle.click()
    await page.phase("live")
    await page.page.evaluate("() => speak()")
    await page.hears(transcripts()["go-forward.wav"])
    await tab.evaluate("() => document.querySelector('audio').play()")
    await page.hears(f"{transcripts()['go-forward.wav']} {transcripts()['quick-brown-fox.wav']}")
    await page.shot("tab-and-microphone")
    await tab.close()
    await expect(page.alert).to_contain_text("The microphone is still heard")
    await expect(page.state).to_contain_text("Live")
    await page.finish()
    assert page.console == []


# Chromium pretends to have both a microphone and a screen, or neither: here the screen is real.
MICROPHONE = """(sound) => {
  const context = new AudioContext();
  const out = context.createMediaStreamDestination();
  navigator.mediaDevices.getUserMedia = async () => out.stream;
  window.speak = async () => {
    const bytes = Uint8Array.from(atob(sound), (letter) => letter.charCodeAt(0));
    const buffer = await context.decodeAudioData(bytes.buffer);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(out);
    source.start();
  };
}"""
