"""From a sample on the server to the same sample in a browser's output: ``python -m bench.listen_latency``.

Clicks are made live, encoded, sent over ``/ws-audio`` and played by the SDK's player in Chromium, on one machine and so
by one clock. A worklet behind the player notes when each click is rendered. Needs Chromium.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from bench.browser import browsing, missing, serving
from bench.glitches import tone
from bench.host import Cores, description
from bench.playback import playing
from bench.report import Report, Table
from bench.servers import HERE, Server, started

SETTLING = 12.0
"""Seconds before the first click that counts: by then the buffer has shrunk to what the link needs."""


@dataclass(frozen=True, slots=True)
class Way:
    """What is measured: packets of so many milliseconds, by a preset of the encoder."""

    name: str
    frame_ms: int
    preset: str

    @property
    def server(self) -> Server:
        """What makes the clicks."""
        script = str(HERE / "peers" / "ws_live_clicks.py")
        command = (sys.executable, script, str(self.frame_ms), self.preset)
        return Server("live clicks", command, (("PYTHONPATH", str(HERE.parent)),))


WAYS = (
    Way("10 ms packets, low delay", 10, "voice_low_latency"),
    Way("20 ms packets, low delay", 20, "voice_low_latency"),
    Way("20 ms packets", 20, "voice_high_quality"),
)


@dataclass(slots=True)
class Round:
    """One way, listened to once; times in milliseconds.

    Attributes:
        delays: From when a click's first sample was spoken to when it was rendered.
        server: From a complete frame to its packet with the broadcaster.
        lookahead: Of the encoder.
        level: In the jitter buffer, the mean of all reports.
        output: What the browser says its output adds.
        underruns: How often the buffer ran out.
        concealed: Milliseconds made up.
    """

    delays: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    lookahead: float = 0.0
    level: float = 0.0
    output: float = 0.0
    underruns: int = 0
    concealed: float = 0.0


def _told(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/clicks", timeout=5.0) as response:
        told: dict[str, Any] = json.load(response)
        return told


async def listened(way: Way, url: str, seconds: float, folder: Path) -> Round:
    """One round."""
    silence = folder / "silence.wav"
    tone(silence, 1)
    with serving("--engine", "antiphon.testing:ScriptedRecogniser") as pages:
        async with browsing(silence) as context:
            page = await playing(context, pages, url, {"source": "clicks"})
            await asyncio.sleep(SETTLING)
            before = await page.evaluate("() => { levels.length = 0; return player.stats; }")
            begun = time.monotonic()
            await asyncio.sleep(seconds)
            stats = await page.evaluate("() => player.stats")
            level = await page.evaluate("() => levels.reduce((sum, level) => sum + level, 0) / levels.length")
            heard = await page.evaluate("() => clicks")
    told = _told(url)
    epoch = time.time() - time.monotonic()
    said = [one["said"] for one in told["clicks"]]
    made = Round(lookahead=1000 * told["lookahead"], level=level, output=stats["outputLatency"])
    made.underruns = stats["underruns"] - before["underruns"]
    made.concealed = stats["concealed"] - before["concealed"]
    for one, following in zip(told["clicks"], [*said[1:], math.inf], strict=True):
        after = [at / 1000 - epoch for at in heard]
        found = [at for at in after if one["said"] < at <= following]
        if one["said"] >= begun and found:
            made.delays.append(1000 * (found[0] - one["said"]))
            made.server.append(1000 * (one["sent"] - one["complete"]))
    return made


def table(outcomes: dict[Way, list[Round]]) -> Table:
    """Milliseconds by way, and what they are made of."""
    parts = ("frame", "look-ahead", "server", "buffer", "the rest", "output adds")
    columns = ("way", "to the worklet", "5 % to 95 %", *parts, "underruns", "clicks")
    made = Table("Milliseconds from the sample on the server to the sample in Chromium", columns)
    for way, rounds in outcomes.items():
        delays = np.array([delay for one in rounds for delay in one.delays])
        if not len(delays):
            made.rows.append((way.name, *["-"] * (len(columns) - 1)))
            continue
        middle = float(np.median(delays))
        low, high = np.percentile(delays, (5, 95))
        lookahead, level = rounds[0].lookahead, statistics.fmean(one.level for one in rounds)
        server = statistics.median(value for one in rounds for value in one.server)
        # a click is anywhere in its frame, so that half of one is what it waits for the frame to be complete
        rest = middle - way.frame_ms / 2 - lookahead - server - level
        cells = [way.frame_ms / 2, lookahead, server, level, rest, statistics.fmean(one.output for one in rounds)]
        counts = (str(sum(one.underruns for one in rounds)), str(len(delays)))
        made.rows.append(
            (way.name, f"{middle:.1f}", f"{low:.1f}-{high:.1f}", *[f"{cell:.1f}" for cell in cells], *counts)
        )
    made.notes += [
        "frame: half of one, which a sample waits on average until its frame is complete. look-ahead: of the encoder. "
        "server: until it is encoded and with the broadcaster. buffer: the mean level of the SDK's jitter buffer. the "
        "rest: socket, worker, decoder and the way to the audio thread.",
        "output adds: what AudioContext.outputLatency says comes after the worklet; nothing plays to a sound card here",
    ]
    return made


async def _all(rounds: int, seconds: float, console: Console) -> dict[Way, list[Round]]:
    cores = Cores.choose()
    outcomes: dict[Way, list[Round]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for way, seen in outcomes.items():
                with started(way.server, cores.server) as running:
                    made = await listened(way, f"http://127.0.0.1:{running.port}", seconds, Path(folder))
                seen.append(made)
                middle = f"{statistics.median(made.delays):.1f} ms" if made.delays else "nothing heard"
                console.print(f"[dim]round {number + 1}, {way.name}: {len(made.delays)} clicks, {middle}")
    return outcomes


def main(
    rounds: Annotated[int, typer.Option(help="Of each way, in turn.", min=1)] = 2,
    seconds: Annotated[float, typer.Option(help="Of each round that count.", min=5.0)] = 10.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
) -> None:
    """How long a sample takes from the server to a browser's output. Takes some 3 minutes."""
    console = Console()
    if reason := missing():
        console.print(f"SKIPPED: {reason}")
        raise typer.Exit(0)
    outcomes = asyncio.run(_all(rounds, seconds, console))
    notes = [
        f"Measured on {time.strftime('%Y-%m-%d')} by `python -m bench.listen_latency`: {rounds} rounds of each way in "
        f"turn, {seconds:.0f} s each after {SETTLING:.0f} s that do not count.",
        "Server and browser share this machine's cores; a browser that waits for a core makes its buffer longer.",
    ]
    made = Report("From the server to a browser's output", description(), notes, [table(outcomes)])
    made.show(console)
    if markdown is not None:
        markdown.write_text(made.markdown())
    if json_file is not None:
        figures = {way.name: [dataclasses.asdict(one) for one in seen] for way, seen in outcomes.items()}
        json_file.write_text(json.dumps({"machine": made.machine, "ways": figures}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
