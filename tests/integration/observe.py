"""What can be seen of a server from outside: its logs of events, its metrics, its memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import psutil

DEADLINE = 60.0
"""Seconds until what has not come is not going to: far more than a busy machine needs."""

Message = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: int
    name: str
    data: Message


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """The events of an answer, by the rules of WHATWG HTML section 9.2.6 that this server's answers need."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\r\n")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


async def session_events(url: str, session_id: str, after: int | None = None) -> list[Event]:
    """The whole log of a session that has ended, or what comes after an id."""
    headers = {"Last-Event-ID": str(after)} if after is not None else {}
    async with (
        aiohttp.ClientSession() as session,
        asyncio.timeout(DEADLINE),
        session.get(f"{url}/v1/sessions/{session_id}/events", headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        return [event async for event in events(response)]


async def metrics(url: str) -> dict[str, float]:
    """The gauges and counters of a server, by name."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def media_port(url: str) -> int:
    """The UDP port that a server takes media on."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/ice-servers") as response:
        port: int = (await response.json())["media"]["port"]
    return port


async def eventually(check: Callable[[], Any], deadline: float = DEADLINE) -> None:
    """Poll until `check` (which may be a coroutine function) is true."""
    async with asyncio.timeout(deadline):
        while True:
            result = check()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)


async def streams_are(url: str, count: int, deadline: float = DEADLINE) -> None:
    """Wait until that many streams run on the server."""

    async def check() -> bool:
        return (await metrics(url))["antiphon_streams"] == count

    await eventually(check, deadline)


def rss_mb(pid: int) -> float:
    """Resident memory of one process, in MiB; that of its children not among it."""
    size: int = psutil.Process(pid).memory_info().rss
    return size / (1 << 20)
