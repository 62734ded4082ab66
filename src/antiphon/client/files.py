"""Whole files over HTTP: the file goes up, events come down, and a broken connection is gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
from aiohttp import ClientSession
from yarl import URL

from antiphon.client.address import door, server_url
from antiphon.client.backoff import Backoff
from antiphon.client.errors import ConnectionLost, ProtocolFault
from antiphon.client.http import check_answer, follow, http_session, read_entries
from antiphon.client.link import LinkLost
from antiphon.clock import Clock, SystemClock
from antiphon.errors import AntiphonError, Conflict, NotFound, error_from_dict
from antiphon.events import Ended, Entry, Failed

JOB_HEADER = "X-Antiphon-Job"
CANCEL_TIMEOUT = 2.0
"""Seconds that the server gets to hear that nobody wants the rest."""


async def transcribe_file(
    url: str,
    path: str | os.PathLike[str],
    *,
    language: str | None = None,
    interim_results: bool = True,
    api_key: str | None = None,
    connect_timeout: float = 10.0,
    reconnect_timeout: float = 300.0,
    backoff: Backoff | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[Entry, None]:
    """Have a file transcribed; gives each event of the transcription once, in order.

    ``event`` of an entry is ``Started``, ``Speaking``, ``Progress``, ``Transcript``, ``Failed`` (of a stretch of
    speech; the rest goes on) or, as the last one, ``Ended``. The first attempt to connect is not repeated. Later, what
    breaks is taken up again: an upload from its beginning, events from the last one that came. A reader that leaves
    early closes the iterator (:func:`contextlib.aclosing`), and the server is told to stop.

    Args:
        url: The server, such as ``http://127.0.0.1:8080``.
        path: WAV, FLAC, MP3, MP4/M4A, Ogg or WebM.
        language: A BCP 47 tag; None for the server's default.
        interim_results: Whether partials are wanted.
        api_key: Shown to the server.
        connect_timeout: Seconds for one attempt to connect.
        reconnect_timeout: Seconds to try to come back.
        backoff: How long to wait between attempts to come back.
        clock: Time.

    Raises:
        AntiphonError: The server refused the file, failed on it (after the events that came before), or has forgotten
            it (``NotFound``).
        ConnectionLost: There is no server, or the way back to it was not found in time.
        ProtocolFault: What answers is no Antiphon server.
        OSError: The file cannot be read.
        ValueError: ``url`` is none.
    """
    job = _FileJob(server_url(url), path, language, interim_results, clock or SystemClock())
    async with http_session(connect_timeout, api_key) as session:
        try:
            async with aclosing(job.events(session, backoff or Backoff(), reconnect_timeout)) as entries:
                async for entry in entries:
                    yield entry
        finally:
            if not job.over:
                await job.cancel(session)


class _FileJob:
    """One file, over as many connections as it takes."""

    def __init__(
        self, server: URL, path: str | os.PathLike[str], language: str | None, interim_results: bool, clock: Clock
    ) -> None:
        self._server = server
        self._path = path
        self._clock = clock
        self._query = {"interim_results": str(interim_results).lower()}
        if language is not None:
            self._query["language"] = language
        self._id = ""
        self._last_id = 0
        self._failed: Entry | None = None
        self.over = False

    async def events(
        self, session: ClientSession, backoff: Backoff, reconnect_timeout: float
    ) -> AsyncGenerator[Entry, None]:
        until: float | None = None
        while True:
            try:
                stream = self._resume(session) if self._id else self._upload(session, first=until is None)
                async with aclosing(stream) as entries:
                    async for entry in entries:
                        backoff.reset()
                        until = None
                        for told in self._take(entry):
                            yield told
                if self.over:
                    return
                raise LinkLost("the server ended the events before the last one")
            except LinkLost as fault:
                now = self._clock.monotonic()
                until = until or now + reconnect_timeout
                delay = backoff.next_delay(fault.retry_after)
                if now + delay > until:
                    raise ConnectionLost(
                        f"the connection to {self._server} was lost and did not come back within "
                        f"{reconnect_timeout:g} s: {fault}"
                    ) from fault
                await asyncio.sleep(delay)

    async def cancel(self, session: ClientSession) -> None:
        """Tell the server to stop."""
        if self._id:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(CANCEL_TIMEOUT):
                    async with session.delete(door(self._server, "v1", "transcriptions", self._id)):
                        pass

    def _take(self, entry: Entry) -> list[Entry]:
        """What to tell now: a failure only when it shows whether it is the end of it all.

        Raises:
            AntiphonError: It is.
        """
        if entry.id <= self._last_id:
            return []
        self._last_id = entry.id
        held, self._failed = self._failed, None
        told = [held] if held is not None else []
        if isinstance(entry.event, Failed):
            self._failed = entry
            return told
        if isinstance(entry.event, Ended):
            self.over = True
            if entry.event.reason == "failed" and held is not None and isinstance(held.event, Failed):
                raise error_from_dict(held.event.error)
            if entry.event.reason != "stopped":
                raise Conflict(f"the server ended the transcription of this file: {entry.event.reason}")
        return [*told, entry]

    async def _upload(self, session: ClientSession, first: bool) -> AsyncGenerator[Entry, None]:
        with open(self._path, "rb") as file:  # noqa: ASYNC230 - opening a file takes no time to speak of
            try:
                async with session.post(
                    door(self._server, "v1", "transcribe"),
                    params=self._query,
                    data=file,
                    headers={"Content-Type": "application/octet-stream"},
                ) as response:
                    await check_answer(response)
                    self._id = response.headers.get(JOB_HEADER, "")
                    if not self._id:
                        raise ProtocolFault(f"the answer of {response.url} lacks {JOB_HEADER}")
                    async for entry in read_entries(response, self._clock):
                        yield entry
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as fault:
                if first:
                    raise ConnectionLost(f"cannot reach a server at {self._server}: {fault}") from fault
                raise LinkLost(str(fault)) from fault
            except (aiohttp.ClientError, OSError) as fault:
                raise LinkLost(str(fault) or type(fault).__name__) from fault

    async def _resume(self, session: ClientSession) -> AsyncGenerator[Entry, None]:
        try:
            async with aclosing(
                follow(session, door(self._server, "v1", "transcribe", self._id), self._last_id, self._clock)
            ) as entries:
                async for entry in entries:
                    yield entry
        except NotFound:
            self.over = True
            raise NotFound(
                "the server has forgotten this file, say because it was restarted, before its last results came; "
                "send the file again"
            ) from None
        except AntiphonError as error:
            if not error.retryable:
                raise
            raise LinkLost(error.message, error.retry_after or 0.0) from error
