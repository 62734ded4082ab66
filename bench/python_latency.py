"""From a sample on the server to the same sample at a Python client's loudspeaker: ``python -m bench.python_latency``.

Clicks are made live, encoded, sent over ``/ws-audio`` and played by :class:`~antiphon.client.AudioListener` and
:class:`~antiphon.client.Playout`, in two processes on this machine, which have the same clock. The loudspeaker is one
that asks for a frame at equal times, as a sound card does.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import numpy as np
import numpy.typing as npt
import typer
import uvloop
from rich.console import Console

from antiphon.client import (
    AudioListener,
    Decoding,
    ListenOptions,
    Packet,
    Playout,
    PlayoutOptions,
    StreamStarted,
    TranscriptionClient,
)
from antiphon.formats import live_format
from bench.clicks import Clicks, Finder
from bench.host import Cores, description, running_on
from bench.report import Report, Table
from bench.servers import HERE, Server, antiphon, started

ROOM_RATE = 48_000
PUSH_S = 0.01
"""Of samples that the speaker of a room sends at a time."""
SETTLING = 3.0
"""Seconds before the first click that counts."""


@dataclass(frozen=True, slots=True)
class Way:
    """What is measured.

    Attributes:
        name: For the table.
        frame_ms: Milliseconds of a packet.
        preset: Of the encoder.
        room: By way of a room of the server as it ships; a live tape of one packet after another otherwise.
        start: Packets that playing begins with.
    """

    name: str
    frame_ms: int
    preset: str
    room: bool = False
    start: int = 1

    @property
    def server(self) -> Server:
        """What plays."""
        if self.room:
            return antiphon("antiphon.testing:ScriptedRecogniser")
        script = str(HERE / "peers" / "ws_live_clicks.py")
        return Server(
            "live clicks",
            (sys.executable, script, str(self.frame_ms), self.preset),
            (("PYTHONPATH", str(HERE.parent)),),
        )


WAYS = (
    Way("10 ms frames, low delay", 10, "voice_low_latency"),
    Way("20 ms frames, low delay", 20, "voice_low_latency"),
    Way("20 ms frames", 20, "voice_high_quality"),
    Way("10 ms frames, low delay, 5 packets held", 10, "voice_low_latency", start=5),
    Way("a room, by WebSocket in and out", 20, "voice_low_latency", room=True),
)


@dataclass(slots=True)
class Round:
    """One way, listened to once; times in milliseconds.

    Attributes:
        delays: From when a click's first sample was spoken to when it is played.
        parts: What they are made of, by name.
        underruns: How often there was nothing to play.
        concealed: Frames that were made up.
    """

    delays: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    underruns: int = 0
    concealed: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """A click: when its packet came and was asked for, how long decoding took, and when the click itself is played."""

    came: float
    pulled: float
    decoding: float
    played: float


class NotingDecoding(Decoding):
    """Remembers which packet it decoded last."""

    packet = b""

    def decode(self, packet: bytes) -> npt.NDArray[np.int16]:
        self.packet = packet
        return super().decode(packet)


class Loudspeaker:
    """Plays, and notes the clicks."""

    def __init__(self, started_: StreamStarted, start: int) -> None:
        self._frame = started_.frame_ms / 1000
        self._rate = started_.sample_rate
        self._decoding = NotingDecoding(self._rate, started_.frame_ms, started_.skip)
        self.playout = Playout(
            self._decoding,
            started_.frame_ms,
            live=True,
            options=PlayoutOptions(start=start),
        )
        self._finder = Finder(self._rate)
        # by the identity of the packet, which the buffer holds until it is decoded
        self._came: dict[int, float] = {}
        self.clicks: list[Heard] = []

    def push(self, packet: bytes) -> None:
        self._came[id(packet)] = time.monotonic()
        self.playout.push(packet)

    async def run(self) -> None:
        """Ask for a frame at equal times."""
        due = time.monotonic()
        while True:
            await asyncio.sleep(due - time.monotonic())
            before = time.monotonic()
            samples, kind = self.playout.pull()
            after = time.monotonic()
            if kind == "played":
                came = self._came[id(self._decoding.packet)]
                if (begins := self._finder.find(samples)) is not None:
                    # the card plays the frame from the moment on that it was due
                    self.clicks.append(Heard(came, before, after - before, due + begins / self._rate))
            due += self._frame


async def speak_into_room(url: str, seconds: float) -> list[float]:
    """Send clicks into a room, each 10 ms when they have been spoken; returns when each click's first sample was."""
    audio = live_format("pcm_s16le", ROOM_RATE, 1)
    clicks, said = Clicks(ROOM_RATE), []
    async with TranscriptionClient(url, audio=audio, room="clicks") as client:
        begin, count = time.monotonic(), 0
        while time.monotonic() < begin + seconds:
            pcm, begins = clicks.frame(round(PUSH_S * ROOM_RATE))
            if begins is not None:
                said.append(begin + count * PUSH_S + begins / ROOM_RATE)
            count += 1
            await asyncio.sleep(begin + count * PUSH_S - time.monotonic())
            await client.send(pcm.tobytes())
    return said


async def listened(way: Way, url: str, seconds: float) -> Round:
    """One round."""
    options = ListenOptions("room:clicks" if way.room else "clicks", frame_ms=way.frame_ms, preset=way.preset)
    playing: asyncio.Task[None] | None = None
    loudspeaker: Loudspeaker | None = None
    speaking: asyncio.Task[list[float]] | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(AudioListener(url, options).listen()) as stream:
            async for item in stream:
                if isinstance(item, StreamStarted):
                    loudspeaker = Loudspeaker(item, way.start)
                    playing = asyncio.create_task(loudspeaker.run())
                    speaking = asyncio.create_task(speak_into_room(url, seconds - 1)) if way.room else None
                elif isinstance(item, Packet) and loudspeaker is not None:
                    loudspeaker.push(item.data)
    assert loudspeaker is not None and playing is not None  # noqa: PT018
    playing.cancel()
    made = Round(underruns=loudspeaker.playout.counters.underruns, concealed=loudspeaker.playout.counters.concealed)
    if speaking is not None:
        _room_delays(made, loudspeaker.clicks, await speaking)
        return made
    async with aiohttp.ClientSession() as session, session.get(f"{url}/clicks") as answer:
        _tape_delays(made, way, loudspeaker.clicks, await answer.json())
    return made


def _pairs(said: Sequence[float], heard: Sequence[Heard]) -> list[tuple[int, Heard]]:
    found = []
    for index, (at, following) in enumerate(zip(said, [*said[1:], math.inf], strict=True)):
        after = [click for click in heard if at < click.played <= following]
        if at >= said[0] + SETTLING and after:
            found.append((index, after[0]))
    return found


def _room_delays(made: Round, heard: Sequence[Heard], said: Sequence[float]) -> None:
    for index, click in _pairs(said, heard):
        made.delays.append(1000 * (click.played - said[index]))
        _add(made, {"buffer": click.pulled - click.came, "decode": click.decoding})


def _tape_delays(made: Round, way: Way, heard: Sequence[Heard], told: dict[str, Any]) -> None:
    clicks = told["clicks"]
    for index, click in _pairs([one["said"] for one in clicks], heard):
        one = clicks[index]
        made.delays.append(1000 * (click.played - one["said"]))
        parts = {
            "frame": way.frame_ms / 1000,
            "look-ahead": told["lookahead"],
            "server": one["sent"] - one["complete"],
            "socket": click.came - one["sent"],
            "buffer": click.pulled - click.came,
            "decode": click.decoding,
        }
        # a click may begin in the packet after the one that its first sample is in, by the encoder's look-ahead
        if abs(click.came - one["sent"]) > way.frame_ms / 1000:
            del parts["server"], parts["socket"]
        _add(made, parts)


def _add(made: Round, parts: dict[str, float]) -> None:
    for name, seconds in parts.items():
        made.parts.setdefault(name, []).append(1000 * seconds)


PARTS = ("frame", "look-ahead", "server", "socket", "buffer", "decode")


def table(outcomes: dict[Way, list[Round]]) -> Table:
    """Milliseconds by way, and what they are made of."""
    made = Table(
        "Milliseconds from the sample on the server to the sample at the loudspeaker",
        ("way", "delay", "5 % to 95 %", *PARTS, "underruns", "clicks"),
    )
    for way, rounds in outcomes.items():
        delays = np.array([delay for one in rounds for delay in one.delays])
        if not len(delays):
            made.rows.append((way.name, *["-"] * (len(made.columns) - 1)))
            continue
        low, high = np.percentile(delays, (5, 95))
        parts = [[value for one in rounds for value in one.parts.get(name, [])] for name in PARTS]
        middles = [f"{statistics.median(values):.1f}" if values else "" for values in parts]
        counts = (str(sum(one.underruns for one in rounds)), str(len(delays)))
        made.rows.append((way.name, f"{np.median(delays):.1f}", f"{low:.1f}-{high:.1f}", *middles, *counts))
    made.notes += [
        "frame: a packet cannot leave before its last sample is spoken. look-ahead: of the encoder. server: until it "
        "is encoded and with the broadcaster, after the frame was complete. socket: from there until the client's loop "
        "has it. buffer: until the loudspeaker asks for it, which is at any moment of a frame, and more where an "
        "underrun has made the buffer longer.",
        "a room: samples are pushed 10 ms at a time to `/audio-stream`, go through the room's jitter buffer and 20 ms "
        "ticks, and are encoded for its listeners; the parts on the server are not told apart.",
        "what a sound card and its driver add is not in it: nothing plays",
    ]
    return made


async def _all(rounds: int, seconds: float, console: Console) -> dict[Way, list[Round]]:
    cores = Cores.choose()
    outcomes: dict[Way, list[Round]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way, seen in outcomes.items():
            with started(way.server, cores.server) as running, running_on(cores.load):
                made = await listened(way, f"http://127.0.0.1:{running.port}", seconds)
            seen.append(made)
            middle = f"{statistics.median(made.delays):.1f} ms" if made.delays else "nothing heard"
            console.print(f"[dim]round {number + 1}, {way.name}: {len(made.delays)} clicks, {middle}")
    return outcomes


def main(
    rounds: Annotated[int, typer.Option(help="Of each way, in turn.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each round.", min=6.0)] = 10.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
) -> None:
    """How long a sample takes from the server to a Python client's loudspeaker. Takes some 3 minutes."""
    console = Console()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(_all(rounds, seconds, console))
    notes = [
        f"Measured on {time.strftime('%Y-%m-%d')} by `python -m bench.python_latency`: {rounds} rounds of each way in "
        f"turn, {seconds:.0f} s each; {SETTLING:.0f} s from the first click on do not count.",
        "Server and client are two processes on this machine, on uvloop, over loopback.",
    ]
    made = Report("To a Python client's loudspeaker", description(), notes, [table(outcomes)])
    made.show(console)
    if markdown is not None:
        markdown.write_text(made.markdown())
    if json_file is not None:
        figures = {way.name: [dataclasses.asdict(one) for one in seen] for way, seen in outcomes.items()}
        json_file.write_text(json.dumps({"machine": made.machine, "ways": figures}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
