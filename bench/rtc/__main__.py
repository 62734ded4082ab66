"""``python -m bench.rtc``: all comparisons, or some of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from antiphon.media.opus import OPUS_VERSION
from bench import audiobridge, janus
from bench.host import Cores, description, unsupported
from bench.report import Report, Table
from bench.room_load import ENCODER, Voices, voices
from bench.rtc import generator
from bench.rtc.costs import Aim, compare, table
from bench.rtc.delays import click_table, clicking, listen, relay_table
from bench.rtc.memory import Growth, grow, memory_table
from bench.rtc.sides import Aiortc, Antiphon, Bridge, EchoTest, Floor, Forwarding, Side
from bench.servers import allow_many_files

SPEECH = Path(__file__).parents[2] / "tests" / "data" / "speech"
OURS = "Antiphon"
LISTENERS = 200
SESSIONS = 200
LOOPS = 8
AIORTC, JANUS, LOOPED = "aiortc, equal settings", "Janus EchoTest", f"Janus EchoTest, {LOOPS} event loops"
EQUAL = audiobridge.Settings(ENCODER.complexity, ENCODER.bitrate, 3)
KB = 1000

Made = tuple[Table, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What every comparison is given."""

    said: Voices
    cores: Cores
    rounds: int
    seconds: float
    say: Callable[[str], None]


def echo(given: Setting) -> Made:
    """Decoding and encoding again."""
    ours = f"{OURS}, mix of two"
    sides = [
        Antiphon(ours, given.said, mode="mix"),
        Aiortc(AIORTC, given.said, tuned=True),
        Aiortc("aiortc, its defaults", given.said, tuned=False),
    ]
    rows = compare(sides, given.cores, given.rounds, given.seconds, given.say)
    made = table("Decoded and encoded again, one in and one out", rows, [Aim(ours, AIORTC, times=7)])
    made.notes.append(
        "aiortc sends everybody their own sound. Ours are rooms of two who hear each other: each packet is "
        "decoded, mixed with nothing, encoded and sent to the other, which is as much work and a mixer more. "
        "aiortc's defaults are stereo at 96 kb/s."
    )
    return made, {row.side.name: row.figures() for row in rows}


def relay(given: Setting) -> Made:
    """One in and one out, untouched."""
    ours = f"{OURS}, relay"
    sides = [
        Antiphon(ours, given.said, mode="relay"),
        EchoTest(JANUS, given.said),
        EchoTest(LOOPED, given.said, event_loops=LOOPS),
    ]
    rows = compare(sides, given.cores, given.rounds, given.seconds, given.say)
    aims = [Aim(ours, JANUS, times=2.5), Aim(ours, LOOPED, times=2.5), Aim(ours, microseconds=25)]
    made = table("Relayed, one in and one out", rows, aims)
    made.notes.append(
        "Janus sends everybody their own packets; ours are rooms of two. Janus' default is a thread for each peer; "
        f"the other row has {LOOPS} for all."
    )
    return made, {row.side.name: row.figures() for row in rows}


def forward(given: Setting) -> Made:
    """One speaker to many."""
    ours = f"{OURS}, one to {LISTENERS}"
    sides = [
        Forwarding(ours, given.said, listeners=LISTENERS),
        Floor("the kernel alone, sendmmsg", given.said, size=LISTENERS, batch=64),
        Floor("the kernel alone, a call each", given.said, size=LISTENERS, batch=1),
    ]
    rows = compare(sides, given.cores, given.rounds, given.seconds, given.say)
    title = f"Forwarding one speaker to {LISTENERS} listeners"
    made = table(title, rows, [Aim(ours, microseconds=6)], slot="µs a packet sent")
    made.notes.append(
        "The kernel alone: one socket sends packets of the same size to as many addresses in the same bursts, "
        "without SRTP."
    )
    return made, {row.side.name: row.figures() for row in rows}


def _mix(given: Setting, size: int, speaking: int, times: float) -> Made:
    ours, peer = f"{OURS}, with SRTP", "Janus AudioBridge, no SRTP"
    sides = [
        Antiphon(ours, given.said, mode="mix", size=size, speaking=speaking),
        Bridge(peer, given.said, size=size, speaking=speaking, settings=EQUAL),
        Bridge("Janus AudioBridge, its defaults", given.said, size=size, speaking=speaking),
    ]
    rows = compare(sides, given.cores, given.rounds, given.seconds, given.say)
    who = "all" if speaking == size else str(speaking)
    made = table(f"Rooms of {size}, {who} speaking, everybody listening", rows, [Aim(ours, peer, times=times)])
    made.notes.append(
        "The others send silence. Ours mixes the loudest three, AudioBridge everybody; it decodes and encodes for "
        "each, and its participants send bare RTP. By its defaults libopus chooses the bitrate, and the prebuffer "
        "is 6 packets, not 3."
    )
    return made, {row.side.name: row.figures() for row in rows}


def mix(given: Setting) -> Made:
    """A large room of few speakers."""
    return _mix(given, 60, 3, 7)


def everybody(given: Setting) -> Made:
    """A room in which all speak."""
    return _mix(given, 40, 40, 2)


def delay(given: Setting) -> Made:
    """What relaying adds."""
    ours = f"{OURS}, relay"
    sides = [
        Antiphon(ours, given.said, mode="relay"),
        EchoTest(JANUS, given.said),
        EchoTest(LOOPED, given.said, event_loops=LOOPS),
    ]
    for side in sides:
        # What it does for peers who are silent would come between a packet and its server on the one core.
        side.restless = True
    rows = compare(sides, given.cores, given.rounds, given.seconds, given.say, units=SESSIONS, precise=True)
    made = relay_table(rows, SESSIONS, ours)
    made.notes.append(
        "From just before the generator's system call that sends a packet to the kernel's stamp on the packet when "
        "it comes back; senders are spread evenly over 20 ms."
    )
    return made, {row.side.name: row.figures() for row in rows}


def capture(given: Setting) -> Made:
    """From one person's microphone to where another's loudspeaker could play it."""
    tuned = audiobridge.Settings(ENCODER.complexity, ENCODER.bitrate, 1)
    ticks = {interval: {"tick_ms": interval} for interval in (20, 10)}

    def ours(interval: int) -> Callable[[str], Side]:
        return lambda name: Antiphon(name, given.said, mode="mix", options=ticks[interval])

    def bridge(settings: audiobridge.Settings) -> Callable[[str], Side]:
        return lambda name: Bridge(name, given.said, size=2, speaking=2, settings=settings)

    several = [
        clicking(f"{OURS}, ticks of 20 ms", ours(20), 20, 46),
        clicking(f"{OURS}, ticks of 10 ms", ours(10), 10, 26),
        clicking("Janus AudioBridge, prebuffer 1", bridge(tuned), 20),
        clicking("Janus AudioBridge, its defaults", bridge(audiobridge.Settings()), 20),
    ]
    listen(several, given.cores, given.rounds, max(given.seconds, 4.0), given.say)
    return click_table(several), {one.name: one.figures() for one in several}


def memory(given: Setting) -> Made:
    """What a peer takes."""
    several = [
        Growth(Antiphon(f"{OURS}, relay", given.said, mode="relay")),
        Growth(Antiphon(f"{OURS}, mix", given.said, mode="mix")),
        Growth(Aiortc("aiortc", given.said, tuned=False), together=8),
        Growth(EchoTest(JANUS, given.said)),
    ]
    grow(several, given.cores, given.say)
    made = memory_table(several, OURS, 160 * KB)
    made.notes.append("aiortc's peers send eight at a time, since more would be beyond one core.")
    return made, {one.side.name: one.figures() for one in several}


CASES = {case.__name__: case for case in (echo, relay, forward, mix, everybody, delay, capture, memory)}


def report(given: Setting, names: list[str]) -> Report:
    """All that was asked for, and what has to be known to read it."""
    notes = [
        f"Measured by python -m bench.rtc: {given.rounds} rounds of {given.seconds:g} s for each, the sides' "
        "interleaved; medians and the range of the rounds. CPU is user and system time of the server's process "
        "tree on a core of its own; a slot is 20 ms of one participant. Each side is given as many participants as "
        "bring its core, or the generator, near saturation: load says how near.",
        f"Everybody sends Opus, mono, 48 kHz, 20 ms, {ENCODER.bitrate // 1000} kb/s: real speech without pauses, or "
        "silence where it says so, each packet with its level (RFC 6464).",
        f"What is encoded is encoded as voip, mono, 48 kHz, {ENCODER.bitrate // 1000} kb/s, complexity "
        f"{ENCODER.complexity}, unless it says otherwise; without in-band FEC.",
        f"We use {OPUS_VERSION}, Janus {janus.version() or '(not here)'} the system's libopus, aiortc that of PyAV.",
        "A round counts where 99 % of the packets came back and the generator kept its timetable.",
    ]
    if given.cores.note:
        notes.append(given.cores.note)
    made = Report("What WebRTC costs", description(), notes)
    for name in names:
        given.say(f"{name}: {CASES[name].__doc__}")
        shown, made.figures[name] = CASES[name](given)
        made.tables.append(shown)
    return made


def main(
    cases: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(CASES)}; all by default.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each side.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Seconds of load in a round.", min=0.5)] = 3.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here.")] = None,
) -> None:
    """WebRTC beside aiortc and Janus: CPU, delay and memory. Everything takes some 15 minutes."""
    console = Console()
    names = cases or list(CASES)
    if reason := unsupported() or generator.missing():
        console.print(reason)
        raise typer.Exit(2)
    if unknown := [name for name in names if name not in CASES]:
        console.print(f"no such comparison: {', '.join(unknown)}; there are {', '.join(CASES)}")
        raise typer.Exit(2)
    allow_many_files()
    generator.program()
    given = Setting(voices(SPEECH), Cores.choose(), rounds, seconds, lambda line: console.print(f"[dim]{escape(line)}"))
    made = report(given, names)
    made.show(console)
    if markdown is not None:
        markdown.write_text(made.markdown())
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": made.machine, "cases": made.figures}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
