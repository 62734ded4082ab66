"""The machine: which cores to use, and what a process and its children have cost."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def unsupported() -> str | None:
    """Why this machine cannot run the benchmark, or None where it can."""
    if not PROC.joinpath("self", "smaps_rollup").exists() or not hasattr(os, "sched_setaffinity"):
        return (
            f"CPU time, memory and pinning are read and set through Linux's /proc and sched_setaffinity; "
            f"{platform.system()} has neither. Run it in a Linux container or virtual machine."
        )
    return None


@dataclass(frozen=True, slots=True)
class Cores:
    """Where servers and where the load run.

    Attributes:
        server: The core that every server is pinned to.
        load: The core of the load generator.
        note: What is not ideal about the choice; empty where nothing is.
    """

    server: int
    load: int
    note: str = ""

    @classmethod
    def choose(cls) -> Cores:
        """Two of the cores that this process may use, on different physical cores where there are such."""
        allowed = sorted(os.sched_getaffinity(0))
        load = allowed[0]
        if len(allowed) == 1:
            return cls(load, load, "only one core: the load takes time from the servers, figures are inflated")
        siblings = _siblings(load)
        apart = [core for core in allowed[1:] if core not in siblings]
        if not apart:
            return cls(allowed[-1], load, "both cores are threads of one physical core: figures are inflated")
        return cls(apart[-1], load)


def _siblings(core: int) -> set[int]:
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        text = path.read_text()
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


@contextmanager
def running_on(core: int) -> Iterator[None]:
    """Pin this thread, and with it each process started inside the block, to ``core``."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def core_seconds(core: int) -> float:
    """Seconds since the machine started in which ``core`` worked for anybody, other machines on its host included."""
    for line in PROC.joinpath("stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            # user, nice, system, irq, softirq, steal; proc(5)
            return sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7)) * _TICK
    return 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process tree.

    Attributes:
        rss: Resident set size; pages shared by several processes count in each.
        pss: Proportional set size; a page shared by n processes counts 1/n in each.
    """

    rss: int
    pss: int

    def __sub__(self, other: Memory) -> Memory:
        return Memory(self.rss - other.rss, self.pss - other.pss)

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss)


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of proc(5)'s ``/proc/PID/stat`` that matter here.

    Attributes:
        parent: Process id.
        runnable: Whether its first thread runs or waits for a core.
        cpu: Seconds of user and system time of all the process's threads.
        reaped: Seconds of its children that have ended and been waited for.
    """

    parent: int
    runnable: bool
    cpu: float
    reaped: float


def _stat(pid: int) -> Stat | None:
    try:
        text = PROC.joinpath(str(pid), "stat").read_text()
    except OSError:
        return None
    # The command name is in parentheses and may itself hold spaces and parentheses.
    rest = text[text.rindex(")") + 2 :].split()
    utime, stime, cutime, cstime = (int(rest[i]) * _TICK for i in range(11, 15))
    return Stat(int(rest[1]), rest[0] == "R", utime + stime, cutime + cstime)


class ProcessTree:
    """A process and everything it started, as one thing to be measured."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def _members(self) -> dict[int, Stat]:
        every = {int(d): s for d in os.listdir(PROC) if d.isdigit() and (s := _stat(int(d))) is not None}
        if self.pid not in every:
            return {}
        children: dict[int, list[int]] = {}
        for pid, stat in every.items():
            children.setdefault(stat.parent, []).append(pid)
        members: dict[int, Stat] = {}
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            members[pid] = every[pid]
            waiting += children.get(pid, [])
        return members

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree, children that have ended included."""
        return sum(stat.cpu + stat.reaped for stat in self._members().values())

    def runnable(self) -> bool:
        """Whether any of it runs or waits for a core just now."""
        return any(stat.runnable for stat in self._members().values())

    def memory(self) -> Memory:
        """Memory of the whole tree."""
        return sum((memory_of(pid) for pid in self._members()), Memory(0, 0))

    def children(self) -> dict[int, float]:
        """CPU seconds of each process below the first, by process id."""
        return {pid: stat.cpu for pid, stat in self._members().items() if pid != self.pid}


def memory_of(pid: int) -> Memory:
    """Memory of one process; nothing where it has ended."""
    try:
        text = PROC.joinpath(str(pid), "smaps_rollup").read_text()
    except OSError:
        return Memory(0, 0)
    sizes = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    return Memory(sizes.get("Rss", 0), sizes.get("Pss", 0))


def description() -> str:
    """Processor, cores, kernel and Python in one line."""
    match = re.search(r"^model name\s*: (.+)$", PROC.joinpath("cpuinfo").read_text(), re.MULTILINE)
    model = match[1] if match else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
