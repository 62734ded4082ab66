"""The command line."""

from __future__ import annotations

import sys

import typer
from rich.text import Text

from antiphon.cli import doctor, engines, play, say, serve, stream, transcribe, turn
from antiphon.cli.base import ENGINE_ERROR, Failure, err
from antiphon.errors import AntiphonError

__all__ = ["app", "main"]

app = typer.Typer(
    name="antiphon",
    help="Real-time voice server: live audio in, words out while they are spoken. Offline, no key, no download.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(serve.serve)
app.command(epilog=transcribe.EPILOG)(transcribe.transcribe)
app.command(epilog=stream.EPILOG)(stream.stream)
app.command(epilog=play.EPILOG)(play.play)
app.command(epilog=say.EPILOG)(say.say)
app.command(epilog=turn.EPILOG)(turn.turn)
app.command(epilog=doctor.EPILOG)(doctor.doctor)
app.command()(engines.engines)
app.command()(serve.config)
app.command()(engines.version)


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
