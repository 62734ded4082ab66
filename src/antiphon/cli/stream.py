"""``antiphon stream``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from antiphon.cli.base import USAGE_ERROR, Failure, err
from antiphon.cli.monitor import Monitor, Status, Style
from antiphon.cli.sources import FileSource, RawSource, Source, check_file
from antiphon.cli.work import run_stream
from antiphon.client import Reconnected, StreamLimits, TranscriptionClient
from antiphon.client.address import server_url
from antiphon.errors import AntiphonError
from antiphon.events import Ended, Entry, Failed, Transcript
from antiphon.formats import live_format
from antiphon.media.level import measure_level

DEFAULT_SERVER = "http://127.0.0.1:8080"
RATES = (8_000, 16_000, 24_000, 48_000)
"""Hertz that may be sent; a room takes all of them."""
STEP_S = 0.02
"""Audio goes out in pieces this long, each when it would have been spoken."""
BEHIND_S = 0.5
"""Who is so far behind, because the machine stood still, does not make up for it in a burst."""
RECONNECT_S = 60.0

EPILOG = """\
Exit codes: 0 all sent; 1 the file is missing, broken or not audio; 2 wrong usage (unknown language, no API key); 3 the
server is not available or failed; 130 interrupted, after the server has heard what was sent."""


class Codec(StrEnum):
    """What ``--codec`` takes."""

    OPUS = "opus"
    PCM = "pcm_s16le"


@dataclass(frozen=True, slots=True)
class Sending:
    """What is sent, and how.

    Attributes:
        source: Where the audio comes from; a file can be opened again.
        sample_rate: Hertz that are sent.
        loop: Begin anew at the end, without a gap.
    """

    source: Source
    sample_rate: int
    loop: bool


def stream(
    file: Annotated[
        Path, typer.Argument(help="WAV, FLAC, MP3, MP4/M4A, Ogg or WebM; - is standard input.", allow_dash=True)
    ],
    server: Annotated[str, typer.Option(metavar="URL", help="Where to.")] = DEFAULT_SERVER,
    room: Annotated[
        str | None, typer.Option(metavar="ID", help="A room in which it is heard; without one, it is transcribed only.")
    ] = None,
    language: Annotated[str | None, typer.Option(metavar="TAG", help="What is spoken, such as en-US.")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="The session to join or begin.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin anew at the end, until interrupted.")] = False,
    codec: Annotated[Codec, typer.Option(help="What is sent.")] = Codec.OPUS,
    rate: Annotated[int, typer.Option("--send-rate", metavar="HZ", help="Of what is sent: 8000 to 48000.")] = 16_000,
    raw: Annotated[
        bool, typer.Option("--raw", help="Standard input is 16-bit little-endian PCM, sent as it comes.")
    ] = (False),
    sample_rate: Annotated[int, typer.Option(metavar="HZ", help="Of raw samples.")] = 16_000,
    channels: Annotated[int, typer.Option(metavar="N", help="Of raw samples, interleaved.")] = 1,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", envvar="ANTIPHON_API_KEY", help="Key to show to the server.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but words and errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what happens on standard output, a JSON object a line.")
    ] = False,
) -> None:
    """Send a file to a server as if it were spoken now, into a room or for captions, and print the words.

    Level and what the server has not acknowledged yet are shown on standard error. A connection that breaks comes back,
    and sends again what was not acknowledged; so does one to a server that was started anew.
    """
    _check_usage(str(file), server, raw=raw, loop=loop, rate=rate)
    monitor = Monitor(err, Style.JSON if as_json else Style.QUIET if quiet else Style.LIVE)
    sending = Sending(_source(file, raw, sample_rate, channels, monitor), rate, loop)
    try:
        client = TranscriptionClient(
            server,
            language=language,
            audio=live_format(codec.value, rate, 1),
            api_key=api_key,
            session_id=session,
            room=room,
            limits=StreamLimits(reconnect_timeout=RECONNECT_S),
        )
    except ValueError as fault:
        raise Failure(str(fault), USAGE_ERROR) from None
    sender = Sender(client, sending, monitor)
    run_stream(sender.run(), sender.interrupted, monitor.close)


def _check_usage(file: str, server: str, *, raw: bool, loop: bool, rate: int) -> None:
    wrong = ""
    if raw and file != "-":
        wrong = "--raw is for standard input; name it as -"
    elif file == "-" and sys.stdin.isatty():
        wrong = "standard input is a terminal; pipe a file or raw samples into it"
    elif file == "-" and loop:
        wrong = "standard input cannot be read again; --loop needs a file"
    elif rate not in RATES:
        wrong = f"--send-rate {rate} is not known; use one of {', '.join(map(str, RATES))} Hz"
    else:
        try:
            server_url(server)
        except ValueError as fault:
            wrong = f"--server: {fault}"
    if wrong:
        raise Failure(wrong, USAGE_ERROR)


def _source(file: Path, raw: bool, sample_rate: int, channels: int, monitor: Monitor) -> Source:
    if raw:
        names = ("encoding", "--sample-rate", "--channels")
        try:
            return RawSource(live_format("pcm_s16le", sample_rate, channels, names=names), monitor.say)
        except AntiphonError as error:
            raise Failure(error.message, USAGE_ERROR) from None
    if str(file) == "-":
        return FileSource(None)
    check_file(file)
    return FileSource(file)


class Sender:
    """Sends at the pace of speech while words come back."""

    def __init__(self, client: TranscriptionClient, sending: Sending, monitor: Monitor) -> None:
        self._client = client
        self._sending = sending
        self._monitor = monitor
        self._sent = 0
        self._total: float | None = None
        self._level = -100.0
        self._partial = ""

    async def run(self) -> None:
        """Until all is sent and heard."""
        # what is no audio is found out before the server hears of it
        async with aclosing(self._audio()) as audio:
            first = await anext(audio, b"")
            async with self._client as client:
                self._monitor.event("started", sessionId=client.session_id, participantId=client.participant_id)
                reading = asyncio.create_task(self._read(), name="words")
                try:
                    await self._send(first)
                    async for piece in audio:
                        await self._send(piece)
                        self._monitor.show(self._status())
                    ended = await client.finish()
                    await reading
                finally:
                    reading.cancel()
                    await asyncio.wait([reading])
        self._monitor.event("ended", reason=ended.reason, duration=ended.duration, dropped=ended.dropped)
        self._monitor.finish(self._status())

    def interrupted(self) -> None:
        """Somebody wants no more of it."""
        self._monitor.finish(self._status())

    async def _send(self, piece: bytes) -> None:
        if not piece:
            return
        await self._client.send(piece)
        self._sent += len(piece) // 2
        self._level = measure_level(piece).rms_dbfs

    async def _audio(self) -> AsyncGenerator[bytes, None]:
        """Pieces, each when it is due."""
        rate = self._sending.sample_rate
        size = 2 * round(STEP_S * rate)
        loop = asyncio.get_running_loop()
        due = loop.time()
        again = True
        while again:
            again = self._sending.loop
            async with self._sending.source.open(rate) as opened:
                self._total = opened.total if not again else None
                async for block in opened.blocks:
                    for at in range(0, len(block), size):
                        piece = block[at : at + size]
                        yield piece
                        due = max(due + len(piece) / (2 * rate), loop.time() - BEHIND_S)
                        await asyncio.sleep(due - loop.time())

    async def _read(self) -> None:
        async for result in self._client.results():
            if isinstance(result, Reconnected):
                self._monitor.event("reconnected", resumed=result.resumed, attempts=result.attempts)
                self._monitor.say(
                    "the connection was lost and is back"
                    + ("" if result.resumed else "; the server had forgotten the stream, a new one has begun")
                )
            elif isinstance(result, Entry):
                self._told(result)

    def _told(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, Transcript):
            self._partial = event.text if event.is_partial else ""
            self._monitor.event(
                "transcript", text=event.text, isPartial=event.is_partial, start=event.start, end=event.end
            )
            if not event.is_partial and event.text:
                self._monitor.text(event.text)
        elif isinstance(event, Failed):
            self._monitor.event("error", **event.error)
            self._monitor.say(str(event.error.get("message", "some speech could not be transcribed")))
        elif isinstance(event, Ended) and event.participant_id != self._client.participant_id:
            self._monitor.event("left", participantId=event.participant_id)

    def _status(self) -> Status:
        return Status(
            position=self._sent / self._sending.sample_rate,
            duration=self._total,
            level=self._level,
            buffer=self._client.unacknowledged,
            counts={"reconnections": self._client.reconnections},
            text=self._partial,
        )
