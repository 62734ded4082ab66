"""Running a server until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

import uvloop

from antiphon.server.app import Server
from antiphon.server.config import Settings
from antiphon.telemetry.logs import configure_logging, get_logger

log = get_logger("server")


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends without grace.

    Args:
        settings: What is set.
        announce: Called with the server's URL once it listens.

    Raises:
        EngineUnavailable: The engine cannot start.
        OSError: The port is taken.
    """
    configure_logging(settings.log_level, settings.log_format)
    uvloop.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    server = Server(settings)
    url = await server.start()
    # what exists now lives as long as the process: no collection needs to look at it again
    gc.collect()
    gc.freeze()
    # sessions hold thousands of small objects in no cycles; looking for cycles often is a sixth of the work
    gc.set_threshold(50_000, 20, 50)
    log.info("listening", url=url, engine=server.recogniser.name, max_streams=settings.max_streams)
    announce(url)
    await ended.wait()
    log.info("shutting down", streams=server.sessions.streams, grace=settings.shutdown_grace)
    stopping = asyncio.create_task(server.stop())
    ended.clear()
    again = asyncio.create_task(ended.wait())
    await asyncio.wait([stopping, again], return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if not stopping.done():
        stopping.cancel()
        log.warning("ended without grace")
        await asyncio.wait([stopping], timeout=2)
        await server.recogniser.close()
        return
    await stopping
    log.info("ended")
