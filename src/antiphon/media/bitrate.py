"""Adaptive bitrate: from round-trip time and loss to the encoder's bitrate and its expected loss.

============  ===========  =======  =======================
condition     round trip   loss     bitrate
============  ===========  =======  =======================
excellent     < 50 ms      < 1 %    x 1.2
good          < 100 ms     < 3 %    as it is
fair          < 200 ms     < 5 %    x 0.8
poor          from there   from there  the minimum, at once
============  ===========  =======  =======================

Both measures must be below their bounds. A worse condition is believed at once, a better one when it has lasted and has
kept clear of the bounds; there is no increase while the sender does not use the bitrate that it has.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from antiphon._native import BitrateController

__all__ = ["AdaptiveBitrateController", "BitrateDecision", "BitrateOptions", "NetworkCondition"]


class NetworkCondition(StrEnum):
    """How the network does, best first."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


@dataclass(frozen=True, slots=True)
class BitrateOptions:
    """Settings of an :class:`AdaptiveBitrateController`.

    Attributes:
        start: Bits a second to begin with.
        minimum: Lowest bits a second.
        maximum: Highest bits a second.
        increase: Factor of an increase, above 1.
        decrease: Factor of a decrease, between 0 and 1.
        interval: Least seconds between two changes, but for the fall to the minimum.
        margin: Share of a bound by which a measure must stay below it for a better condition, 0 to below 1.
        patience: Seconds for which it must.
        utilisation: Share of the bitrate that the sender must have used for an increase, 0 to 1.
        most_expected_loss: Highest loss told to the encoder, percent.
        expected_loss_fall: Percentage points a second by which the loss told to the encoder falls.
    """

    start: int = 128_000
    minimum: int = 32_000
    maximum: int = 256_000
    increase: float = 1.2
    decrease: float = 0.8
    interval: float = 1.0
    margin: float = 0.1
    patience: float = 3.0
    utilisation: float = 0.75
    most_expected_loss: int = 20
    expected_loss_fall: float = 1.0


@dataclass(frozen=True, slots=True)
class BitrateDecision:
    """What follows from a measurement.

    Attributes:
        condition: The one that is believed.
        bitrate: Bits a second for the encoder.
        expected_loss: Percent of loss to tell the encoder, for its forward error correction.
        changed: Whether the bitrate is another than before.
    """

    condition: NetworkCondition
    bitrate: int
    expected_loss: int
    changed: bool


class AdaptiveBitrateController:
    """Decides the bitrate of one sender. Has no clock: the caller says what time it is.

    Raises:
        ValueError: Options that make no sense; the message names the option and its bounds.
    """

    def __init__(self, options: BitrateOptions | None = None) -> None:
        self.options = options or BitrateOptions()
        self._machine = BitrateController(**dataclasses.asdict(self.options))

    @property
    def bitrate(self) -> int:
        """Bits a second for the encoder."""
        return self._machine.bitrate

    @property
    def condition(self) -> NetworkCondition | None:
        """The condition that is believed, None before the first update."""
        condition = self._machine.condition
        return None if condition is None else NetworkCondition(condition)

    @property
    def expected_loss(self) -> int:
        """Percent of loss to tell the encoder."""
        return self._machine.expected_loss

    def update(self, now: float, *, round_trip: float, loss: float, sent: int | None = None) -> BitrateDecision:
        """Take what was measured since the last update.

        Args:
            now: Seconds on any clock; a time before the last one counts as the last one.
            round_trip: Seconds.
            loss: Share of the packets that were lost, 0 to 1.
            sent: Bits a second that were really sent, None where that is not known. A sender that uses less than
                ``utilisation`` of its bitrate gets no more.

        Raises:
            ValueError: A value that is not finite, negative, or a loss above 1; nothing was changed.
        """
        condition, bitrate, expected_loss, changed = self._machine.update(now, round_trip, loss, sent)
        return BitrateDecision(NetworkCondition(condition), bitrate, expected_loss, changed)

    def __repr__(self) -> str:
        return f"<AdaptiveBitrateController at {self.bitrate} b/s, {self.condition or 'nothing measured'}>"
