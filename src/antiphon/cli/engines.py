"""``antiphon engines`` and ``antiphon version``."""

from __future__ import annotations

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from antiphon import __version__
from antiphon.cli.base import out
from antiphon.errors import EngineUnavailable
from antiphon.speech.recogniser import Capabilities
from antiphon.speech.registry import recogniser_class, recogniser_names


def engines() -> None:
    """List the recognisers that are installed and what they can do."""
    for position, name in enumerate(recogniser_names()):
        if position:
            out.print()
        out.print(Text(name, style="bold"))
        try:
            engine = recogniser_class(name)
        except EngineUnavailable as fault:
            out.print(Padding(Text(fault.message, style="red"), (0, 0, 0, 2)))
            continue
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="dim")
        table.add_column()
        for what, value in (("about", engine.description), *_rows(engine.capabilities)):
            table.add_row(what, Text(value))
        out.print(Padding(table, (0, 0, 0, 2)))


def _rows(can: Capabilities) -> list[tuple[str, str]]:
    yes = {True: "yes", False: "no"}
    return [
        ("languages", ", ".join(can.languages)),
        ("sample rates", ", ".join(f"{rate} Hz" for rate in can.sample_rates)),
        ("hears live audio", yes[can.streaming]),
        ("partial results", yes[can.partials]),
        ("word times", yes[can.word_times]),
        ("word confidence", yes[can.word_confidence]),
        ("finds utterances", "by itself" if can.endpointing else "by voice activity"),
    ]


def version() -> None:
    """Print the version."""
    out.print(__version__, highlight=False)
