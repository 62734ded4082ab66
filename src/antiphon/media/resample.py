"""Sample rate conversion of one channel, shared by live streams and files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]
"""One channel as 32-bit floats on the scale of 16-bit PCM: full scale is 32768."""


def to_s16le(samples: Samples) -> bytes:
    """Round to 16-bit little-endian PCM; what is out of range is clipped, never wrapped.

    ``samples`` is used as working memory.
    """
    np.rint(samples, out=samples)
    np.clip(samples, -32768, 32767, out=samples)
    return samples.astype("<i2").tobytes()


class MonoResampler:
    """One channel at one sample rate in, mono s16le at another out.

    The low-pass filter is soxr's HQ: linear phase, pass band to 91 % of the lower Nyquist frequency, stop band over
    100 dB down. What has gone in and not come out is at most about 0.12 s of audio. The output does not depend on
    how the input is cut into pieces.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._stream: Any = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> bytes:
        """Convert the next samples. ``samples`` is used as working memory; the output may lag behind."""
        if self._stream is None:
            return to_s16le(samples)
        return to_s16le(self._stream.resample_chunk(samples))

    def flush(self) -> bytes:
        """What the filter still holds. The next :meth:`push` begins a new stream."""
        if self._stream is None:
            return b""
        tail: bytes = to_s16le(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
        self._stream.clear()
        return tail
