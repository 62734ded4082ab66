"""The client of the live doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, get_args

from antiphon.client.address import server_url
from antiphon.client.backoff import Backoff
from antiphon.client.errors import FinishTimeout, SendTimeout
from antiphon.client.lifecycle import Door, Lifecycle, StreamLimits
from antiphon.client.link import Hello
from antiphon.client.results import Result
from antiphon.clock import Clock, SystemClock
from antiphon.errors import BadAudio, Conflict, UnsupportedFormat
from antiphon.events import Ended
from antiphon.formats import CONTAINERS, AudioFormat, live_format


class TranscriptionClient:
    """Audio out, words in::

        async with TranscriptionClient("http://127.0.0.1:8080") as client:
            async for pcm in microphone:
                await client.send(pcm)
            await client.finish()
            async for result in client.results():
                ...

    Usually one task sends while another reads :meth:`results`. When the connection breaks, the client comes back by
    itself, goes on with the same stream, sends again what the server has not acknowledged, and gives each event once,
    in order. Where the server does not know the stream any more, a new one begins;
    :class:`~antiphon.client.Reconnected` among the results says so. The first attempt to connect is not repeated: it
    fails at once where there is no server.

    Args:
        url: The server, such as ``http://127.0.0.1:8080``.
        door: ``websocket`` (``/audio-stream`` with RTP framing; tells :class:`~antiphon.events.Speaking` as well) or
            ``socketio``.
        language: A BCP 47 tag; None for the server's default.
        audio: What is sent; 16 kHz, mono, 16-bit PCM where None. For ``opus`` the client takes 16-bit samples at that
            rate and encodes them.
        api_key: Shown to the server.
        interim_results: Whether partials are wanted.
        session_id: The session to join or begin; None for a new one.
        role: Free text for readers of the log; ``websocket`` only.
        room: A room in which the audio is heard as well; ``websocket`` only.
        backoff: How long to wait between attempts to come back.
        limits: Bounds and deadlines.
        clock: Time.

    Raises:
        ValueError: ``url`` or ``door`` is none.
        UnsupportedFormat: ``audio`` is nothing that a server takes live.
    """

    def __init__(
        self,
        url: str,
        *,
        door: Door = "websocket",
        language: str | None = None,
        audio: AudioFormat | None = None,
        api_key: str | None = None,
        interim_results: bool = True,
        session_id: str | None = None,
        role: str = "",
        room: str | None = None,
        backoff: Backoff | None = None,
        limits: StreamLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        if door not in get_args(Door):
            raise ValueError(f"door {door!r} is not known; use {' or '.join(get_args(Door))}")
        if room is not None and door != "websocket":
            raise ValueError("a room is entered by the door 'websocket'")
        audio = audio or AudioFormat()
        live_format(audio.encoding.value, audio.sample_rate, audio.channels)
        if audio.encoding in CONTAINERS:
            raise UnsupportedFormat(
                f"this client cuts samples into packets itself and cannot do so with {audio.encoding.value}; give it "
                "pcm_s16le, opus, mulaw or alaw"
            )
        self._audio = audio
        self._frame_bytes = audio.frame_bytes or 2 * audio.channels
        self._limits = limits or StreamLimits()
        hello = Hello(audio, language, interim_results, session_id, role, api_key, room=room)
        self._life = Lifecycle(server_url(url), door, hello, self._limits, backoff or Backoff(), clock or SystemClock())
        self._sending = asyncio.Lock()
        self._begun = False

    @property
    def session_id(self) -> str:
        """The session that is on; empty before the client has connected."""
        return self._life.joined.session_id if self._life.joined else ""

    @property
    def participant_id(self) -> str:
        """Whose ``participant_id`` is in the events of this client's audio; empty before it has connected."""
        return self._life.joined.participant_id if self._life.joined else ""

    @property
    def connected(self) -> bool:
        """True while there is a connection."""
        return self._life.link is not None

    @property
    def reconnections(self) -> int:
        """How often the client has come back."""
        return self._life.reconnections

    @property
    def unacknowledged(self) -> float:
        """Seconds of audio that are not safe with the server."""
        return self._life.buffer.seconds

    @property
    def send_rate(self) -> float:
        """Seconds of audio a second that are sent for long, at most; less than asked for after the server refused."""
        return self._life.pacer.rate

    @property
    def partials_dropped(self) -> int:
        """Partials that nobody took in time and that a later one of the same utterance has replaced."""
        return self._life.results.partials_dropped

    async def __aenter__(self) -> Self:
        """Connect and begin.

        Raises:
            AntiphonError: The server refused: ``Unauthorized``, ``SessionLimit``, ``UnsupportedFormat`` and so on.
            ConnectionLost: There is no server.
            ProtocolFault: There is one, and it is no Antiphon server.
        """
        if self._begun:
            raise RuntimeError("a client is for one stream; make another one")
        self._begun = True
        try:
            await self._life.begin()
        except BaseException:
            await self._life.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, pcm: bytes | bytearray | memoryview) -> None:
        """Give audio; waits while the buffer of what is not acknowledged is full.

        Args:
            pcm: Samples in the stream's format (16-bit ones where that is Opus), any number of whole ones.

        Raises:
            BadAudio: Not a whole number of samples; nothing was taken.
            SendTimeout: The buffer stayed full.
            Conflict: The server has ended the stream.
            AntiphonError: The server has ended the stream with this error.
            ConnectionLost: The server could not be reached any more.
            RuntimeError: The client is not connected yet, or has finished.
        """
        life = self._life
        if not self._begun or life.finishing:
            raise RuntimeError("send needs a client that was entered and has not finished")
        view = memoryview(pcm).cast("B")
        if len(view) % self._frame_bytes:
            raise BadAudio(
                f"{len(view)} bytes are not a whole number of {self._frame_bytes}-byte samples ({self._audio})"
            )
        async with self._sending:
            taken = 0
            try:
                async with asyncio.timeout(self._limits.send_timeout):
                    while taken < len(view):
                        self._check_running()
                        if step := life.buffer.take(view[taken:]):
                            taken += step
                            life.work.set()
                        else:
                            life.room.clear()
                            await life.room.wait()
            except TimeoutError:
                raise SendTimeout(
                    f"{life.buffer.seconds:.0f} s of audio wait for the server, which did not make room within "
                    f"{self._limits.send_timeout:g} s; send at the pace of speech, or check the connection",
                    taken,
                ) from None

    async def finish(self) -> Ended:
        """No more audio: wait until the server has told everything, and return how the stream ended.

        Results that came until then can still be read.

        Raises:
            FinishTimeout: That took too long.
            AntiphonError: The server ended the stream with this error.
            ConnectionLost: The server could not be reached any more.
            RuntimeError: The client is not connected yet.
        """
        life = self._life
        if not self._begun:
            raise RuntimeError("finish needs a client that was entered")
        async with self._sending:
            life.buffer.flush()
            life.finishing = True
        life.work.set()
        try:
            async with asyncio.timeout(self._limits.finish_timeout):
                await life.over.wait()
        except TimeoutError:
            raise FinishTimeout(
                f"the last results did not come within {self._limits.finish_timeout:g} s; "
                f"{life.buffer.seconds:.1f} s of audio are not acknowledged"
            ) from None
        if life.error is not None:
            raise life.error
        assert life.ended is not None  # noqa: S101
        return life.ended

    async def results(self) -> AsyncIterator[Result]:
        """What happens in the session, until this client's stream has ended. For one reader.

        Gives :class:`~antiphon.events.Entry`, whose ``event`` is ``Transcript``, ``Speaking``, ``Failed`` or ``Ended``
        and whose ``time`` is when it came here, and :class:`~antiphon.client.Reconnected`.

        Raises:
            AntiphonError: The server ended the stream with this error, after what was given before.
            ConnectionLost: The server could not be reached any more.
            ResultsUnread: Too many results waited for this reader.
        """
        while (result := await self._life.results.get()) is not None:
            yield result
        if self._life.error is not None:
            raise self._life.error

    async def close(self) -> None:
        """Let go of the server, finished or not; harmless when repeated."""
        await self._life.close()

    def _check_running(self) -> None:
        if self._life.error is not None:
            raise self._life.error
        if self._life.ended is not None:
            raise Conflict(f"the server has ended this stream ({self._life.ended.reason}); begin another one")
