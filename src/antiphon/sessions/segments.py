"""Stand-alone segments: whole files of a few seconds each, whose words go into one log as if they were one stream."""

from __future__ import annotations

import asyncio
import io
import secrets
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter

from antiphon.errors import AntiphonError, EngineUnavailable, Internal, RateLimited, UnsupportedFormat
from antiphon.events import Ended, Event, Failed, Started, Transcript
from antiphon.media import sniff
from antiphon.protocol.segments import Segment, error_to_wire
from antiphon.sessions.hearing import FileHearing
from antiphon.sessions.manager import SessionManager
from antiphon.sessions.session import Session
from antiphon.state import RateWindows
from antiphon.telemetry.logs import get_logger

log = get_logger("segments")

ROLE = "segments"
REMEMBERED = 512
"""Segments of a session that are known when they come again, and whose transcripts can be told."""
RETRY_S = 10.0
"""Seconds after which a segment may come again that found no room."""

_timestamp = attrgetter("timestamp")


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """Bounds of segments.

    Attributes:
        min_bytes: Files smaller than this are not transcribed.
        min_words: Transcripts with fewer words are dropped.
        max_seconds: The longest file, in seconds of audio.
        max_waiting: Segments of one session that wait for their turn.
        max_waiting_bytes: Bytes of all segments that wait.
    """

    min_bytes: int = 2048
    min_words: int = 4
    max_seconds: float = 60.0
    max_waiting: int = 60
    max_waiting_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Dropped:
    """A transcript that was left out of the log, for it has too few words."""

    segment: Segment
    words: int


class SegmentTrack:
    """The segments of one session, transcribed one after the other.

    Segments that wait are put in the order of their timestamps. One that comes after a later one was transcribed has
    its place behind that.

    Attributes:
        id: The participant's id in the session's log.
        session: Whose log it is.
        position: Seconds of audio so far.
        told: The last event of the log that somebody was told.
        listeners: Told of transcripts that are left out.
        ended: True once `Ended` is written.
    """

    def __init__(self, manager: SegmentManager, session: Session) -> None:
        self.id = secrets.token_hex(8)
        self.session = session
        self.position = 0.0
        self.told = 0
        self.listeners: set[Callable[[Dropped], None]] = set()
        self.ended = False
        self._manager = manager
        self._waiting: list[Segment] = []
        self._known: OrderedDict[float, None] = OrderedDict()
        self._results: OrderedDict[str, Segment] = OrderedDict()
        self._count = 0
        self._failed = 0
        self._current: Segment | None = None
        self._worker: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._reason = ""

    @property
    def waiting(self) -> int:
        """Segments that wait for their turn."""
        return len(self._waiting)

    def knows(self, segment: Segment) -> bool:
        """Whether this segment has been taken before."""
        return segment.timestamp in self._known

    def segment(self, result_id: str) -> Segment | None:
        """The segment, without its audio, that a transcript is of."""
        return self._results.get(result_id)

    def listen(self, listener: Callable[[Dropped], None]) -> None:
        """Somebody wants to be told."""
        self.listeners.add(listener)
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def leave(self, listener: Callable[[Dropped], None], linger: float) -> None:
        """Somebody is gone. Where nobody is left, the track ends after `linger` seconds, and what waits is heard."""
        self.listeners.discard(listener)
        if self.listeners or self.ended or self._reason:
            return
        if linger <= 0:
            self.finish("left")
        elif self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(linger, self.finish, "lost")

    def pass_by(self, segment: Segment) -> None:
        """A segment is not heard; its time passes."""
        self._remember(segment)
        if segment.duration is not None and segment.duration <= self._manager.limits.max_seconds:
            self.position += segment.duration

    def take(self, segment: Segment) -> None:
        """Have a segment transcribed in its turn."""
        self._remember(segment)
        insort(self._waiting, segment, key=_timestamp)
        self._manager.waiting_bytes += len(segment.audio)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"segments of {self.session.id}")

    def finish(self, reason: str) -> None:
        """End the track once everything that waits is transcribed."""
        if not self._reason:
            self._reason = reason
        if self._worker is None:
            self._end()

    async def abandon(self, reason: str) -> None:
        """End the track now; what waits is lost, and that is told."""
        self._reason = reason
        if self._worker is None:
            self._end()
            return
        self._worker.cancel()
        await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._waiting:
                async with self._manager.hearing.turn:
                    # only now, for an earlier one may have come
                    segment = self._waiting.pop(0)
                    self._manager.waiting_bytes -= len(segment.audio)
                    self._current = segment
                    try:
                        await self._transcribe(segment)
                    except Exception:
                        # a bug in one segment must not end the others
                        log.exception("segment failed", session=self.session.id)
                        self._fail(Internal("the server failed on this segment; its log says more"), segment)
                    self._current = None
        except asyncio.CancelledError:
            lost = EngineUnavailable("the server shut down before this segment was transcribed; send it again")
            for segment in ([self._current] if self._current is not None else []) + self._waiting:
                self._fail(lost, segment)
            self._manager.waiting_bytes -= sum(len(segment.audio) for segment in self._waiting)
            self._waiting.clear()
        finally:
            self._worker = None
            if self._reason:
                self._end()

    async def _transcribe(self, segment: Segment) -> None:
        manager = self._manager
        events: list[Event] = []
        language = manager.sessions.language(segment.language)
        transcriber = manager.sessions.transcriber(self.id, events.append, language, False)
        fault: AntiphonError | None = None
        try:
            await manager.hearing.hear(
                io.BytesIO(segment.audio), transcriber, manager.limits.max_seconds, lambda *_: None
            )
        except AntiphonError as error:
            fault = error
            # what was heard before the fault counts
            await transcriber.finish()
        finally:
            await transcriber.close()
        begin, self.position = self.position, self.position + transcriber.position
        finals = [event for event in events if isinstance(event, Transcript) and not event.is_partial and event.text]
        failures = [event for event in events if isinstance(event, Failed)]
        words = sum(len(final.text.split()) for final in finals)
        if words >= max(1, manager.limits.min_words):
            self._tell(segment, finals, begin)
        elif fault is None and not failures:
            manager.dropped += 1
            for listener in list(self.listeners):
                listener(Dropped(segment, words))
        if fault is not None:
            self._fail(fault, segment)
        for failure in failures:
            self.session.emit(Failed(self.id, error_to_wire(failure.error, segment)))

    def _tell(self, segment: Segment, finals: list[Transcript], begin: float) -> None:
        """Write the utterances of a segment into the log, as one transcript."""
        self._count += 1
        result_id = f"{self.id}-{self._count}"
        self._results[result_id] = replace(segment, audio=b"")
        if len(self._results) > REMEMBERED:
            self._results.popitem(last=False)
        words = tuple(
            replace(word, start=round(begin + word.start, 3), end=round(begin + word.end, 3))
            for final in finals
            for word in final.words
        )
        self.session.emit(
            Transcript(
                self.id,
                result_id,
                " ".join(final.text for final in finals),
                False,
                round(begin + finals[0].start, 3),
                round(begin + finals[-1].end, 3),
                finals[0].language,
                words,
            )
        )

    def _fail(self, error: AntiphonError, segment: Segment) -> None:
        self._failed += 1
        self.session.emit(Failed(self.id, error_to_wire(error.as_dict(), segment)))

    def _remember(self, segment: Segment) -> None:
        self._known[segment.timestamp] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._expiry is not None:
            self._expiry.cancel()
        self.session.emit(Ended(self.id, self._reason, round(self.position, 3), self._failed))
        self.session.unhold()
        self._manager.over(self)


class SegmentManager:
    """Takes segments, and has them transcribed.

    Args:
        sessions: Whose engine and logs are used.
        windows: How many segments a session may send.
        limits: Bounds.
        at_once: Segments transcribed at once.

    Attributes:
        hearing: Hears them.
        waiting_bytes: Of all segments that wait for their turn.
        total: Segments taken to be transcribed.
        dropped: Transcripts left out for having too few words.
    """

    def __init__(self, sessions: SessionManager, windows: RateWindows, limits: SegmentLimits, at_once: int) -> None:
        self.sessions = sessions
        self.limits = limits
        self.hearing = FileHearing(at_once, sessions.engine_rate)
        self.waiting_bytes = 0
        self.total = 0
        self.dropped = 0
        self._windows = windows
        self._tracks: dict[str, SegmentTrack] = {}
        self._opening = asyncio.Lock()
        self._draining = False

    def track(self, session_id: str) -> SegmentTrack | None:
        """The track of a session, while it runs."""
        return self._tracks.get(session_id)

    async def take(self, segment: Segment) -> str | None:
        """Take a segment.

        Returns:
            None where it will be transcribed; else why not: ``too_small`` or ``duplicate``.

        Raises:
            RateLimited: The session has sent as many as it may, or too many wait.
            BadAudio: It is no audio.
            UnsupportedFormat: It is audio of a kind that is not taken, or in a language that the engine does not know.
            SessionLimit: The session is a new one, and there is no room.
            EngineUnavailable: The server is shutting down.
        """
        await self._windows.take(segment.session_id, "segments of this session")
        if self._draining:
            raise EngineUnavailable("the server is shutting down; connect again in a few seconds", retry_after=5.0)
        track = self._tracks.get(segment.session_id)
        if track is not None and track.knows(segment):
            return "duplicate"
        if len(segment.audio) < self.limits.min_bytes:
            if track is not None:
                track.pass_by(segment)
            return "too_small"
        sniff.check(segment.audio)
        try:
            self.sessions.language(segment.language)
        except UnsupportedFormat as error:
            raise UnsupportedFormat(error.message, field="language") from None
        self._check_room(track, len(segment.audio))
        if track is None:
            track = await self._open(segment.session_id)
        if track.knows(segment):
            return "duplicate"
        self.total += 1
        track.take(segment)
        return None

    def drain(self) -> None:
        """Take no more; tracks end when what waits is transcribed."""
        self._draining = True
        for track in list(self._tracks.values()):
            track.finish("shutdown")

    async def close(self) -> None:
        """End everything now."""
        await asyncio.gather(*(track.abandon("shutdown") for track in list(self._tracks.values())))
        self.hearing.close()

    def over(self, track: SegmentTrack) -> None:
        """A track has ended."""
        if self._tracks.get(track.session.id) is track:
            del self._tracks[track.session.id]
        self.sessions.release()

    async def _open(self, session_id: str) -> SegmentTrack:
        async with self._opening:
            if (track := self._tracks.get(session_id)) is not None:
                return track
            self.sessions.admit()
            try:
                session = await self.sessions.session(session_id)
                before = await self.sessions.store.last_id(session_id)
            except BaseException:
                self.sessions.release()
                raise
            track = self._tracks[session_id] = SegmentTrack(self, session)
            track.told = before
            session.hold()
            session.emit(Started(track.id, ROLE, self.sessions.language(None)))
            return track

    def _check_room(self, track: SegmentTrack | None, size: int) -> None:
        if (track is not None and track.waiting >= self.limits.max_waiting) or (
            self.waiting_bytes + size > self.limits.max_waiting_bytes
        ):
            raise RateLimited(
                "too many segments wait to be transcribed already; this one was not taken: send it again in "
                f"{RETRY_S:.0f} s",
                retry_after=RETRY_S,
            )
