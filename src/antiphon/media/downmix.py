"""From decoded frames of any sample format and channel layout to one channel of floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane

from antiphon.errors import UnsupportedFormat
from antiphon.media.resample import Samples

# numpy type and factor to the scale of 16-bit PCM, by FFmpeg's name of the packed sample format.
_SAMPLE_FORMATS: dict[str, tuple[type[np.generic], float]] = {
    "u8": (np.uint8, 256.0),
    "s16": (np.int16, 1.0),
    "s32": (np.int32, 1 / 65_536),
    "flt": (np.float32, 32_768.0),
    "dbl": (np.float64, 32_768.0),
}

# After ITU-R BS.775 table 2, before scaling to a sum of one: the centre carries the speech, the LFE channels none.
_WEIGHTS = {"FL": 0.7071, "FR": 0.7071, "FC": 1.0, "LFE": 0.0, "LFE2": 0.0}
_OTHER_WEIGHT = 0.5


def downmix_weights(channels: Sequence[str]) -> Samples:
    """What each channel contributes to mono; the weights sum to one.

    Args:
        channels: FFmpeg's names, such as ``FL``; mono, stereo and unnamed channels contribute equally.
    """
    weights = np.array([_WEIGHTS.get(name, _OTHER_WEIGHT) for name in channels], np.float32)
    if not weights.any():
        weights[:] = 1.0
    weights /= weights.sum()
    return weights


def mono(frame: AudioFrame, weights: Samples) -> Samples:
    """Mix a frame down.

    Args:
        frame: Decoded audio of as many channels as there are weights.
        weights: From :func:`downmix_weights`.

    Returns:
        ``frame.samples`` finite values, on the scale of 16-bit PCM, in memory of their own.

    Raises:
        UnsupportedFormat: A sample format that no accepted codec has.
    """
    name = frame.format.name
    planar = frame.format.is_planar
    try:
        dtype, scale = _SAMPLE_FORMATS[name.removesuffix("p") if planar else name]
    except KeyError:
        raise UnsupportedFormat(f"samples of format {name} are not taken; send 16-bit PCM") from None
    # AudioFrame.planes and to_ndarray read past the last plane when there are eight or more.
    if planar and len(weights) > 1:
        mixed = np.zeros(frame.samples, np.float32)
        for index, weight in enumerate(weights):
            mixed += weight * _floats(frame, index, dtype, scale, frame.samples)
        return mixed
    samples = _floats(frame, 0, dtype, scale, frame.samples * len(weights))
    if len(weights) == 1:
        return samples
    mixed = samples.reshape(-1, len(weights)) @ weights
    return np.ascontiguousarray(mixed, np.float32)


def _floats(frame: AudioFrame, plane: int, dtype: type[np.generic], scale: float, count: int) -> Samples:
    # PyAV's stubs do not say that a plane has the buffer protocol.
    raw: npt.NDArray[Any] = np.frombuffer(cast(Any, AudioPlane(frame, plane)), dtype, count)
    if dtype in (np.float32, np.float64):
        # One infinity or NaN would silence the resampler for good; loud peaks need no more than 12 dB of room.
        bounded = np.clip(raw, -4.0, 4.0)
        np.nan_to_num(bounded, copy=False)
        bounded *= scale
        peaks: Samples = bounded.astype(np.float32, copy=False)
        return peaks
    samples: Samples = raw.astype(np.float32)
    if dtype is np.uint8:
        samples -= np.float32(128)
    if scale != 1.0:
        samples *= np.float32(scale)
    return samples
