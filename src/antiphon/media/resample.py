"""Sample rate conversion, shared by live streams and files.

:class:`Resampler` is the native one: float32 or int16, any number of channels up to 32, streaming.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from antiphon._native import Resampler

__all__ = ["MonoResampler", "Resampler", "Samples", "to_s16le"]

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

    What has gone in and not come out is at most ``latency_seconds`` of audio. The output does not depend on how the
    input is cut into pieces.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._stream = None if source_rate == target_rate else Resampler(source_rate, target_rate)
        self.latency_seconds = self._stream.latency_samples / target_rate if self._stream else 0.0

    def push(self, samples: Samples) -> bytes:
        """Convert the next samples. ``samples`` is used as working memory; the output may lag behind."""
        return to_s16le(samples if self._stream is None else self._stream.push(samples))

    def flush(self) -> bytes:
        """What the filter still holds. The next :meth:`push` begins a new stream."""
        return b"" if self._stream is None else to_s16le(self._stream.flush())
