"""Where speech begins and ends, from voice activity. Sans-IO: time is counted in samples.

The detector is the one of WebRTC (a Gaussian mixture over six bands), as the PocketSphinx package carries it. Its frame
decisions are noisy, so an onset needs several voiced frames out of the last few, and an end needs a stretch of silence.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pocketsphinx import Vad

FRAME_MS = 20
WARM_UP_MS = 160
"""The detector learns the noise from the first frames and takes them for speech meanwhile; they do not count, but are
short enough to be in the pre-roll of whoever speaks at once."""


@dataclass(frozen=True, slots=True)
class EndpointerOptions:
    """When speech counts as begun and as over.

    Attributes:
        aggressiveness: 0 (takes much for speech) to 3 (takes little), as WebRTC's detector counts.
        onset_ms: Voiced milliseconds, out of twice as many, that begin an utterance.
        preroll_ms: Audio before the onset that belongs to the utterance, in milliseconds.
        silence_ms: Unvoiced milliseconds that end an utterance.
        tail_ms: How much of that silence still goes to the recogniser, in milliseconds.
        max_utterance_s: An utterance is cut at this length, in seconds.
    """

    aggressiveness: int = 2
    onset_ms: int = 60
    preroll_ms: int = 300
    silence_ms: int = 600
    tail_ms: int = 300
    max_utterance_s: float = 30.0


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """An utterance begins at sample `at` (its pre-roll included)."""

    at: int


@dataclass(frozen=True, slots=True)
class SpeechAudio:
    """The next audio of the utterance, 16-bit mono PCM."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class SpeechPause:
    """As much silence as the recogniser gets has passed; the utterance ends if more of it follows."""


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """The utterance is over; its audio reached up to sample `at`."""

    at: int


SpeechEvent = SpeechStart | SpeechAudio | SpeechPause | SpeechEnd


class Endpointer:
    """Cuts a stream of 16-bit mono PCM into utterances.

    Args:
        sample_rate: Hertz; 8000, 16000, 32000 or 48000.
        options: When speech counts as begun and as over.
    """

    def __init__(self, sample_rate: int = 16_000, options: EndpointerOptions | None = None) -> None:
        self._options = options = options or EndpointerOptions()
        self._rate = sample_rate
        self._frame_samples = sample_rate * FRAME_MS // 1000
        self._frame_bytes = 2 * self._frame_samples
        self._vad = Vad(options.aggressiveness, sample_rate, FRAME_MS / 1000)
        self._silent_frame = bytes(self._frame_bytes)
        self._rest = b""
        self._samples = 0
        self._preroll: deque[bytes] = deque(maxlen=max(1, options.preroll_ms // FRAME_MS))
        onset = max(1, options.onset_ms // FRAME_MS)
        self._onset = onset
        self._recent: deque[bool] = deque(maxlen=2 * onset)
        self._warm_up = WARM_UP_MS // FRAME_MS
        self._silence_frames = max(1, options.silence_ms // FRAME_MS)
        self._tail_frames = min(self._silence_frames, options.tail_ms // FRAME_MS)
        self._max_samples = int(options.max_utterance_s * sample_rate)
        self._speaking = False
        self._unvoiced = 0
        self._held: list[bytes] = []
        self._start = 0

    @property
    def speaking(self) -> bool:
        """True between a `SpeechStart` and its `SpeechEnd`."""
        return self._speaking

    @property
    def samples(self) -> int:
        """Samples taken so far."""
        return self._samples + len(self._rest) // 2

    def push(self, pcm: bytes) -> list[SpeechEvent]:
        """Take audio of any length that is a whole number of samples."""
        data = self._rest + pcm if self._rest else pcm
        size = self._frame_bytes
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        if not whole:
            return []
        is_speech = self._vad.is_speech
        events: list[SpeechEvent] = []
        speech: list[bytes] = []
        silent = self._silent_frame
        for offset in range(0, whole, size):
            frame = data[offset : offset + size]
            voiced = frame != silent and is_speech(frame)
            self._samples += self._frame_samples
            if self._speaking:
                self._continue(frame, voiced, speech, events)
            else:
                self._wait(frame, voiced, speech, events)
        if speech:
            events.append(SpeechAudio(b"".join(speech)))
        return events

    def flush(self) -> list[SpeechEvent]:
        """End the stream: what was begun is ended."""
        events: list[SpeechEvent] = []
        rest, self._rest = self._rest, b""
        self._samples += len(rest) // 2
        if self._speaking:
            if rest and not self._held:
                events.append(SpeechAudio(rest))
            self._end(events)
        self._preroll.clear()
        self._recent.clear()
        return events

    def skip(self, samples: int) -> list[SpeechEvent]:
        """Let `samples` samples pass that nobody sent (a gap): they end what was being said."""
        events = self.flush()
        self._samples += samples
        return events

    def _wait(self, frame: bytes, voiced: bool, speech: list[bytes], events: list[SpeechEvent]) -> None:
        self._preroll.append(frame)
        if self._warm_up:
            self._warm_up -= 1
            return
        self._recent.append(voiced)
        if voiced and sum(self._recent) >= self._onset:
            self._speaking = True
            self._unvoiced = 0
            self._start = self._samples - len(self._preroll) * self._frame_samples
            events.append(SpeechStart(self._start))
            speech.extend(self._preroll)
            self._preroll.clear()
            self._recent.clear()

    def _continue(self, frame: bytes, voiced: bool, speech: list[bytes], events: list[SpeechEvent]) -> None:
        if voiced:
            self._unvoiced = 0
            if self._held:
                speech.extend(self._held)
                self._held.clear()
            speech.append(frame)
        else:
            self._unvoiced += 1
            if self._unvoiced <= self._tail_frames:
                speech.append(frame)
                if self._unvoiced == self._tail_frames < self._silence_frames:
                    events.append(SpeechAudio(b"".join(speech)))
                    events.append(SpeechPause())
                    speech.clear()
            else:
                self._held.append(frame)
        over = self._unvoiced >= self._silence_frames
        if over or self._samples - self._start >= self._max_samples:
            if speech:
                events.append(SpeechAudio(b"".join(speech)))
                speech.clear()
            held = list(self._held)
            self._end(events)
            self._preroll.extend(held)

    def _end(self, events: list[SpeechEvent]) -> None:
        events.append(SpeechEnd(self._samples))
        self._speaking = False
        self._unvoiced = 0
        self._held.clear()
