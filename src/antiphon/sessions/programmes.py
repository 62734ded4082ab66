"""Programmes: what is encoded once for everybody who listens to the same.

A programme is one source in one format on one tape of the broadcaster. It begins with its first listener, makes packets
a few seconds ahead of the furthest one, and is kept for a while after the last has gone, so that a connection that was
lost can go on where it was. What is live ends with its last listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from antiphon.errors import AntiphonError, EngineUnavailable, Internal, SessionLimit
from antiphon.media.broadcast import TapeListener
from antiphon.protocol.audio_out import File, RoomSound, SoundFormat, Speech, Wanted
from antiphon.sessions.media_folder import MediaFolder
from antiphon.sessions.packets import pre_skip
from antiphon.sessions.rooms import RoomManager
from antiphon.sessions.sources import FileSource, RoomSource, Source, TextSource
from antiphon.speech.synthesiser import SpeechRequest, Synthesiser
from antiphon.telemetry.logs import get_logger

log = get_logger("programmes")

AHEAD_MS = 3000
"""Milliseconds that a programme is ahead of its furthest listener."""
FROM_START_S = 5.0
"""A programme that begins with a listener not further in than this begins at the source's beginning."""
JOIN_AHEAD_S = 30.0
"""A programme is joined where no more than this is still to be made of it; what is skipped is made far faster."""
OPEN_TIMEOUT = 60.0
"""Seconds in which a source has to be ready."""
MIN_TAPE_BYTES = 1 << 20


class Tapes(Protocol):
    """What programmes need of a :class:`~antiphon.media.broadcast.Broadcaster`."""

    def open_tape(
        self,
        listener: TapeListener,
        *,
        frame_ms: float,
        live: bool = ...,
        first: int = ...,
        low_ahead: int = ...,
        max_bytes: int = ...,
    ) -> int: ...
    def append(self, tape: int, packets: list[bytes]) -> None: ...
    def finish(self, tape: int) -> None: ...
    def close_tape(self, tape: int) -> None: ...
    def tape_stats(self, tape: int) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class ProgrammeOptions:
    """Bounds of programmes.

    Attributes:
        max_programmes: At once. Those that nobody listens to give way.
        max_bytes: Of all their packets.
        retention_s: Seconds that a programme is kept after its last listener has gone.
        max_seconds: Longest file.
    """

    max_programmes: int = 16
    max_bytes: int = 1 << 29
    retention_s: float = 30.0
    max_seconds: float = 4 * 3600.0


class Programme(TapeListener):
    """One source in one format, on one tape.

    Attributes:
        sound: How its packets are made.
        live: What is missed cannot be heard later.
        first: Number of its first packet.
        end: Number of the packet that will be appended next.
        finished: All its packets are there, or there will be no more because of `error`.
        error: Why it broke down.
        pre_skip: Samples at 48 kHz that a decoder gives before the audio.
        kept: Goes on for a while without listeners.
        listeners: Who hears it now.
        tape: The broadcaster's number for it.
    """

    def __init__(self, tapes: Tapes, source: Source, sound: SoundFormat, first: int, skip: int, max_bytes: int) -> None:
        self.sound = sound
        self.live = source.live
        self.first = self.end = first
        self.finished = False
        self.error: AntiphonError | None = None
        self.pre_skip = skip
        self.kept = not source.live
        self.listeners = 0
        self._tapes = tapes
        self._source = source
        self._low = asyncio.Event()
        self._grown = asyncio.Event()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self.tape = tapes.open_tape(
            self,
            frame_ms=sound.frame_ms,
            live=source.live,
            first=first,
            low_ahead=AHEAD_MS // sound.frame_ms,
            max_bytes=max_bytes,
        )

    @property
    def duration(self) -> float | None:
        """Seconds of the source, where that is known."""
        return self._source.duration

    def start(self, ended: Callable[[Programme], None]) -> None:
        """Begin to make packets; `ended` is called once there will be no more."""
        self._task = asyncio.create_task(self._run(ended), name=f"programme {self.tape}")

    async def opened(self) -> None:
        """Wait until the source is known to be good.

        Raises:
            AntiphonError: It is not.
        """
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                await asyncio.shield(self._opened)
        except TimeoutError:
            raise EngineUnavailable(
                f"the source was not ready within {OPEN_TIMEOUT:.0f} s; the server is overloaded, try again later",
                retry_after=5.0,
            ) from None

    def has(self, packet: int) -> bool:
        """Whether a listener may begin with a packet: it is kept, soon will be there, or there will be no more."""
        if not self.finished and self.sound.seconds(packet - self.end) > JOIN_AHEAD_S:
            return False
        return self.first + int(self._tapes.tape_stats(self.tape)["dropped_head"]) <= packet

    async def reached(self, packet: int) -> None:
        """Wait until a packet is there, or there will be no more."""
        while self.end <= packet and not self.finished:
            self._grown.clear()
            await self._grown.wait()

    def on_low(self) -> None:
        self._low.set()

    def append(self, packets: list[bytes]) -> None:
        """The next packets. After the end nothing is taken."""
        if packets and not self.finished:
            self._tapes.append(self.tape, packets)
            self.end += len(packets)
            self._grown.set()

    async def wanted(self) -> None:
        """As :meth:`~antiphon.sessions.sources.Output.wanted`."""
        await self._low.wait()
        self._low.clear()

    async def close(self) -> None:
        """End it. Whoever still listens has heard the last of it."""
        if self._task is not None:
            if not self.finished:
                self._task.cancel()
            await asyncio.wait([self._task])
        if not self.finished:
            # it had not even begun
            self._end()
            await self._source.close()
        self._tapes.close_tape(self.tape)

    async def _run(self, ended: Callable[[Programme], None]) -> None:
        source = self._source
        try:
            await source.open(self)
            self._opened.set_result(None)
            await source.play(self)
        except AntiphonError as error:
            self.error = error
        except OSError as fault:
            log.warning("a source cannot be read", fault=repr(fault))
            self.error = Internal("the source cannot be read; the server's log says why")
        except Exception:
            # a bug must not leave listeners waiting for ever
            log.exception("a programme failed")
            self.error = Internal("the server failed on this source; its log says more")
        finally:
            self._end()
            await source.close()
        try:
            self._tapes.finish(self.tape)
        except AntiphonError as error:
            # its listeners are found by the heartbeat
            log.error("a tape could not be finished", reason=error.message)
        ended(self)

    def _end(self) -> None:
        self.finished = True
        self._grown.set()
        if not self._opened.done():
            self._opened.set_exception(self.error or EngineUnavailable("the source was closed; connect again"))
            # nobody may be waiting
            self._opened.exception()


Key = Hashable
Make = Callable[[int], Source]


class Programmes:
    """All programmes of this process.

    Args:
        tapes: Where packets go.
        folder: Where files are.
        rooms: Where rooms live.
        options: Bounds.

    Attributes:
        synthesiser: Who speaks texts, once started; None where nobody does.
        silent: Why nobody does.
        started_total: Programmes that began.
        packets_total: Packets that were made.
    """

    def __init__(
        self,
        tapes: Tapes,
        folder: MediaFolder,
        rooms: RoomManager,
        options: ProgrammeOptions,
    ) -> None:
        self.synthesiser: Synthesiser | None = None
        self.silent = "it has no synthesiser"
        self.started_total = 0
        self._tapes = tapes
        self._folder = folder
        self._rooms = rooms
        self._options = options
        self._shared: dict[Key, list[Programme]] = {}
        self._keys: dict[Programme, Key] = {}
        self._idle: dict[Programme, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed_packets = 0
        self._threads = ThreadPoolExecutor(options.max_programmes, thread_name_prefix="antiphon-programme")
        self._tape_bytes = max(MIN_TAPE_BYTES, options.max_bytes // options.max_programmes)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def packets_total(self) -> int:
        return self._closed_packets + sum(programme.end - programme.first for programme in self._keys)

    async def tune(self, wanted: Wanted, sound: SoundFormat, packet: int, *, fresh: bool = False) -> Programme:
        """The programme in which a source can be heard from a packet on; to be left after use.

        Args:
            sound: How its packets are to be made.
            packet: Where the listener wants to begin.
            fresh: Begin another one, since those there are no longer have the packet.

        Raises:
            AntiphonError: There is no such source, it cannot be heard, or there is no room.
        """
        source = wanted.source
        if isinstance(source, File):
            # opened anew for each listener, which tells whether it is still the same file
            media = await asyncio.to_thread(self._folder.open, source.name)
            key: Key = ("file", media.identity, sound)
            if (programme := None if fresh else self._find(key, packet)) is not None:
                media.file.close()
            else:
                try:
                    programme = self._begin(
                        key,
                        sound,
                        packet,
                        wanted,
                        lambda skip: FileSource(
                            media, sound.encoder_config(source), skip, self._options.max_seconds, self._threads
                        ),
                    )
                except BaseException:
                    media.file.close()
                    raise
        else:
            key = (source, sound)
            programme = None if fresh else self._find(key, packet)
            if programme is None:
                programme = self._begin(key, sound, packet, wanted, self._live(source, sound))
        self._hold(programme)
        try:
            await programme.opened()
        except BaseException:
            self.leave(programme)
            raise
        return programme

    def converse(self, sound: SoundFormat, source: Source, wanted: Wanted) -> Programme:
        """A programme of one listener's own; to be left after use.

        Raises:
            SessionLimit: There is no room.
        """
        programme = self._begin(object(), sound, 0, wanted, lambda _: source)
        programme.kept = False
        self._hold(programme)
        return programme

    def request(self, speech: Speech) -> SpeechRequest:
        """What the synthesiser is asked for."""
        return SpeechRequest(speech.text, speech.language or "", speech.voice or "", speech.rate)

    def voice(self) -> Synthesiser:
        """Who speaks texts.

        Raises:
            EngineUnavailable: Nobody does.
        """
        if self.synthesiser is None:
            raise EngineUnavailable(f"this server speaks no texts: {self.silent}")
        return self.synthesiser

    def leave(self, programme: Programme) -> None:
        """A listener is done."""
        programme.listeners -= 1
        if programme.listeners or programme not in self._keys:
            return
        if not programme.kept or programme.error is not None:
            self._drop(programme)
        else:
            loop = asyncio.get_running_loop()
            self._idle[programme] = loop.call_later(self._options.retention_s, self._drop, programme)

    async def close(self) -> None:
        """End all."""
        for programme in list(self._keys):
            self._drop(programme)
        if self._closing:
            await asyncio.wait(self._closing)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _live(self, source: RoomSound | Speech, sound: SoundFormat) -> Make:
        config = sound.encoder_config(source)
        if isinstance(source, RoomSound):
            return lambda _: RoomSource(self._rooms, source.room_id, sound, config)
        synthesiser = self.voice()
        return lambda skip: TextSource(synthesiser, self.request(source), config, skip)

    def _find(self, key: Key, packet: int) -> Programme | None:
        """The one that goes back least and far enough, where it will soon be there."""
        found = [
            programme
            for programme in self._shared.get(key, ())
            if programme.error is None and (programme.live or programme.has(packet))
        ]
        return max(found, key=lambda programme: programme.first, default=None)

    def _begin(self, key: Key, sound: SoundFormat, packet: int, wanted: Wanted, make: Make) -> Programme:
        if len(self._keys) >= self._options.max_programmes:
            if not self._idle:
                raise SessionLimit(
                    f"{self._options.max_programmes} programmes are being listened to, which is all that this server "
                    "takes; listen to one of them, or try again later",
                    retry_after=5.0,
                )
            self._drop(next(iter(self._idle)))
        first = packet if sound.seconds(packet) > FROM_START_S else 0
        skip = pre_skip(sound.encoder_config(wanted.source))
        programme = Programme(self._tapes, make(first), sound, first, skip, self._tape_bytes)
        self._keys[programme] = key
        self._shared.setdefault(key, []).append(programme)
        self.started_total += 1
        programme.start(self._ended)
        return programme

    def _hold(self, programme: Programme) -> None:
        programme.listeners += 1
        if (timer := self._idle.pop(programme, None)) is not None:
            timer.cancel()

    def _ended(self, programme: Programme) -> None:
        if programme.error is not None and programme in self._keys:
            log.info("a programme broke down", code=programme.error.code.value)
            # whoever comes next begins another one
            self._unshare(programme)

    def _unshare(self, programme: Programme) -> None:
        key = self._keys[programme]
        others = self._shared.get(key, [])
        if programme in others:
            others.remove(programme)
        if not others:
            self._shared.pop(key, None)

    def _drop(self, programme: Programme) -> None:
        self._unshare(programme)
        del self._keys[programme]
        if (timer := self._idle.pop(programme, None)) is not None:
            timer.cancel()
        self._closed_packets += programme.end - programme.first
        task = asyncio.create_task(programme.close(), name=f"end of programme {programme.tape}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
