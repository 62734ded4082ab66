"""ICE servers: which there are, and credentials for TURN that end by themselves.

The credentials are those of coturn's ``use-auth-secret`` (draft-uberti-behave-turn-rest-00): the name is the second at
which it ends, the password a signature of the name. The TURN server needs to know the secret and nobody's account.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

DEFAULT_PORTS = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}
"""Ports of RFC 7064 and RFC 7065, section 3.2 each."""

Transport = Literal["udp", "tcp", "tls"]

_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?"
)
_PLAIN_USER = re.compile(r"[A-Za-z0-9._~-]{1,64}")


@dataclass(frozen=True, slots=True)
class IceUrl:
    """A ``stun:`` or ``turn:`` address (RFC 7064, RFC 7065), taken apart.

    Attributes:
        text: As it was written.
        relays: Whether it is a TURN server.
        host: Name or address, without brackets.
        port: Where it listens.
        transport: How to reach it.
    """

    text: str
    relays: bool
    host: str
    port: int
    transport: Transport


def parse_ice_url(text: str) -> IceUrl:
    """Take an address apart.

    Raises:
        ValueError: It is none, or one that browsers can't use.
    """
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text[:100]!r} is not the address of an ICE server; write it like stun:turn.example.org, "
            "turn:turn.example.org:3478?transport=udp or turns:turn.example.org:5349?transport=tcp"
        )
    scheme, host, asked = found["scheme"], found["host"].strip("[]"), found["transport"]
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if not 1 <= port <= 65535:
        raise ValueError(f"{text[:100]!r} has port {port}; ports are 1 to 65535")
    if found["host"].startswith("["):
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{text[:100]!r} has no IPv6 address between its brackets") from None
    if scheme.startswith("stun") and asked is not None:
        raise ValueError(f"{text[:100]!r}: a STUN address takes no transport; leave out ?transport={asked}")
    if scheme == "turns" and asked == "udp":
        raise ValueError(f"{text[:100]!r} is TURN over DTLS, which browsers don't speak; write ?transport=tcp")
    transport: Transport = "tls" if scheme.endswith("s") else "tcp" if asked == "tcp" else "udp"
    return IceUrl(text, scheme.startswith("turn"), host, port, transport)


@dataclass(frozen=True, slots=True)
class IceOptions:
    """What is known about ICE servers.

    Attributes:
        stun_urls: Addresses of STUN servers.
        turn_urls: Addresses of TURN servers.
        secret: What the TURN servers know as ``static-auth-secret``.
        ttl: Seconds for which credentials are good.
    """

    stun_urls: tuple[str, ...] = ()
    turn_urls: tuple[str, ...] = ()
    secret: str = ""
    ttl: int = 43_200


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where the server takes media itself.

    Attributes:
        host: Name or address that clients reach.
        port: UDP port.
        tcp: Whether the same number is open on TCP.
    """

    host: str
    port: int
    tcp: bool

    def as_dict(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "tcp": self.tcp}


class IceServer(TypedDict):
    """An ``RTCIceServer`` (W3C WebRTC, section 4.2.4)."""

    urls: list[str]
    username: NotRequired[str]
    credential: NotRequired[str]


def turn_credentials(secret: str, expiry: int, user: str = "") -> tuple[str, str]:
    """Name and password for TURN, ``base64(HMAC-SHA1(secret, name))``.

    Args:
        secret: The TURN server's ``static-auth-secret``.
        expiry: Second since the Unix epoch until which new allocations are granted; those there are live on.
        user: To whom the server's quota for each user applies.
    """
    username = f"{expiry}:{user}" if user else str(expiry)
    signature = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(signature).decode()


def ice_servers(options: IceOptions, user: str, now: float) -> list[IceServer]:
    """The ``iceServers`` for one client.

    Args:
        options: Which servers there are.
        user: Who the client is, any text. TURN servers log it: what is not plain goes to them as a digest.
        now: Seconds since the Unix epoch.
    """
    servers: list[IceServer] = []
    if options.stun_urls:
        servers.append({"urls": list(options.stun_urls)})
    if options.turn_urls:
        username, credential = turn_credentials(options.secret, int(now) + options.ttl, _plain(user))
        servers.append({"urls": list(options.turn_urls), "username": username, "credential": credential})
    return servers


def ice_response(options: IceOptions, user: str, now: float, media: MediaAddress | None = None) -> dict[str, Any]:
    """The body of ``GET /v1/ice-servers``.

    Args:
        options: Which servers there are.
        user: Who the client is.
        now: Seconds since the Unix epoch.
        media: Where the server itself takes media; None while it takes none.
    """
    body: dict[str, Any] = {"iceServers": ice_servers(options, user, now), "ttl": options.ttl}
    if media is not None:
        body["media"] = media.as_dict()
    return body


def link_headers(servers: Sequence[IceServer]) -> list[str]:
    """Values of ``Link`` headers that tell a WHIP or WHEP client of the servers (RFC 9725 section 4.6)."""
    links = []
    for server in servers:
        rest = '; rel="ice-server"'
        if "username" in server:
            name, credential = _quoted(server["username"]), _quoted(server.get("credential", ""))
            rest += f'; username="{name}"; credential="{credential}"; credential-type="password"'
        links += [f"<{url}>{rest}" for url in server["urls"]]
    return links


def _plain(user: str) -> str:
    if not user or _PLAIN_USER.fullmatch(user):
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _quoted(text: str) -> str:
    """The inside of a quoted-string (RFC 9110 section 5.6.4)."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
