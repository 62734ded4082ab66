"""``antiphon transcribe``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon.cli import routes
from antiphon.cli.base import (
    ENGINE_ERROR,
    INTERRUPTED,
    RUNTIME_ERROR,
    USAGE_ERROR,
    Failure,
    err,
    read_settings,
)
from antiphon.cli.formats import Format
from antiphon.cli.render import Renderer
from antiphon.cli.sources import FileSource, RawSource, Source, check_file
from antiphon.client import Door as LiveDoor
from antiphon.client import StreamError
from antiphon.client.address import server_url
from antiphon.errors import (
    AntiphonError,
    BadAudio,
    DurationLimit,
    Forbidden,
    TooLarge,
    Unauthorized,
    UnsupportedFormat,
)
from antiphon.formats import live_format
from antiphon.telemetry.logs import configure_logging


class Door(StrEnum):
    """What ``--door`` takes."""

    HTTP = "http"
    WEBSOCKET = "websocket"
    SOCKETIO = "socketio"


EPILOG = """\
Exit codes: 0 all transcribed; 1 the file is missing, broken or not audio; 2 wrong usage or settings (unknown language,
no API key); 3 the engine or the server is not available or failed; 130 interrupted, after printing what was heard."""


def transcribe(
    file: Annotated[
        Path, typer.Argument(help="WAV, FLAC, MP3, MP4/M4A, Ogg or WebM; - is standard input.", allow_dash=True)
    ],
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Let this server do it; without one, it is done here.")
    ] = None,
    door: Annotated[
        Door | None,
        typer.Option(help="How to reach the server: upload the file, or stream it live. [http; websocket with --raw]"),
    ] = None,
    language: Annotated[str | None, typer.Option(metavar="TAG", help="What is spoken, such as en-US.")] = None,
    style: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text: one utterance a line, as it ends. json: one object at the end, with text, duration and results "
            "(text, start, end, language, words). srt, vtt: subtitles.",
        ),
    ] = Format.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there and not to standard output.")
    ] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Take the file no faster than it was spoken.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Standard input is 16-bit little-endian PCM, transcribed as it comes.")
    ] = False,
    sample_rate: Annotated[int, typer.Option(metavar="HZ", help="Of raw samples.")] = 16_000,
    channels: Annotated[int, typer.Option(metavar="N", help="Of raw samples, interleaved.")] = 1,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="Recogniser to use here; default as for serve.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", envvar="ANTIPHON_API_KEY", help="Key to show to the server.")
    ] = None,
) -> None:
    """Print what is said in a file or on standard input.

    Words that may still change and progress are shown on standard error, where that is a terminal.

    From a microphone: arecord -f S16_LE -r 16000 -t raw | antiphon transcribe - --raw
    """
    configure_logging("error", "console")
    _check_usage(str(file), server, door, output, realtime=realtime, raw=raw, engine=engine)
    renderer = Renderer(style, output, err)
    try:
        source = _source(file, raw, sample_rate, channels, renderer.warn)
        if server is None:
            given = {"engine": engine, "language": language}
            settings = read_settings(None, {name: value for name, value in given.items() if value is not None})
            _run(routes.here(source, settings, realtime, renderer.take))
        elif (door or (Door.WEBSOCKET if raw else Door.HTTP)) is Door.HTTP:
            with source.path() as path:
                _run(routes.upload(path, server, language, api_key, renderer.take))
        else:
            live: LiveDoor = "socketio" if door is Door.SOCKETIO else "websocket"
            _run(routes.stream(source, server, live, language, api_key, realtime, renderer))
        renderer.finish()
    except KeyboardInterrupt:
        renderer.interrupt()
        raise typer.Exit(INTERRUPTED) from None
    finally:
        renderer.close()
    if renderer.troubles:
        raise typer.Exit(ENGINE_ERROR)


def _check_usage(
    file: str,
    server: str | None,
    door: Door | None,
    output: Path | None,
    *,
    realtime: bool,
    raw: bool,
    engine: str | None,
) -> None:
    """Say at once what does not go together.

    Raises:
        Failure: Something does not.
    """
    wrong = ""
    if raw and file != "-":
        wrong = "--raw is for standard input; name it as -"
    elif file == "-" and sys.stdin.isatty():
        wrong = "standard input is a terminal; pipe a file or raw samples into it"
    elif door is not None and server is None:
        wrong = "--door needs --server"
    elif engine is not None and server is not None:
        wrong = "--engine is for work without a server; a server has its own"
    elif door is Door.HTTP and raw:
        wrong = "raw samples are not a file; use --door websocket or socketio"
    elif realtime and server is not None and door in (None, Door.HTTP) and not raw:
        wrong = "--realtime with a server needs --door websocket or socketio"
    elif output is not None and output.is_dir():
        wrong = f"{output} is a directory; name a file in it with --output"
    elif output is not None and not output.absolute().parent.is_dir():
        wrong = f"there is no directory {output.parent}; make it first, or name another with --output"
    elif server is not None:
        try:
            server_url(server)
        except ValueError as fault:
            wrong = f"--server: {fault}"
    if wrong:
        raise Failure(wrong, USAGE_ERROR)


def _source(file: Path, raw: bool, sample_rate: int, channels: int, warn: Callable[[str], None]) -> Source:
    if raw:
        names = ("encoding", "--sample-rate", "--channels")
        try:
            return RawSource(live_format("pcm_s16le", sample_rate, channels, names=names), warn)
        except AntiphonError as error:
            raise Failure(error.message, USAGE_ERROR) from None
    if str(file) == "-":
        return FileSource(None)
    check_file(file)
    return FileSource(file)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Do it, and turn what goes wrong into one line.

    Raises:
        Failure: Something did.
    """
    try:
        asyncio.run(work)
    except UnsupportedFormat as error:
        code = USAGE_ERROR if (error.field or "").startswith("language") else RUNTIME_ERROR
        raise Failure(error.message, code) from None
    except (BadAudio, DurationLimit, TooLarge) as error:
        raise Failure(error.message) from None
    except (Unauthorized, Forbidden) as error:
        raise Failure(f"{error.message}; show a key with --api-key or ANTIPHON_API_KEY", USAGE_ERROR) from None
    except (AntiphonError, StreamError) as error:
        raise Failure(error.message, ENGINE_ERROR) from None
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise Failure(str(fault)) from None
