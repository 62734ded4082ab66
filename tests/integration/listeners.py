"""A foreign listener of ``/ws-audio``: it keeps what comes in its order, and decodes with FFmpeg's libopus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from integration.clients import Inbox, transport_of
from integration.observe import DEADLINE, Message

DECODED_RATE = 48_000
TONE_S = 0.1
"""Seconds of each tone of :func:`tones`."""
FIRST_HZ, STEP_HZ = 400.0, 100.0


class Hearer(Inbox):
    """One connection.

    Attributes:
        order: Packets and messages as they came.
    """

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self.websocket = websocket
        self.order: list[bytes | Message] = []
        self._reader = asyncio.create_task(self._read())

    @property
    def packets(self) -> list[bytes]:
        return [item for item in self.order if isinstance(item, bytes)]

    @property
    def texts(self) -> list[Message]:
        return [item for item in self.order if not isinstance(item, bytes)]

    @property
    def types(self) -> list[str]:
        return [text["type"] for text in self.texts]

    @property
    def close_code(self) -> int | None:
        return self.websocket.close_code

    async def send(self, **message: Any) -> None:
        await self.websocket.send_str(json.dumps(message))

    async def heard(self, count: int) -> Self:
        """Wait for so many packets."""
        await self.until(lambda: len(self.packets) >= count or self.closed)
        assert len(self.packets) >= count, f"only {len(self.packets)} packets, and {self.texts}"
        return self

    async def all_heard(self, deadline: float = DEADLINE) -> Self:
        """Wait for the end."""
        await self.wait_closed(deadline)
        return self

    async def cut(self) -> None:
        """Lose the connection, without a word to the server."""
        transport_of(self.websocket).abort()
        await self.wait_closed()

    async def finish(self) -> None:
        await self.websocket.close()
        await self._reader

    async def _read(self) -> None:
        try:
            async for message in self.websocket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self.order.append(message.data)
                    self.wake()
                elif message.type is aiohttp.WSMsgType.TEXT:
                    told = json.loads(message.data)
                    self.order.append(told)
                    self.put(told["type"], told)
        finally:
            self.close()


@asynccontextmanager
async def hearer(url: str, source: str, **query: Any) -> AsyncIterator[Hearer]:
    """A listener of a source; values of the query as the client would write them."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws-audio", params={"source": source, **query}) as websocket,
    ):
        client = Hearer(websocket)
        try:
            yield client
        finally:
            await client.finish()


async def refused(url: str, query: str | dict[str, str], **options: Any) -> tuple[Message, int | None]:
    """The one message that a connection gets, which is an error, and the code it is closed with."""
    if isinstance(query, str):
        options["params"], url = None, f"{url}/ws-audio?{query}"
    else:
        options["params"], url = query, f"{url}/ws-audio"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, **options) as websocket:
        client = Hearer(websocket)
        await client.all_heard()
        (error,) = client.order
        assert isinstance(error, dict)
        assert error["type"] == "error"
        return error, client.close_code


def pcm_of(client: Hearer) -> bytes:
    """What somebody who asked for events has heard so far of a source at 16 kHz, as mono s16le at that rate."""
    samples = decode(client.packets, client.texts[0]["preSkip"])
    return (samples[::3] * 32_767).astype("<i2").tobytes()


def decode(packets: list[bytes], pre_skip: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Mono samples at 48 kHz of packets from the first on."""
    context = av.CodecContext.create("libopus", "r")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate = DECODED_RATE
    context.layout = "mono"
    frames = [frame.to_ndarray() for packet in packets for frame in context.decode(av.Packet(packet))]
    samples = np.concatenate([frame.reshape(-1) for frame in frames]).astype(np.float32)
    if frames[0].dtype == np.int16:
        samples /= 32_768
    return samples[pre_skip:]


def tones(count: int, sample_rate: int = 16_000) -> bytes:
    """Tones of a tenth of a second each, every one higher than the one before: a sweep whose every step is known."""
    times = np.arange(round(TONE_S * sample_rate)) / sample_rate
    steps = [np.sin(2 * np.pi * (FIRST_HZ + STEP_HZ * step) * times) for step in range(count)]
    return (np.concatenate(steps) * 12_000).astype("<i2").tobytes()


def tones_in(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> list[int]:
    """Which tone each tenth of a second is."""
    size = round(TONE_S * DECODED_RATE)
    found: list[int] = []
    for start in range(0, samples.size - size // 2, size):
        # the middle of it: codecs blur the edges
        part = samples[start + size // 4 : start + 3 * size // 4]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(part.size), 8 * size))
        hertz = np.argmax(spectrum) * DECODED_RATE / (8 * size)
        found.append(round((hertz - FIRST_HZ) / STEP_HZ))
    return found
