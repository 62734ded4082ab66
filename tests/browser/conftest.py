"""A hearing server, and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import async_playwright

from browser.kit import Browser, chromium
from support.server import ServerProcess, start_server


@pytest.fixture(scope="session")
def hearing() -> Iterator[ServerProcess]:
    """A server as it is by default, with PocketSphinx, that also answers to names that browsers take for insecure."""
    with start_server("--allowed-hosts", "captions.test,rooms.test") as server:
        yield server


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Opens pages, each in a Chromium of its own."""
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine: install Debian's package 'chromium' to run the browser tests")
    async with async_playwright() as playwright, Browser(playwright, executable) as running:
        yield running
