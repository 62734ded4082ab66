"""What a client should send with: by what the server sees of its packets, and what the client says of its way here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.media.bitrate import AdaptiveBitrateController
from antiphon.protocol.rtp import SequenceStats

INTERVAL_S = 1.0
"""Seconds between two looks, at least."""
FRESH_S = 10.0
"""Seconds for which a client's word counts."""
JITTER_ROUND_TRIPS = 2.0
"""A way on which packets vary by so much takes at least so many times that there and back."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a client measured, as far as it makes sense.

    Attributes:
        round_trip: Seconds; None where the client does not say.
        loss: Share of what went either way, 0 to 1.
        sent: Bits a second; None where the client does not say.
    """

    round_trip: float | None = None
    loss: float = 0.0
    sent: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Report:
        """Read ``stats``; what is no number, or can't be true, is left out."""
        round_trip, loss, sent = (_number(values.get(name)) for name in ("roundTrip", "loss", "sent"))
        return cls(
            None if round_trip is None else round_trip / 1000,
            min(1.0, loss or 0.0),
            None if sent is None else min(int(sent), 2**32 - 1),
        )


class BitrateAdvice:
    """Watches one stream of numbered packets. Has no clock: the caller says what time it is.

    Args:
        stats: What was counted before.
        clock_rate: Units of the stream's timestamps a second.
        now: Seconds on any clock.
    """

    def __init__(self, stats: SequenceStats, clock_rate: int, now: float) -> None:
        self._before = stats
        self._clock_rate = clock_rate
        self._looked_at = now
        self._report = Report()
        self._reported_at = -math.inf
        self._controller = AdaptiveBitrateController()

    def report(self, report: Report, now: float) -> None:
        """The client has measured something."""
        self._report, self._reported_at = report, now

    def look(self, stats: SequenceStats, now: float) -> int | None:
        """What the client should be told: bits a second; None where there is nothing new to say."""
        if now - self._looked_at < INTERVAL_S:
            return None
        self._looked_at = now
        before, self._before = self._before, stats
        lost = max(0, stats.lost - before.lost)
        expected = lost + max(0, stats.received - before.received)
        if not expected:
            # who sends nothing tells nothing of the way
            return None
        told = self._report if now - self._reported_at <= FRESH_S else Report()
        jitter = stats.jitter / self._clock_rate
        decision = self._controller.update(
            now,
            round_trip=max(told.round_trip or 0.0, JITTER_ROUND_TRIPS * jitter),
            loss=max(told.loss, lost / expected),
            sent=told.sent,
        )
        return decision.bitrate if decision.changed else None


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        return None
    return float(value)
