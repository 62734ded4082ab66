"""The command line."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from antiphon.cli.base import ENGINE_ERROR, Failure, err
from antiphon.errors import AntiphonError

__all__ = ["app", "main"]

COMMANDS = {
    "serve": "serve",
    "transcribe": "transcribe",
    "stream": "stream",
    "play": "play",
    "say": "say",
    "turn": "turn",
    "doctor": "doctor",
    "engines": "engines",
    "config": "serve",
    "version": "engines",
}
"""The commands in the order of the help, and the module of each: only what is run is loaded."""

SETTINGS = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """The commands, each loaded when it is asked for. Contexts are of a class that Typer does not export."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """One of them; None where there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"antiphon.cli.{COMMANDS[cmd_name]}")
        alone = typer.Typer(add_completion=False, context_settings=SETTINGS, rich_markup_mode=None)
        alone.command(cmd_name, epilog=getattr(module, "EPILOG", None))(getattr(module, cmd_name))
        command = typer.main.get_command(alone)
        return command if isinstance(command, TyperCommand) else None


app = typer.Typer(
    name="antiphon",
    cls=Commands,
    help="Real-time voice server: live audio in, words out while they are spoken. Offline, no key, no download.",
    no_args_is_help=True,
    context_settings=SETTINGS,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _antiphon() -> None:
    """Takes no options of its own: everything belongs to a command."""


def main() -> None:
    """Run the program and turn failures into messages and exit codes."""
    try:
        app()
    except Failure as failure:
        _complain(str(failure), failure.code)
    except AntiphonError as error:
        _complain(error.message, ENGINE_ERROR)


def _complain(message: str, code: int) -> None:
    err.print(Text.assemble(("antiphon: ", "bold red"), message), soft_wrap=True)
    sys.exit(code)
