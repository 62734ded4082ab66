"""Live PCM: from any sample rate and channel count to what recognisers take."""

from __future__ import annotations

import math

import numpy as np

from antiphon.errors import BadAudio, UnsupportedFormat
from antiphon.formats import AudioFormat, Encoding
from antiphon.media.resample import MonoResampler, Samples


class PcmConverter:
    """16-bit little-endian interleaved PCM in, mono s16le at one rate out, as a stream.

    Over a whole stream, :meth:`convert` and :meth:`flush` together give ``frames * sample_rate / source.sample_rate``
    samples, rounded to the nearest, the same ones however the input is cut into pieces.

    Args:
        source: What comes in; its encoding must be ``pcm_s16le``.
        sample_rate: Hertz of what goes out.

    Raises:
        UnsupportedFormat: The source is not PCM.
    """

    def __init__(self, source: AudioFormat, sample_rate: int = 16_000) -> None:
        if source.encoding is not Encoding.PCM_S16LE:
            raise UnsupportedFormat(
                f"{source.encoding.value} is not PCM and cannot be converted as such; send pcm_s16le"
            )
        self._source = source
        self._frame_bytes = source.frame_bytes
        self._passthrough = source.channels == 1 and source.sample_rate == sample_rate
        self._resampler = MonoResampler(source.sample_rate, sample_rate)

    @property
    def passthrough(self) -> bool:
        """Whether the source is already mono at the target rate, so that bytes go through untouched."""
        return self._passthrough

    def convert(self, data: bytes) -> bytes:
        """Convert the next piece of the stream; with :attr:`passthrough`, the same object comes back.

        Args:
            data: Whole sample frames, any number of them.

        Returns:
            Mono s16le. While resampling it lags behind the input by up to about 0.12 s, so it may be empty.

        Raises:
            BadAudio: The piece ends within a sample frame. The stream is unchanged and may go on.
        """
        if len(data) % self._frame_bytes:
            raise BadAudio(
                f"{len(data)} bytes are not whole sample frames of {self._frame_bytes} bytes ({self._source});"
                f" send a multiple of {self._frame_bytes} bytes"
            )
        if self._passthrough:
            return data
        return self._resampler.push(self._mono(data))

    def flush(self) -> bytes:
        """End the stream: what the resampler still holds. A later :meth:`convert` begins a new stream."""
        return self._resampler.flush()

    def _mono(self, data: bytes) -> Samples:
        # Eight 16-bit samples sum exactly in a 32-bit float (24 bits of significand), so the mean of any
        # channel count that a live stream may have is free of overflow and of rounding in the sum.
        samples = np.frombuffer(data, "<i2").astype(np.float32)
        channels = self._source.channels
        if channels == 1:
            return samples
        mono: Samples = samples.reshape(-1, channels).sum(axis=1, dtype=np.float32)
        mono /= np.float32(channels)
        return mono


def rms_dbfs(pcm: bytes) -> float:
    """The level of s16le PCM: 20 log10(RMS / 32768) in dBFS.

    A full-scale sine is -3.01, a full-scale square wave 0; digital silence and no samples at all are ``-inf``.

    Raises:
        ValueError: An odd number of bytes.
    """
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    if not samples.size:
        return -math.inf
    power = float(np.dot(samples, samples)) / samples.size
    return 10 * math.log10(power / 32768**2) if power else -math.inf
