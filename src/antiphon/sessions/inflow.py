"""The way in of one stream: order, pace and limits, then decoding to what the engine hears."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from antiphon.errors import BadAudio, DurationLimit, RateLimited
from antiphon.formats import OPUS_ENCODINGS, AudioFormat, Encoding
from antiphon.media import LiveOpus, SampleDecoder
from antiphon.protocol.rtp import AudioIntake, Ready, SequenceStats, stats_of
from antiphon.sessions.limits import SessionLimits
from antiphon.speech.transcriber import Transcriber

if TYPE_CHECKING:
    from antiphon.sessions.session import Session

MIN_RETRY_S = 0.5
"""Whoever was too fast waits this long at least, so that it is not told of every chunk."""
MAX_FILLED_GAP_S = 0.5
"""Gaps up to this long are filled; longer ones end the utterance."""
SLICE_S = 5.0
"""Seconds of Opus that are decoded at once; then others have their turn."""
FULL_PAUSE_S = 0.1
"""Seconds until decoding is tried again where too much waits for the engine."""


@dataclass(frozen=True, slots=True)
class InflowOptions:
    """What an inflow is between.

    Attributes:
        audio: What comes.
        engine_rate: Hertz of what the engine hears.
        limits: Bounds of the stream.
        transcriber: Takes it.
        session: Whose log may be so far behind that no more audio should be taken.
        on_limit: Called when the stream is as long as it may be.
        now: The time in seconds.
    """

    audio: AudioFormat
    engine_rate: int
    limits: SessionLimits
    transcriber: Transcriber
    session: Session
    on_limit: Callable[[], object]
    now: float


class Inflow(ABC):
    """What all ways in have in common.

    Attributes:
        intake: Order and loss, and what has come.
        clock_rate: Units of the stream's timestamps a second.
        tee: Gets every payload that is heard, in order, as it came; none of a container's.
    """

    def __init__(self, options: InflowOptions) -> None:
        audio, limits, transcriber = options.audio, options.limits, options.transcriber
        self.audio = audio
        self.clock_rate = audio.sample_rate
        self._engine_rate = options.engine_rate
        self._limits = limits
        self._transcriber = transcriber
        self._queue = transcriber.queue
        self._max_backlog = int(2 * options.engine_rate * limits.max_backlog_s)
        self._session = options.session
        self._on_limit = options.on_limit
        self._max_samples = int(limits.max_session_s * audio.sample_rate)
        self._muted = False
        self.tee: Callable[[bytes], None] | None = None
        self.intake = AudioIntake(
            audio.sample_rate,
            max(1, audio.frame_bytes),
            block_bytes=audio.frame_bytes * int(transcriber.step_s * audio.sample_rate),
            max_samples=self._max_samples,
            max_rate=limits.max_rate,
            burst=limits.burst_s,
            now=options.now,
        )

    @property
    def seconds(self) -> float:
        """Seconds of audio taken, gaps included."""
        return self.intake.samples / self.clock_rate

    @property
    def stats(self) -> SequenceStats:
        """What became of packets with sequence numbers."""
        return stats_of(self.intake)

    @property
    def muted(self) -> bool:
        """True while what comes is counted and not heard."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._settle()
        self._muted = muted

    def take_packet(self, data: bytes, now: float) -> bool:
        """Take an RTP packet the short way, if it is simply the next one and may come at `now` seconds.

        Returns:
            False where it is not, and nothing was done.
        """
        return False

    @abstractmethod
    def ingest(self, data: bytes, now: float) -> None:
        """Take the next message, at `now` seconds on the session's clock.

        Raises:
            AntiphonError: As :meth:`admit`; nothing was taken.
        """

    @abstractmethod
    def duration(self, payload: bytes) -> int:
        """How long a packet's payload is, in units of the stream's timestamps.

        Raises:
            BadAudio: It is not what the stream should carry.
        """

    def admit(self, samples: int, now: float) -> None:
        """Say whether `samples` more may come at `now` seconds on the session's clock; they count as come.

        Raises:
            RateLimited: Too fast, or too much waits to be decoded; nothing was taken.
            DurationLimit: The stream is as long as it may be; it ends.
        """
        self._keep_pace(self.intake.pace(samples / self.clock_rate, now))
        self._check_room(samples)
        self.intake.samples += samples

    def push_packet(self, seq: int, timestamp: int, payload: bytes, samples: int, now: float) -> None:
        """Take an admitted packet, and hear what is now in order."""
        self._hear_in_order(self.intake.push(seq, timestamp, payload, samples, now))

    async def finish(self) -> None:
        """No more will come: hear what is left."""
        self._hear_in_order(self.intake.flush())
        self._settle()

    def _keep_pace(self, wait: float) -> None:
        if wait:
            wait = max(wait, MIN_RETRY_S)
            raise RateLimited(
                f"audio comes faster than {self._limits.max_rate:g} times real time; "
                f"what did not fit was not taken: send it again in {wait:.1f} s, and go on at the pace of speech",
                retry_after=wait,
            )

    def _check_room(self, samples: int) -> None:
        if self._full:
            raise RateLimited(
                f"{self._transcriber.backlog:.0f} s of speech wait to be transcribed, the server is behind; "
                "this audio was not taken: send it again in a second",
                retry_after=1.0,
            )
        if self.intake.samples + samples > self._max_samples:
            self._on_limit()
            raise DurationLimit(f"a stream may last {self._limits.max_session_s:g} s of audio; start another one")

    @property
    def _full(self) -> bool:
        return self._queue.bytes > self._max_backlog or self._session.congested

    def _hear_in_order(self, ready: list[Ready]) -> None:
        for item in ready:
            if item.gap:
                self.intake.samples += item.gap
                self._miss(item.gap)
            self._hear(item.payload)

    @abstractmethod
    def _hear(self, payload: bytes) -> None:
        """Hear what was admitted."""

    @abstractmethod
    def _miss(self, samples: int) -> None:
        """Let `samples` pass that nobody sent, or that were lost."""

    @abstractmethod
    def _settle(self) -> None:
        """Hand on what is held back, before anything that comes after it."""

    def _skip(self, samples: int) -> None:
        """Let `samples` of the engine's rate pass unheard."""
        self._transcriber.skip(samples)


class SampledInflow(Inflow):
    """The way in of PCM and G.711, where a byte lasts as long as any other."""

    def __init__(self, options: InflowOptions) -> None:
        super().__init__(options)
        self._frame_bytes = options.audio.frame_bytes
        self._decoder = SampleDecoder(options.audio, options.engine_rate)
        self._push = options.transcriber.push if self._decoder.passthrough else self._decode
        self._take_packet = self.intake.take_packet
        self._take_chunk = self.intake.take_chunk

    def take_packet(self, data: bytes, now: float) -> bool:
        if self._detours or self._queue.bytes > self._max_backlog or self._session.congested:
            return False
        block = self._take_packet(data, now)
        if block:
            self._push(block)
        return block is not None

    def ingest(self, data: bytes, now: float) -> None:
        if not (self._detours or self._queue.bytes > self._max_backlog or self._session.congested):
            block = self._take_chunk(data, now)
            if block is not None:
                if block:
                    self._push(block)
                return
        self.admit(self.duration(data), now)
        self._hear(data)

    @property
    def _detours(self) -> bool:
        """Whether there is more to do than to hand blocks on."""
        return self._muted or self.tee is not None

    def duration(self, payload: bytes) -> int:
        frames, odd = divmod(len(payload), self._frame_bytes)
        if odd:
            raise BadAudio(
                f"{len(payload)} bytes are not a whole number of {self._frame_bytes}-byte samples ({self.audio}); "
                "nothing of this message was taken"
            )
        return frames

    async def finish(self) -> None:
        await super().finish()
        if not self._decoder.passthrough:
            self._transcriber.push(self._decoder.flush())

    def _hear(self, payload: bytes) -> None:
        self._settle()
        if self._muted:
            self._skip(round(len(payload) / self._frame_bytes / self.clock_rate * self._engine_rate))
        else:
            if self.tee is not None:
                self.tee(payload)
            self._push(payload)

    def _miss(self, samples: int) -> None:
        self._settle()
        seconds = samples / self.clock_rate
        missing = round(seconds * self._engine_rate)
        if seconds <= MAX_FILLED_GAP_S and not self._muted:
            self._transcriber.push(bytes(2 * missing))
        else:
            self._skip(missing)

    def _settle(self) -> None:
        if block := self.intake.take_block():
            self._push(block)

    def _decode(self, data: bytes) -> None:
        self._transcriber.push(self._decoder.decode(data))


class OpusInflow(Inflow):
    """The way in of Opus, by the packet or in a container.

    How much audio a container's bytes hold is known once they were taken. They may therefore go over the pace; then
    nothing more is taken until the debt is paid off, and what was taken is decoded in slices.
    """

    def __init__(self, options: InflowOptions) -> None:
        super().__init__(options)
        self._decoder = LiveOpus(options.audio.encoding, options.engine_rate)
        self._packets = options.audio.encoding is Encoding.OPUS
        self._units = self._decoder.clock_rate // self.clock_rate
        self._later: asyncio.TimerHandle | None = None

    def ingest(self, data: bytes, now: float) -> None:
        if self._packets:
            self.admit(self.duration(data), now)
            self._hear(data)
            return
        self._keep_pace(self.intake.pace(0.0, now))
        self._check_room(0)
        self._charge(self._decoder.push(data), now)
        self._decode()
        self._decoder.check()

    def duration(self, payload: bytes) -> int:
        return self._decoder.duration(payload) // self._units

    async def finish(self) -> None:
        await super().finish()
        if self._later is not None:
            self._later.cancel()
        self._decoder.finish()
        while self._decoder.waiting:
            await self._transcriber.ready(self._limits.max_backlog_s)
            self._decode_slice()
            await asyncio.sleep(0)
        self._transcriber.push(self._decoder.flush())
        self._decoder.check()

    def _charge(self, ready: int, now: float) -> None:
        """Account for what a container's bytes turned out to hold."""
        self.intake.samples += ready // self._units
        self.intake.charge(ready / self._decoder.clock_rate, now)

    def _hear(self, payload: bytes) -> None:
        if self.tee is not None and not self._muted:
            self.tee(payload)
        self._decoder.push(payload)
        self._decode()

    def _miss(self, samples: int) -> None:
        self._decoder.lost(samples * self._units)

    def _settle(self) -> None:
        if self._decoder.waiting:
            self._decode_slice()

    def _decode(self) -> None:
        self._later = None
        if not self._full:
            self._decode_slice()
        if self._decoder.waiting:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(FULL_PAUSE_S if self._full else 0.0, self._decode)

    def _decode_slice(self) -> None:
        for gap, pcm in self._decoder.decode(SLICE_S):
            if gap:
                self._skip(gap)
            if self._muted:
                self._skip(len(pcm) // 2)
            else:
                self._transcriber.push(pcm)


def open_inflow(options: InflowOptions) -> Inflow:
    """The way in of a format."""
    return OpusInflow(options) if options.audio.encoding in OPUS_ENCODINGS else SampledInflow(options)
