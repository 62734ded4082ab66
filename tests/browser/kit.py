"""The page in a real headless Chromium, and a line to the server that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import wave
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, Playwright, expect

from support.audio import SPEECH

SHOTS = Path(__file__).parents[2] / "test-output" / "browser"
DEADLINE_MS = 60_000
"""Until what has not come is not going to: far more than a busy machine needs."""
expect.set_options(timeout=DEADLINE_MS)

FLAGS = (
    "--no-sandbox",  # Chromium has no other way to run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FAKE_DEVICE = "--use-fake-device-for-media-stream"
ALWAYS_ALLOWED = "--use-fake-ui-for-media-stream"

# What appears and is gone again before a test could ask for it.
WATCH = """
addEventListener("DOMContentLoaded", () => {
  window.seen = { partials: [], states: [], levels: [] };
  const look = (id, note) => {
    const node = document.getElementById(id);
    if (node === null) return; // another page has no such thing
    new MutationObserver(() => note(node)).observe(node, {
      childList: true, subtree: true, characterData: true, attributes: true
    });
  };
  look("partials", (list) => {
    for (const item of list.querySelectorAll("li:not(.waiting)")) {
      const words = item.querySelector("span");
      seen.partials.push([words.textContent, getComputedStyle(words).color]);
    }
  });
  look("state-text", (text) => seen.states.push(text.textContent));
  look("meter", (meter) => seen.levels.push(Number(meter.getAttribute("aria-valuenow"))));
});
"""


def chromium() -> str | None:
    """The path of the system's Chromium or Chrome."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    return None


def join_speech(path: Path, names: Sequence[str]) -> Path:
    """Write the speech files of those names one after another into one WAV."""
    with wave.open(str(path), "wb") as joined:
        for name in names:
            with wave.open(str(SPEECH / name), "rb") as part:
                if joined.getnframes() == 0:
                    joined.setparams(part.getparams())
                joined.writeframes(part.readframes(part.getnframes()))
    return path


@dataclass
class CaptionsPage:
    """The page, with names for what is on it.

    Attributes:
        page: Playwright's page.
        console: Errors that the browser wrote to its console, and exceptions that nobody caught.
    """

    page: Page
    console: list[str] = field(default_factory=list)

    @property
    def toggle(self) -> Locator:
        return self.page.locator("#toggle")

    @property
    def state(self) -> Locator:
        return self.page.locator("#state-text")

    @property
    def finals(self) -> Locator:
        return self.page.locator("#lines li span")

    @property
    def partials(self) -> Locator:
        return self.page.locator("#partials li:not(.waiting) span")

    @property
    def alert(self) -> Locator:
        return self.page.locator("#notices [role=alert]")

    @property
    def hints(self) -> Locator:
        return self.page.locator("#notices [role=status]")

    def choose(self, source: str) -> Locator:
        return self.page.locator(f"label.source:has(input[value={source}])")

    async def words(self) -> str:
        """All finals in one line."""
        return " ".join(await self.finals.all_inner_texts())

    async def phase(self, *names: str) -> None:
        """Wait for one of the page's phases."""
        await self.page.wait_for_function(
            "names => names.includes(document.body.dataset.phase)", arg=list(names), timeout=DEADLINE_MS
        )

    async def hears(self, words: str) -> None:
        """Wait until the finals are just these words."""
        await self.page.wait_for_function(
            """words => [...document.querySelectorAll("#lines li span")].map(s => s.textContent).join(" ") === words""",
            arg=words,
            timeout=DEADLINE_MS,
        )

    async def partial(self) -> None:
        """Wait for words that are still being spoken."""
        await expect(self.partials.first).to_be_visible(timeout=DEADLINE_MS)

    async def hint(self, text: str) -> None:
        """Wait for a message that is no alert."""
        await expect(self.hints.filter(has_text=text)).to_be_visible(timeout=DEADLINE_MS)

    async def finish(self) -> None:
        """Press Stop and wait until the last words are there."""
        await self.toggle.click()
        await self.phase("ended")

    async def seen(self, what: str) -> list[Any]:
        """What was seen of ``partials``, ``states`` or ``levels`` so far."""
        seen: list[Any] = await self.page.evaluate("what => window.seen[what]", what)
        return seen

    async def overflow(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        wider: int = await self.page.evaluate(
            "() => document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    async def shot(self, name: str) -> Path:
        """Save what it looks like to ``test-output/browser``."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        await self.page.screenshot(path=path)
        return path


class Browser:
    """Starts Chromium anew for each page, with a user's folder of its own.

    Args:
        playwright: The driver.
        executable: Chromium.
    """

    def __init__(self, playwright: Playwright, executable: str) -> None:
        self._playwright = playwright
        self._executable = executable
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open(
        self,
        url: str,
        *,
        speech: Path | None = None,
        allowed: bool = True,
        size: tuple[int, int] = (1280, 800),
        dark: bool = False,
        still: bool = False,
        flags: Sequence[str] = (),
        fake_device: bool = True,
    ) -> CaptionsPage:
        """Open the page.

        Args:
            url: Of the server.
            speech: WAV that the microphone hears, from the moment it is opened; then silence.
            allowed: Whether the user allows the microphone.
            size: Of the window, in CSS pixels.
            dark: Whether the system is set to dark colours.
            still: Whether the system is set to reduced motion.
            flags: More flags for Chromium.
            fake_device: Whether Chromium pretends to have a microphone and a screen.
        """
        args = [*FLAGS, *flags]
        if fake_device:
            args.append(FAKE_DEVICE)
        if speech is not None:
            args.append(f"--use-file-for-fake-audio-capture={speech}%noloop")
        if allowed:
            args.append(ALWAYS_ALLOWED)
        folder = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="antiphon-chromium-", ignore_cleanup_errors=True)
        )
        context: BrowserContext = await self._playwright.chromium.launch_persistent_context(
            folder,
            executable_path=self._executable,
            headless=True,
            args=args,
            ignore_default_args=["--mute-audio"],  # a muted tab is shared as silence
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if still else "no-preference",
            accept_downloads=True,
        )
        self._stack.push_async_callback(context.close)
        context.set_default_timeout(DEADLINE_MS)
        await context.add_init_script(WATCH)
        return await self.another(context, url)

    async def another(self, context: BrowserContext, url: str) -> CaptionsPage:
        """Open one more page in a browser that runs."""
        page = context.pages[0] if context.pages[0].url == "about:blank" else await context.new_page()
        opened = CaptionsPage(page)
        page.on("console", lambda said: opened.console.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: opened.console.append(str(error)))
        await page.goto(url)
        await opened.phase("idle")
        return opened


class Relay:
    """Carries connections to a server, and cuts them when told to.

    Args:
        port: Of the server, on loopback.

    Attributes:
        url: Where the relay listens.
        carried: Connections that it took.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._open = True
        self.url = ""
        self.carried = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Break every connection off, and take none until :meth:`mend`."""
        self._open = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def mend(self) -> None:
        """Take connections again."""
        self._open = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        self.carried += 1
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, upstream[1]))
                both.create_task(_pump(upstream[0], writer))
        except* OSError:
            pass  # one side is gone, and so is the connection
        finally:
            writer.transport.abort()
            upstream[1].transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError


@contextlib.asynccontextmanager
async def relay(port: int) -> AsyncIterator[Relay]:
    """A running relay to a server's port."""
    async with Relay(port) as running:
        yield running
