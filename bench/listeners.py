"""What a listener costs, and how punctual packets are: /ws-audio beside opuslib, Node ws and bare sends, in one run.

Run ``python -m bench.listeners --help``.
"""

from __future__ import annotations

import datetime
import json
import os
import statistics
import struct
import tempfile
import time
import urllib.request
import wave
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from antiphon.media import OpusEncoder
from bench import report, servers
from bench.host import Cores, ProcessTree, core_seconds, description, unsupported
from bench.rounds import OTHERS_LIMIT
from bench.rtc.generator import GeneratorError, Lines, program
from bench.servers import Running, Server, ServerError, started

SPEECH = Path(__file__).parent.parent / "tests" / "data" / "speech"
FRAME = 0.02
FILE_SECONDS = 240
"""Of speech in the file that is listened to: longer than any listener stays."""
SETTLING = 1.5
"""Seconds after the last listener has come, before anything counts."""
COMPLETE = 0.97
"""Share of the packets of real time that must come for a round to count."""
TRIES = 3
DOOR, SEED, LIVE, NODE, FLOOR = "Antiphon, /ws-audio", "opuslib", "Antiphon, live", "Node ws", "bare sends"


class Section(StrEnum):
    """A part of the benchmark."""

    COST = "cost"
    PACING = "pacing"


class RoundError(Exception):
    """A server did not serve everybody in real time."""


@dataclass(frozen=True, slots=True)
class Side:
    """A server with its listeners.

    Attributes:
        key: Names it in reports.
        target: What the listeners ask for.
        metrics: Where the server itself tells how late packets were; empty where it doesn't.
    """

    key: str
    server: Server
    listeners: int
    target: str = "/"
    metrics: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one side.

    Attributes:
        cost: CPU seconds of the server a packet that reached a listener.
        busy: Share of its core that the server used.
        others: Share of it that went to anything else.
        generator: Share of its core that the load used.
        late: µs that packets came after their time: median, 99th and 99.9th percentile, and the latest.
        apart: µs that packets came more or less than 20 ms after the one before; likewise.
        slow: Median of the listeners' streams, in seconds lost an hour.
        own: µs that packets left after their time by the server's own count; empty where it has none.
    """

    cost: float
    busy: float
    others: float
    generator: float
    late: tuple[int, ...]
    apart: tuple[int, ...]
    slow: float
    own: tuple[float, ...]


@dataclass(slots=True)
class Row:
    """What was seen of one side."""

    side: Side
    samples: list[Sample] = field(default_factory=list)
    skipped: str = ""

    def middle(self, value: Callable[[Sample], float]) -> float:
        """Median of something over the rounds."""
        return statistics.median(value(sample) for sample in self.samples)

    @property
    def cost(self) -> float:
        """Median CPU seconds a delivery."""
        return self.middle(lambda sample: sample.cost)


def measured(side: Side, running: Running, cores: Cores, seconds: float) -> Sample:
    """One round: everybody connects, listens for so many seconds, and goes.

    Raises:
        RoundError: It does not count.
    """
    load = Lines([program("wsload"), "listen", str(running.port), side.target, str(side.listeners)], cores.load)
    try:
        load.hear("connected", 120)
        time.sleep(SETTLING)
        generator = ProcessTree(load.process.pid)
        _command(load, "begin")
        load.hear("begun")
        begin = time.monotonic(), running.tree.cpu_seconds(), generator.cpu_seconds(), core_seconds(cores.server)
        time.sleep(seconds)
        end = time.monotonic(), running.tree.cpu_seconds(), generator.cpu_seconds(), core_seconds(cores.server)
        own = _own(running.port, side.metrics) if side.metrics else ()
        _command(load, f"end {FRAME * 1e6:.0f}")
        seen = load.hear("seen")
    finally:
        load.close()
    running.check()
    length, spent, generated, everybody = (after - before for before, after in zip(begin, end, strict=True))
    packets, wanted = seen["packets"], side.listeners * seconds / FRAME
    if packets < COMPLETE * wanted and side.key != SEED:
        raise RoundError(f"{side.key}: {packets} packets came of {wanted:.0f}; {seen['text']}")
    return Sample(
        cost=spent / packets,
        busy=spent / length,
        others=max(everybody - spent, 0) / length,
        generator=generated / length,
        late=tuple(seen["late"]),
        apart=tuple(seen["apart"]),
        slow=seen["slow"][0] * 3600 / 1e6,
        own=own,
    )


def _command(load: Lines, line: str) -> None:
    assert load.process.stdin is not None
    load.process.stdin.write(line.encode() + b"\n")
    load.process.stdin.flush()


def _own(port: int, path: str) -> tuple[float, ...]:
    """The 99th and the 99.9th percentile by the server's own count, in microseconds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    names = ("antiphon_listener_late_p99_seconds", "antiphon_listener_late_p999_seconds")
    return tuple(float(values[name]) * 1e6 for name in names if name in values)


def compared(sides: Sequence[Side], cores: Cores, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Row]:
    """Measure all sides in turn, in rotating order, all servers staying up."""
    rows = [Row(side, skipped=side.server.missing) for side in sides]
    with ExitStack() as stack:
        running: dict[Server, Running] = {}
        for row in rows:
            if not row.skipped and row.side.server not in running:
                try:
                    running[row.side.server] = stack.enter_context(started(row.side.server, cores.server))
                except ServerError as failure:
                    row.skipped = str(failure)
        for turn in range(rounds):
            for at in range(len(rows)):
                row = rows[(at + turn) % len(rows)]
                if row.skipped:
                    continue
                try:
                    row.samples.append(_repeated(row.side, running[row.side.server], cores, seconds, say))
                except (RoundError, GeneratorError, ServerError) as failure:
                    row.skipped = str(failure)
                    say(f"{row.side.key}: {failure}")
                else:
                    say(f"{row.side.key}: {row.samples[-1].cost * 1e6:.2f} µs a packet")
    for row in rows:
        if row.skipped:
            row.samples.clear()
    return rows


def _repeated(side: Side, running: Running, cores: Cores, seconds: float, say: Callable[[str], None]) -> Sample:
    """A round, once more where something else kept the machine from serving everybody."""
    for _ in range(TRIES - 1):
        try:
            return measured(side, running, cores, seconds)
        except RoundError as failure:
            say(f"round repeated: {failure}")
    return measured(side, running, cores, seconds)


# ---- who takes part --------------------------------------------------------------------------------------------------


def prepared(folder: Path) -> tuple[Path, Path]:
    """A file of speech, and the same as Opus packets (24 kHz, 20 ms, 32 kbit/s), each after its length."""
    speech = b"".join(_samples(path) for path in sorted(SPEECH.glob("*.wav")))
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        for _ in range(FILE_SECONDS * 32_000 // len(speech) + 1):
            file.writeframes(speech)
    encoder = OpusEncoder(16_000, bitrate=32_000, dtx=False, fec=False)
    samples = np.frombuffer(speech, np.int16)
    encoded = [encoder.encode(samples[at : at + 320]) for at in range(0, len(samples) - 319, 320)]
    packets = folder / "speech.packets"
    packets.write_bytes(b"".join(struct.pack("!H", len(packet)) + packet for packet in encoded))
    return folder / "speech.wav", packets


def _samples(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        return file.readframes(file.getnframes())


def _sides(folder: Path, listeners: int, few: int) -> dict[str, Side]:
    speech, packets = prepared(folder)
    options = ("--engine", "antiphon.testing:ScriptedRecogniser", "--media-folder", str(folder), "--max-listeners")
    door = servers.antiphon("antiphon.testing:ScriptedRecogniser")
    door = replace(door, command=(*door.command[:4], *options, str(max(listeners, 1000)), "--port"))
    live = servers.python_peer("ws_broadcast_antiphon.py", "Antiphon's broadcaster", "antiphon", "uvloop")
    node = servers.node_peer("ws_broadcast_node.js", "Node ws", "ws")
    seed = servers.python_peer("ws_opuslib.py", "aiohttp and opuslib", "aiohttp", "opuslib_next", "av")
    floor = Server("bare sends", (str(program("wsload")), "floor", str(packets)))
    target = f"/ws-audio?source=file:{speech.name}&sampleRate=24000&frameMs=20&bitrate=32000"
    return {
        DOOR: Side(DOOR, door, listeners, target, "/metrics"),
        LIVE: Side(LIVE, _with(live, packets), listeners),
        NODE: Side(NODE, _with(node, packets), listeners),
        FLOOR: Side(FLOOR, floor, listeners),
        SEED: Side(SEED, _with(seed, speech), few),
    }


def _with(server: Server, path: Path) -> Server:
    return replace(server, command=(*server.command, str(path)))


# ---- what is said about it -------------------------------------------------------------------------------------------


def cost_table(rows: Sequence[Row]) -> report.Table:
    """CPU a delivery, listeners a core, and what became of the aims."""
    columns = ("server", "µs a packet", "range", "listeners", "load", "listeners a core")
    table = report.Table("What a listener costs", columns)
    for row in rows:
        if row.skipped:
            table.notes.append(f"SKIPPED {row.side.key}: {row.skipped}")
            continue
        costs = [sample.cost * 1e6 for sample in row.samples]
        table.rows.append(
            (
                f"{row.side.key} ({row.side.server.name})",
                f"{row.cost * 1e6:.2f}",
                f"{min(costs):.2f}-{max(costs):.2f}",
                str(row.side.listeners),
                f"{row.middle(lambda sample: sample.busy):.0%}",
                f"{FRAME / row.cost:.0f}",
            )
        )
        if (others := row.middle(lambda sample: sample.others)) > OTHERS_LIMIT:
            table.notes.append(f"{row.side.key}: other processes took {others:.0%} of the core")
    by_key = {row.side.key: row for row in rows if row.samples}
    if DOOR in by_key and SEED in by_key:
        times = by_key[SEED].cost / by_key[DOOR].cost
        table.notes.append(f"listeners a core, {DOOR} / {SEED}: {times:.1f}, aim at least 20: {_met(times >= 20)}")
    for key in (DOOR, LIVE):
        if key in by_key:
            cost = by_key[key].cost * 1e6
            table.notes.append(f"{key}: {cost:.2f} µs a packet, aim at most 5: {_met(cost <= 5)}")
    for peer in (NODE, FLOOR):
        if LIVE in by_key and peer in by_key:
            paired = [a.cost / b.cost for a, b in zip(by_key[LIVE].samples, by_key[peer].samples, strict=False)]
            value = by_key[LIVE].cost / by_key[peer].cost
            table.notes.append(f"{LIVE} / {peer}: {value:.2f} (rounds {min(paired):.2f}-{max(paired):.2f})")
    return table


def pacing_table(rows: Sequence[Row]) -> report.Table:
    """How late packets were."""
    columns = (
        "server",
        "listeners",
        "late: 50 %",
        "99 %",
        "99.9 %",
        "own 99 %",
        "own 99.9 %",
        "99.9 % apart",
        "an hour",
    )
    table = report.Table("How punctual packets are, in ms", columns)
    for row in rows:
        if row.skipped:
            table.notes.append(f"SKIPPED {row.side.key}: {row.skipped}")
            continue
        late = [statistics.median(sample.late[at] for sample in row.samples) / 1000 for at in range(3)]
        own = [f"{value / 1000:.2f}" for value in row.samples[-1].own]
        table.rows.append(
            (
                f"{row.side.key} ({row.side.server.name})",
                str(row.side.listeners),
                *(f"{value:.2f}" for value in late),
                *[*own, "", ""][:2],
                f"{row.middle(lambda sample: sample.apart[2]) / 1000:.2f}",
                f"{row.middle(lambda sample: sample.slow):+.1f} s",
            )
        )
        if row.side.key == DOOR:
            met = _met(late[2] <= 3)
            table.notes.append(f"{DOOR}: 99.9 % of packets at most {late[2]:.2f} ms late, aim at most 3: {met}")
    table.notes.append(
        "Late: after their time on the listener's own timeline, on which the most punctual packet of the round is not "
        "late, by the time stamps of the kernel that takes them in. Own: by the server's own count, from the deadline "
        "until the system had the packet. Apart: how much more or less than 20 ms after the packet before. An hour: "
        "what the stream would lose on real time in an hour."
    )
    return table


def _met(met: bool) -> str:
    return "met" if met else "NOT MET"


def _notes(cores: Cores, rounds: int, seconds: float) -> list[str]:
    today = datetime.datetime.now(datetime.UTC).date()
    return [
        f"Measured on {today} by `python -m bench.listeners`; {rounds} rounds of {seconds:g} s for each server, all "
        "servers' rounds interleaved in one run; medians, and the range of the rounds.",
        f"Servers run on core {cores.server}, the listeners, `bench/wsload`, on core {cores.load}. CPU is user and "
        "system time of the server's whole process tree while everybody listens, divided by the packets that came.",
        f"{DOOR}: the server as it ships, all listeners of one file, each from its beginning. {LIVE}: its broadcaster "
        "behind a few lines of aiohttp, which appends each packet when it is to be sent. "
        f"{NODE}: `client.send` of the same packets to all. {FLOOR}: a thread of Rust that does nothing but `send` of "
        f"the same bytes. {SEED}: aiohttp and libopus through opuslib, a decoder and an encoder for each client.",
        *([cores.note] if cores.note else []),
    ]


def main(
    quick: Annotated[bool, typer.Option("--quick", help="One short round of each.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each server.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="Seconds that count in a round.")] = 4.0,
    listeners: Annotated[int, typer.Option(min=1, help="Of each server but opuslib, for the cost.")] = 1000,
    few: Annotated[int, typer.Option(min=1, help="Listeners of opuslib.")] = 30,
    paced: Annotated[int, typer.Option(min=1, help="Listeners for the pacing.")] = 500,
    only: Annotated[list[Section] | None, typer.Option(help="Run this part; may be given several times.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file.")] = None,
    figures: Annotated[Path | None, typer.Option("--json", help="Write every sample to this file.")] = None,
) -> None:
    """Measure what a listener costs and how punctual packets are, against peers started beside it."""
    console = Console()
    if not console.is_terminal:
        console.width = 140
    if reason := unsupported():
        console.print(f"[bold red]{reason}")
        raise typer.Exit(2)
    if quick:
        rounds, seconds = 1, 1.0
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.load})
    out = report.Report("What listeners cost", description(), _notes(cores, rounds, seconds))

    def say(line: str) -> None:
        console.print(line, style="dim", highlight=False, markup=False)

    def run(name: str, sides: Sequence[Side], table: Callable[[Sequence[Row]], report.Table]) -> None:
        rows = compared(sides, cores, rounds, seconds, say)
        out.tables.append(table(rows))
        out.figures[name] = {row.side.key: _figures(row) for row in rows}

    with tempfile.TemporaryDirectory() as folder:
        try:
            if only is None or Section.COST in only:
                run("cost", list(_sides(Path(folder), listeners, few).values()), cost_table)
            if only is None or Section.PACING in only:
                sides = _sides(Path(folder), paced, few)
                run("pacing", [sides[key] for key in (DOOR, LIVE, NODE, SEED)], pacing_table)
        except GeneratorError as failure:
            console.print(f"[bold red]{failure}")
            raise typer.Exit(2) from None
    out.show(console)
    if markdown is not None:
        markdown.write_text(out.markdown())
    if figures is not None:
        figures.write_text(json.dumps({"machine": out.machine, "notes": out.notes, **out.figures}, indent=1))


def _figures(row: Row) -> dict[str, Any]:
    samples = [{name: getattr(sample, name) for name in Sample.__slots__} for sample in row.samples]
    return {"skipped": row.skipped, "listeners": row.side.listeners, "samples": samples}


if __name__ == "__main__":
    typer.run(main)
