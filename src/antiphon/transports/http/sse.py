"""Server-sent events (WHATWG HTML, section 9.2) from a session's log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from aiohttp import web

from antiphon.errors import BadMessage
from antiphon.events import Entry
from antiphon.telemetry.logs import get_logger

log = get_logger("sse")

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""

NameAndData = tuple[str, dict[str, Any]]


def last_event_id(request: web.Request) -> int:
    """Where a reader wants to go on: its ``Last-Event-ID`` header, or ``lastEventId`` in the query.

    Raises:
        BadMessage: It is not a whole number.
    """
    given = request.headers.get("Last-Event-ID") or request.query.get("lastEventId") or "0"
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise BadMessage(
            f"Last-Event-ID must be a whole number that this server gave, not {given[:40]!r}", field="Last-Event-ID"
        )
    return int(given)


def render(event_id: int, name: str, data: dict[str, Any]) -> bytes:
    """One event as it goes over the wire."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event_id, name.encode(), orjson.dumps(data))


async def stream(
    request: web.Request,
    entries: AsyncIterator[Entry],
    to_wire: Callable[[Entry], NameAndData],
    headers: dict[str, str],
    send_timeout: float,
    status: int = 200,
) -> web.StreamResponse:
    """Answer a request with a log, from its first entry to its last.

    Args:
        request: What is answered.
        entries: The log.
        to_wire: Gives an entry's event name and data.
        headers: Further headers.
        send_timeout: Seconds that a reader may leave an event untaken before it is cut off.
        status: The HTTP status.
    """
    response = web.StreamResponse(
        status=status,
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            **headers,
        },
    )
    await response.prepare(request)
    iterator = aiter(entries)
    following: asyncio.Future[Entry] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(iterator))
            done, _ = await asyncio.wait([following], timeout=KEEP_ALIVE)
            if request.transport is None or request.transport.is_closing():
                break
            if not done:
                data = b": still here\n\n"
            else:
                try:
                    entry = following.result()
                except StopAsyncIteration:
                    await response.write_eof()
                    break
                following = None
                data = render(entry.id, *to_wire(entry))
            try:
                async with asyncio.timeout(send_timeout):
                    await response.write(data)
            except TimeoutError:
                log.info("client does not read; cut off", path=request.path)
                if request.transport is not None:
                    request.transport.abort()
                break
            except ConnectionError:
                break
    finally:
        if following is not None and not following.done():
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await following
    return response
