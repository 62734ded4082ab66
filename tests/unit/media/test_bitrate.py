"""The bitrate controller: the shared vectors, and its Python face."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.media.bitrate import AdaptiveBitrateController, BitrateDecision, BitrateOptions, NetworkCondition

VECTORS = Path(__file__).parents[2] / "vectors"
SCENARIOS: dict[str, Any] = {
    scenario["name"]: scenario for scenario in json.loads((VECTORS / "bitrate.json").read_text())["scenarios"]
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_shared_vectors_hold(name: str) -> None:
    controller = AdaptiveBitrateController(BitrateOptions(**SCENARIOS[name]["options"]))
    for step in SCENARIOS[name]["steps"]:
        then = step["then"]
        decision = controller.update(step["now"], round_trip=step["round_trip"], loss=step["loss"], sent=step["sent"])
        assert decision == BitrateDecision(
            NetworkCondition(then["condition"]), then["bitrate"], then["expected_loss"], then["changed"]
        ), step
        assert (controller.bitrate, controller.expected_loss) == (decision.bitrate, decision.expected_loss)
        assert controller.condition is decision.condition


def test_the_vectors_are_those_of_their_generator() -> None:
    subprocess.run([sys.executable, str(VECTORS / "make_bitrate.py"), "--check"], check=True, timeout=60)


def test_before_the_first_measure_there_is_no_condition() -> None:
    controller = AdaptiveBitrateController()
    assert (controller.bitrate, controller.condition, controller.expected_loss) == (128_000, None, 0)


def test_conditions_are_written_as_on_the_wire() -> None:
    assert [str(condition) for condition in NetworkCondition] == ["excellent", "good", "fair", "poor"]


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 1), st.floats(0, 0.3), st.none() | st.integers(0, 300_000)), max_size=40
    )
)
def test_the_bitrate_stays_within_its_bounds(steps: list[tuple[float, float, float, int | None]]) -> None:
    controller, now = AdaptiveBitrateController(), 0.0
    for wait, round_trip, loss, sent in steps:
        now += wait
        before = controller.bitrate
        decision = controller.update(now, round_trip=round_trip, loss=loss, sent=sent)
        assert 32_000 <= decision.bitrate <= 256_000
        assert decision.expected_loss <= 20
        if round_trip >= 0.2 or loss >= 0.05:
            assert decision.bitrate == 32_000
        if decision.bitrate > before:
            assert sent is None or sent >= 0.75 * before


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"now": math.nan}, "time"),
        ({"round_trip": -1.0}, "round trip"),
        ({"round_trip": math.inf}, "round trip"),
        ({"loss": 1.5}, "loss"),
        ({"loss": math.nan}, "loss"),
    ],
)
def test_what_cannot_be_measured_is_refused(values: dict[str, float], word: str) -> None:
    controller = AdaptiveBitrateController()
    with pytest.raises(ValueError, match=word):
        controller.update(**({"now": 0.0, "round_trip": 0.01, "loss": 0.0} | values))
    assert controller.condition is None


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"minimum": 200_000}, "minimum"),
        ({"increase": 0.9}, "increase"),
        ({"decrease": 1.1}, "decrease"),
        ({"utilisation": 2.0}, "utilisation"),
        ({"most_expected_loss": 101}, "percent"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        AdaptiveBitrateController(BitrateOptions(**options))
