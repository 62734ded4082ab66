"""Streams of the SDK over bad links: cut, slow, stalled, with a server that is killed and started again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import numpy as np
import pytest
from playwright.async_api import Page

from browser.kit import DEADLINE_MS, Browser
from browser.sdk import hearing_tones, hears, sdk_page, server_of_tones, tone_track
from support.engines import FIRST_HZ, STEP_HZ, dominant
from support.proxy import Proxy
from support.server import ServerProcess

pytestmark = pytest.mark.browser

LONG = tuple(range(40))
SHORT = tuple(range(10))


@pytest.fixture(scope="module")
def tones() -> Iterator[ServerProcess]:
    """A server that hears tones."""
    yield from hearing_tones()


async def speak(page: Page, codec: str, **options: Any) -> None:
    """Send what the microphone hears."""
    await page.evaluate(
        """async ([codec, options]) => {
          window.capture = new AudioCapture({ codec, preset: "music" });
          await capture.start();
          window.stream = send(capture, "all", options);
        }""",
        [codec, options],
    )


async def heard(page: Page, count: int) -> None:
    """Wait until so many tones were heard."""
    await page.wait_for_function("count => heard.all.length >= count", arg=count, timeout=DEADLINE_MS)


async def told(page: Page, kind: str) -> list[Any]:
    """Events of one type."""
    events: list[Any] = await page.evaluate("kind => events.filter(({ type }) => type === kind)", kind)
    return events


@pytest.mark.parametrize("codec", ["opus", "pcm_s16le"])
async def test_over_a_link_that_is_cut_and_slow_everything_arrives_in_order_and_once(
    browser: Browser, tones: ServerProcess, tmp_path: Path, codec: str
) -> None:
    random = Random(5)
    speech = tone_track(tmp_path / "long.wav", LONG)
    async with (
        Proxy(tones.port, seed=5, delay_ms=(0, 40)) as link,
        sdk_page(browser, link.url, away=True, speech=speech) as page,
    ):
        await speak(page, codec)
        for count in sorted(random.sample(range(2, 36), 4)):
            await heard(page, count)
            link.cut()
        await heard(page, 36)
        link.stall()
        await page.evaluate("() => new Promise((resolve) => stream.on('state', resolve))")  # it finds out by itself
        link.flow()
        await hears(page, "all", LONG)
        assert await told(page, "lost") == []
        assert len(await told(page, "take")) == 1  # the server never had to begin anew
        await page.evaluate("async () => { await capture.stop(); stream.leave(); }")
        await page.wait_for_function("() => stream.state.phase === 'ended'")


async def test_a_server_killed_and_started_again_hears_all_that_was_not_said_yet(
    browser: Browser, tmp_path: Path
) -> None:
    server = server_of_tones()
    try:
        async with sdk_page(browser, server.url, away=True, speech=tone_track(tmp_path / "long.wav", LONG)) as page:
            await speak(page, "opus")
            await heard(page, 9)
            server.kill()
            await page.wait_for_function("() => stream.state.phase === 'waiting'")
            server = server.restarted()
            await hears(page, "all", LONG)
            takes = await told(page, "take")
            assert [take["fresh"] for take in takes] == [True, False]
            assert takes[1]["offset"] > 3
            assert await told(page, "lost") == []
    finally:
        server.kill()


async def test_what_does_not_fit_in_the_buffer_while_offline_is_dropped_oldest_first_and_counted(
    browser: Browser, tones: ServerProcess, tmp_path: Path
) -> None:
    speech = tone_track(tmp_path / "long.wav", LONG)
    async with Proxy(tones.port) as link, sdk_page(browser, link.url, away=True, speech=speech) as page:
        await speak(page, "opus", bufferMs=2000)
        await heard(page, 5)
        link.refuse()
        link.cut()
        await page.wait_for_function("() => stream.seconds > 9.2")
        link.refuse(False)
        await page.evaluate("() => stream.retryNow()")
        await page.wait_for_function("() => heard.all.at(-1) === 't39'", timeout=DEADLINE_MS)
        lost = await told(page, "lost")
        assert len(lost) == 1
        assert lost[0]["frames"] == lost[0]["total"] == round(lost[0]["seconds"] * 50)
        numbers = [int(word[1:]) for word in await page.evaluate("() => heard.all")]
        assert numbers == sorted(set(numbers))
        # a tone and its silence take 0.3 s; one at either edge may be cut in two
        assert abs(len(LONG) - len(numbers) - lost[0]["seconds"] / 0.3) <= 2


class RoomMember:
    """Takes part in a room from Python, at 16 kHz."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._pcm = bytearray()

    async def join(self, room: str) -> None:
        pcm = {"codec": "pcm_s16le", "sampleRate": 16_000}
        await self._connection.send_json(
            {"type": "join", "roomId": room, "userId": "Kassia", "format": pcm, "reply": pcm, "listen": True}
        )
        while True:
            message = await self._connection.receive()
            if message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == "joined":
                return

    async def hear(self, count: int) -> list[int]:
        """Wait for so many tones, and say which."""
        async with asyncio.timeout(DEADLINE_MS / 1000):
            while len(tones := runs(bytes(self._pcm))) < count:
                message = await self._connection.receive()
                if message.type is aiohttp.WSMsgType.BINARY:
                    self._pcm += message.data
        return tones

    async def say(self, tone: int, seconds: float) -> None:
        """A tone, at the pace of speech."""
        for frame in range(round(seconds * 50)):
            times = (np.arange(320) + 320 * frame) / 16_000
            samples = np.rint(9000 * np.sin(2 * np.pi * (FIRST_HZ + STEP_HZ * tone) * times)).astype("<i2")
            await self._connection.send_bytes(samples.tobytes())
            await asyncio.sleep(0.02)  # the pace of the sound itself


def runs(pcm: bytes) -> list[int]:
    """The tones in it, one after the other; a room may stretch them, or fill a hole with what was before."""
    found: list[int] = []
    last: int | None = None
    for at in range(0, len(pcm) - 640, 640):
        tone = dominant(pcm[at : at + 640])
        if tone is not None and tone == last and (not found or found[-1] != tone):
            found.append(tone)
        last = tone
    return found


async def test_a_room_hears_the_stream_and_the_stream_hears_the_room(
    browser: Browser, tones: ServerProcess, tmp_path: Path
) -> None:
    speech = tone_track(tmp_path / "short.wav", SHORT, lead=3.0)
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(tones.websocket_url) as connection,
        sdk_page(browser, tones.url, speech=speech, flags=["--autoplay-policy=no-user-gesture-required"]) as page,
    ):
        kassia = RoomMember(connection)
        await kassia.join("sdk-room")
        await page.evaluate(
            """async () => {
              const { StreamPlayer } = await import("/static/sdk/stream-player.js");
              window.player = new StreamPlayer();
              window.formats = [];
              window.packets = [];
              window.members = [];
              const sink = {
                open: (format) => (formats.push(format), player.open(format)),
                push: (frame, more) => (packets.push(frame.length), player.push(frame, more)),
                clear: () => player.clear(),
              };
              const reply = { codec: "opus", sampleRate: 48000, frameMs: 20 };
              const room = { roomId: "sdk-room", userId: "Hildegard", listen: true };
              window.capture = new AudioCapture({ codec: "opus", preset: "music" });
              await capture.start();
              window.stream = send(capture, "all", { room, reply, player: sink });
              stream.on("message", ({ message }) => message.type === "room-state" && members.push(message));
            }"""
        )
        assert await kassia.hear(len(SHORT)) == list(SHORT)
        await page.wait_for_function("() => members.length > 0")
        await kassia.say(12, 2.0)
        await page.wait_for_function("() => player.stats.played > 500", timeout=DEADLINE_MS)
        formats = await page.evaluate("() => formats")
        assert formats == [{"codec": "opus", "sampleRate": 48_000, "channels": 1, "frameMs": 20}]
        await page.evaluate("async () => { await capture.stop(); stream.leave(); player.close(); }")


async def test_an_encoder_follows_a_network_that_has_become_slow(browser: Browser, tones: ServerProcess) -> None:
    async with Proxy(tones.port) as link, sdk_page(browser, link.url) as page:
        await page.evaluate(
            """async () => {
              const context = new AudioContext();
              const noise = new AudioBuffer({ length: 48000, sampleRate: 48000 });
              noise.copyToChannel(Float32Array.from({ length: 48000 }, () => Math.random() - 0.5), 0);
              const loop = new AudioBufferSourceNode(context, { buffer: noise, loop: true });
              const out = context.createMediaStreamDestination();
              loop.connect(out);
              loop.start();
              window.capture = new AudioCapture({ source: { me: out.stream }, codec: "opus", bitrate: 128000 });
              window.sizes = [];
              capture.on("frame", ({ data, index }) => sizes.push(data.length));
              await capture.start();
              window.stream = send(capture, "all");
              window.adaptive = new AdaptiveBitrateController({ connection: stream, encoders: [capture] });
              window.looks = [];
              adaptive.on("look", (look) => looks.push(look));
              window.mean = (count) => sizes.slice(-count).reduce((sum, size) => sum + size, 0) / count;
            }"""
        )
        await page.wait_for_function("() => sizes.length > 50 && mean(50) > 250", timeout=DEADLINE_MS)
        await page.evaluate("() => adaptive.start()")
        await page.wait_for_function("() => looks.length > 0", timeout=DEADLINE_MS)
        link.stall()
        # a ping that does not come back tells of it
        await page.wait_for_function("() => adaptive.bitrate === 32000 && mean(25) < 110", timeout=DEADLINE_MS)
        assert await page.evaluate("() => looks.at(-1).condition") == "poor"
        link.flow()
        await page.evaluate("async () => { adaptive.stop(); await capture.stop(); stream.leave(); }")
