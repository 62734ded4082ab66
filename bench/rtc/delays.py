"""What a server adds in delay: relaying packets, and mixing a click that somebody else is to hear."""

from __future__ import annotations

import dataclasses
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from antiphon.media.opus import OpusApplication
from bench.host import Cores
from bench.report import Table
from bench.room_load import ENCODER, RATE
from bench.rtc.clicks import SPREAD, Train, played, train
from bench.rtc.costs import FAILURES, LATE, RoundError, Row, Say, repeated
from bench.rtc.generator import GeneratorError, Plan, Sender
from bench.rtc.sides import Side

LONGEST = 0.4
"""Seconds that a click may take; less than there are between two."""

PAIRS = 10
"""Rooms of two, which send at different times of a server's tick."""

LEAST_FOUND = 0.9
"""Share of the clicks that must be found."""


def relay_table(rows: Sequence[Row], sessions: int, ours: str) -> Table:
    """Delays that relaying adds, in milliseconds."""
    columns = ("", "median", "95 %", "99 %", "greatest", "range of medians", "range of 99 %")
    made = Table(f"Delay that relaying adds, {sessions} sessions: milliseconds", columns)
    for row in rows:
        if row.skipped or not row.samples:
            made.rows.append((row.side.name, *["-"] * (len(columns) - 1)))
            made.notes.append(f"SKIPPED {row.side.name}: {row.skipped}")
            continue
        delays = [sample.outcome["delays"] for sample in row.samples]
        middle = {name: statistics.median(one[name] for one in delays) for name in ("median", "p95", "p99", "most")}
        spread = (f"{min(one[n] for one in delays) / 1e6:.2f}-{max(one[n] for one in delays) / 1e6:.2f}" for n in KINDS)
        made.rows.append((row.side.name, *(f"{value / 1e6:.2f}" for value in middle.values()), *spread))
        if row.side.name == ours:
            met = middle["median"] <= 1e6 and middle["p99"] <= 3e6
            verdict = "met" if met else "MISSED"
            made.notes.append(f"{ours}: aim at most 1 ms in the median and 3 ms at the 99th percentile: {verdict}")
    return made


KINDS = ("median", "p99")


@dataclass(slots=True)
class Heard:
    """What a side took from capture to where a sound could be played, in seconds.

    Attributes:
        name: What tables call it.
        make: A side of rooms of two.
        train: The clicks that were sent.
        interval: Milliseconds a packet.
        aim: Milliseconds that it should take at most; 0 where there is no aim.
        delays: Of each click, in each round.
        lost: Clicks of all rounds that were not found.
    """

    name: str
    make: Callable[[], Side]
    train: Train
    interval: int
    aim: float = 0.0
    delays: list[list[float]] = field(default_factory=list)
    lost: int = 0
    skipped: str = ""

    def figures(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {"skipped": self.skipped, "lost": self.lost, "delays": self.delays}


def clicking(name: str, make: Callable[[str], Side], interval: int, aim: float = 0.0) -> Heard:
    """A side of rooms of two, of whom one sends clicks in packets of ``interval`` milliseconds."""
    application: OpusApplication = "voip" if interval == 20 else "restricted_lowdelay"
    clicks = train(dataclasses.replace(ENCODER, application=application, frame_ms=interval), interval)
    return Heard(name, lambda: make(name), clicks, interval, aim)


def listen(several: Sequence[Heard], cores: Cores, rounds: int, seconds: float, say: Say) -> None:
    """Measure each side in turn, in rotating order, each time on a server of its own.

    A pause in what is sent lets some jitter buffers shrink for good, so that no round may follow another on one server.
    """
    for turn in range(rounds):
        for at in range(len(several)):
            one = several[(at + turn) % len(several)]
            if one.skipped:
                continue
            try:
                delays, lost = repeated(lambda one=one: _round(one, cores, seconds), say)  # type: ignore[misc]
            except FAILURES as failure:
                one.skipped = f"failed: {failure}"
                say(f"{one.name} {one.skipped}")
            else:
                one.delays.append(delays)
                one.lost += lost


def _round(one: Heard, cores: Cores, seconds: float) -> tuple[list[float], int]:
    """Delay of each click found, and how many were not.

    Raises:
        RoundError: Too many were not, or the server is not here.
    """
    side = one.make()
    side.interval = one.interval
    side.sounds = [one.train.packets, one.train.packets[:1]]
    if missing := side.missing():
        raise GeneratorError(missing)
    with ExitStack() as stack:
        side.start(stack, cores)
        side.grow(PAIRS)
        # Everybody sends, but the clicks come from the first of each pair; pairs begin at different packets.
        first = side.senders[0].peer
        side.senders = [
            Sender(peer, 0, peer * 53) if (peer - first) % 2 == 0 else Sender(peer, 1)
            for peer in sorted(sender.peer for sender in side.senders)
        ]
        return _delays(side, one.train, seconds)


def _delays(side: Side, clicks: Train, seconds: float) -> tuple[list[float], int]:
    listeners = [sender.peer + 1 for sender in side.senders if sender.sound == 0]
    plan = Plan(side.senders, seconds, interval=side.interval, precise=True, record=listeners)
    outcome = side.generator.run(plan)
    if outcome["late_mean"] > LATE / 10:
        raise RoundError(f"{side.name}: packets were sent {outcome['late_mean'] * 1000:.1f} ms late")
    delays: list[float] = []
    lost = 0
    for sender in (sender for sender in side.senders if sender.sound == 0):
        heard = [
            (arrival / 1e9, timestamp, bytes.fromhex(payload))
            for peer, arrival, timestamp, payload in outcome["heard"]
            if peer == sender.peer + 1
        ]
        if not heard:
            raise RoundError(f"{side.name}: a listener was sent nothing")
        times = played(heard)
        for captured in _captured(clicks, sender, outcome["said"]):
            if captured + LONGEST > heard[-1][0]:
                continue
            at = bisect_left(times, captured)
            if at < bisect_right(times, captured + LONGEST):
                delays.append(times[at] - captured)
            else:
                lost += 1
    if not delays or lost > (1 - LEAST_FOUND) * (lost + len(delays)):
        raise RoundError(f"{side.name}: {lost} of {lost + len(delays)} clicks were not found")
    return delays, lost


def _captured(clicks: Train, sender: Sender, said: Sequence[tuple[int, int, int]]) -> Iterator[float]:
    """When each click was at the microphone: a packet is sent when its last sample is there."""
    count = len(clicks.packets)
    within = {at // clicks.frame: at % clicks.frame for at in clicks.at}
    sent = sorted((number, time) for peer, number, time in said if peer == sender.peer)
    # A listener's first packets may be concealment; the first half second is left out.
    for number, time in sent[round(0.5 * RATE / clicks.frame) :]:
        place = within.get((number + sender.offset) % count)
        if place is not None:
            yield time / 1e9 - (clicks.frame - place) / RATE


def click_table(several: Sequence[Heard]) -> Table:
    """Milliseconds from capture to where it could be played, and what they consist of."""
    columns = ("", "median", "99 %", "range of medians", "frame", "sender's codec", "rest", "clicks", "lost")
    made = Table("Capture to playable through the mixer: milliseconds", columns)
    for one in several:
        if one.skipped or not one.delays:
            made.rows.append((one.name, *["-"] * (len(columns) - 1)))
            made.notes.append(f"SKIPPED {one.name}: {one.skipped}")
            continue
        every = sorted(delay for delays in one.delays for delay in delays)
        medians = [1e3 * statistics.median(delays) for delays in one.delays]
        middle = statistics.median(medians)
        frame, codec = 1e3 * one.train.frame / RATE, 1e3 * one.train.codec / RATE
        cells = (
            f"{middle:.1f}",
            f"{1e3 * every[int(0.99 * (len(every) - 1))]:.1f}",
            f"{min(medians):.1f}-{max(medians):.1f}",
            f"{frame:.0f}",
            f"{codec:.1f}",
            f"{middle - frame - codec:.1f}",
            f"{len(every)}",
            f"{one.lost}",
        )
        made.rows.append((one.name, *cells))
        if one.aim:
            verdict = "met" if middle <= one.aim else "MISSED"
            made.notes.append(f"{one.name}: {middle:.1f} ms, aim at most {one.aim:g}: {verdict}")
    made.notes.append(
        f"Clicks are {int(1e3 * (LONGEST))} ms apart and more, at random places of a frame (spread "
        f"{1e3 * SPREAD:.0f} ms); the rest is the server: waiting for its tick, its jitter buffer, and its own "
        "encoder's lookahead."
    )
    return made
