"""What a stream does while it runs: a line that changes on a terminal, a line now and then elsewhere, or JSON."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from rich.console import Console
from rich.live import Live
from rich.text import Text

from antiphon.cli.render import clock

REFRESH_S = 0.1
"""Between two pictures on a terminal."""
LINE_S = 5.0
"""Between two lines elsewhere."""
BAR = 20
"""Characters of the level meter."""
QUIETEST = -60.0
"""dBFS at the left end of the meter."""


class Style(StrEnum):
    """How much is told."""

    LIVE = "live"
    QUIET = "quiet"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Status:
    """A moment of a stream.

    Attributes:
        position: Seconds that have come or gone.
        duration: Seconds in all, None where that is not known.
        level: RMS in dBFS.
        buffer: Seconds of audio held.
        latency: Seconds from the server to the ear, None where that is not known.
        counts: What went wrong how often, by name.
        text: What is being said.
    """

    position: float
    duration: float | None = None
    level: float = QUIETEST
    buffer: float = 0.0
    latency: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    text: str = ""


class Monitor:
    """Shows a stream.

    Args:
        console: Standard error.
        style: How much is told.
    """

    def __init__(self, console: Console, style: Style) -> None:
        self._console = console
        self._style = style
        self._terminal = console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None
        self._shown_at = time.monotonic() - LINE_S
        self._line_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether a status would be shown now; making one may cost something."""
        if self._style is Style.QUIET:
            return False
        interval = REFRESH_S if self._terminal and self._style is Style.LIVE else LINE_S
        return time.monotonic() - self._shown_at >= interval

    def show(self, status: Status) -> None:
        """Show a status, where one is due."""
        if not self.due:
            return
        self._shown_at = time.monotonic()
        if self._style is Style.JSON:
            self.event("status", **_fields(status))
        elif self._terminal:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
                self._live.start()
            self._live.update(_picture(status), refresh=True)
        else:
            self._console.print(_line(status), soft_wrap=True, highlight=False)

    def event(self, kind: str, **fields: object) -> None:
        """Something that a program may want to know: a line of JSON on standard output, where that was asked for."""
        if self._style is Style.JSON:
            sys.stdout.buffer.write(orjson.dumps({"type": kind, **fields}) + b"\n")
            sys.stdout.buffer.flush()

    def say(self, message: str) -> None:
        """Something that a person may want to know."""
        if self._style is Style.LIVE:
            self._hide()
            self._console.print(Text.assemble(("antiphon: ", "yellow"), message), soft_wrap=True)

    def text(self, line: str) -> None:
        """A line of what was said, on standard output."""
        if self._style is not Style.JSON:
            self._hide()
            print(line, flush=True)

    def finish(self, status: Status) -> None:
        """The stream is over."""
        self._hide()
        if self._style is Style.JSON:
            self.event("summary", **_fields(status))
        elif self._style is Style.LIVE:
            self._console.print(_line(status), soft_wrap=True, highlight=False)

    def close(self) -> None:
        """Let go of the terminal."""
        self._hide()

    def _hide(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def _picture(status: Status) -> Text:
    loud = round(BAR * max(0.0, min(1.0, 1 - status.level / QUIETEST)))
    picture = Text.assemble(
        (_position(status), "bold"),
        "  ",
        ("█" * loud, "green" if status.level < -6 else "red"),
        ("░" * (BAR - loud), "dim"),
        f" {max(status.level, QUIETEST):4.0f} dB  ",
        (_rest(status), "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )
    if status.text:
        picture.append(f"\n{status.text}", "dim")
    return picture


def _line(status: Status) -> str:
    return f"{_position(status)}  level {max(status.level, QUIETEST):.0f} dB  {_rest(status)}"


def _position(status: Status) -> str:
    return clock(status.position) + (f" / {clock(status.duration)}" if status.duration is not None else "")


def _rest(status: Status) -> str:
    told = [f"buffer {status.buffer * 1000:.0f} ms"]
    if status.latency is not None:
        told.append(f"latency {status.latency * 1000:.0f} ms")
    told.extend(f"{count} {what}" for what, count in status.counts.items() if count)
    return "  ".join(told)


def _fields(status: Status) -> dict[str, object]:
    return {
        "position": round(status.position, 3),
        "duration": status.duration,
        "level": round(max(status.level, QUIETEST), 1),
        "buffer": round(status.buffer, 3),
        "latency": None if status.latency is None else round(status.latency, 4),
        **status.counts,
    }
