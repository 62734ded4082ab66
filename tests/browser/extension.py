"""The Chrome extension in a real headless Chromium: its icon is clicked, its side panel opened."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, CDPSession, Error, Page, Playwright, Worker
from playwright.async_api import TimeoutError as PlaywrightTimeout

from browser.kit import DEADLINE_MS, FLAGS, SHOTS
from integration.observe import eventually
from support.audio import SPEECH
from support.words import READING, NotUnderstood, among

DEADLINE = DEADLINE_MS / 1000
TITLE = "A page that speaks"
SPEAKING = f"<!doctype html><title>{TITLE}</title><h1>{TITLE}</h1><audio></audio>"


def extension_id(folder: Path) -> str:
    """The id that Chrome gives an extension with the key of its manifest: half a SHA-256, in letters from a to p."""
    key = base64.b64decode(json.loads((folder / "manifest.json").read_text())["key"])
    return "".join(chr(ord("a") + int(digit, 16)) for digit in hashlib.sha256(key).hexdigest()[:32])


@contextlib.asynccontextmanager
async def speaking_page() -> AsyncIterator[str]:
    """The address of a page whose ``audio`` element plays the speech file of the name that it is given."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=SPEAKING, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_static("/speech", SPEECH)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class Target:
    """Something in the browser that is no tab: the side panel, the offscreen document, the service worker.

    Args:
        browser: A session with the browser itself.
        session_id: Of the target.
    """

    def __init__(self, browser: CDPSession, session_id: str) -> None:
        self._browser = browser
        self._session = session_id
        self._next = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        browser.on("Target.receivedMessageFromTarget", self._receive)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression there; promises are waited for."""
        found = await self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]["exception"]["description"]
        return found["result"].get("value")

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the Chrome DevTools Protocol."""
        self._next += 1
        answer = self._answers[self._next] = asyncio.get_running_loop().create_future()
        message = json.dumps({"id": self._next, "method": method, "params": parameters})
        await self._browser.send("Target.sendMessageToTarget", {"message": message, "sessionId": self._session})
        async with asyncio.timeout(2 * DEADLINE):  # what waits there has the shorter deadline, and more to say
            return await answer

    def _receive(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return
        message = json.loads(event["message"])
        answer = self._answers.pop(message.get("id", 0), None)
        if answer is not None and not answer.done():
            if "error" in message:
                answer.set_exception(RuntimeError(message["error"]["message"]))
            else:
                answer.set_result(message["result"])


class Panel:
    """The side panel, with names for what is on it."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def start(self, *, microphone: bool = False) -> None:
        await self._target.evaluate(f"document.getElementById('microphone').checked = {str(microphone).lower()}")
        await self.press("toggle", "Start")

    async def stop(self) -> None:
        await self.press("toggle", "Stop")

    async def press(self, button: str, text: str) -> None:
        """Press a button once it says that."""
        await self.until(f"!$('{button}').disabled && !$('{button}').hidden && $('{button}').textContent === {text!r}")
        await self._target.evaluate(f"document.getElementById('{button}').click()")

    async def phase(self, *names: str) -> None:
        """Wait for one of the panel's phases."""
        await self.until(f"{json.dumps(names)}.includes(document.body.dataset.phase)")

    async def lines(self, speaker: str = "") -> list[str]:
        """The finals; those of one speaker where one is named."""
        lines: list[tuple[str, str]] = await self._target.evaluate(
            """[...document.querySelectorAll("#lines li")].map(
              (line) => [line.querySelector("b")?.textContent, line.querySelector("span").textContent])"""
        )
        return [words for name, words in lines if speaker in ("", name)]

    async def hears(self, *words: str, speaker: str = "") -> None:
        """Wait until these words are among the finals, in this order.

        Raises:
            NotUnderstood: Other words came.
        """
        end = time.monotonic() + READING
        while not among(lines := await self.lines(speaker), *words):
            if time.monotonic() > end:
                raise NotUnderstood(f"{words} were read as {lines}")
            await asyncio.sleep(0.05)

    async def alert(self, *texts: str) -> None:
        """Wait for a message that has these texts."""
        await self.until(f"{json.dumps(texts)}.every((text) => $('notices').textContent.includes(text))")

    async def text(self, identity: str) -> str:
        """What an element says."""
        return str(await self._target.evaluate(f"document.getElementById({identity!r}).innerText"))

    async def evaluate(self, expression: str) -> Any:
        return await self._target.evaluate(expression)

    async def until(self, condition: str) -> None:
        """Wait for a condition, in which ``$`` finds an element by its id."""
        await self._target.evaluate(
            f"""new Promise((resolve, reject) => {{
              const $ = (id) => document.getElementById(id);
              const late = setTimeout(() => {{
                clearInterval(look);
                reject(new Error("never: " + {json.dumps(condition)} + "; the panel says: " + document.body.innerText));
              }}, {DEADLINE_MS});
              const look = setInterval(() => {{
                if (!({condition})) return;
                clearInterval(look);
                clearTimeout(late);
                resolve();
              }}, 20);
            }})"""
        )

    async def shot(self, name: str, *, dark: bool = False) -> None:
        """Save what it looks like to ``test-output/browser``."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._target.send("Emulation.setEmulatedMedia", features=[scheme])
        picture = await self._target.send("Page.captureScreenshot")
        (SHOTS / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


class Extension:
    """Chromium with the extension loaded, and a tab that can speak.

    Attributes:
        id: The extension's.
        context: Playwright's.
    """

    def __init__(self, context: BrowserContext, browser: CDPSession, identity: str) -> None:
        self.id = identity
        self.context = context
        self._browser = browser

    def url(self, page: str) -> str:
        return f"chrome-extension://{self.id}/{page}"

    async def open(self, page: str) -> Page:
        """Open one of the extension's pages in a tab."""
        opened = await self.context.new_page()
        await opened.goto(self.url(page))
        return opened

    async def targets(self, kind: str, ends: str) -> list[str]:
        """The ids of what is of that kind and has an address that ends so."""
        found = await self._browser.send("Target.getTargets", {"filter": [{"type": kind}]})
        return [target["targetId"] for target in found["targetInfos"] if target["url"].endswith(ends)]

    async def attach(self, target_id: str) -> Target:
        session = await self._browser.send("Target.attachToTarget", {"targetId": target_id, "flatten": False})
        return Target(self._browser, session["sessionId"])

    async def click_icon(self, page: Page) -> Panel:
        """Click the extension's icon in the toolbar with that tab in front, and return the panel that it opens."""
        await page.bring_to_front()
        title = await page.title()
        (tab,) = await self.targets("tab", page.url)
        try:
            await self._browser.send("Extensions.triggerAction", {"id": self.id, "targetId": tab})
        except Error as error:
            if "wasn't found" in error.message:
                pytest.skip("this Chromium is too old to let a test click an extension's icon: update it")
            raise
        async with asyncio.timeout(DEADLINE):
            while not (opened := await self.targets("page", "panel.html")):
                await asyncio.sleep(0.02)
        panel = Panel(await self.attach(opened[0]))
        await panel.until(f"document.readyState === 'complete' && $('tab').textContent.includes({title!r})")
        return panel

    async def speaking_tab(self, url: str) -> Page:
        """A tab that can speak."""
        page = await self.context.new_page()
        await page.goto(url)
        return page

    async def allow_microphone(self) -> None:
        """Let the extension have the microphone, as somebody who has answered the question."""
        await self._browser.send("Browser.grantPermissions", {"origin": self.url(""), "permissions": ["audioCapture"]})

    async def configure(self, **settings: str) -> None:
        """Keep settings as the options page does."""
        await self.worker.evaluate("settings => chrome.storage.local.set(settings)", settings)

    @property
    def worker(self) -> Worker:
        """The service worker, as it was when the extension was loaded."""
        return self.context.service_workers[0]

    async def badge(self, text: str) -> None:
        """Wait until the icon says this, which the service worker sees to."""

        async def says() -> bool:
            return bool(await self.worker.evaluate("chrome.action.getBadgeText({})") == text)

        await eventually(says)

    async def no_offscreen(self) -> None:
        """Wait until there is no offscreen document, which is closed when the last answer is on its way."""

        async def gone() -> bool:
            return not await self.targets("background_page", "offscreen.html")

        await eventually(gone)

    async def loudest_while(self, happens: Coroutine[Any, Any, None]) -> float:
        """The highest level of what the extension plays until that is over, as root mean square."""
        loudest = 0.0
        task = asyncio.ensure_future(happens)
        while not task.done():
            status = await self.worker.evaluate("chrome.runtime.sendMessage({ to: 'offscreen', type: 'status' })")
            loudest = max(loudest, status["playing"])
        await task
        return loudest

    async def stop_worker(self) -> None:
        """End the service worker, as Chrome does where it has nothing to do."""
        page = await self.open("options.html")
        session = await self.context.new_cdp_session(page)
        await session.send("ServiceWorker.enable")
        await session.send("ServiceWorker.stopAllWorkers")
        async with asyncio.timeout(DEADLINE):
            while await self.targets("service_worker", "worker.js"):
                await asyncio.sleep(0.02)
        await page.close()


async def say(page: Page, speech: str) -> None:
    """Let the tab say a file, and wait until it has."""
    await page.evaluate(
        """async speech => {
          const audio = document.querySelector("audio");
          audio.src = "/speech/" + speech;
          const over = new Promise((resolve) => audio.addEventListener("ended", resolve, { once: true }));
          await audio.play();
          await over;
        }""",
        speech,
    )


@contextlib.asynccontextmanager
async def chromium_with(
    playwright: Playwright,
    executable: str,
    folder: Path,
    *,
    dark: bool = False,
    flags: tuple[str, ...] = (),
) -> AsyncIterator[Extension]:
    """Start Chromium with the extension in `folder`."""
    with tempfile.TemporaryDirectory(prefix="antiphon-chromium-", ignore_cleanup_errors=True) as profile:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=executable,
            headless=True,
            args=[
                *FLAGS,
                f"--disable-extensions-except={folder}",
                f"--load-extension={folder}",
                "--enable-unsafe-extension-debugging",  # lets a test click the icon
                "--autoplay-policy=no-user-gesture-required",
                *flags,
            ],
            ignore_default_args=["--mute-audio", "--disable-extensions"],
            viewport={"width": 1280, "height": 800},
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(DEADLINE_MS)
        try:
            if not context.service_workers:
                try:
                    await context.wait_for_event("serviceworker")
                except PlaywrightTimeout:
                    pytest.skip(
                        "this browser loads no extension that it is given, as Google Chrome does: install Chromium"
                    )
            browser = context.browser
            assert browser is not None
            yield Extension(context, await browser.new_browser_cdp_session(), extension_id(folder))
        finally:
            await context.close()
