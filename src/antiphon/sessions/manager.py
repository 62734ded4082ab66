"""All sessions of this process: who may begin one, who comes back, and when one is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from antiphon.clock import Clock
from antiphon.errors import EngineUnavailable, NotFound, SessionLimit
from antiphon.events import Event
from antiphon.formats import AudioFormat
from antiphon.protocol.rtp import SequenceStats
from antiphon.sessions.limits import SessionLimits
from antiphon.sessions.participant import Participant
from antiphon.sessions.session import Session
from antiphon.speech.recogniser import Recogniser
from antiphon.speech.registry import match_language
from antiphon.speech.transcriber import Transcriber, TranscriberOptions
from antiphon.state import Store

ENGINE_RATE = 16_000
LAST_WORDS_S = 5.0
"""Seconds that decoders get at least, at shutdown, for what was said before it."""


def new_session_id() -> str:
    """A name that nobody can guess and that every door takes: it begins with a letter or digit."""
    return secrets.token_hex(16)


class SessionManager:
    """Begins, resumes, ends and forgets.

    Args:
        recogniser: The engine, started.
        store: Where logs are kept.
        limits: Bounds.
        transcribing: How transcribers behave, but for what each client chooses.
        default_language: Where a client names none.
        clock: Time.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        store: Store,
        limits: SessionLimits,
        transcribing: TranscriberOptions,
        default_language: str,
        clock: Clock,
    ) -> None:
        self.recogniser = recogniser
        self.store = store
        self.limits = limits
        self.clock = clock
        self._transcribing = transcribing
        self._default_language = default_language
        rates = recogniser.capabilities.sample_rates
        self.engine_rate = ENGINE_RATE if ENGINE_RATE in rates else rates[0]
        self._sessions: dict[str, Session] = {}
        self._retained: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()
        self._work: set[asyncio.Task[None]] = set()
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._packets = SequenceStats()
        self._streams = 0
        self._draining = False
        self._released = asyncio.Event()
        self.streams_total = 0
        self.refused_total = 0

    @property
    def streams(self) -> int:
        """Streams and jobs that run, detached ones among them."""
        return self._streams

    @property
    def draining(self) -> bool:
        """True once the server is shutting down."""
        return self._draining

    def participants(self) -> list[Participant]:
        """Everybody in every session."""
        return [participant for session in self._sessions.values() for participant in session.participants.values()]

    def language(self, wanted: str | None) -> str:
        """The engine's tag for what a client asked for.

        Raises:
            UnsupportedFormat: The engine does not know it.
        """
        return match_language(wanted or self._default_language, self.recogniser.capabilities.languages)

    def admit(self) -> None:
        """Count a new stream or job.

        Raises:
            SessionLimit: There is no room.
            EngineUnavailable: The server is shutting down.
        """
        if self._draining:
            raise EngineUnavailable("the server is shutting down; connect again in a few seconds", retry_after=5.0)
        if self._streams >= self.limits.max_streams:
            self.refused_total += 1
            raise SessionLimit(
                f"all {self.limits.max_streams} streams of this server are in use; try again later, "
                "or ask its operator to raise max_streams",
                retry_after=5.0,
            )
        self._streams += 1
        self.streams_total += 1

    def release(self) -> None:
        """A stream or job that was admitted is over."""
        self._streams -= 1
        self._released.set()

    async def session(self, session_id: str | None) -> Session:
        """The session of that name, begun or gone on with where it does not run."""
        name = session_id or new_session_id()
        session = self._sessions.get(name)
        if session is None:
            session = Session(name, self.store, self.clock, self.limits.max_pending_events, on_idle=self._session_idle)
            self._sessions[name] = session
            if (expiry := self._retained.pop(name, None)) is not None:
                expiry.cancel()
            if (closing := self._closing.get(name)) is not None:
                await asyncio.wait([closing])
            await session.open()
        return session

    async def begin(
        self,
        session_id: str | None,
        role: str,
        audio: AudioFormat,
        language: str | None,
        interim_results: bool = True,
    ) -> Participant:
        """A new participant, in a new or a running session.

        Raises:
            SessionLimit: There is no room.
            UnsupportedFormat: The engine does not know the language.
        """
        tag = self.language(language)
        self.admit()
        session: Session | None = None
        try:
            session = await self.session(session_id)
            return Participant(
                session,
                role,
                audio,
                tag,
                self.engine_rate,
                functools.partial(self._participant_transcriber, interim_results),
                self.limits,
                self.clock,
                on_end=self._participant_ended,
            )
        except BaseException:
            self.release()
            if session is not None:
                session.abandon()
            raise

    def resume(self, session_id: str, token: str) -> Participant:
        """The stream that `token` was given for.

        Raises:
            NotFound: It ended, or never was.
        """
        session = self._sessions.get(session_id)
        for participant in session.participants.values() if session else ():
            if secrets.compare_digest(participant.resume_token.encode(), token.encode()) and not participant.ended:
                return participant
        raise NotFound(
            "this stream cannot be resumed: it ended, waited too long for its client, or the server restarted; "
            "start a new one",
            field="session_id",
        )

    def transcriber(
        self, participant_id: str, emit: Callable[[Event], None], language: str, interim_results: bool
    ) -> Transcriber:
        """A transcriber whose events go to `emit`, such as a session's."""
        options = replace(self._transcribing, interim_results=interim_results)
        return Transcriber(participant_id, self.recogniser, language, self.engine_rate, emit, options)

    def packets(self) -> SequenceStats:
        """What became of all packets that had sequence numbers."""
        total = replace(self._packets)
        for participant in self.participants():
            total.add(participant.inflow.stats)
        return total

    def _participant_ended(self, participant: Participant) -> None:
        self._packets.add(participant.inflow.stats)
        self.release()

    def _participant_transcriber(self, interim_results: bool, participant: Participant) -> Transcriber:
        return self.transcriber(participant.id, participant.session.emit, participant.language, interim_results)

    async def drain(self, deadline: float) -> bool:
        """Admit nobody more, end what is detached, and wait up to `deadline` seconds for the others to end.

        Returns:
            False where some were still running and had to be ended.
        """
        self._draining = True
        for participant in self.participants():
            participant.resume_window = 0.0
            if not participant.attached:
                self._background(participant.finish("lost"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while self._streams:
                    self._released.clear()
                    await self._released.wait()
        complete = not self._streams
        rest = self.participants()
        if rest:
            finishing = [asyncio.ensure_future(participant.finish("shutdown")) for participant in rest]
            await asyncio.wait(finishing, timeout=max(LAST_WORDS_S, deadline / 4))
        return complete

    async def close(self) -> None:
        """Forget everything."""
        for handle in self._retained.values():
            handle.cancel()
        for task in (*self._work, *self._closing.values()):
            task.cancel()
        for name in (*self._sessions, *self._retained):
            await self.store.delete(name)
        self._sessions.clear()
        self._retained.clear()

    def _session_idle(self, session: Session) -> None:
        if self._sessions.get(session.id) is not session:
            return
        del self._sessions[session.id]
        self._closing[session.id] = task = self._background(self.store.close(session.id))
        task.add_done_callback(lambda _: self._closing.pop(session.id, None))
        loop = asyncio.get_running_loop()
        self._retained[session.id] = loop.call_later(self.limits.retention_s, self._forget, session.id)
        while len(self._retained) > self.limits.max_retained:
            oldest = next(iter(self._retained))
            self._forget(oldest)

    def _forget(self, session_id: str) -> None:
        if (handle := self._retained.pop(session_id, None)) is not None:
            handle.cancel()
            self._background(self.store.delete(session_id))

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task
