"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): taking part in a room by plain HTTP.

A POST publishes (``/whip/{room}``) or listens (``/whep/{room}``) and makes a resource; PATCH trickles candidates and
restarts ICE, DELETE ends it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Literal

from aiohttp import hdrs, web
from multidict import CIMultiDict

from antiphon.errors import AntiphonError, BadMessage, NotFound, TooLarge, UnsupportedFormat
from antiphon.protocol import fields, whip
from antiphon.protocol.negotiation import MAX_SDP_BYTES, Captions, JoinRoom, parse_mode
from antiphon.sessions.rooms import RoomManager

Kind = Literal["whip", "whep"]
KINDS: tuple[Kind, ...] = ("whip", "whep")
PREFIXES = tuple(f"/{kind}/" for kind in KINDS)
"""Where the paths of this door begin."""
BODY_TIMEOUT = 10.0
"""Seconds in which a session description has to come."""
EXPOSED = "Location, Link, ETag, Accept-Post, Accept-Patch"
"""Headers that a page of another origin needs to read."""


class PreconditionFailed(BadMessage):
    """An entity tag of another ICE session, or none (RFC 9725 section 4.3.1)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, field="If-Match")
        self.http_status = status  # type: ignore[misc]  # one code of the contract, two of HTTP's


class _Resource:
    """One participant.

    Attributes:
        member_id: Its id in the room.
        offer: The last that was answered.
        etag: Names the ICE session.
    """

    def __init__(self, kind: Kind, room_id: str, gone: Callable[[_Resource], None]) -> None:
        self.kind = kind
        self.room_id = room_id
        self.name = secrets.token_urlsafe(18)
        self.member_id = secrets.token_hex(8)
        self.offer = ""
        self.etag = ""
        self._gone = gone
        self.renew()

    @property
    def path(self) -> str:
        return f"/{self.kind}/{self.room_id}/{self.name}"

    def renew(self) -> None:
        """Another ICE session begins."""
        self.etag = f'"{secrets.token_hex(8)}"'

    def tell(self, event: str, data: dict[str, Any]) -> bool:
        """The end is all that matters here; everything else goes over the metadata channel."""
        if event == "media-state" and data["state"] == "closed":
            self._gone(self)
        return event == "media-state"


class WhipRoutes:
    """The handlers of ``/whip`` and ``/whep``.

    Args:
        rooms: Where rooms live.
        links: Values of ``Link`` headers that name the ICE servers.
    """

    def __init__(self, rooms: RoomManager, links: Callable[[], list[str]]) -> None:
        self._rooms = rooms
        self._links = links
        self._resources: dict[str, _Resource] = {}

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes, ready for an application."""
        routes: list[web.AbstractRouteDef] = []
        for kind in KINDS:
            endpoint, resource = f"/{kind}/{{room}}", f"/{kind}/{{room}}/{{resource}}"
            routes += [
                web.post(endpoint, self._post),
                web.options(endpoint, self._options),
                web.options(resource, self._options),
                web.patch(resource, self._patch),
                web.delete(resource, self._delete),
            ]
        return routes

    async def _options(self, request: web.Request) -> web.Response:
        headers = CIMultiDict({"Accept-Post": whip.SDP, "Accept-Patch": whip.FRAGMENT})
        self._add_links(headers)
        allowed = "PATCH, DELETE, OPTIONS" if "resource" in request.match_info else "POST, OPTIONS"
        headers[hdrs.ALLOW] = allowed
        return web.Response(status=204, headers=headers)

    async def _post(self, request: web.Request) -> web.Response:
        kind: Kind = "whep" if request.path.startswith("/whep/") else "whip"
        wanted = _wanted(request)
        offer = await _body(request, whip.SDP)
        resource = _Resource(kind, wanted.room_id, self._forget)
        answer = await self._rooms.join_http(resource.member_id, wanted, kind, resource, offer)
        resource.offer = offer
        self._resources[resource.name] = resource
        headers = CIMultiDict({hdrs.LOCATION: resource.path, hdrs.ETAG: resource.etag, "Accept-Patch": whip.FRAGMENT})
        self._add_links(headers)
        return web.Response(status=201, text=answer, content_type=whip.SDP, headers=headers)

    async def _patch(self, request: web.Request) -> web.Response:
        resource = self._resource(request)
        match = request.headers.get(hdrs.IF_MATCH)
        if match is None:
            raise PreconditionFailed(
                f'a PATCH needs If-Match: {resource.etag} as the answer had it, or "*" to restart ICE', 428
            )
        fragment = whip.parse_fragment(await _body(request, whip.FRAGMENT))
        if match not in ("*", '"*"', resource.etag):
            raise PreconditionFailed("this is not the entity tag of the ICE session that runs", 412)
        restart = fragment.credentials is not None and fragment.credentials != whip.credentials_of(resource.offer)
        if not restart or fragment.credentials is None:
            self._trickle(resource, fragment)
            return web.Response(status=204, headers={hdrs.ETAG: resource.etag})
        offer = whip.restart_offer(resource.offer, fragment.credentials)
        answer = await self._rooms.negotiate(resource.member_id, offer)
        resource.offer = offer
        resource.renew()
        self._trickle(resource, fragment)
        headers = {hdrs.ETAG: resource.etag}
        return web.Response(status=200, text=whip.fragment_of(answer), content_type=whip.FRAGMENT, headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        resource = self._resource(request)
        self._forget(resource)
        self._rooms.gone(resource.member_id)
        return web.Response(status=200)

    def _trickle(self, resource: _Resource, fragment: whip.Fragment) -> None:
        for candidate in fragment.candidates:
            self._rooms.trickle(resource.member_id, candidate)

    def _resource(self, request: web.Request) -> _Resource:
        resource = self._resources.get(request.match_info["resource"])
        if resource is None or not request.path.startswith(f"/{resource.kind}/{resource.room_id}/"):
            raise NotFound("there is no such resource; it was deleted, or its connection was lost: POST another offer")
        return resource

    def _forget(self, resource: _Resource) -> None:
        self._resources.pop(resource.name, None)

    def _add_links(self, headers: CIMultiDict[str]) -> None:
        for link in self._links():
            headers.add(hdrs.LINK, link)


def _wanted(request: web.Request) -> JoinRoom:
    """The room and what the query says of the participant."""
    query: dict[str, Any] = dict(request.query)
    captions = fields.text(query, "captions")
    room_id = fields.session_id({"room": request.match_info["room"]}, "room")
    return JoinRoom(
        room_id=room_id or "",
        user_id=fields.text(query, "userId", "", longest=128) or "",
        role=fields.text(query, "role", "", longest=64) or "",
        mode=parse_mode(query),
        captions=None if not captions else Captions(None if captions == "true" else captions),
    )


async def _body(request: web.Request, kind: str) -> str:
    """The body, of the type it has to have."""
    if request.content_type != kind:
        raise UnsupportedFormat(f"send {kind}, not {request.content_type[:60]!r}", field="Content-Type")
    if (request.content_length or 0) > MAX_SDP_BYTES:
        raise _too_large(request.content_length)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAX_SDP_BYTES:
                    raise _too_large(None)
    except TimeoutError:
        raise BadMessage(f"the body did not come within {BODY_TIMEOUT:.0f} s") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise BadMessage("the body is not UTF-8") from None


def _too_large(size: int | None) -> AntiphonError:
    much = "more" if size is None else str(size)
    return TooLarge(f"a session description may have {MAX_SDP_BYTES} bytes, not {much}; nothing of it was taken")
