"""What a participant of a mixed room costs: antiphon.media's Conference beside Janus' AudioBridge, in one run.

Run ``python -m bench.mixer --help``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from antiphon.media.mixer import Conference, opus_output
from antiphon.media.opus import OPUS_VERSION
from bench import audiobridge
from bench.host import Cores, ProcessTree, description, running_on, unsupported
from bench.report import Report, Table
from bench.room_load import ENCODER, TICK, Load, Voices, voices

SPEECH = Path(__file__).parent.parent / "tests" / "data" / "speech"
ROOT = Path(__file__).parent.parent
AIM = 1 / 8
JANUS = "Janus AudioBridge, equal settings"
TICKS = "Conference, packets in and out"
SOCKETS = "Conference behind a UDP socket"
WARM_UP = 1.0
TRIES = 4
COMPLETE = 0.99
"""Share of packets that must come back for a round to count."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        participants: Of a room.
        speaking: How many of them speak all the time.
        rooms: How many rooms at once are behind our UDP socket, to bring it near saturation.
        seconds: Of load in a round.
    """

    participants: int
    speaking: int
    rooms: int
    rounds: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen in one round.

    Attributes:
        cost: CPU seconds for a participant's slot of 20 ms.
        load: Share of the core that was used.
        bitrate: Bits a second of Opus that a listener was sent: proof of a mix that was encoded.
    """

    cost: float
    load: float
    bitrate: float


@dataclass(slots=True)
class Row:
    """What was seen of one contender.

    Attributes:
        skipped: Why there are no samples.
    """

    name: str
    measure: Callable[[], Sample] | None = None
    samples: list[Sample] = field(default_factory=list)
    skipped: str = ""

    @property
    def costs(self) -> list[float]:
        """The cost of each round."""
        return [sample.cost for sample in self.samples]


class RoundError(Exception):
    """A server did not serve everybody."""


def tick_cost(said: Voices, plan: Plan, *, levels: bool) -> Sample:
    """One room's ticks one after the other, from Python, without sockets or waiting."""
    conference = Conference()
    for participant in range(plan.participants):
        conference.add(participant, "opus", opus_output(ENCODER))
    ticks = round(plan.seconds / TICK)
    arrived = []
    for tick in range(ticks):
        packets = [said.packet(participant, plan.speaking, tick) for participant in range(plan.participants)]
        arrived.append({n: (p.payload, p.level) if levels else p.payload for n, p in enumerate(packets)})
    for inputs in arrived[:50]:
        conference.tick(inputs)
    before, start, served, octets = time.process_time(), time.monotonic(), 0, 0
    for inputs in arrived:
        out = conference.tick(inputs)
        served += len(out)
        octets += len(out[plan.participants - 1])
    spent, elapsed = time.process_time() - before, time.monotonic() - start
    if served != ticks * plan.participants:
        raise RoundError(f"{served} packets for {ticks * plan.participants} slots")
    return Sample(spent / served, spent / elapsed, 8 * octets / (ticks * TICK))


def loaded(tree: ProcessTree, load: Load, rooms: list[list[tuple[str, int]]], plan: Plan, core: int) -> Sample:
    """CPU of a server for each slot while it is under load."""
    with running_on(core):
        load.run(rooms, plan.speaking, WARM_UP)
        before, start = tree.cpu_seconds(), time.monotonic()
        heard = load.run(rooms, plan.speaking, plan.seconds)
        spent, elapsed = tree.cpu_seconds() - before, time.monotonic() - start
    if heard.received < COMPLETE * heard.slots:
        raise RoundError(f"{heard.received} packets came back for {heard.slots} slots")
    if heard.late > TICK:
        raise RoundError(f"the load generator was {heard.late * 1000:.0f} ms late")
    return Sample(spent / heard.slots, spent / elapsed, 8 * heard.octets / heard.received / TICK)


@contextmanager
def our_server(plan: Plan, core: int) -> Iterator[tuple[ProcessTree, int]]:
    """Our rooms behind a UDP socket, and its port."""
    command = [sys.executable, "-m", "bench.room_server", str(plan.rooms), str(plan.participants)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with running_on(core):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield ProcessTree(process.pid), int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


def contenders(stack: ExitStack, said: Voices, plan: Plan, cores: Cores) -> list[Row]:
    """Everybody who takes part, servers running."""

    def ticks(levels: bool) -> Sample:
        with running_on(cores.server):
            return tick_cost(said, plan, levels=levels)

    def sockets(levels: bool) -> Sample:
        load = Load(said, levels=levels)
        try:
            with our_server(plan, cores.server) as (tree, port):
                rooms = [[("127.0.0.1", port)] * plan.participants] * plan.rooms
                return loaded(tree, load, rooms, plan, cores.load)
        finally:
            load.close()

    rows = [
        Row(TICKS, lambda: ticks(True)),
        Row(f"{TICKS}, no levels", lambda: ticks(False)),
        Row(SOCKETS, lambda: sockets(True)),
        Row(f"{SOCKETS}, no levels", lambda: sockets(False)),
    ]
    equal = audiobridge.Settings(ENCODER.complexity, ENCODER.bitrate, 3)
    for name, settings in ((JANUS, equal), ("Janus AudioBridge, its defaults", audiobridge.Settings())):
        row = Row(name, skipped=audiobridge.missing())
        rows.append(row)
        if row.skipped:
            continue
        janus = stack.enter_context(audiobridge.started(cores.server))

        def bridge(janus: audiobridge.Bridge = janus, settings: audiobridge.Settings = settings) -> Sample:
            load = Load(said, levels=True)
            try:
                with janus.room([("127.0.0.1", load.port)] * plan.participants, settings) as addresses:
                    return loaded(janus.tree, load, [addresses], plan, cores.load)
            finally:
                load.close()

        row.measure = bridge
    return rows


def repeated(measure: Callable[[], Sample], console: Console) -> Sample:
    """A round, once more where something else kept the machine from serving everybody."""
    for _ in range(TRIES - 1):
        try:
            return measure()
        except RoundError as failure:
            console.print(f"round repeated: {failure}", style="dim")
    return measure()


def measured(plan: Plan, cores: Cores, console: Console) -> list[Row]:
    """All rounds, the contenders' interleaved in rotating order."""
    said = voices(SPEECH)
    with ExitStack() as stack:
        rows = contenders(stack, said, plan, cores)
        turns = [(rows[(at + turn) % len(rows)]) for turn in range(plan.rounds) for at in range(len(rows))]
        for row in track(turns, "rounds", console=console, transient=True):
            if row.measure is None or row.skipped:
                continue
            try:
                row.samples.append(repeated(row.measure, console))
            except (RoundError, audiobridge.JanusError) as failure:
                row.skipped = f"failed: {failure}"
    return rows


def table(plan: Plan, rows: list[Row]) -> Table:
    """The figures with their ratios."""
    janus = next(row for row in rows if row.name == JANUS)
    peer = statistics.median(janus.costs) if janus.costs and not janus.skipped else None
    title = f"A room of {plan.participants}, {plan.speaking} speaking, all listening, no SRTP"
    made = Table(title, ("", "µs a slot", "range", "load", "kb/s out", "participants a core", "of Janus"))
    for row in rows:
        if row.skipped or not row.costs:
            made.rows.append((row.name, "-", "-", "-", "-", "-", "-"))
            made.notes.append(f"SKIPPED {row.name}: {row.skipped}")
            continue
        cost = statistics.median(row.costs)
        share = f"{cost / peer:.3f}" if peer else "-"
        spread = f"{min(row.costs) * 1e6:.1f}-{max(row.costs) * 1e6:.1f}"
        busy = f"{statistics.median(sample.load for sample in row.samples):.0%}"
        rate = f"{statistics.median(sample.bitrate for sample in row.samples) / 1000:.0f}"
        made.rows.append((row.name, f"{cost * 1e6:.1f}", spread, busy, rate, f"{TICK / cost:.0f}", share))
    if peer:
        for name in (TICKS, SOCKETS):
            row = next(row for row in rows if row.name == name)
            if row.skipped:
                continue
            pairs = [ours / theirs for ours, theirs in zip(row.costs, janus.costs, strict=False)]
            value = statistics.median(row.costs) / peer
            verdict = "met" if value <= AIM else "MISSED"
            spread = f"rounds {min(pairs):.3f}-{max(pairs):.3f}"
            made.notes.append(f"{name} / {JANUS}: {value:.3f} ({spread}), aim at most {AIM}: {verdict}")
    return made


def report(plan: Plan, cores: Cores, rows: list[Row]) -> Report:
    """Everything that has to be known to read the figures."""
    notes = [
        f"Measured by python -m bench.mixer: {plan.rounds} rounds of {plan.seconds:g} s for each, interleaved; medians "
        "and the range of the rounds. CPU is user and system time; a slot is 20 ms of one participant.",
        f"All send Opus, mono, 48 kHz, 20 ms, {ENCODER.bitrate // 1000} kb/s: {plan.speaking} of them real speech "
        "without pauses, the others silence, each packet with its level (RFC 6464) unless it says otherwise.",
        f"Every mix is encoded as voip, mono, 48 kHz, {ENCODER.bitrate // 1000} kb/s, complexity {ENCODER.complexity}, "
        "constrained VBR, no FEC, no DTX, prebuffer of 3 packets; by Janus' defaults libopus chooses the bitrate, and "
        "the prebuffer is 6.",
        f"We use {OPUS_VERSION}, Janus {audiobridge.version() or '(not here)'} the system's libopus.",
        "Janus does more: a socket, a thread and a jitter buffer for each participant, and it decodes everybody. "
        "Packets in and out: ticks from Python one after the other, without sockets. Behind a UDP socket: one socket "
        f"for all, RTP read and written in Python, no jitter buffer; {plan.rooms} such rooms at once in one process, "
        "because one alone leaves the core idle, which makes each packet dearer.",
        "Neither encrypts. The servers' core is not the load's.",
    ]
    if cores.note:
        notes.append(cores.note)
    made = Report("What a participant of a mixed room costs", description(), notes, [table(plan, rows)])
    made.figures = {
        row.name: {"skipped": row.skipped, "samples": [dataclasses.asdict(sample) for sample in row.samples]}
        for row in rows
    }
    return made


def main(
    participants: Annotated[int, typer.Option(help="Participants of a room.", min=2, max=999)] = 60,
    speaking: Annotated[int, typer.Option(help="How many of them speak.", min=0)] = 3,
    rooms: Annotated[int, typer.Option(help="Rooms behind our UDP socket.", min=1)] = 8,
    rounds: Annotated[int, typer.Option(help="Rounds of each contender.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Seconds of load in a round.", min=0.5)] = 3.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
) -> None:
    """CPU for a participant's slot of 20 ms, beside Janus' AudioBridge where it is installed. Takes some 3 minutes."""
    console = Console()
    if (reason := unsupported()) is not None:
        console.print(reason)
        raise typer.Exit(2)
    cores = Cores.choose()
    plan = Plan(participants, speaking, rooms, rounds, seconds)
    made = report(plan, cores, measured(plan, cores, console))
    made.show(console)
    if markdown is not None:
        markdown.write_text(made.markdown())
    if json_file is not None:
        figures: dict[str, Any] = {
            "machine": made.machine,
            "plan": dataclasses.asdict(plan),
            "contenders": made.figures,
        }
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
