"""``antiphon engines`` and ``antiphon version``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from antiphon import __version__
from antiphon.cli.base import out
from antiphon.errors import EngineUnavailable
from antiphon.speech.recogniser import Capabilities
from antiphon.speech.registry import create_synthesiser, recogniser_class, recogniser_names, synthesiser_names
from antiphon.speech.synthesiser import SynthesiserCapabilities, SynthesiserOptions

YES = {True: "yes", False: "no"}

Rows = list[tuple[str, str]]


def engines() -> None:
    """List the recognisers and synthesisers that are installed and what they can do."""
    out.print(Text("Recognisers hear: antiphon serve --engine NAME", style="dim"))
    for name in recogniser_names():
        _show(name, _recogniser)
    out.print()
    out.print(Text("Synthesisers speak: antiphon serve --synthesiser NAME", style="dim"))
    for name in synthesiser_names():
        _show(name, lambda name: asyncio.run(_synthesiser(name)))


def _show(name: str, about: Callable[[str], Rows]) -> None:
    out.print()
    out.print(Text(name, style="bold"))
    try:
        rows = about(name)
    except EngineUnavailable as fault:
        out.print(Padding(Text(fault.message, style="red"), (0, 0, 0, 2)))
        return
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for what, value in rows:
        table.add_row(what, Text(value))
    out.print(Padding(table, (0, 0, 0, 2)))


def _recogniser(name: str) -> Rows:
    engine = recogniser_class(name)
    return [("about", engine.description), *_hears(engine.capabilities)]


async def _synthesiser(name: str) -> Rows:
    engine = create_synthesiser(name, SynthesiserOptions(max_workers=1))
    try:
        await engine.start()
        return [("about", engine.description), *_speaks(engine.capabilities)]
    finally:
        await engine.close()


def _hears(can: Capabilities) -> Rows:
    return [
        ("languages", ", ".join(can.languages)),
        ("sample rates", _hertz(can.sample_rates)),
        ("hears live audio", YES[can.streaming]),
        ("partial results", YES[can.partials]),
        ("word times", YES[can.word_times]),
        ("word confidence", YES[can.word_confidence]),
        ("finds utterances", "by itself" if can.endpointing else "by voice activity"),
    ]


def _speaks(can: SynthesiserCapabilities) -> Rows:
    return [
        ("languages", ", ".join(can.languages)),
        ("voices", f"{len(can.voices)}; list them with: antiphon say --voices"),
        ("sample rates", _hertz(can.sample_rates)),
        ("speaks at once", YES[can.streaming]),
        ("word times", YES[can.word_marks]),
        ("speed", f"{can.rates[0]:g} to {can.rates[1]:g} times the normal"),
        ("longest text", f"{can.max_text} characters"),
    ]


def _hertz(rates: tuple[int, ...]) -> str:
    return ", ".join(f"{rate} Hz" for rate in rates)


def version() -> None:
    """Print the version."""
    out.print(__version__, highlight=False)
