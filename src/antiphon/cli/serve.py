"""``antiphon serve`` and ``antiphon config``."""

from __future__ import annotations

from rich.table import Table

from antiphon import __version__
from antiphon.cli.base import Failure, err, out, with_settings
from antiphon.server.config import Settings


@with_settings
def serve(settings: Settings) -> None:
    """Start the server.

    Settings come from flags, ANTIPHON_* environment variables and a TOML file, in this order of precedence.
    """
    from antiphon.server.app import MediaPortTaken
    from antiphon.server.run import run

    def announce(url: str) -> None:
        err.print(f"[bold green]Antiphon {__version__}[/] listens on [bold]{url}[/] - Ctrl-C ends it", highlight=False)

    try:
        run(settings, announce)
    except MediaPortTaken as fault:
        raise Failure(str(fault)) from None
    except OSError as fault:
        raise Failure(
            f"cannot listen on {settings.host}:{settings.port}: {fault.strerror or fault}; "
            "choose another with --port, or 0 for a free one"
        ) from None


@with_settings
def config(settings: Settings) -> None:
    """Print the settings in force, secrets masked."""
    table = Table("setting", "value", "meaning", box=None, header_style="bold", pad_edge=False)
    for name, value in settings.masked().items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        changed = value != Settings.model_fields[name].get_default() and shown != ""
        table.add_row(
            name,
            f"[bold]{shown}[/]" if changed else shown or "[dim]none[/]",
            f"[dim]{Settings.model_fields[name].description}[/]",
        )
    out.print(table)
