"""What gets through between here and a server: each way that audio can take, tried for real."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
import orjson
from yarl import URL

from antiphon.client import ice
from antiphon.client.address import door
from antiphon.client.ice import Login, Refused
from antiphon.security.turn import IceUrl, MediaAddress, parse_ice_url

MAX_SERVERS = 32
"""ICE servers that are tried; a server with more is misconfigured."""

KINDS = {
    "http": "HTTP",
    "websocket": "WebSocket",
    "ice-servers": "list of ICE servers",
    "media-udp": "media port over UDP",
    "media-tcp": "media port over TCP",
    "stun": "STUN",
    "turn-udp": "TURN over UDP",
    "turn-tcp": "TURN over TCP",
    "turn-tls": "TURN over TLS",
}
"""Every kind of check, in the order of the report, with its name for people."""


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    BLOCKED = "blocked"
    ABSENT = "absent"
    """There is nothing of the kind to try."""


@dataclass(frozen=True, slots=True)
class Check:
    """One way that was tried.

    Attributes:
        kind: One of `KINDS`.
        target: What was tried.
        state: How it ended.
        detail: What happened.
        advice: What to do about it; empty where all is well.
        milliseconds: How long it took, None where nothing was tried.
        relayed: For TURN, whether something went through the relay and came back; None for the others.
    """

    kind: str
    target: str
    state: State
    detail: str
    advice: str = ""
    milliseconds: float | None = None
    relayed: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"kind": self.kind, "target": self.target, "state": self.state, "detail": self.detail}
        if self.advice:
            told["advice"] = self.advice
        if self.milliseconds is not None:
            told["milliseconds"] = round(self.milliseconds, 1)
        if self.relayed is not None:
            told["relayed"] = self.relayed
        return told


@dataclass(frozen=True, slots=True)
class Plan:
    """What to try besides what the server names.

    Attributes:
        server: Base address of the server; None tries only what is named here.
        api_key: Key to show to it.
        ice: STUN and TURN servers with what to show to them; where there are some, the server's own are not tried.
        media: The media port; None takes what the server says.
        timeout: Seconds for each try.
        tls: What certificates to trust.
    """

    server: URL | None = None
    api_key: str | None = None
    ice: tuple[tuple[IceUrl, Login], ...] = ()
    media: MediaAddress | None = None
    timeout: float = 5.0
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)


@dataclass(slots=True)
class _Told:
    """What the server said of itself, if it was asked and answered."""

    asked: bool = False
    ice: list[tuple[IceUrl, Login]] = field(default_factory=list)
    media: MediaAddress | None = None


class Blocked(Exception):
    """A try that failed, in words for people."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.advice = advice


async def examine(plan: Plan) -> list[Check]:
    """Try everything, and say how each ended, in the order of `KINDS`."""
    told, checks = _Told(), []
    if plan.server is not None:
        checks = await _server(plan, plan.server, told)
    servers = list(plan.ice) or told.ice
    media = plan.media or told.media
    tries: list[Awaitable[Check]] = [_media(plan, media, "udp")] if media else []
    if media is not None and media.tcp:
        tries.append(_media(plan, media, "tcp"))
    tries += [_relay(plan, url, login, media) if url.relays else _stun(plan, url) for url, login in servers]
    checks += await asyncio.gather(*tries)
    found = {check.kind for check in checks}
    if told.asked:
        checks += [_absent(kind) for kind in KINDS if kind not in found]
    order = list(KINDS)
    return sorted(checks, key=lambda check: order.index(check.kind))


def conclusion(checks: Sequence[Check]) -> list[str]:
    """What it comes to, in a sentence or two for people."""
    blocked = [check for check in checks if check.state is State.BLOCKED]
    if not blocked:
        return ["Nothing is blocked."]
    said = ["Blocked: " + ", ".join(f"{KINDS[check.kind]} ({check.target})" for check in blocked) + "."]
    ways = [check for check in checks if check.kind.startswith(("media", "turn")) and check.state is not State.ABSENT]
    through = [KINDS[check.kind] for check in ways if check.state is State.OK]
    if through:
        said.append("WebRTC gets through by: " + ", ".join(dict.fromkeys(through)) + ".")
    elif ways:
        said.append("WebRTC does not get through at all.")
    udp = [check.state for check in checks if check.kind in ("media-udp", "stun", "turn-udp")]
    other = [check.state for check in checks if check.kind not in ("media-udp", "stun", "turn-udp")]
    if State.BLOCKED in udp and State.OK not in udp and State.OK in other:
        said.append("TCP gets through and UDP does not: a firewall forbids it, here or at the server.")
    return said


def _absent(kind: str) -> Check:
    what = {
        "stun": "no STUN server is set up (stun_urls)",
        "media-udp": "the server takes no WebRTC media",
        "media-tcp": "the server takes no WebRTC media over TCP",
        "turn-tls": "no TURN server with TLS is set up (turn_urls); networks that let only TLS out stay shut",
    }
    name = KINDS[kind]
    return Check(kind, "", State.ABSENT, what.get(kind, f"no {name} is set up (turn_urls)"))


# The server itself


async def _server(plan: Plan, server: URL, told: _Told) -> list[Check]:
    headers = {"Authorization": f"Bearer {plan.api_key}"} if plan.api_key else {}
    connector = aiohttp.TCPConnector(ssl=plan.tls)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        http = await _try(plan, "http", str(server), lambda: _healthz(session, server))
        if http.state is State.BLOCKED:
            return [http]
        return [
            http,
            await _try(plan, "websocket", str(door(server, "audio-stream")), lambda: _websocket(session, server)),
            await _try(
                plan, "ice-servers", str(door(server, "v1", "ice-servers")), lambda: _ice_servers(session, server, told)
            ),
        ]


async def _healthz(session: aiohttp.ClientSession, server: URL) -> str:
    async with session.get(door(server, "healthz")) as response:
        wire = await _object(response)
        if response.status != 200 or wire.get("status") != "ok":
            raise Blocked(
                f"answers with HTTP status {response.status}, not as an Antiphon server does",
                "check the address, and what the proxy in front of the server does with /healthz",
            )
        return f"Antiphon {str(wire.get('version', ''))[:40]}"


async def _websocket(session: aiohttp.ClientSession, server: URL) -> str:
    try:
        async with session.ws_connect(door(server, "audio-stream")) as socket_:
            await socket_.send_str('{"type":"ping","t":1}')
            while True:
                message = await socket_.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise Blocked("opens, and is closed without an answer", "look at the proxy in front of the server")
                told = orjson.loads(message.data)
                if isinstance(told, dict) and told.get("type") == "pong":
                    return "opens, and a ping comes back"
    except aiohttp.WSServerHandshakeError as refusal:
        raise Blocked(
            f"the upgrade is refused with HTTP status {refusal.status}",
            "let the proxy in front pass WebSocket upgrades on to the server",
        ) from None


async def _ice_servers(session: aiohttp.ClientSession, server: URL, told: _Told) -> str:
    async with session.get(door(server, "v1", "ice-servers")) as response:
        wire = await _object(response)
        if response.status in (401, 403):
            raise Blocked(str(wire.get("message", "refused"))[:200], "show a key with --api-key or ANTIPHON_API_KEY")
        if response.status != 200:
            raise Blocked(f"answers with HTTP status {response.status}", "use a server that has /v1/ice-servers")
    try:
        for entry in wire["iceServers"]:
            urls = [entry["urls"]] if isinstance(entry["urls"], str) else entry["urls"]
            login = Login(str(entry.get("username", "")), str(entry.get("credential", "")))
            told.ice += [(parse_ice_url(url), login) for url in urls]
        if (media := wire.get("media")) is not None:
            told.media = MediaAddress(str(media["host"]), int(media["port"]), bool(media["tcp"]))
            if not 1 <= told.media.port <= 65535:
                raise ValueError(f"the media port is {told.media.port}")
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise Blocked(f"the list can't be read: {fault}", "check stun_urls and turn_urls of the server") from None
    told.asked = True
    del told.ice[MAX_SERVERS:]
    return f"{len(told.ice)} addresses" if told.ice else "no STUN or TURN server is set up"


async def _object(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        wire = orjson.loads(await response.content.read(1 << 16))
    except orjson.JSONDecodeError:
        return {}
    return wire if isinstance(wire, dict) else {}


# Media


async def _stun(plan: Plan, url: IceUrl) -> Check:
    async def ask() -> str:
        if url.transport == "udp":
            mapped = await ice.stun_over_udp(await ice.resolve(url.host, url.port, socket.SOCK_DGRAM))
        else:
            server = await ice.resolve(url.host, url.port, socket.SOCK_STREAM)
            mapped = await ice.stun_over_tcp(server, url.host, plan.tls, framed=False)
        return f"you are seen as {_shown(mapped)}"

    return await _try(plan, "stun", url.text, ask, place=_Place(url.host, url.port, url.transport, "the STUN server"))


async def _media(plan: Plan, media: MediaAddress, transport: str) -> Check:
    async def ask() -> str:
        if transport == "udp":
            mapped = await ice.stun_over_udp(await ice.resolve(media.host, media.port, socket.SOCK_DGRAM))
        else:
            server = await ice.resolve(media.host, media.port, socket.SOCK_STREAM)
            mapped = await ice.stun_over_tcp(server, media.host, None, framed=True)
        return f"you are seen as {_shown(mapped)}"

    place = _Place(media.host, media.port, transport, "Antiphon's media port")
    return await _try(plan, f"media-{transport}", _shown((media.host, media.port)), ask, place=place)


async def _relay(plan: Plan, url: IceUrl, login: Login, media: MediaAddress | None) -> Check:
    relayed = False

    async def ask() -> str:
        nonlocal relayed
        kind = socket.SOCK_DGRAM if url.transport == "udp" else socket.SOCK_STREAM
        server = await ice.resolve(url.host, url.port, kind)
        async with ice.allocation(url, server, login, plan.tls, plan.timeout) as one:
            peer = await ice.resolve(media.host, media.port, socket.SOCK_DGRAM) if media is not None else None
            if peer is not None and ":" not in peer[0]:
                await _through_to_media(one, peer, plan.timeout)
                relayed = True
                return f"relay {_shown(one.relayed)}; the media port answers through it"
            async with ice.allocation(url, server, login, plan.tls, plan.timeout) as other:
                relayed = await _between(one, other, plan.timeout)
            if relayed:
                return f"relay {_shown(one.relayed)}; audio goes through it and back"
            return f"relay {_shown(one.relayed)}; the server relays to no relay of its own, so nothing was sent through"

    place = _Place(url.host, url.port, url.transport, "coturn (antiphon turn)")
    check = await _try(plan, f"turn-{url.transport}", url.text, ask, place=place, steps=4)
    return Check(check.kind, check.target, check.state, check.detail, check.advice, check.milliseconds, relayed=relayed)


async def _through_to_media(one: ice.Allocation, peer: ice.Address, timeout: float) -> None:
    """Raises:
    Blocked: The media port can't be reached through the relay.
    """
    try:
        async with asyncio.timeout(timeout):
            await one.round_trip(peer)
    except Refused as refusal:
        if refusal.code != 403:
            raise
        raise Blocked(
            f"allocates a relay, and refuses to relay to the media port {_shown(peer)}",
            f"start the TURN server with --allow-peer {peer[0]}",
        ) from None
    except TimeoutError:
        raise Blocked(
            f"allocates a relay, but the media port {_shown(peer)} does not answer through it",
            f"let UDP pass from the TURN server to {_shown(peer)}, and back",
        ) from None


async def _between(one: ice.Allocation, other: ice.Allocation, timeout: float) -> bool:
    """Whether the server lets one relay send to another; many don't.

    Raises:
        Blocked: It does, and nothing comes.
    """
    try:
        async with asyncio.timeout(timeout):
            await one.send_to(other, secrets.token_bytes(32))
    except Refused as refusal:
        if refusal.code != 403:
            raise
        return False
    except TimeoutError:
        raise Blocked(
            f"allocates the relays {_shown(one.relayed)} and {_shown(other.relayed)}, but nothing gets through",
            "open the TURN server's relay ports (UDP), and check its --external-ip",
        ) from None
    return True


# What went wrong


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something should listen, for advice.

    Attributes:
        host: Name or address.
        port: Its port.
        transport: ``udp``, ``tcp`` or ``tls``.
        what: What listens there where all is well.
    """

    host: str
    port: int
    transport: str
    what: str

    @property
    def wire(self) -> str:
        return "UDP" if self.transport == "udp" else "TCP"


async def _try(
    plan: Plan, kind: str, target: str, ask: Callable[[], Awaitable[str]], place: _Place | None = None, steps: int = 1
) -> Check:
    """Try one thing, which may take `steps` times the time of a try."""
    began = time.monotonic()

    def check(state: State, detail: str, advice: str = "") -> Check:
        return Check(kind, target, state, detail, advice, (time.monotonic() - began) * 1000)

    try:
        async with asyncio.timeout(plan.timeout * steps):
            return check(State.OK, await ask())
    except Blocked as blocked:
        return check(State.BLOCKED, blocked.detail, blocked.advice)
    except Refused as refusal:
        return check(State.BLOCKED, f"refused: {refusal}", _advice_on(refusal))
    except TimeoutError:
        return check(State.BLOCKED, f"no answer within {plan.timeout:g} s", _advice_on_silence(place))
    except (OSError, ValueError, EOFError, aiohttp.ClientError) as fault:
        return check(State.BLOCKED, *_failure(fault, place))


def _failure(fault: Exception, place: _Place | None) -> tuple[str, str]:
    """What happened, and what to do."""
    if isinstance(fault, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return "the name is not known", "check the name, and the DNS of this network"
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        fault = fault.certificate_error
    if isinstance(fault, ssl.SSLCertVerificationError):
        return (
            f"the certificate is not trusted: {fault.verify_message}",
            "give the server a certificate for this name by a known authority; a private one can be named with --ca",
        )
    if isinstance(fault, ssl.SSLError | aiohttp.ClientConnectorSSLError):
        return (
            f"TLS fails: {getattr(fault, 'reason', None) or fault}",
            "check that this port speaks TLS, and that no proxy on the way breaks it",
        )
    cause: BaseException = fault.os_error if isinstance(fault, aiohttp.ClientConnectorError) else fault
    if isinstance(cause, ConnectionRefusedError):
        what = f"{place.what} listens on {_shown((place.host, place.port))}/{place.wire}" if place else "it runs"
        return "refused: nothing listens there", f"see that {what}, and that no firewall rejects it"
    if isinstance(cause, ConnectionResetError | EOFError | aiohttp.ServerDisconnectedError):
        return "the connection is closed without an answer", _advice_on_silence(place)
    if isinstance(cause, OSError):
        return cause.strerror or str(cause) or type(cause).__name__, _advice_on_silence(place)
    return str(fault) or type(fault).__name__, "see what listens at that address; it is not what it should be"


def _advice_on_silence(place: _Place | None) -> str:
    if place is None:
        return "check the address, and that no firewall is in the way"
    where = f"{_shown((place.host, place.port))}/{place.wire}"
    advice = f"see that {place.what} listens on {where}, and let it through the firewalls there and here"
    return advice + ("; many networks forbid UDP: TCP or TLS takes its place" if place.transport == "udp" else "")


def _advice_on(refusal: Refused) -> str:
    if refusal.code in (401, 431, 441):
        return (
            "the credentials are wrong or over: see that turn_secret is the static-auth-secret of the TURN server, and "
            "that both clocks are right"
        )
    if refusal.code == 486:
        return "too many allocations with these credentials: wait, or raise --user-quota or --total-quota"
    if refusal.code == 508:
        return "the TURN server has no relay port left: widen its --relay-ports"
    if refusal.code == 403:
        return "the TURN server forbids this; see its log"
    return "see the log of the TURN server"


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
