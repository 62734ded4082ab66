"""Decoder processes, started on demand, handed out one utterance at a time, replaced when they die or hang."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from antiphon.errors import AntiphonError, EngineFailed, EngineUnavailable
from antiphon.speech.engines.pocketsphinx import wire

START_TIMEOUT = 30.0
"""Seconds for loading the model, on a machine that is busy with other things."""

Answer = tuple[bytes, dict[str, Any]]


class DecoderProcess:
    """The server's end of one decoder."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.broken = False
        self._reader = reader
        self._writer = writer
        self.idle_since = 0.0

    async def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Send a frame; raises EngineFailed where the process is gone."""
        try:
            self._writer.write(wire.frame(kind, payload))
            await self._writer.drain()
        except (OSError, RuntimeError) as fault:
            self.broken = True
            raise EngineFailed("a decoder process ended unexpectedly") from fault

    async def receive(self) -> Answer:
        """The next answer; raises EngineFailed where the process is gone or reports a fault."""
        try:
            kind, size = wire.HEADER.unpack(await self._reader.readexactly(wire.HEADER.size))
            message = json.loads(await self._reader.readexactly(size))
        except (OSError, EOFError, struct.error, ValueError) as fault:
            self.broken = True
            raise EngineFailed("a decoder process ended unexpectedly") from fault
        if kind == wire.FAULT:
            self.broken = True
            raise EngineFailed(f"a decoder process failed: {message.get('message')}")
        return kind, message

    def close(self) -> None:
        """Close the connection, upon which an idle process ends."""
        self.broken = True
        self._writer.close()


class DecoderPool:
    """Up to `limit` decoder processes.

    Args:
        limit: Processes at once, at most.
        idle: Seconds after which an unused process is ended; one is kept.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, limit: int, idle: float, now: Callable[[], float]) -> None:
        self._limit = limit
        self._idle_after = idle
        self._now = now
        self._idle: deque[DecoderProcess] = deque()
        self._busy: set[DecoderProcess] = set()
        self._free = asyncio.Semaphore(limit)
        self._waiting = 0
        self._parent: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._control_lock = asyncio.Lock()
        self._closed = False
        self._reaper: asyncio.Task[None] | None = None
        self.started = 0
        self.killed = 0

    async def start(self) -> None:
        """Load the model, so that the first speaker does not wait for it."""
        async with self._control_lock:
            await self._ensure_parent()
        self._reaper = asyncio.create_task(self._end_idle(), name="pocketsphinx idle decoders")

    def counts(self) -> dict[str, float]:
        return {
            "decoders_busy": len(self._busy),
            "decoders_idle": len(self._idle),
            "decoders_waiting": self._waiting,
            "decoders_started_total": self.started,
            "decoders_killed_total": self.killed,
        }

    async def acquire(self) -> DecoderProcess:
        """A decoder for one utterance, in the order of asking."""
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        if self._closed:
            self._free.release()
            raise EngineUnavailable("the recogniser is shutting down")
        process = self._reuse() or await self._spawned()
        self._busy.add(process)
        return process

    def release(self, process: DecoderProcess) -> None:
        """Give a decoder back that is between two utterances."""
        self._busy.discard(process)
        if process.broken or self._closed:
            process.close()
        else:
            process.idle_since = self._now()
            self._idle.append(process)
        self._free.release()

    async def discard(self, process: DecoderProcess) -> None:
        """Kill a decoder that hangs, failed, or is in the middle of an utterance nobody wants."""
        self._busy.discard(process)
        process.close()
        self.killed += 1
        try:
            async with self._control_lock:
                if self._control is not None:
                    with contextlib.suppress(OSError):
                        self._control.send(wire.CONTROL.pack(wire.KILL, process.pid))
        finally:
            self._free.release()

    async def close(self) -> None:
        """End all decoders. Their parent kills those that are busy."""
        self._closed = True
        if self._reaper:
            self._reaper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reaper
        for process in (*self._idle, *self._busy):
            process.close()
        self._idle.clear()
        async with self._control_lock:
            await self._drop_parent()

    def _reuse(self) -> DecoderProcess | None:
        while self._idle:
            process = self._idle.pop()
            if not process.broken:
                return process
        return None

    async def _spawned(self) -> DecoderProcess:
        """A new process; one that its caller does not wait for any more is kept for the next."""
        spawning = asyncio.create_task(self._spawn(), name="pocketsphinx spawn")
        try:
            return await asyncio.shield(spawning)
        except asyncio.CancelledError:
            spawning.add_done_callback(self._keep)
            raise
        except AntiphonError:
            self._free.release()
            raise

    def _keep(self, spawning: asyncio.Task[DecoderProcess]) -> None:
        self._free.release()
        if spawning.cancelled() or spawning.exception() is not None:
            return
        process = spawning.result()
        if self._closed:
            process.close()
        else:
            process.idle_since = self._now()
            self._idle.append(process)

    async def _spawn(self) -> DecoderProcess:
        async with self._control_lock:
            for attempt in (1, 2):
                await self._ensure_parent()
                try:
                    return await self._fork()
                except (OSError, TimeoutError, struct.error) as fault:
                    await self._drop_parent()
                    if attempt == 2:
                        raise EngineFailed("a decoder process could not be started") from fault
        raise AssertionError("unreachable")

    async def _fork(self) -> DecoderProcess:
        assert self._control is not None  # noqa: S101
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [wire.CONTROL.pack(wire.SPAWN, 0)], [theirs.fileno()])
            pid = await self._control_answer()
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=wire.MAX_PAYLOAD)
        self.started += 1
        return DecoderProcess(pid, reader, writer)

    async def _ensure_parent(self) -> None:
        if self._closed:
            raise EngineUnavailable("the recogniser is shutting down")
        if self._parent is not None and self._parent.returncode is None:
            return
        await self._drop_parent()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._parent = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "antiphon.speech.engines.pocketsphinx.worker",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
            )
        self._control = ours
        try:
            await self._control_answer()
        except (OSError, TimeoutError, struct.error) as fault:
            await self._drop_parent()
            raise EngineUnavailable(
                "PocketSphinx could not load its model; reinstall the package 'pocketsphinx'"
            ) from fault

    async def _control_answer(self) -> int:
        assert self._control is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(START_TIMEOUT):
            answer = await loop.sock_recv(self._control, wire.CONTROL.size)
        pid: int = wire.CONTROL.unpack(answer)[1]
        return pid

    async def _drop_parent(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._parent is not None:
            parent, self._parent = self._parent, None
            try:
                async with asyncio.timeout(2):
                    await parent.wait()
            except TimeoutError:
                parent.kill()
                await parent.wait()

    async def _end_idle(self) -> None:
        while True:
            await asyncio.sleep(self._idle_after / 4)
            limit = self._now() - self._idle_after
            while len(self._idle) > 1 and self._idle[0].idle_since < limit:
                self._idle.popleft().close()
