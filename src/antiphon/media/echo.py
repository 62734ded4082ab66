"""Acoustic echo cancellation: what a loudspeaker plays is taken out of what the microphone beside it records.

The *far end* is what is played, the *near end* what is recorded: mono, float32 of -1.0 to 1.0 or int16, in any multiple
of 10 ms. The echo may be up to 500 ms behind the far end.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self

from antiphon import _native
from antiphon._native import EchoMetrics

__all__ = ["EchoCanceller", "EchoConfig", "EchoMetrics", "EchoPreset"]

EchoPreset = Literal["partitioned", "nlms"]
"""Which canceller, with everything else as documented.

``partitioned``: delay estimation by coherence, a frequency-domain Kalman filter of 250 ms (Enzner and Vary, 2006) that
slows down by itself while the near end talks, residual echo suppression and comfort noise. What it gives out is 10 ms
late. ``nlms``: an adaptive filter of 512 samples in the time domain (step 0.1, leak 0.999), after which samples under
0.01 are made ten times quieter and noise of up to 0.001 is added. What it gives out is not late; the echo must begin
within 512 samples of the far end, or of the delay hinted at.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoConfig:
    """What an echo canceller takes, and how it works.

    A value out of range raises :class:`ValueError`, which says what is in it, once the canceller is made.
    """

    sample_rate: int = 16_000
    """Hertz of both ends: 8000, 16000, 32000 or 48000."""
    channels: int = 1
    """1: echo is cancelled before anything is mixed or spread."""
    mode: EchoPreset = "partitioned"
    """Which canceller. The fields from ``taps`` on are only for ``nlms``; their defaults are its preset."""
    delay_hint_ms: int | None = None
    """Milliseconds (0 to 500) from giving a far-end sample until its echo is in the near end, where they are known."""
    taps: int = 512
    """Samples of the adaptive filter, 1 to 8192."""
    step: float = 0.1
    """Step size of the adaptive filter, over 0 and under 2."""
    leak: float = 0.999
    """What the filter's coefficients are multiplied with for each sample, over 0 and up to 1."""
    suppression_threshold: float = 0.01
    """Samples quieter than this are taken to be residual echo; 0 to 1."""
    suppression_gain: float = 0.1
    """What they are multiplied with, 0 to 1."""
    comfort_noise: float = 0.001
    """Largest magnitude of the noise that is added to every sample, 0 to 1."""


class EchoCanceller(_native.EchoCanceller):
    """Takes the echo of a far end out of a near end.

    Methods (on :class:`antiphon._native.EchoCanceller`): ``process`` where both ends come together, ``analyse_render``
    and ``process_capture`` where each comes in its own time, ``set_delay_hint`` and ``metrics``.

    Args:
        config: What to make.

    Raises:
        ValueError: A value of the configuration isn't offered; the message lists what is.
    """

    def __new__(cls, config: EchoConfig | None = None) -> Self:
        config = config or EchoConfig()
        return super().__new__(cls, **{field.name: getattr(config, field.name) for field in fields(config)})
