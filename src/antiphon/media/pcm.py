"""Live PCM: from any sample rate and channel count to what recognisers take."""

from __future__ import annotations

from antiphon import _native
from antiphon.errors import BadAudio, UnsupportedFormat
from antiphon.formats import AudioFormat, Encoding


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
        self._native = _native.PcmConverter(source.sample_rate, source.channels, sample_rate)

    @property
    def passthrough(self) -> bool:
        """Whether the source is already mono at the target rate, so that bytes go through untouched."""
        return self._passthrough

    def convert(self, data: bytes) -> bytes:
        """Convert the next piece of the stream; with :attr:`passthrough`, the same object comes back.

        Args:
            data: Whole sample frames, any number of them.

        Returns:
            Mono s16le. While resampling it lags behind the input, so it may be empty: by 5 to 15 ms from 16 kHz and
            above, by 10 to 30 ms from 8 kHz, and by up to 60 ms from rates that share few divisors with the target,
            such as 11.025 kHz.

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
        return self._native.convert(data)

    def flush(self) -> bytes:
        """End the stream: what the resampler still holds. A later :meth:`convert` begins a new stream."""
        return self._native.flush()


def rms_dbfs(pcm: bytes) -> float:
    """The level of s16le PCM: 20 log10(RMS / 32768) in dBFS.

    A full-scale sine is -3.01, a full-scale square wave 0; digital silence and no samples at all are ``-inf``.

    Raises:
        ValueError: An odd number of bytes.
    """
    if len(pcm) % 2:
        raise ValueError(f"{len(pcm)} bytes are not a multiple of 2, the size of a sample")
    return _native.measure_level(pcm).rms_dbfs
