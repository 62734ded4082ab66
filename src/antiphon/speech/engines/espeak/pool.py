"""Workers, started on demand, handed out one part of a text at a time, replaced when they die or hang."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from antiphon.errors import EngineFailed, EngineUnavailable
from antiphon.speech.engines.espeak import wire
from antiphon.speech.processes import environment

START_TIMEOUT = 30.0
"""Seconds for loading the library, on a machine that is busy with other things."""
STOP_TIMEOUT = 1.0
"""Seconds that a worker has to stop speaking before it is killed."""


class Worker:
    """The server's end of one worker."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.pid = process.pid
        self.process = process
        self.speaking = False
        self.idle_since = 0.0
        self._reader = reader
        self._writer = writer

    @property
    def alive(self) -> bool:
        """Not known to have ended."""
        return self.process.returncode is None and not self._reader.at_eof()

    async def send(self, kind: bytes, message: dict[str, Any] | None = None) -> None:
        """Send a frame; raises EngineFailed where the process is gone."""
        try:
            self._writer.write(wire.frame(kind, b"" if message is None else json.dumps(message).encode()))
            await self._writer.drain()
        except (OSError, RuntimeError) as fault:
            raise EngineFailed("a synthesiser process ended unexpectedly") from fault

    async def receive(self, patience: float) -> tuple[bytes, bytes]:
        """The next answer; raises EngineFailed where the process is gone, hangs, or reports a fault."""
        try:
            async with asyncio.timeout(patience):
                kind, size = wire.HEADER.unpack(await self._reader.readexactly(wire.HEADER.size))
                payload = await self._reader.readexactly(size)
        except TimeoutError:
            raise EngineFailed(f"a synthesiser process made no progress for {patience:g} s") from None
        except (OSError, EOFError, struct.error) as fault:
            raise EngineFailed("a synthesiser process ended unexpectedly") from fault
        if kind == wire.FAULT:
            raise EngineFailed(f"a synthesiser process failed: {json.loads(payload)['message']}")
        return kind, payload

    async def stop(self) -> bool:
        """Have it stop speaking; False where it does not."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.send(wire.STOP)
                while (await self.receive(STOP_TIMEOUT))[0] != wire.DONE:
                    pass
        except (EngineFailed, TimeoutError):
            return False
        self.speaking = False
        return True

    def close(self) -> None:
        """Close the connection, upon which an idle process ends."""
        self._writer.close()


class WorkerPool:
    """Up to `limit` workers.

    Args:
        limit: Processes at once, at most.
        idle: Seconds after which an unused process is ended; one is kept.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, limit: int, idle: float, now: Callable[[], float]) -> None:
        self._limit = limit
        self._idle_after = idle
        self._now = now
        self._idle: deque[Worker] = deque()
        self._busy: set[Worker] = set()
        self._free = asyncio.Semaphore(limit)
        self._waiting = 0
        self._ending: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.Task[None] | None = None
        self._closed = False
        self.started = 0
        self.killed = 0

    async def start(self) -> dict[str, Any]:
        """Start the first worker; what it said of itself.

        Raises:
            EngineUnavailable: The library cannot be loaded.
        """
        try:
            worker, about = await self._spawn()
        except EngineFailed as fault:
            raise EngineUnavailable(
                "eSpeak NG could not be loaded; reinstall the package 'espeakng-loader', "
                "or set synthesiser to another engine"
            ) from fault
        self._rest(worker)
        self._reaper = asyncio.create_task(self._end_idle(), name="espeak idle workers")
        return about

    def counts(self) -> dict[str, float]:
        return {
            "workers_busy": len(self._busy),
            "workers_idle": len(self._idle),
            "workers_waiting": self._waiting,
            "workers_started_total": self.started,
            "workers_killed_total": self.killed,
        }

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker for one part of a text, in the order of asking.

        One that still speaks at the end is told to stop, or killed; so is one whose user failed.
        """
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            if self._closed:
                raise EngineUnavailable("the synthesiser is shutting down")
            worker = self._reuse() or (await self._spawn())[0]
        except BaseException:
            self._free.release()
            raise
        self._busy.add(worker)
        try:
            yield worker
        except EngineFailed:
            self._kill(worker)
            raise
        finally:
            if worker.speaking:
                self._end_later(self._interrupt(worker))
            else:
                self._give_back(worker)

    async def close(self) -> None:
        """End all workers."""
        self._closed = True
        if self._reaper:
            self._reaper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reaper
        for worker in self._busy:
            self._kill(worker)
        while self._idle:
            self._end_later(self._end(self._idle.popleft()))
        while self._ending:
            await asyncio.wait(self._ending)

    async def _interrupt(self, worker: Worker) -> None:
        if not (worker.alive and await worker.stop()):
            self._kill(worker)
        self._give_back(worker)

    def _give_back(self, worker: Worker) -> None:
        self._busy.discard(worker)
        if worker.alive and not worker.speaking and not self._closed:
            self._rest(worker)
        else:
            self._end_later(self._end(worker))
        self._free.release()

    def _rest(self, worker: Worker) -> None:
        worker.idle_since = self._now()
        self._idle.append(worker)

    def _reuse(self) -> Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._end_later(self._end(worker))
        return None

    def _kill(self, worker: Worker) -> None:
        worker.speaking = False
        worker.close()
        self.killed += 1
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()

    async def _spawn(self) -> tuple[Worker, dict[str, Any]]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    # -P: a module of the working directory must not stand in for one of ours
                    "-P",
                    "-m",
                    "antiphon.speech.engines.espeak.worker",
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    env=environment(),
                    start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL,
                )
        except OSError as fault:
            ours.close()
            raise EngineFailed("a synthesiser process could not be started") from fault
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        worker = Worker(process, reader, writer)
        self.started += 1
        try:
            kind, payload = await worker.receive(START_TIMEOUT)
            if kind != wire.READY:
                raise EngineFailed("a synthesiser process could not be started")
        except BaseException:
            self._kill(worker)
            self._end_later(self._end(worker))
            raise
        return worker, json.loads(payload)

    def _end_later(self, ending: Any) -> None:
        task = asyncio.create_task(ending, name="espeak worker ends")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, worker: Worker) -> None:
        worker.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await worker.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
            await worker.process.wait()

    async def _end_idle(self) -> None:
        while True:
            await asyncio.sleep(self._idle_after / 4)
            limit = self._now() - self._idle_after
            while len(self._idle) > 1 and self._idle[0].idle_since < limit:
                self._end_later(self._end(self._idle.popleft()))
