"""What all commands share: the program, its consoles, its ways to fail."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError
from rich.console import Console

from antiphon.server.config import Settings, load_settings

out = Console()
err = Console(stderr=True)

RUNTIME_ERROR = 1
USAGE_ERROR = 2
ENGINE_ERROR = 3
INTERRUPTED = 130


class Failure(Exception):
    """Ends the program with a message and an exit code."""

    def __init__(self, message: str, code: int = RUNTIME_ERROR) -> None:
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
        default = "none" if field.default in ((), "", SecretStr("")) else field.default
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
    """The settings in force, or a message that names what is wrong with them.

    Raises:
        Failure: Something is.
    """
    try:
        return load_settings(file, **given)
    except ValidationError as fault:
        lines = []
        for error in fault.errors():
            where = ".".join(str(part) for part in error["loc"])
            lines.append(f"{where + ': ' if where else ''}{error['msg'].removeprefix('Value error, ')}")
        raise Failure("the settings are wrong:\n  " + "\n  ".join(lines), USAGE_ERROR) from None
    except (OSError, ValueError) as fault:
        raise Failure(f"the settings cannot be read: {fault}", USAGE_ERROR) from None
