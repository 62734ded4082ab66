"""Showing a transcription: finals where they were asked for, partials and progress on standard error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from antiphon.cli.formats import WRITERS, Format, Writer
from antiphon.events import Ended, Event, Failed, Transcript
from antiphon.events import Progress as FileProgress


class Display:
    """The last lines of a terminal: what is being said, greyed, and how far the file is. Elsewhere it shows nothing.

    Args:
        console: Standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._partial = ""
        self._bar = Progress(
            TextColumn("[dim]{task.fields[clock]}"), BarColumn(bar_width=None), expand=True, auto_refresh=False
        )
        self._task = self._bar.add_task("", total=None, clock="", visible=False)
        self._live: Live | None = None

    def partial(self, text: str) -> None:
        """Show what is heard of the utterance so far."""
        if text != self._partial:
            self._partial = text
            self._show()

    def progress(self, done: float, total: float | None) -> None:
        """Show how many seconds of how many are done."""
        if total is None:
            shown = clock(done)
        else:
            done = min(done, total)
            shown = f"{clock(done)} / {clock(total)}"
        self._bar.update(self._task, completed=done, total=total, clock=shown, visible=total is not None)
        self._show()

    def hide(self) -> None:
        """Leave the terminal clean, for something else to be written; the next change is shown again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _show(self) -> None:
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()
        rows: list[RenderableType] = [Text(self._partial, style="dim")] if self._partial else []
        self._live.update(Group(*rows, self._bar), refresh=True)


class Renderer:
    """Takes the events of one stream.

    Args:
        style: How finals are written.
        output: The file they go to; None for standard output.
        console: Standard error.

    Attributes:
        troubles: Stretches of speech that could not be transcribed.
    """

    def __init__(self, style: Format, output: Path | None, console: Console) -> None:
        self._console = console
        self._display = Display(console)
        self._style = style
        self._output = output
        self._file: TextIO | None = None
        self._writer: Writer | None = None
        self._last: Transcript | None = None
        self._seconds = 0.0
        self.troubles = 0

    def take(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Transcript):
            self._transcript(event)
        elif isinstance(event, FileProgress):
            self._seconds = max(self._seconds, event.done)
            self._display.progress(event.done, event.total)
        elif isinstance(event, Ended):
            self._seconds = max(self._seconds, event.duration)
        elif isinstance(event, Failed):
            self.troubles += 1
            self.warn(str(event.error.get("message", "some speech could not be transcribed")))

    def warn(self, message: str) -> None:
        """Say something on standard error."""
        self._display.hide()
        self._console.print(Text.assemble(("antiphon: ", "yellow"), message), soft_wrap=True)

    def finish(self) -> None:
        """Everything was said."""
        self._display.hide()
        self._opened().end(self._seconds)

    def interrupt(self) -> None:
        """No more is wanted: what was heard of the last utterance counts."""
        if self._last is not None:
            self._final(self._last)
        self.finish()

    def close(self) -> None:
        """Let go of the terminal and the file."""
        self._display.hide()
        if self._file is not None:
            self._file.close()

    def _transcript(self, event: Transcript) -> None:
        self._seconds = max(self._seconds, event.end)
        if event.is_partial:
            self._last = event
            self._display.partial(event.text)
        else:
            self._final(event)

    def _final(self, event: Transcript) -> None:
        self._last = None
        self._display.partial("")
        if event.text:
            self._display.hide()
            self._opened().utterance(event)

    def _opened(self) -> Writer:
        """The writer, begun with the first thing to write, so that a failure leaves an older file alone."""
        if self._writer is None:
            target = sys.stdout
            if self._output is not None:
                target = self._file = self._output.open("w", encoding="utf-8")
            self._writer = WRITERS[self._style](target)
            self._writer.begin()
        return self._writer


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours too, as people write them."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
