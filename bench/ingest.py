"""What it costs to take audio in: Antiphon beside Flask-SocketIO, Node socket.io, Node ws and others, in one run.

Run ``python -m bench.ingest --help``.
"""

from __future__ import annotations

import datetime
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import report, servers
from bench.host import Cores, description, unsupported
from bench.links import AudioStream, CountingPeer, LinkError, RtpStream, SocketIoPeer, Transcription
from bench.load import OverloadError, chunks, frames
from bench.memory import AUDIO_SECONDS, SESSIONS, growths
from bench.rounds import Aim, Compared, Contender, Row, ratio
from bench.servers import ServerError
from bench.speech import SpeechError, Utterance, decoding, latency, utterances

SPEECH = Path(__file__).parent.parent / "tests" / "data" / "speech"
SCRIPTED = "antiphon.testing:ScriptedRecogniser"
POCKETSPHINX = "pocketsphinx"
OUR_STREAMS = 2000


class Section(StrEnum):
    """A part of the benchmark."""

    SOCKETIO = "socketio"
    WEBSOCKET = "websocket"
    MEMORY = "memory"
    LATENCY = "latency"
    DECODING = "decoding"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        seconds: Of load in each round.
        speech_seconds: Of uninterrupted speech for the cost of decoding.
    """

    sections: tuple[Section, ...]
    rounds: int
    seconds: float
    speech_seconds: float
    said: tuple[Utterance, ...]

    @property
    def speech(self) -> bytes:
        return b"".join(one.pcm for one in self.said)


def _quiet(seconds: float = 5.0) -> bytes:
    """A quiet room: white noise two units high, about -84 dB below full scale, the same in each run."""
    source = random.Random(1)
    return b"".join(source.randint(-2, 2).to_bytes(2, "little", signed=True) for _ in range(int(seconds * 16_000)))


def _socketio(speech: bytes) -> list[Contender]:
    scripted = servers.antiphon(SCRIPTED, max_streams=OUR_STREAMS)
    gated = servers.antiphon(POCKETSPHINX, max_streams=OUR_STREAMS)
    node = servers.node_peer("socketio_node.js", "Node socket.io", "socket.io")
    native = servers.node_peer("socketio_node.js", "Node socket.io", "socket.io", native=True)
    flask = servers.python_peer("socketio_flask.py", "Flask-SocketIO", "flask-socketio", "eventlet")
    bare = servers.python_peer("socketio_aiohttp.py", "python-socketio on aiohttp", "python-socketio", "aiohttp")
    same = chunks(speech)
    return [
        Contender("Antiphon", scripted, Transcription, same, OUR_STREAMS),
        Contender(
            "Antiphon, chunks numbered, acks",
            scripted,
            Transcription,
            chunks(speech, numbered=True),
            OUR_STREAMS,
        ),
        Contender("Antiphon, silence to PocketSphinx", gated, Transcription, chunks(_quiet()), OUR_STREAMS),
        Contender("Node socket.io", node, SocketIoPeer, same),
        Contender("Node socket.io with bufferutil", native, SocketIoPeer, same),
        Contender("python-socketio on aiohttp", bare, SocketIoPeer, same),
        Contender("Flask-SocketIO on eventlet", flask, SocketIoPeer, same),
    ]


def _websocket(speech: bytes) -> list[Contender]:
    scripted = servers.antiphon(SCRIPTED, max_streams=OUR_STREAMS)
    gated = servers.antiphon(POCKETSPHINX, max_streams=OUR_STREAMS)
    node = servers.node_peer("ws_node.js", "Node ws", "ws")
    native = servers.node_peer("ws_node.js", "Node ws", "ws", native=True)
    aiohttp = servers.python_peer("ws_aiohttp.py", "aiohttp", "aiohttp", "uvloop")
    picows = servers.python_peer("ws_picows.py", "picows", "picows", "uvloop")
    same = frames(speech)
    return [
        Contender("Antiphon, RTP framing", scripted, RtpStream, frames(speech, rtp=True), OUR_STREAMS),
        Contender("Antiphon, plain framing", scripted, AudioStream, same, OUR_STREAMS),
        Contender(
            "Antiphon, RTP framing, silence to PocketSphinx",
            gated,
            RtpStream,
            frames(_quiet(), rtp=True),
            OUR_STREAMS,
        ),
        Contender("Node ws", node, CountingPeer, same),
        Contender("Node ws with bufferutil", native, CountingPeer, same),
        Contender("aiohttp", aiohttp, CountingPeer, same),
        Contender("picows", picows, CountingPeer, same),
    ]


def _idle() -> list[Contender]:
    ours = servers.antiphon(POCKETSPHINX, max_streams=OUR_STREAMS)
    quiet = _quiet()
    by_name = {one.key: one for one in (*_socketio(quiet), *_websocket(quiet))}
    peers = [by_name[key] for key in ("Node socket.io", "Flask-SocketIO on eventlet", "Node ws", "aiohttp")]
    return [
        Contender("Antiphon, Socket.IO", ours, Transcription, chunks(quiet)),
        Contender("Antiphon, WebSocket, RTP framing", ours, RtpStream, frames(quiet, rtp=True)),
        *peers,
    ]


def _method(plan: Plan, cores: Cores) -> list[str]:
    """How the figures come about, for whoever reads them."""
    today = datetime.datetime.now(datetime.UTC).date()
    return [
        f"Measured on {today} by `python -m bench.ingest`; {plan.rounds} rounds of {plan.seconds:g} s of load for each "
        "server, the servers' rounds interleaved in one run; medians, and the range of the rounds.",
        f"Servers run on core {cores.server}, the load on core {cores.load}. CPU is user and system time of the "
        "server's whole process tree, from the first message until it has come to rest after the last.",
        "Everybody gets the same speech, each stream in real time, and as many streams as bring it near saturation "
        "(so the cheaper server gets more of them, and may find several messages in one read); a second table gives "
        "both sides of an aim the same number of streams. "
        "After each round the server's own count of audio must equal what was sent.",
        "Peers decode the base64 and count bytes, no more. Antiphon does all that it does but recognise: pace and size "
        "limits, the session and its log, results sent back (a scripted double stands in for the recogniser). Rows "
        "that name PocketSphinx use it, with the voice activity gate before it.",
        *([cores.note] if cores.note else []),
    ]


SOCKETIO_AIMS = (
    Aim("Antiphon", "Node socket.io", 1.3),
    Aim("Antiphon", "Flask-SocketIO on eventlet", 1 / 8),
)
EQUALS = ("Node socket.io", "Node ws")
"""Peers of about our cost, which can be given as many streams as we are."""
WEBSOCKET_AIMS = (Aim("Antiphon, RTP framing", "Node ws", 2.0),)


class Ingest:
    """Runs the sections of a plan and gathers the report."""

    def __init__(self, plan: Plan, cores: Cores, progress: Progress) -> None:
        self._plan = plan
        self._cores = cores
        self._progress = progress
        self.report = report.Report("What taking audio in costs", description(), _method(plan, cores))

    async def run(self) -> None:
        """Run every section; one that fails is reported and the others go on."""
        running = {
            Section.SOCKETIO: self._socketio,
            Section.WEBSOCKET: self._websocket,
            Section.MEMORY: self._memory,
            Section.LATENCY: self._latency,
            Section.DECODING: self._decoding,
        }
        for section in self._plan.sections:
            try:
                await running[section]()
            except (ServerError, LinkError, OverloadError) as failure:
                self.say(f"{section}: {failure}", "bold red")
                self.report.tables.append(report.Table(section, ("",), notes=[f"SKIPPED: {failure}"]))

    def say(self, line: str, style: str) -> None:
        """Print above the progress bar."""
        self._progress.console.print(line, style=style, highlight=False, markup=False)

    def _steps(self, name: str, total: int) -> Callable[[], None]:
        task = self._progress.add_task(name, total=total)
        return lambda: self._progress.advance(task)

    async def _compare(self, title: str, key: str, contenders: Sequence[Contender], aims: Sequence[Aim]) -> None:
        for one in contenders:
            if one.server.missing:
                self.say(f"SKIPPED {one.key}: {one.server.missing}", "bold red")
        steps = self._steps(title, len(contenders) * (1 + self._plan.rounds))
        compared = Compared(self._cores, self._plan.seconds, self.say, steps)
        rows = await compared.run(contenders, self._plan.rounds)
        ratios = [found for aim in aims if (found := ratio(aim, rows)) is not None]
        self.report.tables.append(report.cost_table(title, rows, ratios))
        self.report.figures[key] = report.cost_figures(rows, ratios)
        await self._compare_equal(title, key, rows, [aim for aim in aims if aim.peer in EQUALS])

    async def _compare_equal(self, title: str, key: str, rows: Sequence[Row], aims: Sequence[Aim]) -> None:
        """The same again with as many streams for each side of an aim as the dearer one can take."""
        keys = {name for aim in aims for name in (aim.ours, aim.peer)}
        sides = [row for row in rows if row.contender.key in keys and row.samples]
        if len(sides) != len(keys):
            return
        streams = min(row.streams for row in sides)
        title = f"{title}, {streams} streams each"
        steps = self._steps(title, len(sides) * (1 + self._plan.rounds))
        compared = Compared(self._cores, self._plan.seconds, self.say, steps)
        equal = await compared.run([row.contender for row in sides], self._plan.rounds, streams)
        ratios = [found for aim in aims if (found := ratio(aim, equal)) is not None]
        self.report.tables.append(report.cost_table(title, equal, ratios))
        self.report.figures[f"{key}_equal"] = report.cost_figures(equal, ratios)

    async def _socketio(self) -> None:
        title = "Socket.IO: 100 ms of audio in base64 as audio_chunk"
        await self._compare(title, "socketio", _socketio(self._plan.speech), SOCKETIO_AIMS)

    async def _websocket(self) -> None:
        title = "WebSocket: 20 ms of audio as a binary message"
        await self._compare(title, "websocket", _websocket(self._plan.speech), WEBSOCKET_AIMS)

    async def _memory(self) -> None:
        contenders = _idle()
        title = f"Memory a session: {SESSIONS} joined, then each {AUDIO_SECONDS:g} s of silence"
        found = await growths(contenders, self._cores, self.say, self._steps(title, len(contenders)))
        self.report.tables.append(report.memory_table(title, found))
        self.report.figures["memory"] = report.memory_figures(found)

    async def _latency(self) -> None:
        title = "Waiting for words: PocketSphinx, one speaker in real time over Socket.IO"
        steps = self._steps(title, 1 + self._plan.rounds)
        found = await latency(POCKETSPHINX, self._plan.said, _quiet(), self._cores, self._plan.rounds, steps)
        self.report.tables.append(report.latency_table(title, found))
        self.report.figures["latency"] = report.latency_figures(found)

    async def _decoding(self) -> None:
        title = "Decoding uninterrupted speech"
        steps = self._steps(title, 1)
        found = await decoding(POCKETSPHINX, self._plan.said, self._cores, self._plan.speech_seconds)
        steps()
        self.report.tables.append(report.decoding_table(title, found))
        self.report.figures["decoding"] = report.decoding_figures(found)


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="One short round of each: shows that it works, proves little.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each server.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.2, help="Seconds of load in a round.")] = 4.0,
    only: Annotated[list[Section] | None, typer.Option(help="Run this part; may be given several times.")] = None,
    speech: Annotated[Path, typer.Option(help="Folder of WAV files, 16 kHz, mono, 16-bit.")] = SPEECH,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file.")] = None,
    figures: Annotated[Path | None, typer.Option("--json", help="Write every sample to this file.")] = None,
) -> None:
    """Measure what taking audio in costs, against peers started beside it."""
    console = Console()
    if not console.is_terminal:
        console.width = 120
    if reason := unsupported():
        console.print(f"[bold red]{reason}")
        raise typer.Exit(2)
    try:
        said = tuple(utterances(speech))
    except SpeechError as problem:
        console.print(f"[bold red]{problem}")
        raise typer.Exit(2) from None
    sections = tuple(only) if only else tuple(Section)
    plan = Plan(sections, 1 if quick else rounds, 1.0 if quick else seconds, 8.0 if quick else 30.0, said)
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.load})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        ingest = Ingest(plan, cores, progress)
        uvloop.run(ingest.run())
    ingest.report.show(console)
    if markdown is not None:
        markdown.write_text(ingest.report.markdown())
    if figures is not None:
        everything = {"machine": ingest.report.machine, "notes": ingest.report.notes, **ingest.report.figures}
        figures.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    typer.run(main)
