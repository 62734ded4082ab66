"""A tab that is really hidden.

Playwright has every page believe that it is seen, so this Chromium is driven by the DevTools protocol alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from browser.kit import DEADLINE_MS, FLAGS

LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")


class Tab:
    """A tab, and the means to put another one before it."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._next = 0
        self._session: str | None = None

    async def open(self, url: str) -> None:
        """Load a page, and wait until it is there."""
        target = (await self._call("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self._call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await self._call("Page.enable")
        await self._call("Page.navigate", url=url)
        async with asyncio.timeout(DEADLINE_MS / 1000):
            while json.loads((await self._connection.receive()).data).get("method") != "Page.loadEventFired":
                pass

    async def hide(self) -> None:
        """Put another tab before it."""
        session, self._session = self._session, None
        other = (await self._call("Target.createTarget", url="about:blank"))["targetId"]
        await self._call("Target.activateTarget", targetId=other)
        self._session = session
        await self.until("document.visibilityState === 'hidden'")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, with promises waited for, as if somebody had clicked."""
        found = await self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait for a condition, which is looked at as often as a hidden tab's timers allow."""
        look = f"(resolve) => {{ const look = () => {condition} ? resolve() : setTimeout(look, 50); look(); }}"
        async with asyncio.timeout(2 * DEADLINE_MS / 1000):
            await self.evaluate(f"new Promise({look})")

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._next += 1
        session = {} if self._session is None else {"sessionId": self._session}
        await self._connection.send_json({"id": self._next, "method": method, "params": parameters, **session})
        while True:
            message = json.loads((await self._connection.receive()).data)
            if message.get("id") == self._next:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result


@contextlib.asynccontextmanager
async def tab(executable: str, flags: Sequence[str] = ()) -> AsyncIterator[Tab]:
    """A tab in a Chromium of its own."""
    with tempfile.TemporaryDirectory(prefix="antiphon-chromium-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            executable,
            *(
                "--headless=new",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                *FLAGS,
                *flags,
                "about:blank",
            ),
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            async with asyncio.timeout(DEADLINE_MS / 1000):
                while not (found := LISTENING.search(await process.stderr.readline())):
                    assert not process.stderr.at_eof(), "Chromium ended"
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(found[1].decode(), max_msg_size=0) as connection,
            ):
                yield Tab(connection)
        finally:
            process.kill()
            await process.wait()
