"""Work over the network, and what is said and returned where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import typer

from antiphon.cli.base import ENGINE_ERROR, INTERRUPTED, RUNTIME_ERROR, USAGE_ERROR, Failure
from antiphon.client.errors import StreamError
from antiphon.errors import (
    AntiphonError,
    BadAudio,
    BadMessage,
    Conflict,
    DurationLimit,
    Forbidden,
    NotFound,
    TooLarge,
    Unauthorized,
    UnsupportedFormat,
)
from antiphon.telemetry.logs import configure_logging


def run_stream(work: Coroutine[Any, Any, None], interrupted: Callable[[], None], finally_: Callable[[], None]) -> None:
    """Do it, and turn what goes wrong into one line and an exit code.

    Args:
        work: What is done.
        interrupted: Called where somebody pressed Ctrl-C.
        finally_: Called at the end, before anything is said.

    Raises:
        Failure: Something went wrong.
        typer.Exit: Interrupted.
    """
    configure_logging("error", "console")
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        interrupted()
        raise typer.Exit(INTERRUPTED) from None
    except (Unauthorized, Forbidden) as error:
        raise Failure(f"{error.message}; show a key with --api-key or ANTIPHON_API_KEY", USAGE_ERROR) from None
    except (BadMessage, UnsupportedFormat) as error:
        raise Failure(error.message, USAGE_ERROR) from None
    except (BadAudio, Conflict, DurationLimit, NotFound, TooLarge) as error:
        raise Failure(error.message, RUNTIME_ERROR) from None
    except (AntiphonError, StreamError) as error:
        raise Failure(error.message, ENGINE_ERROR) from None
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise Failure(str(fault), RUNTIME_ERROR) from None
    finally:
        finally_()
