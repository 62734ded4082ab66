"""Interleaved rounds of several servers, each near saturation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.host import Cores
from bench.links import Link, LinkError
from bench.load import OverloadError, Sample, Workload, measure
from bench.servers import Running, Server, ServerError, started

BUSY = 0.75
BUSY_RANGE = (0.65, 0.88)
"""Share of its core a server is brought to. A lightly loaded one pays a wake-up for every message, a saturated one
none: only at equal load are two costs comparable."""

CALIBRATIONS = 6
GENERATOR_LIMIT = 0.9
OTHERS_LIMIT = 0.1
"""Share of the servers' core that may go to processes that have nothing to do with the benchmark."""

MOST_STREAMS = 2500
"""More would bring the load generator to its own limit, from where it sends in bursts that cost servers less."""


Say = Callable[[str, str], None]
"""Takes a line and the rich style to print it in."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server as it takes part in a comparison.

    Attributes:
        key: Names it in reports and aims.
        most: Streams it is never given more of.
    """

    key: str
    server: Server
    link: type[Link]
    workload: Workload
    most: int = MOST_STREAMS


@dataclass(slots=True)
class Row:
    """What was seen of one contender.

    Attributes:
        streams: How many it was given in each round.
        skipped: Why there are no samples; empty where there are.
    """

    contender: Contender
    streams: int = 0
    samples: list[Sample] = field(default_factory=list)
    skipped: str = ""

    @property
    def cost(self) -> float:
        """Median CPU seconds a message."""
        return statistics.median(sample.cost for sample in self.samples)

    @property
    def cost_range(self) -> tuple[float, float]:
        """Least and most CPU seconds a message of any round."""
        return min(s.cost for s in self.samples), max(s.cost for s in self.samples)

    @property
    def streams_a_core(self) -> float:
        """Streams in real time that would fill one core at this cost."""
        return self.contender.workload.interval / self.cost

    @property
    def load(self) -> float:
        """Share of a core that the streams need at this cost."""
        return self.streams / self.streams_a_core

    @property
    def disturbed(self) -> float:
        """Median share of the server's core that went to other processes."""
        return statistics.median(sample.others for sample in self.samples)

    @property
    def strained(self) -> bool:
        """Whether the load generator was at its limit or sent two messages of a stream at once."""
        generator = statistics.median(sample.generator for sample in self.samples)
        late = statistics.median(sample.late for sample in self.samples)
        return generator > GENERATOR_LIMIT or late > self.contender.workload.interval


class Compared:
    """Runs contenders side by side: all servers stay up, and each round measures one of them after the other."""

    def __init__(self, cores: Cores, seconds: float, say: Say, step: Callable[[], None]) -> None:
        """Args:
        cores: Where servers run.
        seconds: How long the load of one round lasts.
        say: Told what is going on.
        step: Called after each measurement, ``1 + rounds`` times for each contender.
        """
        self._cores = cores
        self._seconds = seconds
        self._say = say
        self._step = step

    async def run(self, contenders: Sequence[Contender], rounds: int, streams: int | None = None) -> list[Row]:
        """Calibrate each contender, then measure all in turn ``rounds`` times, in rotating order.

        Args:
            contenders: Who takes part.
            rounds: Measurements of each.
            streams: Give everybody so many, instead of as many as bring each near saturation.
        """
        rows = [Row(contender, skipped=contender.server.missing) for contender in contenders]
        with ExitStack() as stack:
            running: dict[Server, Running] = {}
            for row in rows:
                server = row.contender.server
                if row.skipped:
                    continue
                try:
                    if server not in running:
                        running[server] = stack.enter_context(started(server, self._cores.server))
                    if streams is None:
                        await self._calibrate(row, running[server])
                    else:
                        row.streams = streams
                except (ServerError, LinkError, OverloadError) as failure:
                    self._give_up(row, failure)
                self._step()
            for turn in range(rounds):
                for at in range(len(rows)):
                    row = rows[(at + turn) % len(rows)]
                    if not row.skipped:
                        await self._measure(row, running[row.contender.server])
                    self._step()
        return rows

    async def _measure(self, row: Row, running: Running) -> None:
        contender = row.contender
        try:
            sample = await measure(running, contender.workload, contender.link, row.streams, self._seconds)
        except (ServerError, LinkError, OverloadError) as failure:
            self._give_up(row, failure)
        else:
            row.samples.append(sample)

    def _give_up(self, row: Row, failure: Exception) -> None:
        row.skipped = f"failed: {failure}"
        row.samples.clear()
        self._say(f"{row.contender.key} {row.skipped}", "bold red")

    async def _calibrate(self, row: Row, running: Running) -> None:
        """Find the number of streams that brings the server near saturation."""
        contender = row.contender
        row.streams = 40
        for _ in range(CALIBRATIONS):
            sample = await measure(running, contender.workload, contender.link, row.streams, min(1.5, self._seconds))
            load = row.streams * sample.cost / contender.workload.interval
            self._say(
                f"  {contender.key}: {row.streams} streams need {load:.0%} of a core, "
                f"{sample.cost * 1e6:.1f} µs a message",
                "dim",
            )
            if BUSY_RANGE[0] <= load <= BUSY_RANGE[1] or sample.generator > GENERATOR_LIMIT:
                break
            # A message costs less the more of them there are, so the first guesses are low.
            wanted = round(BUSY * contender.workload.interval / sample.cost)
            if (wanted := min(max(wanted, 1), contender.most)) == row.streams:
                break
            row.streams = wanted


@dataclass(frozen=True, slots=True)
class Aim:
    """A claim about the cost of one contender over that of another.

    Attributes:
        at_most: The greatest ratio that still meets it.
    """

    ours: str
    peer: str
    at_most: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """What became of an aim.

    Attributes:
        value: Of the medians.
        least: Least ratio within any one round.
        most: Greatest ratio within any one round.
    """

    aim: Aim
    value: float
    least: float
    most: float

    @property
    def met(self) -> bool:
        return self.value <= self.aim.at_most


def ratio(aim: Aim, rows: Sequence[Row]) -> Ratio | None:
    """The ratio an aim speaks of, or None where one side was not measured."""
    by_key = {row.contender.key: row for row in rows if row.samples}
    ours, peer = by_key.get(aim.ours), by_key.get(aim.peer)
    if ours is None or peer is None:
        return None
    paired = [a.cost / b.cost for a, b in zip(ours.samples, peer.samples, strict=False)]
    return Ratio(aim, ours.cost / peer.cost, min(paired), max(paired))
