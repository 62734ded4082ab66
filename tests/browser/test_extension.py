"""The Chrome extension captions what a tab plays, from a real click on its icon to the words in the side panel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect
from scripts.extension import build

from browser.extension import Extension, chromium_with, extension_id, say, speaking_page
from browser.kit import FAKE_DEVICE, SHOTS, chromium
from browser.rooms import with_pause
from integration.observe import metrics, streams_are
from support.audio import transcripts
from support.server import SCRIPTED, ServerProcess, start_server
from support.words import among, until_understood

pytestmark = pytest.mark.browser

WORDS = transcripts()
FOX, FORWARD = WORDS["quick-brown-fox.wav"], WORDS["go-forward.wav"]
KEY = "open-sesame-0123456789"

Opens = Callable[..., AbstractAsyncContextManager[Extension]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as somebody loads it."""
    return build(tmp_path_factory.mktemp("extension") / "built")


@pytest.fixture(scope="module")
def origin(folder: Path) -> str:
    return f"chrome-extension://{extension_id(folder)}"


@pytest.fixture(scope="module")
def server(origin: str) -> Iterator[ServerProcess]:
    """A server that hears, and lets the extension in."""
    with start_server("--cors-origins", origin) as running:
        yield running


@pytest.fixture
async def opens(folder: Path) -> AsyncIterator[Opens]:
    """Starts Chromium with the extension."""
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine: install Debian's package 'chromium' to run the browser tests")
    async with async_playwright() as playwright:

        def start(*flags: str, dark: bool = False) -> AbstractAsyncContextManager[Extension]:
            return chromium_with(playwright, executable, folder, dark=dark, flags=flags)

        yield start


@pytest.fixture
async def speaking() -> AsyncIterator[str]:
    """The address of a page that speaks when it is told to."""
    async with speaking_page() as url:
        yield url


async def test_what_a_tab_plays_is_captioned_beside_it_and_stays_audible(
    opens: Opens, server: ServerProcess, speaking: str
) -> None:
    async with opens() as extension:
        await extension.configure(server=server.url)
        tab = await extension.speaking_tab(speaking)
        panel = await extension.click_icon(tab)
        await panel.shot("extension-ready")
        await panel.start()
        await panel.phase("live")
        await extension.badge("on")
        levels: list[float] = []

        async def fox() -> None:
            levels.append(await extension.loudest_while(say(tab, "quick-brown-fox.wav")))

        await until_understood(fox, lambda: panel.hears(FOX))
        assert max(levels) > 0.02  # a captured tab is silent but for what the extension plays
        await until_understood(lambda: say(tab, "go-forward.wav"), lambda: panel.hears(FOX, FORWARD))
        await panel.shot("extension-live")
        await panel.stop()
        await panel.phase("idle")
        await panel.hears(FOX, FORWARD)
        await extension.badge("")
        await extension.no_offscreen()

        # whoever opens it later sees what was said
        again = await extension.open("panel.html")
        await expect(again.locator("#lines li span")).to_have_text(await panel.lines())


async def test_the_microphone_is_captioned_apart_from_the_tab(
    opens: Opens, server: ServerProcess, speaking: str, tmp_path: Path
) -> None:
    microphone = f"--use-file-for-fake-audio-capture={with_pause(tmp_path / 'microphone.wav', 'go-forward.wav')}"
    async with opens(FAKE_DEVICE, microphone) as extension:
        await extension.configure(server=server.url)
        await extension.allow_microphone()
        tab = await extension.speaking_tab(speaking)
        panel = await extension.click_icon(tab)
        await panel.start(microphone=True)
        await panel.phase("live")
        await until_understood(
            lambda: say(tab, "quick-brown-fox.wav"),
            lambda: panel.hears(FOX, speaker="Tab"),
            lambda: panel.hears(FORWARD, speaker="You"),
        )
        await panel.shot("extension-microphone-dark", dark=True)
        you, theirs = await panel.lines("You"), await panel.lines("Tab")
        assert len(await panel.lines()) == len(you) + len(theirs)
        assert not among(you, FOX, share=0.5)
        assert not among(theirs, FORWARD, share=0.5)
        assert (await metrics(server.url))["antiphon_streams"] == 2
        await panel.stop()
        await panel.phase("idle")
        await streams_are(server.url, 0)


async def test_captions_go_on_when_the_server_comes_back(opens: Opens, origin: str, speaking: str) -> None:
    async def outage() -> None:
        with start_server("--cors-origins", origin) as server:
            async with opens() as extension:
                await extension.configure(server=server.url, codec="pcm_s16le")
                tab = await extension.speaking_tab(speaking)
                panel = await extension.click_icon(tab)
                await panel.start()
                await panel.phase("live")
                await until_understood(lambda: say(tab, "quick-brown-fox.wav"), lambda: panel.hears(FOX))
                server.kill()
                await panel.phase("waiting")
                await panel.until("/Reconnecting in \\d+ s/.test($('state-text').textContent)")
                await panel.shot("extension-reconnecting")
                await say(tab, "go-forward.wav")  # while nobody listens
                with server.restarted():
                    await panel.until("document.body.dataset.phase === 'live' || ($('retry').click(), false)")
                    await panel.hears(FOX, FORWARD)
                    await panel.alert("The server had forgotten this session")
                    await panel.stop()
                    await panel.phase("idle")

    await until_understood(outage)


async def test_the_worker_may_be_ended_while_it_captures(opens: Opens, server: ServerProcess, speaking: str) -> None:
    async with opens() as extension:
        await extension.configure(server=server.url)
        tab = await extension.speaking_tab(speaking)
        panel = await extension.click_icon(tab)
        both = "Promise.all([1, 2].map(() => chrome.runtime.sendMessage({ to: 'worker', type: 'start' })))"
        assert [problem and problem["code"] for problem in await panel.evaluate(both)] == [None, "running"]
        await panel.phase("live")
        await extension.stop_worker()
        await until_understood(lambda: say(tab, "go-forward.wav"), lambda: panel.hears(FORWARD))
        assert not await extension.targets("service_worker", "worker.js")  # words need no worker
        # started anew by a click, it knows that a capture runs
        await extension.click_icon(tab)
        assert await panel.evaluate(
            "chrome.runtime.sendMessage({ to: 'worker', type: 'start' }).then((p) => p.code)"
        ) == ("running")
        assert await panel.evaluate("chrome.action.getBadgeText({})") == "on"
        await extension.stop_worker()
        await panel.stop()
        await panel.phase("idle")
        await panel.until("$('toggle').textContent === 'Start'")
        assert await panel.evaluate("chrome.storage.session.get('running').then(Object.keys)") == []


async def test_a_lost_capture_is_told(opens: Opens, server: ServerProcess, speaking: str) -> None:
    async with opens() as extension:
        await extension.configure(server=server.url)
        tab = await extension.speaking_tab(speaking)
        panel = await extension.click_icon(tab)
        await panel.start()
        await panel.phase("live")
        await extension.worker.evaluate("chrome.offscreen.closeDocument()")  # as Chrome may do
        await panel.alert("Chrome ended the capture")
        await panel.phase("idle")
        await extension.badge("")
        await panel.start()
        await panel.phase("live")


async def test_closing_the_tab_ends_it_with_its_last_words(opens: Opens, server: ServerProcess, speaking: str) -> None:
    async def last_words() -> None:
        async with opens() as extension:
            await extension.configure(server=server.url)
            tab = await extension.speaking_tab(speaking)
            panel = await extension.click_icon(tab)
            await panel.start()
            await panel.phase("live")
            await say(tab, "go-forward.wav")
            await tab.close()
            await panel.alert("The tab was closed")
            await panel.phase("idle")
            await panel.hears(FORWARD)
            await extension.no_offscreen()
            await panel.start()  # which is not there any more
            await panel.alert("The tab was closed", "Click the Antiphon icon on another tab")

    await until_understood(last_words)


async def test_it_follows_the_tab_to_other_pages_but_begins_there_only_with_a_click(
    opens: Opens, origin: str, speaking: str
) -> None:
    elsewhere = speaking.replace("127.0.0.1", "localhost")
    with start_server(*SCRIPTED, "--cors-origins", origin) as server:
        async with opens() as extension:
            await extension.configure(server=server.url)
            tab = await extension.speaking_tab(speaking)
            panel = await extension.click_icon(tab)
            await panel.start()
            await panel.phase("live")
            await tab.goto(elsewhere)
            await panel.hears("one two three")
            await panel.stop()
            await panel.phase("idle")
            await panel.start()
            await panel.alert("Chrome wants a click", "click the Antiphon icon in the toolbar")
            await panel.shot("extension-click-first")
            await extension.click_icon(tab)
            await panel.until("$('notices').textContent === ''")
            await panel.start()
            await panel.phase("live")


async def test_without_a_click_it_says_what_to_do(opens: Opens) -> None:
    async with opens() as extension:
        page = await extension.open("panel.html")
        await expect(page.locator("#tab")).to_contain_text("Click the Antiphon icon in the toolbar")
        await page.locator("#toggle").click()
        await expect(page.locator("#notices [role=alert]")).to_contain_text("No tab is chosen yet")


async def test_a_refused_microphone_opens_a_page_that_asks_for_it(
    opens: Opens, server: ServerProcess, speaking: str
) -> None:
    async with opens(FAKE_DEVICE) as extension:
        await extension.configure(server=server.url)
        tab = await extension.speaking_tab(speaking)
        panel = await extension.click_icon(tab)
        async with extension.context.expect_page() as opened:
            await panel.start(microphone=True)
        await panel.alert("The microphone is not allowed yet", "go on without the microphone")
        asking = await opened.value
        assert asking.url == extension.url("permission.html")
        await expect(asking.locator("[role=alert]")).to_contain_text("The microphone is not allowed yet")
        await expect(asking.locator("[role=alert]")).to_contain_text("icon beside the address")
        await asking.screenshot(path=SHOTS / "extension-permission.png")
        await extension.allow_microphone()
        await asking.locator("#ask").click()
        await expect(asking.locator("[role=status].notice")).to_contain_text("The microphone is allowed")
        await panel.start(microphone=True)
        await panel.phase("live")


async def test_a_server_that_cannot_be_used_is_told_apart(
    opens: Opens, server: ServerProcess, origin: str, speaking: str
) -> None:
    with start_server(*SCRIPTED, "--api-keys", KEY, "--cors-origins", origin) as locked, start_server(*SCRIPTED) as shy:
        async with opens() as extension:
            tab = await extension.speaking_tab(speaking)
            panel = await extension.click_icon(tab)
            for settings, texts in (
                ({"server": "http://127.0.0.1:9"}, ("No server answers", "correct the address in the settings")),
                ({"server": shy.url}, ("does not let this extension in yet", f"--cors-origins {origin}")),
                ({"server": speaking}, ("it is no Antiphon server", "Correct the address")),
                ({"server": locked.url}, ("asks for an access key", "into the settings")),
                ({"server": locked.url, "key": "not-the-key-0123456789"}, ("asks for an access key",)),
            ):
                await extension.configure(**settings)
                await panel.start()
                await panel.alert(*texts)
                await panel.shot(f"extension-{texts[0].split()[0].lower()}")
                await extension.no_offscreen()
            await extension.configure(server=locked.url, key=KEY)
            await panel.start()
            await panel.phase("live")


async def test_what_the_server_refuses_is_told_in_its_words(opens: Opens, origin: str, speaking: str) -> None:
    with start_server(*SCRIPTED, "--cors-origins", origin, "--max-streams", "1", "--max-session", "5") as small:
        async with opens(FAKE_DEVICE) as extension:
            await extension.configure(server=small.url)
            await extension.allow_microphone()
            tab = await extension.speaking_tab(speaking)
            panel = await extension.click_icon(tab)
            await panel.start()
            await panel.alert("This is as long as the server allows")
            await panel.hears("one two three", "four five six")
            await panel.phase("idle")
            await panel.start(microphone=True)  # the second stream has no place; which of the two it is, is chance
            await panel.until("/The server is full/.test($('notices').textContent)")
            await panel.phase("idle")
            await extension.configure(language="xx-XX")
            await panel.start()
            await panel.alert("does not take this language", "'xx-XX' is not known", "en-US", "in the settings")


async def test_the_settings_are_checked_as_they_are_kept(opens: Opens, origin: str) -> None:
    with start_server(*SCRIPTED, "--api-keys", KEY, "--cors-origins", origin) as locked:
        for dark in (False, True):
            async with opens(dark=dark) as extension:
                page = await extension.open("options.html")
                await expect(page.locator("#server")).to_have_value("http://127.0.0.1:8080")
                await expect(page.locator("#origin")).to_contain_text(origin)
                notice = page.locator("#notices .notice")

                await page.locator("#server").fill("ftp://somewhere")
                await page.locator("#check").click()
                await expect(notice).to_contain_text("no address of a server")

                await page.locator("#server").fill(f"127.0.0.1:{locked.port}/")
                await page.locator("#check").click()
                await expect(notice).to_contain_text("asks for an access key")
                await expect(page.locator("#server")).to_have_value(locked.url)

                await page.locator("#key").fill(KEY)
                await page.locator("#language").fill("xx-XX")
                await page.locator("#check").click()
                await expect(notice).to_contain_text("may not know xx-XX")

                await page.locator("#language").fill("")
                await page.locator("#check").click()
                await expect(notice).to_contain_text("The server answers")
                await page.screenshot(path=SHOTS / f"extension-options{'-dark' if dark else ''}.png")
                kept = await extension.worker.evaluate("chrome.storage.local.get()")
                assert kept == {"server": locked.url, "key": KEY, "language": "", "codec": "opus"}
