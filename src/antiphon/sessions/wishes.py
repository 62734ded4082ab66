"""What listeners of a relayed room wish to be sent, which only the speakers' own encoders can see to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from antiphon.sessions.room_media import Peer, RoomMedia

GATHER_S = 0.5
"""Seconds between two rounds of telling the speakers, so that many wishes are one."""


class Wishes:
    """The wishes of one room. A speaker is asked for the least that anybody else wishes.

    Args:
        media: The room's.
        tell: Asks a speaker for a bitrate.
    """

    def __init__(self, media: RoomMedia, tell: Callable[[Peer, int], None]) -> None:
        self._media = media
        self._tell = tell
        self._wished: dict[Peer, int] = {}
        self._asked: dict[Peer, int] = {}
        self._later: asyncio.TimerHandle | None = None

    def set(self, peer: Peer, bitrate: int) -> None:
        """A listener wishes to be sent so many bits a second."""
        self._wished[peer] = bitrate
        self._soon()

    def forget(self, peer: Peer) -> None:
        """Somebody is gone."""
        self._asked.pop(peer, None)
        if self._wished.pop(peer, None) is not None:
            self._soon()

    def close(self) -> None:
        """Ask nobody any more."""
        if self._later is not None:
            self._later.cancel()

    def _soon(self) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(GATHER_S, self._ask)

    def _ask(self) -> None:
        self._later = None
        # the least of all, and the least of all but whose that is
        least = sorted(self._wished.items(), key=lambda wish: wish[1])[:2]
        for peer in list(self._media.peers.values()):
            wish = next((bitrate for other, bitrate in least if other is not peer), None)
            if wish is not None and self._asked.get(peer) != wish:
                self._asked[peer] = wish
                self._tell(peer, wish)
