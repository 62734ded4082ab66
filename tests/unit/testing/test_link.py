"""The emulated network: what it loses and delays, and that it does so alike each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from antiphon.testing import UdpLink

DEADLINE = 20.0


class Socket(asyncio.DatagramProtocol):
    """A UDP socket that keeps what comes; sends it back where told to."""

    def __init__(self, *, echoes: bool = False) -> None:
        self.echoes = echoes
        self.heard: list[tuple[float, bytes]] = []
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append((asyncio.get_running_loop().time(), data))
        if self.echoes:
            self.transport.sendto(data, addr)

    @property
    def numbers(self) -> list[int]:
        return [int(data) for _, data in self.heard]


@asynccontextmanager
async def ends(**link: Any) -> AsyncIterator[tuple[Socket, Socket, UdpLink]]:
    """A client, a server that echoes, and the link between them."""
    loop = asyncio.get_running_loop()
    here, server = await loop.create_datagram_endpoint(lambda: Socket(echoes=True), local_addr=("127.0.0.1", 0))
    async with UdpLink(here.get_extra_info("sockname")[1], **link) as between:
        there, client = await loop.create_datagram_endpoint(Socket, remote_addr=("127.0.0.1", between.port))
        try:
            yield client, server, between
        finally:
            there.close()
            here.close()


async def send(client: Socket, between: UdpLink, count: int) -> None:
    """Send numbers, each once the link has taken the one before."""
    async with asyncio.timeout(DEADLINE):
        for number in range(count):
            client.transport.sendto(b"%d" % number)
            while between.up.passed + between.up.lost <= number:
                await asyncio.sleep(0)


async def settled(between: UdpLink, server: Socket, client: Socket) -> None:
    """Wait until nothing is on the way any more."""
    async with asyncio.timeout(DEADLINE):
        while len(server.heard) < between.up.passed or between.down.passed + between.down.lost < len(server.heard):
            await asyncio.sleep(0.001)
        while len(client.heard) < between.down.passed:
            await asyncio.sleep(0.001)


async def run(count: int, **link: Any) -> tuple[Socket, Socket, UdpLink]:
    async with ends(**link) as (client, server, between):
        await send(client, between, count)
        await settled(between, server, client)
        return client, server, between


async def test_a_good_link_passes_everything_in_order() -> None:
    client, server, between = await run(50)
    assert server.numbers == client.numbers == list(range(50))
    assert between.up.lost == between.down.lost == 0


async def test_the_same_packets_are_lost_each_time() -> None:
    _, first, between = await run(400, loss=0.2, seed=3)
    _, second, _ = await run(400, loss=0.2, seed=3)
    _, other, _ = await run(400, loss=0.2, seed=4)
    assert first.numbers == second.numbers != other.numbers
    assert between.up.share_lost == pytest.approx(0.2, abs=0.06)
    assert 0 < between.down.lost < between.up.passed


async def test_packets_are_late_and_may_overtake_each_other() -> None:
    async with ends(delay_ms=(10, 30), seed=1) as (client, server, between):
        begun = asyncio.get_running_loop().time()
        await send(client, between, 40)
        await settled(between, server, client)
    assert sorted(server.numbers) == list(range(40))
    assert server.numbers != list(range(40))
    assert server.heard[0][0] - begun >= 0.01


async def test_a_description_names_the_link_and_no_other_way() -> None:
    sdp = "\r\n".join(
        (
            "v=0",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host",
            "a=candidate:1 1 UDP 2130706431 192.0.2.1 8189 typ host ufrag x",
            "a=candidate:2 1 tcp 2105524479 192.0.2.1 8189 typ host tcptype passive",
            "a=end-of-candidates",
            "",
        )
    )
    async with ends() as (_, _, between):
        lines = between.redirected(sdp).split("\r\n")
    here = f"127.0.0.1 {between.port} typ host"
    assert [line for line in lines if "candidate:" in line] == [
        f"a=candidate:1 1 udp 2130706431 {here}",
        f"a=candidate:1 1 UDP 2130706431 {here} ufrag x",
    ]
    assert lines[:2] == sdp.split("\r\n")[:2]
    assert lines[-2:] == ["a=end-of-candidates", ""]
