"""The ways from a source of audio to events: here, or through one of a server's doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

from antiphon.cli.render import Renderer
from antiphon.cli.sources import OpenAudio, Source, at_pace_of_speech
from antiphon.client import Door, Reconnected, StreamLimits, TranscriptionClient, transcribe_file
from antiphon.events import Event, Progress
from antiphon.server.config import Settings
from antiphon.server.options import engine_options, transcriber_options
from antiphon.speech.registry import create_recogniser, match_language
from antiphon.speech.transcriber import Transcriber

RATE = 16_000
"""Hertz of what goes to a server, and to an engine that takes it."""
READ_AHEAD_S = 5.0
"""Seconds of speech that may wait for a decoder before more is read."""
PROGRESS_S = 0.5
SPEAKER = "speaker"
FINISH_TIMEOUT = 600.0
"""Seconds that a server gets for what it has not transcribed when the audio is over."""

Take = Callable[[Event], None]


async def here(source: Source, settings: Settings, realtime: bool, take: Take) -> None:
    """Transcribe in this process, with the engine that the settings name.

    Raises:
        AntiphonError: Not audio, an unknown language, or no engine.
    """
    recogniser = create_recogniser(settings.engine, engine_options(settings))
    can = recogniser.capabilities
    language = match_language(settings.language, can.languages)
    rate = RATE if RATE in can.sample_rates else can.sample_rates[0]
    async with source.open(rate) as audio:
        await recogniser.start()
        try:
            transcriber = Transcriber(SPEAKER, recogniser, language, rate, take, transcriber_options(settings))
            progress = _Progress(audio, take)
            try:
                async for block in _paced(audio, rate, realtime):
                    await transcriber.ready(READ_AHEAD_S)
                    transcriber.push(block)
                    progress.at(transcriber.position - transcriber.backlog)
                await transcriber.finish()
                take(Progress(SPEAKER, transcriber.position, transcriber.position))
            finally:
                await transcriber.close()
        finally:
            await recogniser.close()


async def upload(path: Path, server: str, language: str | None, api_key: str | None, take: Take) -> None:
    """Have a server transcribe the whole file.

    Raises:
        AntiphonError: The server refused it, or failed on it.
        StreamError: The server is not there.
        ValueError: `server` is no address.
    """
    async with aclosing(transcribe_file(server, path, language=language, api_key=api_key)) as entries:
        async for entry in entries:
            take(entry.event)


async def stream(
    source: Source,
    server: str,
    door: Door,
    language: str | None,
    api_key: str | None,
    realtime: bool,
    renderer: Renderer,
) -> None:
    """Stream the audio through one of a server's live doors.

    Raises:
        AntiphonError: The server refused it, or it is not audio.
        StreamError: The server is not there.
        ValueError: `server` is no address.
    """
    limits = StreamLimits(finish_timeout=FINISH_TIMEOUT)
    client = TranscriptionClient(server, door=door, language=language, api_key=api_key, limits=limits)
    async with client:
        sending = asyncio.create_task(_send(source, client, realtime, renderer.take))
        showing = asyncio.create_task(_show(client, renderer))
        try:
            # whichever ends first with a fault ends the other
            done, _ = await asyncio.wait([sending, showing], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            sending.cancel()
            showing.cancel()
            await asyncio.wait([sending, showing])


async def _send(source: Source, client: TranscriptionClient, realtime: bool, take: Take) -> None:
    async with source.open(RATE) as audio:
        progress = _Progress(audio, take)
        sent = 0
        async for block in _paced(audio, RATE, realtime):
            await client.send(block)
            sent += len(block)
            progress.at(sent / (2 * RATE) - client.unacknowledged)
        await client.finish()


async def _show(client: TranscriptionClient, renderer: Renderer) -> None:
    async for result in client.results():
        if isinstance(result, Reconnected):
            if not result.resumed:
                renderer.warn("the server had forgotten this stream and began anew; some words may be missing")
        else:
            renderer.take(result.event)


def _paced(audio: OpenAudio, rate: int, realtime: bool) -> AsyncIterator[bytes]:
    return at_pace_of_speech(audio.blocks, rate) if realtime else audio.blocks


class _Progress:
    """Tells now and then how far a stream is."""

    def __init__(self, audio: OpenAudio, take: Take) -> None:
        self._total = audio.total
        self._take = take
        self._told = 0.0

    def at(self, done: float) -> None:
        if done - self._told >= PROGRESS_S:
            self._told = done
            self._take(Progress(SPEAKER, done, self._total))
