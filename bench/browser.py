"""A headless Chromium that benchmarks drive, and the server that it talks to."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import BrowserContext, Page, Route, async_playwright

PAGES = Path(__file__).parent / "pages"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
FLAGS = (
    "--no-sandbox",  # Chromium has no other way to run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def missing() -> str:
    """Why there is no browser to drive; empty where there is."""
    return "" if _chromium() else "Chromium is not installed; on Debian: apt-get install chromium"


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@dataclass(frozen=True, slots=True)
class Server:
    """A running ``antiphon serve``.

    Attributes:
        url: Where it listens.
        media_port: Its UDP port for media.
    """

    url: str
    media_port: int


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[Server]:
    """Start a server, and stop it at the end.

    Raises:
        RuntimeError: It ended, or does not answer in time; with what it printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "antiphon.cli", "serve", "--port", str(port), "--rtc-port", "0", *flags]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + START_SECONDS
            while (answer := _asked(f"{url}/v1/ice-servers")) is None:
                if process.poll() is not None or time.monotonic() > end:
                    output.seek(0)
                    raise RuntimeError(f"the server does not answer: {output.read()[-2000:].decode(errors='replace')}")
                time.sleep(0.1)
            yield Server(url, answer["media"]["port"])
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _asked(url: str) -> dict[str, dict[str, int]] | None:
    try:
        with urllib.request.urlopen(url, timeout=5.0) as response:
            answer: dict[str, dict[str, int]] = json.load(response)
            return answer
    except OSError:
        return None


@contextlib.asynccontextmanager
async def browsing(wav: Path) -> AsyncIterator[BrowserContext]:
    """A Chromium whose microphone says a WAV file, once, from the moment it is opened."""
    async with async_playwright() as playwright:
        with tempfile.TemporaryDirectory(prefix="antiphon-bench-", ignore_cleanup_errors=True) as folder:
            context = await playwright.chromium.launch_persistent_context(
                folder,
                executable_path=_chromium(),
                headless=True,
                args=[*FLAGS, f"--use-file-for-fake-audio-capture={wav}%noloop"],
                ignore_default_args=["--mute-audio"],
            )
            try:
                yield context
            finally:
                await context.close()


async def opened(context: BrowserContext, server: Server) -> Page:
    """A page of the server's origin with nothing on it, and the modules of ``bench/pages`` under ``/bench/``."""

    async def serve(route: Route) -> None:
        name = route.request.url.removeprefix(f"{server.url}/bench/")
        await route.fulfill(path=PAGES / name, content_type="text/javascript")

    page = await context.new_page()
    await page.route(f"{server.url}/bench/*.js", serve)
    await page.goto(f"{server.url}/healthz")
    return page
