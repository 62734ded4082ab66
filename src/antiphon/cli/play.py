"""``antiphon play``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from antiphon.cli.base import USAGE_ERROR, Failure, err
from antiphon.cli.monitor import Monitor, Status, Style
from antiphon.cli.outputs import Loudspeaker, Output, choose_output
from antiphon.cli.work import run_stream
from antiphon.client.listener import AudioListener
from antiphon.client.listening import (
    Cleared,
    ConnectionBack,
    Heard,
    ListenOptions,
    Notice,
    Packet,
    PacketsLost,
    StreamEnded,
    StreamStarted,
    listening_url,
)
from antiphon.client.playout import Decoding, Playout, PlayoutOptions
from antiphon.errors import BadAudio
from antiphon.media.level import measure_level

EPILOG = """\
Exit codes: 0 played to its end; 1 it can't be played or written, there is no such file, or the file is not audio; 2
wrong usage (unknown source, unsupported rate, no API key); 3 the server is not available or failed; 130 interrupted."""

FIELDS = {
    "source": str,
    "sampleRate": int,
    "frameMs": int,
    "bitrate": int,
    "preset": str,
    "voice": str,
    "language": str,
    "rate": float,
    "position": float,
}
"""What the query of a URL may have that has a flag as well."""
AHEAD_S = 0.3
"""Seconds that a loudspeaker may be ahead of real time, which is what it holds at most."""
MOST_GAP_S = 10.0
"""Seconds of what was lost that a file gets silence for, at most, each time."""


def play(
    url: Annotated[str, typer.Argument(help="The server, or the address of /ws-audio with a query.", metavar="URL")],
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="file:NAME of the server's media folder, room:ID, or say:TEXT.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write a WAV there, or samples (16-bit mono, without a header) to standard output where it is -, and "
            "play nothing.",
        ),
    ] = None,
    sample_rate: Annotated[int | None, typer.Option(metavar="HZ", help="8000 to 48000. [24000]")] = None,
    frame_ms: Annotated[int | None, typer.Option(metavar="MS", help="Of a packet: 10, 20, 40 or 60. [20]")] = None,
    bitrate: Annotated[int | None, typer.Option(metavar="BITS", help="Bits a second. [32000]")] = None,
    preset: Annotated[
        str | None, typer.Option(help="voice_high_quality, voice_low_latency or voice_low_bandwidth.")
    ] = None,
    voice: Annotated[str | None, typer.Option(metavar="ID", help="Who says a text.")] = None,
    language: Annotated[str | None, typer.Option(metavar="TAG", help="What a text is written in.")] = None,
    rate: Annotated[float | None, typer.Option(metavar="FACTOR", help="Speed of a text, 0.5 to 2.")] = None,
    position: Annotated[float | None, typer.Option(metavar="S", help="Begin so many seconds into it.")] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", min=0.01, help="End after so many seconds.", show_default=False)
    ] = None,
    buffer: Annotated[
        int, typer.Option(metavar="N", min=1, max=50, help="Packets to wait for before playing begins.")
    ] = 5,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", envvar="ANTIPHON_API_KEY", help="Key to show to the server.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what happens on standard output, a JSON object a line.")
    ] = False,
) -> None:
    """Play a file, a room or a text from a server.

    Level, buffer and latency are shown on standard error. A connection that breaks comes back, and a file goes on where
    it was.
    """
    if as_json and output == "-":
        raise Failure("--json and --output - both want standard output; write the audio to a file", USAGE_ERROR)
    given = {
        "source": source,
        "sampleRate": sample_rate,
        "frameMs": frame_ms,
        "bitrate": bitrate,
        "preset": preset,
        "voice": voice,
        "language": language,
        "rate": rate,
        "position": position,
    }
    options = _options(url, {name: str(value) for name, value in given.items() if value is not None})
    listener = AudioListener(url, options, api_key=api_key)
    monitor = Monitor(err, Style.JSON if as_json else Style.QUIET if quiet else Style.LIVE)
    with choose_output(output, raw=True) as sink:
        player = Player(listener, sink, monitor, PlayoutOptions(start=buffer), seconds)
        run_stream(player.run(), player.interrupted, monitor.close)


def _options(url: str, given: dict[str, str]) -> ListenOptions:
    try:
        _, query = listening_url(url)
    except ValueError as fault:
        raise Failure(str(fault), USAGE_ERROR) from None
    query.pop("events", None)
    wanted = {**query, **given}
    if not wanted.get("source"):
        raise Failure(
            "say what to play: --source file:NAME, room:ID or say:TEXT; the server lists its files at /v1/media",
            USAGE_ERROR,
        )
    if not wanted["source"].removeprefix("say:").strip():
        raise Failure("say:TEXT needs a text, as in --source say:'Good morning'", USAGE_ERROR)
    try:
        known = {name: kind(wanted[name]) for name, kind in FIELDS.items() if wanted.get(name)}
    except ValueError as fault:
        raise Failure(f"the query of the URL has a value that is no number: {fault}", USAGE_ERROR) from None
    return ListenOptions(
        source=known["source"],
        sample_rate=known.get("sampleRate"),
        frame_ms=known.get("frameMs"),
        bitrate=known.get("bitrate"),
        preset=known.get("preset"),
        voice=known.get("voice"),
        language=known.get("language"),
        rate=known.get("rate"),
        position=known.get("position", 0.0),
        more=tuple((name, value) for name, value in query.items() if name not in FIELDS),
    )


class Player:
    """Brings a stream to an output.

    A loudspeaker gets a frame whenever it has room for one, from a buffer that evens out the network. A file or a pipe
    gets each packet as it comes.
    """

    def __init__(
        self, listener: AudioListener, sink: Output, monitor: Monitor, options: PlayoutOptions, seconds: float | None
    ) -> None:
        self._listener = listener
        self._sink = sink
        self._monitor = monitor
        self._options = options
        self._seconds = seconds
        self._started: StreamStarted | None = None
        self._decoding: Decoding | None = None
        self._playout: Playout | None = None
        self._playing: asyncio.Task[None] | None = None
        self._left: int | None = None
        self._cut_short = False
        self._level = -100.0
        self._written = 0

    async def run(self) -> None:
        """Until the stream is over."""
        try:
            async with aclosing(self._listener.listen()) as stream:
                async for heard in stream:
                    self._take(heard)
                    if self._enough():
                        break
                    self._monitor.show(self._status())
            if self._playing is not None:
                assert self._playout is not None  # noqa: S101
                self._playout.end()
                await self._playing
        finally:
            if self._playing is not None:
                self._playing.cancel()
                await asyncio.wait([self._playing])
        self._monitor.finish(self._status())

    def _enough(self) -> bool:
        """All that was asked for has been played, or the loudspeaker is gone."""
        if self._playing is not None and self._playing.done() and self._playing.exception() is not None:
            return True
        return self._cut_short and self._left == 0

    def interrupted(self) -> None:
        """Somebody has heard enough."""
        self._monitor.finish(self._status())

    def _take(self, heard: Heard) -> None:
        if isinstance(heard, Packet):
            if self._playout is not None:
                self._playout.push(heard.data)
            else:
                self._write_packet(heard.data)
        elif isinstance(heard, StreamStarted):
            self._begin(heard)
        elif isinstance(heard, PacketsLost):
            self._monitor.event("lost", packets=heard.count)
            self._lost(heard.count)
        elif isinstance(heard, Cleared):
            if self._playout is not None:
                self._playout.clear()
        elif isinstance(heard, ConnectionBack):
            self._monitor.event("reconnected", attempts=heard.attempts, position=round(heard.position, 3))
            self._monitor.say(f"the connection was lost and is back ({heard.attempts} tries)")
        elif isinstance(heard, StreamEnded):
            self._monitor.event("ended", reason=heard.reason)
        elif isinstance(heard, Notice) and heard.type == "error":
            self._monitor.event("error", **heard.fields)

    def _begin(self, started: StreamStarted) -> None:
        self._started = started
        skip = started.skip if started.position == 0 else 0
        self._decoding = Decoding(started.sample_rate, started.frame_ms, skip)
        ends = [started.duration - started.position] if started.duration is not None else []
        ends += [self._seconds] if self._seconds is not None else []
        self._left = round(min(ends) * started.sample_rate) if ends else None
        self._cut_short = self._seconds is not None and min(ends) == self._seconds
        self._monitor.event(
            "started",
            source=started.source,
            sampleRate=started.sample_rate,
            frameMs=started.frame_ms,
            bitrate=started.bitrate,
            live=started.live,
            duration=started.duration,
            position=started.position,
        )
        self._sink.open(started.sample_rate)
        if isinstance(self._sink, Loudspeaker):
            self._playout = Playout(self._decoding, started.frame_ms, live=started.live, options=self._options)
            self._playing = asyncio.create_task(self._play(self._playout), name="loudspeaker")

    async def _play(self, playout: Playout) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not playout.over and self._left != 0:
            samples, kind = playout.pull()
            await asyncio.to_thread(self._sink.write, self._cut(samples, counts=kind != "silence"))
            # the device sets the pace; one that takes everything at once must not empty the buffer
            due = max(due + playout.frame_seconds, loop.time() - AHEAD_S)
            await asyncio.sleep(max(0.0, due - loop.time() - AHEAD_S))

    def _write_packet(self, packet: bytes) -> None:
        assert self._decoding is not None  # noqa: S101
        try:
            samples = self._decoding.decode(packet)
        except BadAudio:
            samples = self._decoding.conceal()
        self._sink.write(self._cut(samples))

    def _lost(self, count: int) -> None:
        if self._playout is not None:
            self._playout.lost(count)
            return
        assert self._decoding is not None and self._started is not None  # noqa: S101, PT018
        for _ in range(min(count, round(1000 * MOST_GAP_S / self._started.frame_ms))):
            self._sink.write(self._cut(self._decoding.conceal()))

    def _cut(self, samples: npt.NDArray[np.int16], *, counts: bool = True) -> bytes:
        """What of a frame is to be heard, as bytes."""
        if counts:
            if self._left is not None:
                samples = samples[: self._left]
                self._left -= len(samples)
            self._written += len(samples)
        if len(samples):
            self._level = measure_level(samples).rms_dbfs
        return samples.tobytes()

    def _status(self) -> Status:
        if self._started is None:
            return Status(0.0)
        counts = {"reconnections": self._listener.reconnections}
        latency = None
        held = 0.0
        if self._playout is not None:
            held = self._playout.seconds
            counters = self._playout.counters
            counts |= {
                "underruns": counters.underruns,
                "concealed": counters.concealed,
                "lost": counters.lost,
                "dropped": counters.dropped,
            }
        if self._listener.round_trip is not None:
            latency = self._listener.round_trip / 2 + held + self._started.frame_ms / 1000
        position = self._started.position + self._written / self._started.sample_rate
        return Status(position, self._started.duration, self._level, held, latency, counts)
