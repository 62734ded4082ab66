"""The command line."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from antiphon import __version__
from antiphon.errors import AntiphonError, EngineUnavailable
from antiphon.server.config import Settings, load_settings
from antiphon.speech.registry import recogniser_class, recogniser_names

app = typer.Typer(
    name="antiphon",
    help="Real-time voice server: live audio in, words out while they are spoken. Offline, no key, no download.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

CONFIG_ERROR = 2
ENGINE_ERROR = 3


class Failure(Exception):
    """Ends the program with a message and an exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def with_settings(command: Callable[[Settings], None]) -> Callable[..., None]:
    """Give a command one flag for every setting."""
    parameters = [
        inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None, typer.Option("--config", "-c", help="TOML file with settings; default ./antiphon.toml.")
            ],
        )
    ]
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        flag = f"--{name.replace('_', '-')}"
        typed: Any = bool | None if kind is bool else kind | None if kind in (int, float) else str | None
        declared = f"{flag}/--no{flag[1:]}" if kind is bool else flag
        default = "none" if field.default in ((), "") else field.default
        choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
        description = f"{field.description} {'One of ' + ', '.join(choices) + '. ' if choices else ''}[{default}]"
        option = typer.Option(declared, help=description, show_default=False)
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[typed, option])
        )

    def run(**given: Any) -> None:
        file = given.pop("config")
        command(read_settings(file, {name: value for name, value in given.items() if value is not None}))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    return run


def read_settings(file: Path | None, given: dict[str, Any]) -> Settings:
    """The settings in force, or a message that names what is wrong with them."""
    try:
        return load_settings(file, **given)
    except ValidationError as fault:
        lines = []
        for error in fault.errors():
            where = ".".join(str(part) for part in error["loc"])
            lines.append(f"{where + ': ' if where else ''}{error['msg'].removeprefix('Value error, ')}")
        raise Failure("the settings are wrong:\n  " + "\n  ".join(lines), CONFIG_ERROR) from None
    except (OSError, ValueError) as fault:
        raise Failure(f"the settings cannot be read: {fault}", CONFIG_ERROR) from None


@app.command()
@with_settings
def serve(settings: Settings) -> None:
    """Start the server.

    Settings come from flags, ANTIPHON_* environment variables and a TOML file, in this order of precedence.
    """
    from antiphon.server.run import run

    def announce(url: str) -> None:
        err.print(f"[bold green]Antiphon {__version__}[/] listens on [bold]{url}[/] - Ctrl-C ends it", highlight=False)

    try:
        run(settings, announce)
    except OSError as fault:
        raise Failure(
            f"cannot listen on {settings.host}:{settings.port}: {fault.strerror or fault}; "
            "choose another with --port, or 0 for a free one"
        ) from None


@app.command()
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


@app.command()
def engines() -> None:
    """List the recognisers that are installed and what they can do."""
    table = Table(
        "engine",
        "languages",
        "rates (Hz)",
        "partials",
        "word times",
        "endpointing",
        "about",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    for name in recogniser_names():
        try:
            engine = recogniser_class(name)
        except EngineUnavailable as fault:
            table.add_row(name, *["[dim]?[/]"] * 5, f"[red]{fault.message}[/]")
            continue
        can = engine.capabilities
        yes = {True: "yes", False: "[dim]no[/]"}
        table.add_row(
            name,
            ", ".join(can.languages),
            ", ".join(map(str, can.sample_rates)),
            yes[can.partials],
            yes[can.word_times],
            "its own" if can.endpointing else "by voice activity",
            engine.description,
        )
    out.print(table)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__, highlight=False)


def main() -> None:
    """Run the program and turn failures into messages and exit codes."""
    try:
        app()
    except Failure as failure:
        err.print(f"[bold red]antiphon:[/] {failure}", highlight=False)
        sys.exit(failure.code)
    except AntiphonError as error:
        err.print(f"[bold red]antiphon:[/] {error.message}", highlight=False)
        sys.exit(ENGINE_ERROR)


if __name__ == "__main__":
    main()
