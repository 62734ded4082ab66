"""Memory a peer: how much a server grows when many connect, and when they have sent and been sent sound."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench.host import Cores, Memory
from bench.report import MIB, Table
from bench.rtc.costs import FAILURES, Say
from bench.rtc.generator import Plan, Sender
from bench.rtc.sides import Side

WARM_UP = 20
"""Participants connected first, so that what a server loads and allocates once is not divided among peers."""

PEERS = 200
AUDIO_SECONDS = 3.0


@dataclass(slots=True)
class Growth:
    """What a peer takes, in bytes.

    Attributes:
        together: How many send at once; the others wait for their turn.
        before: Of the whole server with the peers of the warm-up.
        idle: A peer that is connected.
        used: A peer after three seconds of sound.
    """

    side: Side
    together: int = PEERS
    before: Memory = field(default_factory=lambda: Memory(0, 0))
    idle: Memory = field(default_factory=lambda: Memory(0, 0))
    used: Memory = field(default_factory=lambda: Memory(0, 0))
    skipped: str = ""

    def figures(self) -> dict[str, Any]:
        """All of it, for programs."""
        sizes = {"before": self.before, "idle": self.idle, "used": self.used}
        return {"skipped": self.skipped} | {name: {"rss": m.rss, "pss": m.pss} for name, m in sizes.items()}


def grow(several: Sequence[Growth], cores: Cores, say: Say) -> None:
    """Measure each side, one after the other, on a server of its own."""
    for one in several:
        one.skipped = one.skipped or one.side.missing()
        if one.skipped:
            continue
        try:
            with ExitStack() as stack:
                one.side.start(stack, cores)
                _measure(one)
        except FAILURES as failure:
            one.skipped = f"failed: {failure}"
            say(f"{one.side.name} {one.skipped}")


def _measure(one: Growth) -> None:
    side = one.side
    side.grow(max(WARM_UP // side.unit, 1))
    _speak(one, side.senders)
    one.before = side.tree.memory()
    first, connected = len(side.senders), side.slots
    side.grow(side.units + PEERS // side.unit)
    peers = side.slots - connected
    one.idle = _each(side.tree.memory() - one.before, peers)
    _speak(one, side.senders[first:])
    one.used = _each(side.tree.memory() - one.before, peers)


def _speak(one: Growth, senders: list[Sender]) -> None:
    for at in range(0, len(senders), one.together):
        one.side.generator.run(Plan(senders[at : at + one.together], AUDIO_SECONDS, warm=0.0))


def _each(memory: Memory, peers: int) -> Memory:
    return Memory(memory.rss // peers, memory.pss // peers)


def memory_table(several: Sequence[Growth], ours: str, aim: int) -> Table:
    """Kibibytes a peer.

    Args:
        several: What was measured.
        ours: Start of the names of our rows.
        aim: Bytes a peer that ours should take at most.
    """
    columns = ("", "connected, RSS KiB", "PSS KiB", "after sound, RSS KiB", "PSS KiB", "server before, PSS MiB")
    made = Table(f"Memory a peer: {PEERS} more beside {WARM_UP}", columns)
    for one in several:
        if one.skipped:
            made.rows.append((one.side.name, *["-"] * (len(columns) - 1)))
            made.notes.append(f"SKIPPED {one.side.name}: {one.skipped}")
            continue
        sizes = (one.idle.rss, one.idle.pss, one.used.rss, one.used.pss)
        cells = (f"{size / 1024:.0f}" for size in sizes)
        made.rows.append((one.side.name, *cells, f"{one.before.pss / MIB:.0f}"))
        if one.side.name.startswith(ours):
            verdict = "met" if one.used.rss <= aim else "MISSED"
            made.notes.append(f"{one.side.name}: {one.used.rss / 1000:.0f} kB, aim at most {aim / 1000:.0f}: {verdict}")
    return made
