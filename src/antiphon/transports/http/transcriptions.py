"""Whole files in, events out; batch jobs; and the event log of any session."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from antiphon.errors import BadMessage, NotFound, UnsupportedFormat
from antiphon.events import Ended, Entry
from antiphon.protocol.transcription import entry_to_wire
from antiphon.sessions import SessionManager
from antiphon.sessions.jobs import Job, JobManager, JobState
from antiphon.transports.http import sse
from antiphon.transports.http.uploads import Upload, Uploads

JOB_HEADER = "X-Antiphon-Job"


class TranscriptionRoutes:
    """Handlers for ``/v1/transcribe``, ``/v1/transcriptions`` and ``/v1/sessions``.

    Args:
        sessions: Where logs are.
        jobs: Who transcribes files.
        uploads: Who receives them.
        send_timeout: Seconds that a reader may leave an event untaken.
    """

    def __init__(self, sessions: SessionManager, jobs: JobManager, uploads: Uploads, send_timeout: float) -> None:
        self._sessions = sessions
        self._jobs = jobs
        self._uploads = uploads
        self._send_timeout = send_timeout

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes, ready for an application."""
        return [
            web.post("/v1/transcribe", self.transcribe),
            web.get("/v1/transcribe/{id}", self.follow_job),
            web.post("/v1/transcriptions", self.submit),
            web.get("/v1/transcriptions/{id}", self.status),
            web.delete("/v1/transcriptions/{id}", self.cancel),
            web.get("/v1/sessions/{id}/events", self.follow_session),
        ]

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """A file in, its events out while it is transcribed."""
        job = await self._submit(request)
        return await self._stream_job(request, job, 0)

    async def follow_job(self, request: web.Request) -> web.StreamResponse:
        """The events of a job, from where the reader left off."""
        job = self._jobs.get(request.match_info["id"])
        return await self._stream_job(request, job, sse.last_event_id(request))

    async def submit(self, request: web.Request) -> web.Response:
        """A file in, a job out."""
        job = await self._submit(request)
        return web.json_response(
            self._describe(job), status=202, headers={"Location": f"/v1/transcriptions/{job.id}", JOB_HEADER: job.id}
        )

    async def status(self, request: web.Request) -> web.Response:
        """How a job is getting on, and its result."""
        return await self._answer(self._jobs.get(request.match_info["id"]))

    async def cancel(self, request: web.Request) -> web.Response:
        """End a job."""
        return await self._answer(await self._jobs.cancel(request.match_info["id"]))

    async def follow_session(self, request: web.Request) -> web.StreamResponse:
        """A session's log, while it runs and after."""
        session_id = request.match_info["id"]
        after = sse.last_event_id(request)
        if session_id not in self._sessions.store:
            raise NotFound(f"there is no session {session_id[:64]!r}; it never was, or it ended and was forgotten")
        entries = self._sessions.store.follow(session_id, after)
        return await sse.stream(request, entries, entry_to_wire, {}, self._send_timeout)

    async def _submit(self, request: web.Request) -> Job:
        self._jobs.check_room()
        upload = await self._uploads.receive(request)
        try:
            language = request.query.get("language") or _option(upload, "language")
            interim = (request.query.get("interim_results") or _option(upload, "interim_results") or "true").lower()
            if interim not in ("true", "false"):
                raise BadMessage("interim_results must be true or false", field="interim_results")
            try:
                return await self._jobs.submit(upload.path, language, interim == "true")
            except UnsupportedFormat as error:
                raise UnsupportedFormat(error.message, field="language") from None
        except BaseException:
            await asyncio.to_thread(upload.discard)
            raise

    async def _stream_job(self, request: web.Request, job: Job, after: int) -> web.StreamResponse:
        entries = self._sessions.store.follow(job.id, after)
        headers = {JOB_HEADER: job.id, "Content-Location": f"/v1/transcribe/{job.id}"}
        return await sse.stream(request, entries, _job_entry, headers, self._send_timeout)

    async def _answer(self, job: Job) -> web.Response:
        described = self._describe(job)
        if job.state is JobState.DONE and job.id in self._sessions.store:
            entries: list[Entry] = []
            while batch := await self._sessions.store.read(job.id, entries[-1].id if entries else 0):
                entries += batch
            results = [data for name, data in map(entry_to_wire, entries) if name == "final"]
            described["result"] = {
                "text": " ".join(result["text"] for result in results if result["text"]),
                "duration": round(job.done, 3),
                "results": results,
            }
        return web.json_response(described)

    @staticmethod
    def _describe(job: Job) -> dict[str, Any]:
        # a cancelled job has come to nothing, which the contract calls failed
        status = "failed" if job.state is JobState.CANCELLED else job.state.value
        error = job.error
        if job.state is JobState.CANCELLED:
            error = {"message": "this transcription was cancelled", "code": "conflict", "retryable": False}
        return {
            "id": job.id,
            "status": status,
            "language": job.language,
            "created": job.created,
            "progress": {"done": round(job.done, 2), "total": job.total and round(job.total, 2)},
            "events": f"/v1/sessions/{job.id}/events",
            **({"error": error} if error else {}),
        }


def _option(upload: Upload, name: str) -> str | None:
    value = upload.options.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    raise BadMessage(f"{name} must be text", field=name)


def _job_entry(entry: Entry) -> tuple[str, dict[str, Any]]:
    name, data = entry_to_wire(entry)
    if isinstance(entry.event, Ended) and entry.event.reason == "stopped":
        name = "done"
    return name, data
