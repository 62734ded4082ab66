"""Memory a session: how much a server grows when many people join."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.host import Cores, Memory
from bench.links import LinkError
from bench.load import OverloadError, close_links, open_links, send, settle
from bench.rounds import Contender, Say
from bench.servers import ServerError, started

SESSIONS = 200
WARM_UP = 20
"""Sessions opened and closed first, so that what a server loads and allocates once is not divided among sessions."""

AUDIO_SECONDS = 3.0


@dataclass(slots=True)
class Growth:
    """What a session takes, in bytes.

    Attributes:
        empty: Of the whole server, after the warm-up and with nobody connected.
        idle: A session that has joined and sent nothing.
        used: A session after three seconds of audio.
        skipped: Why there is nothing; empty where there is.
    """

    contender: Contender
    empty: Memory = field(default_factory=lambda: Memory(0, 0))
    idle: Memory = field(default_factory=lambda: Memory(0, 0))
    used: Memory = field(default_factory=lambda: Memory(0, 0))
    skipped: str = ""


async def growths(contenders: Sequence[Contender], cores: Cores, say: Say, step: Callable[[], None]) -> list[Growth]:
    """Measure each contender on a server of its own."""
    found: list[Growth] = []
    for contender in contenders:
        growth = Growth(contender, skipped=contender.server.missing)
        if not growth.skipped:
            try:
                await _measure(growth, cores)
            except (ServerError, LinkError, OverloadError) as failure:
                growth.skipped = f"failed: {failure}"
                say(f"{contender.key} {growth.skipped}", "bold red")
        found.append(growth)
        step()
    return found


async def _measure(growth: Growth, cores: Cores) -> None:
    contender = growth.contender
    with started(contender.server, cores.server) as running:
        await close_links(await open_links(running, contender.link, WARM_UP))
        await settle(running)
        growth.empty = running.tree.memory()
        links = await open_links(running, contender.link, SESSIONS)
        try:
            await settle(running)
            growth.idle = _each(running.tree.memory() - growth.empty)
            await send(links, contender.workload, round(AUDIO_SECONDS / contender.workload.interval))
            await settle(running)
            growth.used = _each(running.tree.memory() - growth.empty)
        finally:
            await close_links(links)


def _each(memory: Memory) -> Memory:
    return Memory(memory.rss // SESSIONS, memory.pss // SESSIONS)
