"""Which ICE servers a client may use, with credentials that end by themselves."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from aiohttp import hdrs, web

from antiphon.clock import Clock
from antiphon.security.turn import IceOptions, MediaAddress, ice_response


class IceRoutes:
    """The handler of ``/v1/ice-servers``.

    Args:
        options: Which servers there are.
        clock: Time.
        media: Says where the server takes media itself; None while it takes none.
    """

    def __init__(self, options: IceOptions, clock: Clock, media: Callable[[], MediaAddress | None]) -> None:
        self._options = options
        self._clock = clock
        self._media = media

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes, ready for an application."""
        return [web.get("/v1/ice-servers", self.ice_servers)]

    async def ice_servers(self, _: web.Request) -> web.Response:
        """The list, each time with credentials of its own: the TURN server's quota for a user is for one asker."""
        body = ice_response(self._options, secrets.token_hex(8), self._clock.time(), self._media())
        return web.json_response(body, headers={hdrs.CACHE_CONTROL: "no-store"})
