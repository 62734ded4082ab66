"""A participant: one stream of audio with its place in it, which outlives its connections."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from antiphon.clock import Clock
from antiphon.errors import BadAudio, Conflict, DurationLimit, RateLimited
from antiphon.events import Ended, Started
from antiphon.formats import AudioFormat
from antiphon.media import PcmConverter
from antiphon.protocol.rtp import AudioIntake, Ready, stats_of
from antiphon.sessions.limits import SessionLimits
from antiphon.speech.transcriber import Transcriber

if TYPE_CHECKING:
    from antiphon.sessions.session import Session

MIN_RETRY_S = 0.5
"""Whoever was too fast waits this long at least, so that it is not told of every chunk."""
MAX_FILLED_GAP_S = 0.5
"""Gaps up to this long are filled with silence; longer ones end the utterance."""


class Participant:
    """One stream of audio in a session.

    Attributes:
        id: Unique in its session, and the ``speaker`` of its transcripts.
        resume_token: Whoever shows it may go on with this stream.
        next_seq: The chunk wanted next; all before it are safe (framings without numbers count messages).
        intake: Order, loss and pace of what comes.
        ending: True once the stream takes no more audio: it has ended, or its last words are being worked out.
        ended: True once `Ended` is written.
        resume_window: Seconds that the stream waits for its client to come back.
        dropped: Chunks refused or lost and not brought again.
    """

    def __init__(
        self,
        session: Session,
        role: str,
        audio: AudioFormat,
        language: str,
        engine_rate: int,
        make_transcriber: Callable[[Participant], Transcriber],
        limits: SessionLimits,
        clock: Clock,
        on_end: Callable[[Participant], None],
    ) -> None:
        self.id = secrets.token_hex(4)
        self.session = session
        self.role = role
        self.format = audio
        self.language = language
        self.resume_token = secrets.token_urlsafe(24)
        self.next_seq = 0
        self.dropped = 0
        self.resume_window = limits.resume_window_s
        self.ending = False
        self.ended = False
        self._limits = limits
        self._clock = clock
        self._on_end = on_end
        self._frame_bytes = audio.frame_bytes
        self._byte_seconds = 1 / (audio.frame_bytes * audio.sample_rate)
        self._transcriber = make_transcriber(self)
        self._queue = self._transcriber.queue
        self._max_backlog = int(2 * engine_rate * limits.max_backlog_s)
        self._engine_rate = engine_rate
        self._converter = PcmConverter(audio, engine_rate)
        self._passthrough = self._converter.passthrough
        self._push = self._transcriber.push if self._passthrough else self._convert
        self._max_samples = int(limits.max_session_s * audio.sample_rate)
        self.intake = AudioIntake(
            audio.sample_rate,
            audio.frame_bytes,
            block_bytes=audio.frame_bytes * int(self._transcriber.step_s * audio.sample_rate),
            max_samples=self._max_samples,
            max_rate=limits.max_rate,
            burst=limits.burst_s,
            now=clock.monotonic(),
        )
        self._take_packet = self.intake.take_packet
        self._take_chunk = self.intake.take_chunk
        self._muted = False
        self._finishing: asyncio.Task[None] | None = None
        self._replaced: Callable[[], None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        session.participants[self.id] = self
        session.emit(Started(self.id, role, language))

    @property
    def attached(self) -> bool:
        """True while a connection holds this stream."""
        return self._replaced is not None

    @property
    def seconds(self) -> float:
        """Seconds of audio taken, gaps included."""
        return self.intake.samples / self.format.sample_rate

    @property
    def muted(self) -> bool:
        """True while what comes is counted and not heard."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._push_block()
        self._muted = muted

    def attach(self, replaced: Callable[[], None]) -> None:
        """A connection takes the stream over; `replaced` is called when another takes it from there."""
        if self.ending:
            raise Conflict("this stream has ended; start a new one")
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        previous, self._replaced = self._replaced, replaced
        if previous is not None:
            previous()

    def detach(self, replaced: Callable[[], None]) -> None:
        """The connection is gone; the stream waits for another until the resume window closes."""
        if self._replaced != replaced or self.ended:
            return
        self._replaced = None
        if not self.ending:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self.resume_window, self._expire)

    def take_packet(self, data: bytes, now: float) -> bool:
        """Take an RTP packet the short way, if it is simply the next one and may come at `now` seconds.

        Returns:
            False where it is not, and nothing was done.
        """
        if self._muted or self.ending or self._queue.bytes > self._max_backlog or self.session.congested:
            return False
        block = self._take_packet(data, now)
        if block:
            self._push(block)
        return block is not None

    def ingest(self, data: bytes, now: float) -> None:
        """Take the next audio, in the participant's format, at `now` seconds on the session's clock.

        Raises:
            AntiphonError: As :meth:`admit`; nothing was taken.
        """
        if not (self._muted or self.ending or self._queue.bytes > self._max_backlog or self.session.congested):
            block = self._take_chunk(data, now)
            if block is not None:
                if block:
                    self._push(block)
                return
        self.admit(len(data), now)
        self._feed(data)

    def admit(self, size: int, now: float) -> None:
        """Say whether `size` bytes of audio may come at `now` seconds on the session's clock; they count as come.

        Raises:
            BadAudio: Not a whole number of samples.
            RateLimited: Too fast, or too much waits to be decoded; nothing was taken.
            DurationLimit: The stream is as long as it may be; it ends.
            Conflict: The stream has ended.
        """
        if self.ending:
            raise Conflict("this stream has ended; start a new one")
        frames, odd = divmod(size, self._frame_bytes)
        if odd:
            raise BadAudio(
                f"{size} bytes are not a whole number of {self._frame_bytes}-byte samples ({self.format}); "
                "nothing of this message was taken"
            )
        if wait := self.intake.pace(size * self._byte_seconds, now):
            wait = max(wait, MIN_RETRY_S)
            raise RateLimited(
                f"audio comes faster than {self._limits.max_rate:g} times real time; "
                f"what did not fit was not taken: send it again in {wait:.1f} s, and go on at the pace of speech",
                retry_after=wait,
            )
        if self._queue.bytes > self._max_backlog or self.session.congested:
            raise RateLimited(
                f"{self._transcriber.backlog:.0f} s of speech wait to be transcribed, the server is behind; "
                "this audio was not taken: send it again in a second",
                retry_after=1.0,
            )
        if self.intake.samples + frames > self._max_samples:
            self._end("limit")
            raise DurationLimit(f"a stream may last {self._limits.max_session_s:g} s of audio; start another one")
        self.intake.samples += frames

    def feed_in_order(self, ready: list[Ready]) -> None:
        """Take what was admitted and is now in order."""
        for item in ready:
            if item.gap:
                self._gap(item.gap)
            self._feed(item.payload)

    def _feed(self, data: bytes) -> None:
        self._push_block()
        if self._muted:
            self._transcriber.skip(round(len(data) * self._byte_seconds * self._engine_rate))
        else:
            self._push(data)

    def _push_block(self) -> None:
        """Hand on what the intake holds, before anything that comes after it."""
        if block := self.intake.take_block():
            self._push(block)

    def _convert(self, data: bytes) -> None:
        self._transcriber.push(self._converter.convert(data))

    def _gap(self, samples: int) -> None:
        """Let `samples` of the participant's format pass that nobody sent."""
        self._push_block()
        seconds = samples / self.format.sample_rate
        self.intake.samples += samples
        missing = round(seconds * self._engine_rate)
        if seconds <= MAX_FILLED_GAP_S and not self._muted:
            self._transcriber.push(bytes(2 * missing))
        else:
            self._transcriber.skip(missing)

    async def finish(self, reason: str) -> None:
        """End the stream: decode what is left, then write `Ended`. Further calls wait for the first."""
        await asyncio.shield(self._end(reason))

    def _end(self, reason: str) -> asyncio.Task[None]:
        if self._finishing is None:
            self.ending = True
            self._finishing = asyncio.create_task(self._finish(reason), name=f"finish {self.id}")
        return self._finishing

    async def _finish(self, reason: str) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self.feed_in_order(self.intake.flush())
        self._push_block()
        if not self._passthrough:
            self._transcriber.push(self._converter.flush())
        try:
            await self._transcriber.finish()
        finally:
            self.ended = True
            lost = self.dropped + stats_of(self.intake).lost
            self.session.emit(Ended(self.id, reason, round(self.seconds, 3), lost))
            self.session.leave(self)
            self._on_end(self)

    def _expire(self) -> None:
        self._expiry = None
        self._end("lost")
