"""The figures as tables: for the terminal, for a document and for programs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from bench.host import Memory
from bench.memory import Growth
from bench.rounds import OTHERS_LIMIT, Ratio, Row
from bench.speech import Decoding, Latency

MIB = 1 << 20


@dataclass(slots=True)
class Table:
    """A table of text with what has to be said about it.

    Attributes:
        notes: How it was measured, and below it what did not go as it should.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """All that was measured in one run.

    Attributes:
        title: Of the document.
        machine: What it was measured on.
        notes: How it was measured.
    """

    title: str
    machine: str
    notes: list[str]
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Print everything."""
        console.print(f"\n{escape(self.machine)}")
        for note in self.notes:
            console.print(f"[dim]{escape(note)}")
        for table in self.tables:
            shown = RichTable(title=table.title, title_justify="left", title_style="bold")
            for at, column in enumerate(table.columns):
                shown.add_column(column, justify="left" if at == 0 else "right")
            for row in table.rows:
                shown.add_row(*(escape(cell) for cell in row))
            console.print()
            console.print(shown)
            for note in table.notes:
                console.print(escape(note))

    def markdown(self) -> str:
        """The same as a document."""
        parts = [f"# {self.title}", f"{self.machine}.", "\n".join(f"- {note}" for note in self.notes)]
        for table in self.tables:
            parts.append(f"## {table.title}")
            rule = ["---", *["--:"] * (len(table.columns) - 1)]
            lines = [table.columns, rule, *table.rows]
            parts.append("\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines))
            if table.notes:
                parts.append("\n".join(f"- {note}" for note in table.notes))
        return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def cost_table(title: str, rows: Sequence[Row], ratios: Sequence[Ratio]) -> Table:
    """CPU a message, load and streams a core, with the aims below."""
    columns = ("server", "µs a message", "range", "streams", "load", "streams a core")
    table = Table(title, columns)
    for row in rows:
        if row.skipped:
            table.rows.append((row.contender.key, "-", "-", "-", "-", "-"))
            table.notes.append(f"SKIPPED {row.contender.key}: {row.skipped}")
            continue
        least, most = (cost * 1e6 for cost in row.cost_range)
        cells = (f"{row.cost * 1e6:.1f}", f"{least:.1f}-{most:.1f}", f"{row.streams}", f"{row.load:.0%}")
        table.rows.append((row.contender.key, *cells, f"{row.streams_a_core:.0f}"))
        if row.disturbed > OTHERS_LIMIT:
            table.notes.append(f"{row.contender.key}: other processes took {row.disturbed:.0%} of the core")
        if row.strained:
            table.notes.append(
                f"{row.contender.key}: the load generator could not keep its timetable; the figure is too low"
            )
    table.notes += [ratio_line(ratio) for ratio in ratios]
    return table


def ratio_line(ratio: Ratio) -> str:
    """A ratio beside its aim."""
    verdict = "met" if ratio.met else "MISSED"
    return (
        f"{ratio.aim.ours} / {ratio.aim.peer}: {ratio.value:.3g} (rounds {ratio.least:.3g}-{ratio.most:.3g}), "
        f"aim at most {ratio.aim.at_most:.3g}: {verdict}"
    )


def cost_figures(rows: Sequence[Row], ratios: Sequence[Ratio]) -> dict[str, Any]:
    """The same for programs: seconds, shares and every sample."""
    return {
        "servers": {
            row.contender.key: {
                "workload": row.contender.workload.name,
                "interval_seconds": row.contender.workload.interval,
                "streams": row.streams,
                "skipped": row.skipped,
                "cpu_seconds_a_message": [sample.cost for sample in row.samples],
                "messages": [sample.messages for sample in row.samples],
                "busy": [sample.busy for sample in row.samples],
                "others_busy": [sample.others for sample in row.samples],
                "generator_busy": [sample.generator for sample in row.samples],
                "generator_late_seconds": [sample.late for sample in row.samples],
            }
            for row in rows
        },
        "ratios": [
            {
                "ours": ratio.aim.ours,
                "peer": ratio.aim.peer,
                "ratio": ratio.value,
                "least": ratio.least,
                "most": ratio.most,
                "aim": ratio.aim.at_most,
                "met": ratio.met,
            }
            for ratio in ratios
        ],
    }


def memory_table(title: str, growths: Sequence[Growth]) -> Table:
    """Kibibytes a session, and the empty server in mebibytes."""
    columns = ("server", "idle, RSS KiB", "idle, PSS KiB", "after audio, RSS KiB", "PSS KiB", "empty server, PSS MiB")
    table = Table(title, columns)
    for growth in growths:
        if growth.skipped:
            table.rows.append((growth.contender.key, "-", "-", "-", "-", "-"))
            table.notes.append(f"SKIPPED {growth.contender.key}: {growth.skipped}")
            continue
        sizes = (growth.idle.rss, growth.idle.pss, growth.used.rss, growth.used.pss)
        cells = (f"{size / 1024:.1f}" for size in sizes)
        table.rows.append((growth.contender.key, *cells, f"{growth.empty.pss / MIB:.0f}"))
    return table


def memory_figures(growths: Sequence[Growth]) -> dict[str, Any]:
    """The same for programs, in bytes."""
    return {
        growth.contender.key: {
            "skipped": growth.skipped,
            "empty": _memory(growth.empty),
            "idle_session": _memory(growth.idle),
            "used_session": _memory(growth.used),
        }
        for growth in growths
    }


def _memory(memory: Memory) -> dict[str, int]:
    return {"rss": memory.rss, "pss": memory.pss}


def latency_table(title: str, latency: Latency) -> Table:
    """Milliseconds, median and range."""
    columns = ("utterance", "speech to first partial", "end to final: stop", "end to final: silence", "n")
    table = Table(title, columns)
    for name, waits in (
        ("first since the server started", latency.cold),
        ("first of a session", latency.first),
        ("later ones", latency.later),
    ):
        several = (waits.partial, waits.stopped, waits.endpointed)
        table.rows.append((name, *(_spread(one) for one in several), str(len(waits.stopped) + len(waits.endpointed))))
    return table


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    middle, least, most = (f"{1e3 * one:.0f}" for one in (statistics.median(seconds), min(seconds), max(seconds)))
    return f"{middle} ms" if len(seconds) == 1 else f"{middle} ms ({least}-{most})"


def latency_figures(latency: Latency) -> dict[str, Any]:
    """The same for programs, in seconds."""
    return {
        name: {"partial": waits.partial, "stopped": waits.stopped, "endpointed": waits.endpointed}
        for name, waits in (("cold", latency.cold), ("first", latency.first), ("later", latency.later))
    }


def decoding_table(title: str, decoding: Decoding) -> Table:
    """What one stream of uninterrupted speech takes."""
    table = Table(title, ("what", "PocketSphinx"))
    table.rows = [
        ("CPU for each second of speech, whole server", f"{decoding.cost * 1e3:.0f} ms"),
        ("streams a core when all speak", f"{1 / decoding.cost:.1f}"),
        *(
            (f"decoder process {number}, PSS (RSS)", f"{one.pss / MIB:.0f} MiB ({one.rss / MIB:.0f} MiB)")
            for number, one in enumerate(decoding.decoders, 1)
        ),
        ("server process, PSS (RSS)", f"{decoding.server.pss / MIB:.0f} MiB ({decoding.server.rss / MIB:.0f} MiB)"),
    ]
    return table


def decoding_figures(decoding: Decoding) -> dict[str, Any]:
    """The same for programs: seconds a second, and bytes."""
    return {
        "cpu_seconds_a_second": decoding.cost,
        "decoders": [_memory(one) for one in decoding.decoders],
        "server": _memory(decoding.server),
    }
