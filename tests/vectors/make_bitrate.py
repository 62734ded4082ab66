"""Write ``bitrate.json``: what the adaptive bitrate controller must answer, for its implementations in every language.

Run as ``python tests/vectors/make_bitrate.py [--check]``. The answers come from the model below, which is written for
being read and shares no code with the controller.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "bitrate.json"
CONDITIONS = ["excellent", "good", "fair", "poor"]
# Milliseconds and percent below which each condition holds; poor is what remains.
ROUND_TRIPS = [50, 100, 200]
LOSSES = [1, 3, 5]
DEFAULTS = {
    "start": 128_000,
    "minimum": 32_000,
    "maximum": 256_000,
    "increase": 1.2,
    "decrease": 0.8,
    "interval": 1.0,
    "margin": 0.1,
    "patience": 3.0,
    "utilisation": 0.75,
    "most_expected_loss": 20,
    "expected_loss_fall": 1.0,
}

Step = tuple[float, float, float, int | None]
"""Seconds, milliseconds of round trip, percent of loss, bits a second sent."""


def condition_of(milliseconds: float, percent: float, shrink: float = 1.0) -> int:
    """The index of the condition, with thresholds multiplied by ``shrink``."""
    by_time = sum(milliseconds >= limit * shrink for limit in ROUND_TRIPS)
    by_loss = sum(percent >= limit * shrink for limit in LOSSES)
    return max(by_time, by_loss)


def model(options: dict[str, Any], steps: list[Step]) -> list[dict[str, Any]]:
    """What the controller answers to each step, found from the whole past each time."""
    o = DEFAULTS | options
    answers: list[dict[str, Any]] = []
    rate, believed = o["start"], -1
    changes: list[float] = []
    streak: list[tuple[float, int]] = []  # clearly better observations in a row
    for number, (now, milliseconds, percent, sent) in enumerate(steps):
        measured = condition_of(milliseconds, percent)
        clearly = condition_of(milliseconds, percent, 1 - o["margin"])
        if believed < 0 or measured > believed:
            believed, streak = measured, []
        elif clearly < believed:
            streak.append((now, clearly))
            if now - streak[0][0] > o["patience"] - 1e-9:
                believed, streak = max(index for _, index in streak), []
        else:
            streak = []
        before = rate
        may_change = not changes or now - changes[-1] > o["interval"] - 1e-9
        uses_it = sent is None or sent >= o["utilisation"] * rate
        if CONDITIONS[believed] == "poor":
            rate = o["minimum"]
        elif CONDITIONS[believed] == "fair" and may_change:
            rate = max(math.floor(rate * o["decrease"]), o["minimum"])
        elif CONDITIONS[believed] == "excellent" and may_change and uses_it:
            rate = min(math.floor(rate * o["increase"]), o["maximum"])
        if rate != before:
            changes.append(now)
        # The highest of all losses so far, each less what has worn off since.
        worn = [past[2] - o["expected_loss_fall"] * (now - past[0]) for past in steps[: number + 1]]
        expected = min(max(math.ceil(max(worn) - 1e-6), 0), o["most_expected_loss"])
        answers.append(
            {
                "condition": CONDITIONS[believed],
                "bitrate": rate,
                "expected_loss": expected,
                "changed": rate != before,
            }
        )
    return answers


def every(seconds: float, count: int, *values: tuple[float, float, int | None], start: float = 0.0) -> list[Step]:
    """So many steps in a row, ``values`` over and over."""
    return [(round(start + number * seconds, 6), *values[number % len(values)]) for number in range(count)]


SCENARIOS: list[tuple[str, dict[str, Any], list[Step]]] = [
    ("an excellent network climbs to the maximum and stays", {}, every(1, 8, (20, 0, None))),
    ("a good network changes nothing", {}, every(1, 5, (80, 0.5, None))),
    ("a fair network goes down to the minimum and stays", {}, every(1, 9, (150, 4, None))),
    ("a poor network is at the minimum at once", {}, every(1, 3, (20, 6, None))),
    ("the thresholds themselves belong to the worse condition", {"patience": 0.0, "margin": 0.0},
     [(0, 49.9, 0.9, None), (10, 50, 0.9, None), (20, 20, 1, None), (30, 100, 0, None), (40, 0, 3, None),
      (50, 200, 0, None), (60, 0, 0, None), (70, 0, 5, None)]),
    ("the worse of the two measures decides", {"patience": 0.0},
     [(0, 20, 4, None), (10, 150, 0, None), (20, 20, 2, None), (30, 300, 0, None), (40, 20, 0.1, None)]),
    ("round trips about a threshold change the condition once", {}, every(0.5, 16, (49, 0, None), (51, 0, None))),
    ("losses about a threshold change the condition once", {}, every(0.5, 16, (20, 2.9, None), (20, 3.1, None))),
    ("a better condition is believed after the patience", {}, every(1, 1, (120, 0, None)) +
     every(1, 6, (70, 0, None), start=1)),
    ("of what was better in the meantime, the worst is believed", {},
     [(0, 300, 0, None), (1, 10, 0, None), (2, 80, 0, None), (3, 10, 0, None), (4, 10, 0, None), (5, 10, 0, None),
      (6, 10, 0, None), (7, 10, 0, None), (8, 10, 0, None)]),
    ("one bad second starts the patience anew", {},
     [(0, 70, 0, None), (1, 20, 0, None), (2, 20, 0, None), (3, 70, 0, None), (4, 20, 0, None), (5, 20, 0, None),
      (6, 20, 0, None), (7, 20, 0, None)]),
    ("who sends less than the rate gets no more", {},
     [(0, 20, 0, 90_000), (1, 20, 0, 95_999), (2, 20, 0, 96_000), (3, 20, 0, 96_000), (4, 20, 0, 150_000)]),
    ("who sends less than the rate is still slowed down", {}, every(1, 3, (150, 0, 10_000))),
    ("changes keep their interval, but for the fall to the minimum", {},
     [(0, 20, 0, None), (0.25, 20, 0, None), (0.5, 150, 0, None), (0.9, 150, 0, None), (1.0, 150, 0, None),
      (1.1, 500, 0, None), (1.2, 500, 0, None)]),
    ("the expected loss rises at once and falls slowly", {},
     [(0, 20, 0, None), (1, 20, 7, None), (2, 20, 0, None), (3.5, 20, 0, None), (4, 20, 5.2, None), (6, 20, 0.5, None),
      (9, 20, 0, None), (12, 20, 0, None)]),
    ("the expected loss is bounded", {"most_expected_loss": 15}, [(0, 20, 80, None), (30, 20, 2, None)]),
    ("other settings", {"start": 24_000, "minimum": 12_000, "maximum": 48_000, "increase": 1.5, "decrease": 0.5,
                        "interval": 2.0, "patience": 1.0, "utilisation": 0.5, "expected_loss_fall": 0.0},
     [(0, 20, 0, 12_000), (1, 20, 0, 40_000), (2, 20, 0, 40_000), (4, 150, 4, None), (6, 150, 0, None),
      (7, 20, 0, 0), (8, 20, 0, 20_000), (10, 20, 0, 20_000)]),
]  # fmt: skip


def text() -> str:
    """The whole file, a step a line."""
    scenarios = []
    for name, options, steps in SCENARIOS:
        lines = []
        for (now, milliseconds, percent, sent), answer in zip(steps, model(options, steps), strict=True):
            step = {"now": now, "round_trip": milliseconds / 1000, "loss": percent / 100, "sent": sent, "then": answer}
            lines.append("      " + json.dumps(step))
        head = f'    {{"name": {json.dumps(name)}, "options": {json.dumps(options)}, "steps": [\n'
        scenarios.append(head + ",\n".join(lines) + "\n    ]}")
    return (
        f'{{\n  "units": "seconds, shares of one, bits a second; expected_loss in percent",\n'
        f'  "defaults": {json.dumps(DEFAULTS)},\n  "scenarios": [\n' + ",\n".join(scenarios) + "\n  ]\n}\n"
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(VECTORS.read_text() != text())
    VECTORS.write_text(text())
