"""Janus' AudioBridge as a peer: rooms of it, filled with participants over plain RTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import janus
from bench.janus import JanusError, version
from bench.room_load import PAYLOAD_TYPE, RATE

__all__ = ["Bridge", "JanusError", "Settings", "missing", "started", "version"]

PLUGIN = "audiobridge"


def missing() -> str:
    """What keeps Janus from running here and how to get it; empty where nothing does."""
    return janus.missing(PLUGIN)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a room is configured.

    Attributes:
        complexity: Of its Opus encoders.
        bitrate: Bits a second; 0 lets libopus decide, which is Janus' default.
        prebuffering: Packets waited for before the first is decoded.
    """

    complexity: int = 4
    bitrate: int = 0
    prebuffering: int = 6


class Bridge:
    """A running AudioBridge."""

    def __init__(self, server: janus.Janus) -> None:
        self._janus = server
        self.tree = server.tree

    @contextmanager
    def room(self, listening: Sequence[tuple[str, int]], settings: Settings) -> Iterator[list[tuple[str, int]]]:
        """A room with a participant for each address that is listened on; gives where each of them sends to."""
        room = self._janus.number() + 100_000
        owner = self._janus.attach()
        options = {"room": room, "sampling_rate": RATE, "allow_rtp_participants": True}
        options |= {"default_prebuffering": settings.prebuffering, "default_bitrate": settings.bitrate}
        self._janus.message(owner, {"request": "create", **options})
        handles, addresses = [], []
        for host, port in listening:
            handles.append(handle := self._janus.attach())
            rtp = {"ip": host, "port": port, "payload_type": PAYLOAD_TYPE}
            self._janus.message(
                handle, {"request": "join", "room": room, "muted": False, "quality": settings.complexity, "rtp": rtp}
            )
            addresses.append(self._joined())
        try:
            yield addresses
        finally:
            for handle in handles:
                self._janus.detach(handle)
            self._janus.message(owner, {"request": "destroy", "room": room})

    def _joined(self) -> tuple[str, int]:
        while True:
            data = self._janus.event().get("plugindata", {}).get("data", {})
            if "error" in data:
                raise JanusError(str(data))
            if data.get("audiobridge") == "joined" and "rtp" in data:
                return data["rtp"]["ip"], data["rtp"]["port"]


@contextmanager
def started(core: int) -> Iterator[Bridge]:
    """Janus on loopback with nothing but the AudioBridge, pinned to a core.

    Raises:
        JanusError: It did not start.
    """
    with janus.started(core, PLUGIN) as server:
        yield Bridge(server)
