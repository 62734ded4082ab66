"""Whole files, transcribed as fast as the engine goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from antiphon.errors import AntiphonError, Internal, NotFound, RateLimited
from antiphon.events import Ended, Failed, Progress, Started, Transcript
from antiphon.sessions.hearing import FileHearing
from antiphon.sessions.manager import SessionManager, new_session_id
from antiphon.sessions.session import Session
from antiphon.speech.transcriber import Transcriber
from antiphon.telemetry.logs import get_logger

log = get_logger("jobs")

PROGRESS_S = 1.0
"""Progress is told about this often, in seconds of audio or a fiftieth of the file."""


class JobState(StrEnum):
    """Where a job is; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Job:
    """One file.

    Attributes:
        id: Also the id of the session whose log has the job's events.
        state: Where it is.
        created: Seconds since the Unix epoch.
        done: Seconds of audio transcribed.
        total: Seconds of audio in the file, where the file says.
        error: What went wrong, in the wire's shape.
    """

    id: str
    path: Path
    language: str
    interim_results: bool
    created: float
    state: JobState = JobState.QUEUED
    done: float = 0.0
    total: float | None = None
    error: dict[str, Any] | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def finished(self) -> bool:
        return self.state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Bounds of jobs.

    Attributes:
        max_running: Files transcribed at once.
        max_queued: Files that wait.
        max_seconds: The longest file, in seconds of audio.
        max_retained: Finished jobs that are remembered; the oldest go first.
    """

    max_running: int = 2
    max_queued: int = 32
    max_seconds: float = 4 * 3600.0
    max_retained: int = 1000


class JobManager:
    """Runs jobs, a few at a time, in the order they came.

    Args:
        sessions: Whose engine and log they use.
        limits: Bounds.
    """

    def __init__(self, sessions: SessionManager, limits: JobLimits) -> None:
        self._sessions = sessions
        self._limits = limits
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._hearing = FileHearing(limits.max_running, sessions.engine_rate)

    def check_room(self) -> None:
        """Say at once whether another file may come, before it is uploaded.

        Raises:
            RateLimited: Too many wait already.
        """
        unfinished = sum(not job.finished for job in self._jobs.values())
        if unfinished >= self._limits.max_running + self._limits.max_queued:
            raise RateLimited(
                f"{unfinished} files are being transcribed or wait for it already; send this one again in a minute",
                retry_after=60.0,
            )

    async def submit(self, path: Path, language: str | None, interim_results: bool) -> Job:
        """Take a file, which is deleted when the job has ended.

        Raises:
            UnsupportedFormat: The engine does not know the language.
            RateLimited: Too many files wait.
            SessionLimit: All streams are in use.
        """
        tag = self._sessions.language(language)
        self.check_room()
        self._sessions.admit()
        job = Job(new_session_id(), path, tag, interim_results, self._sessions.clock.time())
        try:
            session = await self._sessions.session(job.id)
        except BaseException:
            self._sessions.release()
            raise
        self._jobs[job.id] = job
        session.emit(Started(job.id, "file", tag))
        session.hold()
        job.task = asyncio.create_task(self._run(job, session), name=f"job {job.id}")
        self._forget_old()
        return job

    def get(self, job_id: str) -> Job:
        """The job of that id.

        Raises:
            NotFound: It never was, or was forgotten.
        """
        try:
            return self._jobs[job_id]
        except KeyError:
            raise NotFound(
                f"there is no transcription {job_id[:64]!r}; it never was, or was forgotten after it ended"
            ) from None

    async def cancel(self, job_id: str) -> Job:
        """End a job; one that has ended stays as it is."""
        job = self.get(job_id)
        if job.task is not None and not job.finished:
            job.task.cancel()
            await asyncio.wait([job.task])
        return job

    async def results(self, job: Job) -> list[Transcript]:
        """The finals of a job, in order."""
        finals: list[Transcript] = []
        after = 0
        while batch := await self._sessions.store.read(job.id, after):
            after = batch[-1].id
            finals += [e.event for e in batch if isinstance(e.event, Transcript) and not e.event.is_partial]
        return finals

    async def close(self) -> None:
        """Cancel everything."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None and not job.finished]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._hearing.close()

    async def _run(self, job: Job, session: Session) -> None:
        transcriber = self._sessions.transcriber(job.id, session.emit, job.language, job.interim_results)
        reason = "stopped"
        try:
            async with self._hearing.turn:
                job.state = JobState.RUNNING
                await self._transcribe(job, session, transcriber)
            job.state = JobState.DONE
        except asyncio.CancelledError:
            job.state, reason = JobState.CANCELLED, "cancelled"
        except AntiphonError as fault:
            job.state, reason, job.error = JobState.FAILED, "failed", fault.as_dict()
            session.emit(Failed.of(job.id, fault))
        except Exception:
            # a bug must not leave the job running for ever in its readers' eyes
            log.exception("job failed", job=job.id)
            internal = Internal("the server failed on this file; its log says more. Try again, or report it")
            job.state, reason, job.error = JobState.FAILED, "failed", internal.as_dict()
            session.emit(Failed.of(job.id, internal))
        finally:
            await transcriber.close()
            with contextlib.suppress(OSError):
                job.path.unlink()
            session.emit(Ended(job.id, reason, round(job.done, 3)))
            session.unhold()
            self._sessions.release()

    async def _transcribe(self, job: Job, session: Session, transcriber: Transcriber) -> None:
        told = 0.0

        def progress(done: float, total: float | None) -> None:
            nonlocal told
            job.done, job.total = done, total
            if done - told >= max(PROGRESS_S, (total or 0) / 50):
                told = done
                session.emit(Progress(job.id, round(told, 2), total and round(total, 2)))

        await self._hearing.hear(job.path, transcriber, self._limits.max_seconds, progress)
        session.emit(Progress(job.id, round(job.done, 2), round(job.done, 2)))

    def _forget_old(self) -> None:
        while len(self._jobs) > self._limits.max_retained + self._limits.max_queued + self._limits.max_running:
            oldest = next((job for job in self._jobs.values() if job.finished), None)
            if oldest is None:
                return
            del self._jobs[oldest.id]
