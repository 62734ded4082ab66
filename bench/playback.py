"""The browser SDK's player in a headless Chromium, for benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

from playwright.async_api import BrowserContext, Page

from bench.browser import Server, opened

RECORDER = Path(__file__).parent / "pages" / "recorder.js"
DEADLINE_MS = 60_000.0

PLAY = """
async ([server, order, recorder]) => {
  const { StreamPlayer } = await import("/static/sdk/stream-player.js");
  const context = new AudioContext({ latencyHint: "interactive" });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([recorder], { type: "text/javascript" })));
  const node = new AudioWorkletNode(context, "bench-recorder", { channelCount: 1, channelCountMode: "explicit" });
  node.connect(context.destination);
  window.clicks = [];
  window.levels = [];
  node.port.onmessage = ({ data }) => clicks.push(data);
  window.player = new StreamPlayer({ server, context });
  player.on("stats", ({ level }) => levels.push(level));
  await player.listen(order);
  player.node.connect(node);
}
"""


async def playing(context: BrowserContext, server: Server, url: str, order: dict[str, Any]) -> Page:
    """A page whose player plays what is at `url`, as ``window.player``; waits until it is heard.

    Args:
        context: Where.
        server: Whose SDK is used.
        url: Server that is listened to.
        order: What to listen to.
    """
    page = await opened(context, server)
    await page.evaluate(PLAY, [url, order, RECORDER.read_text()])
    await page.wait_for_function("() => player.state === 'playing'", timeout=DEADLINE_MS)
    return page


@contextlib.asynccontextmanager
async def jittery(port: int, most_ms: float) -> AsyncIterator[int]:
    """A port that leads to `port`; what comes from there is up to so many milliseconds late, in order."""
    tasks: set[asyncio.Task[None]] = set()
    random = Random(1)

    async def up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def let_go() -> None:
            while True:
                due, data = await held.get()
                await asyncio.sleep(due - loop.time())
                writer.write(data)

        releasing = asyncio.create_task(let_go())
        tasks.add(releasing)
        while data := await reader.read(65_536):
            held.put_nowait((loop.time() + random.uniform(0, most_ms) / 1000, data))

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ahead, back = await asyncio.open_connection("127.0.0.1", port)
        both = [asyncio.create_task(up(reader, back)), asyncio.create_task(down(ahead, writer))]
        tasks.update(both)

    proxy = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield proxy.sockets[0].getsockname()[1]
    finally:
        proxy.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
