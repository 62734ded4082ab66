"""A bad network for UDP, the same one each time."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self, cast

Address = tuple[str, int]

MAX_CLIENTS = 64
"""Clients of one link; packets of further ones are not taken."""
MAX_HELD = 4096
"""Packets that wait for their time in one link; what comes while so many wait is dropped."""

_CANDIDATE = re.compile(r"^a=candidate:(\S+) (\d+) (\S+) (\d+) (\S+) (\d+) (.*)$", re.IGNORECASE)


@dataclass(slots=True)
class Passage:
    """What became of the packets of one direction.

    Attributes:
        passed: Packets that were sent on, or wait for their time.
        lost: Packets that were dropped.
    """

    passed: int = 0
    lost: int = 0

    @property
    def share_lost(self) -> float:
        """0 to 1."""
        return self.lost / max(1, self.passed + self.lost)


class UdpLink:
    """Passes packets on to another UDP port and back, and loses and delays some: a test tool, of loopback's speed.

    What befalls the n-th packet of a direction follows from the seed and `n`. Each packet is delayed by itself, so that
    some are overtaken where delays differ by more than the packets' distance.

    Args:
        port: Where packets go.
        host: Address of it, and of the link itself.
        loss: Share of packets that are dropped, 0 to 1, each way. May be changed at any time, as may `delay_ms`.
        delay_ms: Least and most milliseconds by which a packet is late; uniformly distributed.
        seed: What loss and delay come from.

    Attributes:
        port: Where the link listens.
        up: Packets to `port`.
        down: Packets to clients.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        loss: float = 0.0,
        delay_ms: tuple[float, float] = (0.0, 0.0),
        seed: int = 0,
    ) -> None:
        self.host = host
        self.port = 0
        self.loss = loss
        self.delay_ms = delay_ms
        self.up = Passage()
        self.down = Passage()
        self._target = (host, port)
        self._fate = {name: Random(f"{seed} {name}") for name in ("up", "down")}
        self._listening: asyncio.DatagramTransport | None = None
        self._ways: dict[Address, asyncio.DatagramTransport] = {}
        self._held: set[asyncio.TimerHandle] = set()
        self._opening: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=(self.host, 0)
        )
        self._listening = transport
        self.port = transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._opening:
            task.cancel()
        for handle in self._held:
            handle.cancel()
        self._held.clear()
        for transport in (self._listening, *self._ways.values()):
            if transport is not None:
                transport.close()
        self._ways.clear()
        await asyncio.sleep(0)

    def redirected(self, sdp: str) -> str:
        """A session description of whoever listens on `port`, with the link as its only candidates."""
        lines: list[str] = []
        for line in sdp.split("\r\n"):
            if (found := _CANDIDATE.match(line)) is None:
                lines.append(line)
            elif found[3].lower() == "udp":
                here = f"a=candidate:{found[1]} {found[2]} {found[3]} {found[4]} {self.host} {self.port} {found[7]}"
                if here not in lines:  # of several addresses of the other side one is left
                    lines.append(here)
        return "\r\n".join(lines)

    def _from_client(self, packet: bytes, client: Address) -> None:
        if (way := self._ways.get(client)) is not None:
            self._pass("up", self.up, way, packet, None)
        elif len(self._ways) + len(self._opening) < MAX_CLIENTS:
            task = asyncio.get_running_loop().create_task(self._open(client, packet))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, client: Address, packet: bytes) -> None:
        """A client's own address towards the target, as behind a NAT."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Side(lambda reply, _: self._to_client(reply, client)), remote_addr=self._target
        )
        if client in self._ways:  # its second packet was faster
            transport.close()
        way = self._ways.setdefault(client, transport)
        self._pass("up", self.up, way, packet, None)

    def _to_client(self, packet: bytes, client: Address) -> None:
        if self._listening is not None:
            self._pass("down", self.down, self._listening, packet, client)

    def _pass(
        self, name: str, passage: Passage, way: asyncio.DatagramTransport, packet: bytes, to: Address | None
    ) -> None:
        # both are drawn for every packet, so that the fate of later ones does not depend on the settings
        lot, place = self._fate[name].random(), self._fate[name].random()
        if lot < self.loss or len(self._held) >= MAX_HELD:
            passage.lost += 1
            return
        passage.passed += 1
        least, most = self.delay_ms
        delay = (least + place * (most - least)) / 1000.0
        if delay <= 0:
            self._send(way, packet, to)
            return

        def late() -> None:
            self._held.discard(handle)
            self._send(way, packet, to)

        handle = asyncio.get_running_loop().call_later(delay, late)
        self._held.add(handle)

    @staticmethod
    def _send(way: asyncio.DatagramTransport, packet: bytes, to: Address | None) -> None:
        if not way.is_closing():
            way.sendto(packet, to)


class _Side(asyncio.DatagramProtocol):
    """One socket of the link."""

    def __init__(self, taken: Any) -> None:
        self._taken = taken

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._taken(data, cast(Address, addr[:2]))

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there any more (ICMP); UDP does not care."""
