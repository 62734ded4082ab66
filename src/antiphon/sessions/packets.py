"""Audio of any rate as Opus packets of one format."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from antiphon.media.opus import OpusEncoderConfig
from antiphon.media.resample import Resampler

OPUS_CLOCK = 48_000
Samples = npt.NDArray[np.int16]


class Packets:
    """Makes packets of what it is given, a frame each. Not for two threads at once.

    Args:
        config: How they are made.
        source_rate: Hertz of what comes in: mono, signed 16-bit little-endian.
        skip: Packets of audio at the beginning that are not encoded.

    Attributes:
        pre_skip: Samples at 48 kHz that a decoder gives before the first of the audio (RFC 7845 section 4.2).
    """

    def __init__(self, config: OpusEncoderConfig, source_rate: int, skip: int = 0) -> None:
        self._encoder = config.encoder()
        self._frame = config.frame_samples
        self._rate = config.sample_rate
        self._resampler = None if source_rate == config.sample_rate else Resampler(source_rate, config.sample_rate)
        self._skip = skip * config.frame_samples
        self._rest: list[Samples] = []
        self._waiting = 0
        self._encoded = False
        self.pre_skip = pre_skip(config)

    def set_bitrate(self, bitrate: int) -> None:
        """From the next packet on, in bits a second."""
        self._encoder.bitrate = bitrate

    def push(self, pcm: bytes) -> list[bytes]:
        """Whole packets of the next audio; what is over waits."""
        samples: Samples = np.frombuffer(pcm, "<i2")
        return self._take(samples if self._resampler is None else self._resampler.push(samples))

    def flush(self) -> list[bytes]:
        """The last packets, filled up with silence so far that a decoder gives everything.

        What comes after this is another stretch of audio, in the same stream of packets.
        """
        packets = [] if self._resampler is None else self._take(self._resampler.flush_int16())
        if not self._encoded and not self._waiting:
            return packets
        # the encoder still holds its look-ahead
        ahead = self._encoder.lookahead
        packets += self._frames(np.zeros(ahead + -(self._waiting + ahead) % self._frame, np.int16))
        self._encoded = False
        return packets

    def _take(self, samples: Samples) -> list[bytes]:
        skipped = min(self._skip, samples.size)
        self._skip -= skipped
        return self._frames(samples[skipped:])

    def _frames(self, samples: Samples) -> list[bytes]:
        if not samples.size:
            return []
        self._rest.append(samples)
        self._waiting += samples.size
        whole = self._waiting - self._waiting % self._frame
        if not whole:
            return []
        joined = np.concatenate(self._rest)
        self._rest, self._waiting = [joined[whole:]], joined.size - whole
        self._encoded = True
        frames = (joined[start : start + self._frame] for start in range(0, whole, self._frame))
        return [self._encoder.encode(frame) for frame in frames]


def pre_skip(config: OpusEncoderConfig) -> int:
    """Samples at 48 kHz that a decoder gives before the first of the audio, where it is so encoded."""
    return config.encoder().lookahead * OPUS_CLOCK // config.sample_rate
