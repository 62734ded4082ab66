"""How much of a stream is heard as it was sent: ``python -m bench.glitches``, or with ``--minutes 10``.

First an hour in seconds: the SDK's jitter buffer in Node between a paced sender, a network and a loudspeaker in virtual
time. Then real minutes: a file on the server, ``/ws-audio``, and the player in Chromium, on a clean link and on one
that delays each piece by up to 100 ms.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import subprocess
import tempfile
import time
import wave
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import typer
from rich.console import Console

from bench.browser import browsing, missing, serving
from bench.host import description
from bench.playback import jittery, playing
from bench.report import Report, Table

HOUR = Path(__file__).parent / "pages" / "virtual-hour.js"
RATE = 48_000
JITTER_MS = 100.0
SETTLING = 5.0
"""Seconds that do not count, in which the buffer learns what the link is like."""

Figures = dict[str, Any]


def virtual(seconds: int) -> list[Figures]:
    """What the jitter buffer made of so many seconds, by network."""
    done = subprocess.run(["node", HOUR, str(seconds)], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def tone(path: Path, seconds: float) -> None:
    """A WAV that is never silent: a tone with overtones whose loudness wavers."""
    times = np.arange(round(seconds * RATE)) / RATE
    loud = 0.2 + 0.1 * np.sin(2 * math.pi * 3 * times)
    samples = loud * sum(np.sin(2 * math.pi * 150 * n * times) / n for n in (1, 2, 3))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


STATS = "() => ({ ...player.stats, state: player.state })"


async def real(minutes: float, console: Console) -> list[Figures]:
    """What a player in Chromium made of so many minutes, by link."""
    seconds = 60 * minutes
    order = {"source": "file:tone.wav"}
    with tempfile.TemporaryDirectory() as folder:
        tone(Path(folder) / "tone.wav", seconds + 30)
        silence = Path(folder) / "silence.wav"
        tone(silence, 1)
        with serving("--engine", "antiphon.testing:ScriptedRecogniser", "--media-folder", folder) as server:
            port = urlsplit(server.url).port or 0
            async with browsing(silence) as context, jittery(port, JITTER_MS) as bad:
                links = {"clean": server.url, f"jitter {JITTER_MS:.0f} ms": f"http://127.0.0.1:{bad}"}
                pages = {}
                for name, url in links.items():
                    # the page as well: a server takes a page's WebSocket only from its own address
                    pages[name] = await playing(context, dataclasses.replace(server, url=url), url, order)
                await asyncio.sleep(SETTLING)
                before = {name: await page.evaluate(STATS) for name, page in pages.items()}
                await asyncio.sleep(seconds)
                outcomes = []
                for name, page in pages.items():
                    after = await page.evaluate(STATS)
                    levels = sorted(await page.evaluate("() => levels"))
                    kept = {key: after[key] - before[name][key] for key in COUNTED}
                    outcomes.append({"name": name, "median": levels[len(levels) // 2], **after, **kept})
                    console.print(f"[dim]{name}: {kept['concealed']:.0f} ms made up, state {after['state']}")
                return outcomes


COUNTED = ("played", "underruns", "concealed", "stretched", "shortened", "dropped", "reconnects")


def table(title: str, outcomes: list[Figures], note: str) -> Table:
    """By network, what was not as it was sent."""
    columns = ("link", "minutes", "ran out", "made up", "slower", "faster", "dropped", "buffer, median")
    made = Table(title, columns, notes=[note])
    for one in outcomes:
        share = 100 * one["concealed"] / max(1.0, one["played"])
        scaled = (f"{one['stretched']:.0f} ms", f"{one['shortened']:.0f} ms", f"{one['dropped']:.0f} ms")
        cells = (f"{one['played'] / 60_000:.1f}", str(one["underruns"]), f"{share:.3f} %", *scaled)
        made.rows.append((one["name"], *cells, f"{one['median']:.0f} ms"))
    return made


def main(
    seconds: Annotated[int, typer.Option(help="Of virtual time; 0 leaves it out.", min=0)] = 3600,
    minutes: Annotated[float, typer.Option(help="Of real time in Chromium; 0 leaves it out.", min=0)] = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here.")] = None,
) -> None:
    """Gaps, and what is made up, stretched and dropped. Takes the minutes asked for, and one more."""
    console = Console()
    figures: dict[str, list[Figures]] = {}
    made = Report(
        "Glitches", description(), [f"Measured on {time.strftime('%Y-%m-%d')} by `python -m bench.glitches`."]
    )
    if seconds:
        figures["virtual"] = virtual(seconds)
        worst = max(one["steepest"] for one in figures["virtual"])
        note = (
            "virtual time, 20 ms packets, live; the first seconds, in which a network is not known yet, are counted. "
            f"The steepest step in any output is {worst:.2f} times the signal's own: nothing clicks."
        )
        made.tables.append(table("An hour, accelerated", figures["virtual"], note))
    if minutes and (reason := missing()):
        console.print(f"SKIPPED: real minutes: {reason}")
    elif minutes:
        figures["real"] = asyncio.run(real(minutes, console))
        note = f"two pages of one Chromium at once, a file of the server; the first {SETTLING:.0f} s are not counted"
        made.tables.append(table("Real minutes in Chromium", figures["real"], note))
    made.show(console)
    if markdown is not None:
        markdown.write_text(made.markdown())
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": made.machine, **figures}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
