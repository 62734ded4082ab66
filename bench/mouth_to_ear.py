"""From one browser's microphone to another one's loudspeaker, by way of a room: ``python -m bench.mouth_to_ear``.

Two pages of one headless Chromium on this machine. The microphone of the first is a file with clicks on a steady tone.
Both pages note when they see a click, the first as it is captured and the second as it is handed to the output, by the
clock that they share. Needs Chromium.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import math
import statistics
import tempfile
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from playwright.async_api import Page
from rich.console import Console

from bench.browser import Server, browsing, missing, opened, serving
from bench.host import description
from bench.report import Report, Table

RATE = 48_000
CLICK_EVERY = (0.5, 0.62, 0.55, 0.68)
"""Seconds between clicks, in turn; more than any delay, so that it is clear which is which."""
SETTLING = 3.0
"""Seconds before the first click that counts: by then jitter buffers have found their size."""
DEADLINE = 60.0

WAYS = {
    "page to page": "no server: Chromium's own path, and what remains of it in the other rows",
    "relay": "packets forwarded untouched",
    "mix": "decoded, mixed and encoded on the server, 20 ms ticks",
}


@dataclass(slots=True)
class Round:
    """One call.

    Attributes:
        delays: Milliseconds from capture to output, for each click.
        browser_buffer: Milliseconds in the listener's jitter buffer, the mean over the call.
        server_buffer: Milliseconds in the server's; 0 where it has none.
    """

    delays: list[float]
    browser_buffer: float
    server_buffer: float


def click_track(path: Path, seconds: float) -> None:
    """A WAV with a tone that keeps voice detection and encoders awake, and bursts of 3 ms on it."""
    times = np.arange(round(seconds * RATE)) / RATE
    samples = 0.05 * np.sin(2 * math.pi * 300 * times)
    at = 1.0
    for gap in itertools.cycle(CLICK_EVERY):
        if at >= seconds - 1:
            break
        start, length = round(at * RATE), round(0.003 * RATE)
        samples[start : start + length] = 0.8 * np.sin(2 * math.pi * 2000 * np.arange(length) / RATE)
        at += gap
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


SPEAK = """
async () => {
  const calls = await import("/bench/calls.js");
  const { watch } = await import("/bench/clicks.js");
  const track = (await calls.microphone()).getAudioTracks()[0];
  window.clicks = [];
  void watch(track, "captured", clicks);
  await speaking.speak(track);
}
"""
PUBLISH = """
async ([url, protection]) => {
  const { publish } = await import("/bench/calls.js");
  window.speaking = await publish({ url, port: null, protection });
}
"""
LISTEN = """
async (url) => {
  const { listen } = await import("/bench/calls.js");
  const { watch } = await import("/bench/clicks.js");
  const { connection, track } = await listen(url);
  window.connection = connection;
  window.clicks = [];
  void watch(track, "played", clicks);
}
"""
OFFER = """
async () => {
  const { gathered } = await import("/bench/calls.js");
  const connection = new RTCPeerConnection();
  const transceiver = connection.addTransceiver("audio", { direction: "sendonly" });
  window.speaking = { connection, speak: (track) => transceiver.sender.replaceTrack(track) };
  return gathered(connection);
}
"""
ANSWER = """
async (sdp) => {
  const { gathered, received } = await import("/bench/calls.js");
  const { watch } = await import("/bench/clicks.js");
  window.connection = new RTCPeerConnection();
  window.clicks = [];
  void received(connection).then((track) => watch(track, "played", clicks));
  await connection.setRemoteDescription({ type: "offer", sdp });
  return gathered(connection);
}
"""
ACCEPT = """(sdp) => speaking.connection.setRemoteDescription({ type: "answer", sdp })"""
CONNECTED = "(name) => (name === 'speaking' ? speaking.connection : connection).connectionState === 'connected'"
BUFFERED = """
async () => {
  const incoming = [...(await connection.getStats()).values()].find(({ type }) => type === "inbound-rtp");
  return (1000 * incoming.jitterBufferDelay) / incoming.jitterBufferEmittedCount;
}
"""
COUNTED = """async () => (await (await import("/bench/calls.js")).counted(speaking)).bufferDelay ?? 0"""


async def connect(way: str, server: Server, speaker: Page, listener: Page) -> None:
    """Have the two pages talk that way."""
    if way == "page to page":
        answer = await listener.evaluate(ANSWER, await speaker.evaluate(OFFER))
        await speaker.evaluate(ACCEPT, answer)
    else:
        room = f"{way}-{time.monotonic_ns()}?mode={way}"
        await speaker.evaluate(PUBLISH, [f"{server.url}/whip/{room}", "fec"])
        await listener.evaluate(LISTEN, f"{server.url}/whep/{room}")
    for page, name in ((speaker, "speaking"), (listener, "listening")):
        await page.wait_for_function(CONNECTED, arg=name, timeout=1000 * DEADLINE)


def paired(said: Sequence[float], heard: Sequence[float]) -> list[float]:
    """For each click that was heard, milliseconds since it was said; none overtakes another."""
    begun = said[0] + 1000 * SETTLING
    delays = []
    for time_said, following in zip(said, [*said[1:], math.inf], strict=True):
        found = [at for at in heard if time_said < at <= following]
        if time_said >= begun and found:
            delays.append(found[0] - time_said)
    return delays


async def call(way: str, server: Server, folder: Path, seconds: float) -> Round:
    """One call; the browser is another each time, and so is everything that it has learnt of the network."""
    path = folder / "clicks.wav"
    click_track(path, seconds)
    async with browsing(path) as context:
        speaker, listener = await opened(context, server), await opened(context, server)
        await connect(way, server, speaker, listener)
        await speaker.evaluate(SPEAK)
        await asyncio.sleep(seconds)
        said, heard = [await page.evaluate("() => clicks") for page in (speaker, listener)]
        server_buffer = 1000 * await speaker.evaluate(COUNTED) if way == "mix" else 0.0
        return Round(paired(said, heard), await listener.evaluate(BUFFERED), server_buffer)


async def measured(rounds: int, seconds: float, say: Console) -> dict[str, list[Round]]:
    """All ways in turn, so many times."""
    outcomes: dict[str, list[Round]] = {way: [] for way in WAYS}
    with serving("--engine", "antiphon.testing:ScriptedRecogniser") as server, tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for way, seen in outcomes.items():
                made = await call(way, server, Path(folder), seconds)
                if made.delays:
                    seen.append(made)
                middle = f"{statistics.median(made.delays):.0f} ms" if made.delays else "nothing heard"
                say.print(f"[dim]round {number + 1}, {way}: {len(made.delays)} clicks, {middle}")
    return outcomes


def table(outcomes: dict[str, list[Round]]) -> Table:
    """Milliseconds by way, and what they are made of."""
    columns = ("way", "mouth to ear", "5 % to 95 %", "browser's buffer", "server's buffer", "the rest", "clicks")
    made = Table("Milliseconds from mouth to ear", columns)
    for way, rounds in outcomes.items():
        if not rounds:
            made.rows.append((way, *["-"] * 6))
            continue
        delays = np.array([delay for one in rounds for delay in one.delays])
        middle = float(np.median(delays))
        browser = statistics.median(one.browser_buffer for one in rounds)
        server = statistics.median(one.server_buffer for one in rounds)
        low, high = np.percentile(delays, (5, 95))
        cells = (f"{middle:.0f}", f"{low:.0f}-{high:.0f}", f"{browser:.0f}", f"{server:.0f}")
        made.rows.append((way, *cells, f"{middle - browser - server:.0f}", str(len(delays))))
    made.notes += [f"{way}: {what}" for way, what in WAYS.items()]
    made.notes += [
        "the browser's buffer is jitterBufferDelay / jitterBufferEmittedCount of its statistics, over the whole call; "
        "the server's is what it says of the speaker in `stats`, behind the fastest packet",
        "the rest is a 10 ms block of the capture, the 20 ms frame of Opus and its look-ahead, the network, the server "
        "(where it mixes: until its tick, and a second encoding), and the decoder's 10 ms blocks",
        "what a sound card and its driver add at either end is not in it: the microphone is a file, and nothing plays",
    ]
    return made


def main(
    rounds: Annotated[int, typer.Option(help="Calls of each way.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Seconds of a call.", min=8.0)] = 15.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
) -> None:
    """Milliseconds from one page's microphone to another's loudspeaker. Takes some 3 minutes."""
    console = Console()
    if reason := missing():
        console.print(f"SKIPPED: {reason}")
        raise typer.Exit(0)
    outcomes = asyncio.run(measured(rounds, seconds, console))
    notes = [
        f"Measured on {time.strftime('%Y-%m-%d')} by `python -m bench.mouth_to_ear`: {rounds} calls of each way in "
        f"turn, {seconds:.0f} s each with a browser of its own; {SETTLING:.0f} s from the first click on do not count.",
        "Both pages and the server share this machine's cores with whatever else runs: a browser that waits for a core "
        "makes its jitter buffer longer. Compare rows of one run.",
    ]
    made = Report("From mouth to ear", description(), notes, [table(outcomes)])
    made.show(console)
    if markdown is not None:
        markdown.write_text(made.markdown())
    if json_file is not None:
        figures: dict[str, Any] = {
            "machine": made.machine,
            "ways": {way: [dataclasses.asdict(one) for one in rounds_] for way, rounds_ in outcomes.items()},
        }
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
