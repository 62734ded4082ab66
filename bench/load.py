"""The load: many streams in real time, and what they cost the server."""

from __future__ import annotations

import asyncio
import base64
import gc
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from picows import WSMsgType

from bench.host import core_seconds
from bench.links import Link, LinkError
from bench.servers import Running

SLOT_SECONDS = 0.002
"""Connections do not send at the same moment: they are spread over their interval in slots of this length."""

OPENED_AT_ONCE = 20
QUIET_SECONDS = 0.2
QUIET_LOOKS = 10
QUIET_SHARE = 0.15
"""A server is done with what it was sent once it has used less than this share of a core for QUIET_SECONDS, and was
seen waiting for one in no more than this share of so many looks: on a busy machine it may be starved, not done."""

DRAIN_SECONDS = 30.0

Message = tuple[WSMsgType, bytes]
AnyLink = TypeVar("AnyLink", bound=Link)


class OverloadError(Exception):
    """The server did not come to rest after the load stopped."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What each stream sends.

    Attributes:
        name: What tables call it.
        interval: Seconds between two messages of one stream, and the audio in each.
        message: The n-th message of a stream, from 0.
        audio_bytes: Of PCM in each message.
    """

    name: str
    interval: float
    message: Callable[[int], Message]
    audio_bytes: int


def audio_chunk(pcm: bytes) -> bytes:
    """The Socket.IO message that carries ``pcm`` in base64."""
    return b'42["audio_chunk",{"chunk":"' + base64.b64encode(pcm) + b'"}]'


def chunks(pcm: bytes, *, numbered: bool = False) -> Workload:
    """100 ms of ``pcm`` (16 kHz, mono, 16-bit; repeated) in base64 as a Socket.IO ``audio_chunk``."""
    encoded = [audio_chunk(piece) for piece in _pieces(pcm, 3200)]

    def message(n: int) -> Message:
        chunk = encoded[n % len(encoded)]
        return WSMsgType.TEXT, chunk[:-2] + b',"seq":%d}]' % n if numbered else chunk

    name = "100 ms base64 chunks" + (" with seq" if numbered else "")
    return Workload(name, 0.1, message, 3200)


def frames(pcm: bytes, *, rtp: bool = False) -> Workload:
    """20 ms of ``pcm`` (16 kHz, mono, 16-bit; repeated) as a binary message, after an RTP header if asked for."""
    pieces = _pieces(pcm, 640)

    def message(n: int) -> Message:
        # RFC 3550, 5.1: version 2, a dynamic payload type, sequence number, timestamp in samples, source.
        header = struct.pack("!BBHII", 0x80, 96, n & 0xFFFF, n * 320 & 0xFFFFFFFF, 1) if rtp else b""
        return WSMsgType.BINARY, header + pieces[n % len(pieces)]

    return Workload("20 ms frames" + (" with RTP header" if rtp else ""), 0.02, message, 640)


def _pieces(pcm: bytes, size: int) -> list[bytes]:
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one server.

    Attributes:
        messages: Sent, and by the server's own count received.
        cost: Seconds of CPU the server spent on each message.
        busy: Share of its core that the server used while the load ran.
        late: Seconds by which the generator fell behind its timetable, at worst.
        generator: Share of its core that the generator used.
        others: Share of the server's core that went to anything else meanwhile.
    """

    messages: int
    cost: float
    busy: float
    late: float
    generator: float
    others: float


async def measure(running: Running, workload: Workload, link: type[Link], connections: int, seconds: float) -> Sample:
    """Open streams, let them send in real time, and see what the server spent on it.

    The window goes on after the last message until the server has come to rest, so work it put off is counted.

    Raises:
        LinkError: The server refused, complained or did not get all of the audio.
        OverloadError: It did not come to rest.
        ServerError: It ended.
    """
    links = await open_links(running, link, connections)
    ticks = max(1, round(seconds / workload.interval))
    try:
        await settle(running)
        before = running.tree.cpu_seconds()
        started, own, core = time.monotonic(), time.process_time(), core_seconds(running.core)
        late = await send(links, workload, ticks)
        elapsed = time.monotonic() - started
        generator = (time.process_time() - own) / elapsed
        busy = (running.tree.cpu_seconds() - before) / elapsed
        others = max(0.0, (core_seconds(running.core) - core) / elapsed - busy)
        await settle(running)
        spent = running.tree.cpu_seconds() - before
        await _confirm(running, links, ticks * workload.audio_bytes)
    finally:
        await close_links(links)
        await settle(running)
    messages = ticks * connections
    return Sample(messages, spent / messages, busy, late, generator, others)


async def open_links(running: Running, link: type[AnyLink], connections: int) -> list[AnyLink]:
    """Connections that are ready to send."""
    links: list[AnyLink] = []
    while len(links) < connections:
        running.check()
        count = min(OPENED_AT_ONCE, connections - len(links))
        links += await asyncio.gather(*(link().open(running.port) for _ in range(count)))
    return links


async def close_links(links: Sequence[Link]) -> None:
    """End all; those that have failed already are let go."""
    for at in range(0, len(links), OPENED_AT_ONCE):
        several = links[at : at + OPENED_AT_ONCE]
        await asyncio.gather(*(one.close() for one in several), return_exceptions=True)


async def send(links: Sequence[Link], workload: Workload, ticks: int) -> float:
    """Send ``ticks`` messages over each link in real time; seconds by which the timetable was missed, at worst."""
    slots = max(1, round(workload.interval / SLOT_SECONDS))
    bounds = [slot * len(links) // slots for slot in range(slots + 1)]
    groups = [[one.transport for one in links[a:b]] for a, b in pairwise(bounds)]
    worst = 0.0
    gc.collect()
    gc.disable()
    try:
        start = time.monotonic()
        for tick in range(ticks):
            kind, data = workload.message(tick)
            for slot, group in enumerate(groups):
                wait = start + (tick + slot / slots) * workload.interval - time.monotonic()
                worst = max(worst, -wait)
                # Even a generator that is late must come round to reading what servers send back.
                await asyncio.sleep(max(0.0, wait))
                for transport in group:
                    transport.send(kind, data)
    finally:
        gc.enable()
    return worst


async def settle(running: Running) -> None:
    """Wait until the server has come to rest."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        running.check()
        before, at = running.tree.cpu_seconds(), time.monotonic()
        runnable = 0
        for _ in range(QUIET_LOOKS):
            await asyncio.sleep(QUIET_SECONDS / QUIET_LOOKS)
            runnable += running.tree.runnable()
        used = (running.tree.cpu_seconds() - before) / (time.monotonic() - at)
        if used < QUIET_SHARE and runnable <= QUIET_SHARE * QUIET_LOOKS:
            return
    raise OverloadError(f"{running.server.name} was still busy {DRAIN_SECONDS:.0f} s after the last message")


async def _confirm(running: Running, links: Sequence[Link], each: int) -> None:
    faults = [fault for one in links for fault in one.faults]
    if faults:
        raise LinkError(f"{len(faults)} complaints, the first: {faults[0]}")
    running.delivered += each * len(links)
    if links[0].counts_everybody:
        total, expected = await links[0].received(), running.delivered
    else:
        counts = await asyncio.gather(*(one.received() for one in links), return_exceptions=True)
        failures = [count for count in counts if isinstance(count, BaseException)]
        if failures:
            raise LinkError(f"{len(failures)} of {len(links)} streams did not end well, the first: {failures[0]}")
        total, expected = sum(count for count in counts if isinstance(count, int)), each * len(links)
    if total != expected:
        raise LinkError(f"{running.server.name} was sent {expected} bytes of audio and counted {total}")
