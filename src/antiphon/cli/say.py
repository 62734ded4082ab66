"""``antiphon say``."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import Annotated

import typer
from rich.table import Table

from antiphon.cli.base import INTERRUPTED, USAGE_ERROR, Failure, out, read_settings
from antiphon.cli.outputs import Output, choose_output
from antiphon.errors import ClientError
from antiphon.server.config import Settings
from antiphon.speech.registry import create_synthesiser
from antiphon.speech.synthesiser import SpeechRequest, Synthesiser, SynthesiserOptions
from antiphon.telemetry.logs import configure_logging

EPILOG = """\
Exit codes: 0 all said; 1 it can't be played or written; 2 wrong usage (no such voice, empty text); 3 the engine is not
available or failed; 130 interrupted."""


def say(
    text: Annotated[str, typer.Argument(help="What to say; - is standard input.")] = "",
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write a WAV there (- is standard output), and play nothing."
        ),
    ] = None,
    voice: Annotated[str | None, typer.Option(metavar="ID", help="Who says it; see --voices.")] = None,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", help="What it is written in, such as en-US; picks a voice.")
    ] = None,
    rate: Annotated[float, typer.Option(metavar="FACTOR", help="Speed, 0.5 to 2.")] = 1.0,
    synthesiser: Annotated[
        str | None, typer.Option(metavar="NAME", help="Engine to use; default as for serve.")
    ] = None,
    voices: Annotated[bool, typer.Option("--voices", help="List the voices and say nothing.")] = False,
) -> None:
    """Say a text: aloud, or into a WAV file.

    A text goes to the engine sentence by sentence, so that the first is heard while the last is not yet made.
    """
    configure_logging("error", "console")
    if not text and not voices:
        raise Failure('there is nothing to say; write it in quotes: antiphon say "Good morning"', USAGE_ERROR)
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    settings = read_settings(None, {} if synthesiser is None else {"synthesiser": synthesiser})
    request = SpeechRequest(text, language or "", voice or "", rate)
    try:
        if voices:
            asyncio.run(_list(settings))
        else:
            with choose_output(output, raw=False) as sink:
                asyncio.run(_say(request, settings, sink))
    except ClientError as error:
        raise Failure(error.message, USAGE_ERROR) from None
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise Failure(str(fault)) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


async def _say(request: SpeechRequest, settings: Settings, sink: Output) -> None:
    engine = _engine(settings)
    try:
        await engine.start()
        opened = False
        async with aclosing(engine.synthesise(request)) as audio:
            async for piece in audio:
                if not opened:
                    sink.open(piece.sample_rate)
                    opened = True
                await asyncio.to_thread(sink.write, piece.pcm)
    finally:
        await engine.close()


async def _list(settings: Settings) -> None:
    engine = _engine(settings)
    try:
        await engine.start()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for heading in ("voice", "language", "gender", "name"):
            table.add_column(heading, no_wrap=True)
        for voice in engine.capabilities.voices:
            table.add_row(voice.id, voice.language, voice.gender, voice.name)
        out.print(table)
    finally:
        await engine.close()


def _engine(settings: Settings) -> Synthesiser:
    return create_synthesiser(
        settings.synthesiser,
        SynthesiserOptions(max_workers=1, worker_timeout=settings.synthesiser_timeout),
    )
