"""Interleaved rounds of several sides: CPU for a participant's slot, each side near saturation."""

from __future__ import annotations

import statistics
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.host import Cores, core_seconds
from bench.janus import JanusError
from bench.report import Table
from bench.rounds import OTHERS_LIMIT
from bench.rtc.generator import GeneratorError, Plan
from bench.rtc.sides import Side

BUSY = 0.7
"""Share of its core a server is brought to: a lightly loaded one pays a wake-up for each packet, a busy one none."""

GENERATOR_BUSY = 0.8
COMPLETE = 0.99
"""Share of the packets that must come back for a round to count."""

LATE = 0.01
"""Seconds by which packets may be sent too late on average; beyond, they go out in bursts, which cost servers less."""

TRIES = 4
CALIBRATIONS = 5

Say = Callable[[str], None]


class RoundError(Exception):
    """A server did not serve everybody, or was not given what it should have been."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen in one round.

    Attributes:
        cost: CPU seconds for a participant's slot.
        load: Share of the core that the server used.
        others: Share of it that went to anything else.
        outcome: As the generator told it.
    """

    cost: float
    load: float
    others: float
    outcome: dict[str, Any]


@dataclass(slots=True)
class Row:
    """What was seen of one side.

    Attributes:
        by_round: What was seen in each round that counts.
        skipped: Why there are no samples; empty where there are.
    """

    side: Side
    by_round: dict[int, Sample] = field(default_factory=dict)
    skipped: str = ""

    @property
    def samples(self) -> list[Sample]:
        """All of them."""
        return list(self.by_round.values())

    @property
    def costs(self) -> list[float]:
        """The cost of each round, in CPU seconds a slot."""
        return [sample.cost for sample in self.samples]

    @property
    def cost(self) -> float:
        """Median cost."""
        return statistics.median(self.costs)

    def middle(self, value: Callable[[Sample], float]) -> float:
        """Median of something over the rounds."""
        return statistics.median(value(sample) for sample in self.samples)

    def figures(self) -> dict[str, Any]:
        """All of it, for programs."""
        samples = [
            {"cost": s.cost, "load": s.load, "others": s.others, "outcome": _brief(s.outcome)} for s in self.samples
        ]
        return {"skipped": self.skipped, "participants": self.side.slots, "samples": samples}


def _brief(outcome: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name not in {"by_peer", "heard", "said"}}


def measured(side: Side, cores: Cores, seconds: float, *, precise: bool = False) -> Sample:
    """One round.

    Raises:
        RoundError: It does not count.
    """
    marks: list[tuple[float, float, float]] = []

    def mark() -> None:
        marks.append((time.monotonic(), side.tree.cpu_seconds(), core_seconds(cores.server)))

    plan = Plan(side.senders, seconds, interval=side.interval, tag=side.tag, precise=precise)
    outcome = side.generator.run(plan, mark, mark)
    (start, before, all_before), (end, after, all_after) = marks
    slots = side.slots * (end - start) * 1000 / side.interval
    spent = after - before
    share = spent / (end - start)
    if outcome["received"] < COMPLETE * slots:
        raise RoundError(f"{side.name}: {outcome['received']} packets came back for {slots:.0f} slots")
    if outcome["late_mean"] > LATE:
        raise RoundError(f"{side.name}: packets were sent {outcome['late_mean'] * 1000:.0f} ms late")
    others = max((all_after - all_before) / (end - start) - share, 0.0)
    return Sample(spent / slots, share, others, outcome)


def repeated(measure: Callable[[], Sample], say: Say) -> Sample:
    """A round, once more where something else kept the machine from serving everybody."""
    for _ in range(TRIES - 1):
        try:
            return measure()
        except RoundError as failure:
            say(f"round repeated: {failure}")
    return measure()


def calibrate(side: Side, cores: Cores, seconds: float, say: Say) -> None:
    """Give a side as many units as bring it or the generator near saturation."""
    side.grow(side.first)
    for _ in range(CALIBRATIONS):
        failures: list[str] = []
        try:
            sample = repeated(partial(measured, side, cores, seconds), failures.append)
        except RoundError as failure:
            failures.append(str(failure))
        for line in failures:
            say(line)
        if failures and side.units > side.first:
            # It is beyond what it can do, or at the edge of it.
            return
        if len(failures) == TRIES:
            raise RoundError(failures[-1])
        busy = sample.outcome["busy"]
        say(
            f"{side.name}: {side.slots} participants take {sample.load:.0%} of the core, {sample.cost * 1e6:.1f} µs a "
            f"slot; generator {busy:.0%}"
        )
        # A slot costs less the more of them there are, so the first guesses are low.
        room = min(BUSY / max(sample.load, 1e-3), GENERATOR_BUSY / max(busy, 1e-3))
        wanted = min(int(side.units * room), side.most)
        if wanted <= side.units * 1.15:
            return
        side.grow(wanted)


FAILURES = (GeneratorError, JanusError, RoundError, OSError, urllib.error.URLError)


def compare(
    sides: Sequence[Side],
    cores: Cores,
    rounds: int,
    seconds: float,
    say: Say,
    *,
    units: int = 0,
    precise: bool = False,
) -> list[Row]:
    """Start all sides and measure them in turn, in rotating order.

    Args:
        sides: Who takes part.
        cores: Where servers and load run.
        rounds: Measurements of each.
        seconds: Of each measurement.
        say: Told what is going on.
        units: Give each side so many participants, instead of as many as bring it near saturation.
        precise: Send packets one by one, for delays.
    """
    rows = [Row(side, skipped=side.missing()) for side in sides]
    with ExitStack() as stack:
        for row in rows:
            if row.skipped:
                continue
            try:
                _begin(row.side, cores, stack, units, partial(calibrate, row.side, cores, min(seconds, 1.5), say))
            except FAILURES as failure:
                _give_up(row, failure, say)
        for turn in range(rounds):
            for at in range(len(rows)):
                row = rows[(at + turn) % len(rows)]
                if row.skipped:
                    continue
                try:
                    with _present(row.side, cores):
                        row.by_round[turn] = repeated(partial(measured, row.side, cores, seconds, precise=precise), say)
                except RoundError as failure:
                    say(f"round left out: {failure}")
                except FAILURES as failure:
                    _give_up(row, failure, say)
    for row in rows:
        if not row.by_round:
            row.skipped = row.skipped or "no round counts: the machine has other things to do"
    return rows


def _begin(side: Side, cores: Cores, stack: ExitStack, units: int, calibrated: Callable[[], None]) -> None:
    """Start a side and give it its participants; it stays until the end of ``stack``, unless it is restless."""
    with ExitStack() as own:
        side.start(own, cores)
        if units:
            side.grow(max(units // side.unit, 1))
        else:
            calibrated()
        if not side.restless:
            stack.push(own.pop_all())


@contextmanager
def _present(side: Side, cores: Cores) -> Iterator[None]:
    """A side as it was calibrated: a restless one has to be started for that."""
    with ExitStack() as stack:
        if side.restless:
            units = side.units
            side.start(stack, cores)
            side.grow(units)
        yield


def _give_up(row: Row, failure: Exception, say: Say) -> None:
    row.skipped = f"failed: {failure}"
    row.by_round.clear()
    say(f"{row.side.name} {row.skipped}")


@dataclass(frozen=True, slots=True)
class Aim:
    """What our cost should be.

    Attributes:
        ours: Name of our row.
        peer: Of the row that it is compared with; empty where it is compared with nothing.
        times: How many times less than the peer ours should be at least.
        microseconds: What ours should be at most.
    """

    ours: str
    peer: str = ""
    times: float = 0.0
    microseconds: float = 0.0


def table(title: str, rows: Sequence[Row], aims: Sequence[Aim], *, slot: str = "µs a slot") -> Table:
    """The figures, with the aims below."""
    peer = aims[0].peer
    base = next((row for row in rows if row.side.name == peer and row.samples), None)
    columns = ("", slot, "range", "participants", "load", "generator", "kb/s out", "participants a core")
    made = Table(title, (*columns, f"times {peer}") if peer else columns)
    for row in rows:
        if row.skipped or not row.samples:
            made.rows.append((row.side.name, *["-"] * (len(made.columns) - 1)))
            made.notes.append(f"SKIPPED {row.side.name}: {row.skipped}")
            continue
        interval = row.side.interval / 1000
        rate = row.middle(lambda s: 8 * s.outcome["octets"] / max(s.outcome["received"], 1)) / interval
        cells = (
            row.side.name,
            f"{row.cost * 1e6:.1f}",
            f"{min(row.costs) * 1e6:.1f}-{max(row.costs) * 1e6:.1f}",
            f"{row.side.slots}",
            f"{row.middle(lambda s: s.load):.0%}",
            f"{row.middle(lambda s: s.outcome['busy']):.0%}",
            f"{rate / 1000:.0f}",
            f"{interval / row.cost:.0f}",
        )
        made.rows.append((*cells, f"{base.cost / row.cost:.2f}" if base else "-") if peer else cells)
        if (others := row.middle(lambda s: s.others)) > OTHERS_LIMIT:
            made.notes.append(f"{row.side.name}: other processes took {others:.0%} of the core")
    by_name = {row.side.name: row for row in rows if row.samples}
    made.notes += [line for aim in aims if (line := _verdict(aim, by_name))]
    return made


def _verdict(aim: Aim, rows: dict[str, Row]) -> str:
    ours, peer = rows.get(aim.ours), rows.get(aim.peer)
    if ours is not None and aim.microseconds:
        verdict = "met" if ours.cost * 1e6 <= aim.microseconds else "MISSED"
        return f"{aim.ours}: {ours.cost * 1e6:.1f} µs, aim at most {aim.microseconds:g}: {verdict}"
    if ours is None or peer is None:
        return ""
    both = ours.by_round.keys() & peer.by_round.keys()
    pairs = [peer.by_round[turn].cost / ours.by_round[turn].cost for turn in both] or [peer.cost / ours.cost]
    value = peer.cost / ours.cost
    verdict = "met" if value >= aim.times else "MISSED"
    return (
        f"{aim.peer} takes {value:.2f} times what {aim.ours} does (rounds {min(pairs):.2f}-{max(pairs):.2f}), "
        f"aim at least {aim.times:g}: {verdict}"
    )
