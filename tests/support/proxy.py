"""A bad connection between a client and a server, the same one each time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Self

BLOCK = 4096

Span = tuple[int, int]
"""Least and most, both possible."""


@dataclass(eq=False)
class _Pipe:
    """One connection through the proxy; `left` counts the bytes until it is cut, each way that has a limit."""

    writers: list[asyncio.StreamWriter]
    left: dict[str, int] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """A TCP proxy on a free port that cuts, stalls, delays and refuses connections.

    Args:
        port: Of the server, on this machine.
        seed: What its random choices come from.
        cut_up: Each of the first `cuts` connections is cut after so many bytes from the client, in mid-message.
        cut_down: Likewise, after so many bytes from the server.
        cuts: How many connections that befalls.
        delay_ms: Each block of bytes is held back so many milliseconds.

    Attributes:
        connections: How many there have been.
        cut_off: How many were cut.
    """

    def __init__(
        self,
        port: int,
        *,
        seed: int = 0,
        cut_up: Span | None = None,
        cut_down: Span | None = None,
        cuts: int = 0,
        delay_ms: Span = (0, 0),
    ) -> None:
        self.url = ""
        self.connections = 0
        self.cut_off = 0
        self._target = port
        self._random = Random(seed)
        self._limits = {"up": cut_up, "down": cut_down}
        self._cuts = cuts
        self._delay_ms = delay_ms
        self._pipes: set[_Pipe] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for pipe in self._pipes for task in pipe.tasks]
        self.cut()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut all connections at once."""
        for pipe in list(self._pipes):
            self.cut_off += 1
            pipe.cut()

    def stall(self) -> None:
        """Let nothing through; connections stay open."""
        self._open.clear()

    def flow(self) -> None:
        """Let everything through again."""
        self._open.set()

    def refuse(self, refusing: bool = True) -> None:
        """Close new connections at once, or (False) take them again."""
        self._refusing = refusing

    async def reached(self, connections: int, deadline: float = 30.0) -> None:
        """Wait for so many connections in all."""
        async with asyncio.timeout(deadline), self._changed:
            await self._changed.wait_for(lambda: self.connections >= connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        async with self._changed:
            self._changed.notify_all()
        if self._refusing:
            writer.transport.abort()
            return
        try:
            ahead_reader, ahead_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except ConnectionError:
            writer.transport.abort()
            return
        pipe = _Pipe([writer, ahead_writer])
        if self.connections <= self._cuts:
            pipe.left = {way: self._random.randint(*span) for way, span in self._limits.items() if span}
        self._pipes.add(pipe)
        pipe.tasks = [
            asyncio.create_task(self._carry(pipe, "up", reader, ahead_writer)),
            asyncio.create_task(self._carry(pipe, "down", ahead_reader, writer)),
        ]
        await asyncio.wait(pipe.tasks)
        self._pipes.discard(pipe)
        for end in pipe.writers:
            end.close()

    async def _carry(self, pipe: _Pipe, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(BLOCK):
                await self._open.wait()
                if self._delay_ms[1]:
                    await asyncio.sleep(self._random.randint(*self._delay_ms) / 1000)
                left = pipe.left.get(way)
                if left is not None:
                    data = data[:left]
                    pipe.left[way] = left - len(data)
                writer.write(data)
                await writer.drain()
                if left is not None and not pipe.left[way]:
                    self.cut_off += 1
                    pipe.cut()
                    return
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            pipe.cut()
