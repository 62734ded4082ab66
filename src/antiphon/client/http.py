"""The HTTP door: event streams that break off and are gone on with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientResponse, ClientSession
from yarl import URL

from antiphon.client.errors import ProtocolFault
from antiphon.client.link import LinkLost
from antiphon.client.sse import EventStreamParser
from antiphon.client.wire import entry_from_wire
from antiphon.clock import Clock
from antiphon.errors import AntiphonError, error_class, error_from_dict
from antiphon.events import Entry

SILENCE = 45.0
"""Seconds without a byte after which an event stream counts as broken; the server sends a comment every 15."""


def http_session(connect_timeout: float, api_key: str | None) -> ClientSession:
    """What opens connections; each request has no deadline as a whole, and one between two reads."""
    return ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, sock_read=SILENCE),
        headers={"Authorization": f"Bearer {api_key}"} if api_key is not None else None,
    )


async def check_answer(response: ClientResponse) -> None:
    """Go on only with an event stream.

    Raises:
        AntiphonError: The server refused.
        LinkLost: Something before the server did, and may not for long.
        ProtocolFault: This is no Antiphon server.
    """
    if response.status == 200 and response.content_type == "text/event-stream":
        return
    wire: Any = None
    with contextlib.suppress(orjson.JSONDecodeError):
        wire = orjson.loads(await response.content.read(1 << 16))
    if isinstance(wire, dict) and error_class(str(wire.get("code"))) is not AntiphonError:
        raise error_from_dict(wire)
    if response.status == 429 or response.status >= 500:
        raise LinkLost(f"{response.url.origin()} answers with HTTP status {response.status}")
    raise ProtocolFault(f"{response.url} answers with HTTP status {response.status}; is it an Antiphon server?")


async def read_entries(response: ClientResponse, clock: Clock) -> AsyncGenerator[Entry, None]:
    """The entries of an event stream, until the server ends it.

    Raises:
        LinkLost: It broke off.
        ProtocolFault: It makes no sense.
    """
    parser = EventStreamParser()
    try:
        async for block in response.content.iter_any():
            for event in parser.feed(block):
                if (entry := entry_from_wire(event.name, event.object(), clock.time())) is not None:
                    yield entry
    except (aiohttp.ClientError, OSError) as fault:
        raise LinkLost(str(fault) or "the connection broke") from fault


async def follow(session: ClientSession, url: URL, after: int, clock: Clock) -> AsyncGenerator[Entry, None]:
    """A log from the entry after `after` on, over one connection.

    Raises:
        AntiphonError: The server refused, say with ``not_found``.
        LinkLost: The connection broke.
        ProtocolFault: This is no Antiphon server.
    """
    try:
        async with session.get(url, headers={"Last-Event-ID": str(after)}) as response:
            await check_answer(response)
            async for entry in read_entries(response, clock):
                yield entry
    except (aiohttp.ClientError, OSError) as fault:
        raise LinkLost(str(fault) or type(fault).__name__) from fault
