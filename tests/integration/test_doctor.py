"""``antiphon doctor`` against real servers, with one way after the other blocked."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aioice import stun

from support.cli import antiphon
from support.server import SCRIPTED, start_server
from support.turn import SECRET, Certificate, TurnProcess, free_port, make_certificate, needs_coturn, start_turn

KEY = "a-key-that-is-long-enough"
PATIENCE = "30"
"""Seconds for what should answer."""
IMPATIENCE = "3"
"""Seconds for what should not."""


@dataclass(frozen=True)
class Told:
    """What it said."""

    code: int
    checks: dict[str, dict[str, Any]]
    conclusion: str

    @property
    def blocked(self) -> set[str]:
        return {kind for kind, check in self.checks.items() if check["state"] == "blocked"}


def examine(*arguments: str, timeout: str = PATIENCE, **env: str) -> Told:
    ran = antiphon("doctor", "--json", "--timeout", timeout, *arguments, **env)
    assert ran.err == "", ran.err
    told = json.loads(ran.out)
    assert told["ok"] == (ran.code == 0)
    checks = {check["kind"]: check for check in told["checks"]}
    assert len(checks) == len(told["checks"]), "a kind was tried twice"
    return Told(ran.code, checks, told["conclusion"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def turn(certificate: Certificate) -> Iterator[TurnProcess]:
    with start_turn("--allow-peer", "127.0.0.1", certificate=certificate) as running:
        yield running


# Ports that are blocked, each in its own way


@contextmanager
def shut() -> Iterator[int]:
    """Nobody listens there."""
    yield free_port()


@contextmanager
def silent_udp() -> Iterator[int]:
    """Packets vanish, as behind a firewall that drops them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        yield hole.getsockname()[1]


@contextmanager
def silent_tcp() -> Iterator[int]:
    """Connections open, and nobody speaks."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        yield hole.getsockname()[1]


@contextmanager
def hanging_up() -> Iterator[int]:
    """Connections open, and are closed."""
    with serving(lambda connection: None) as port:
        yield port


@contextmanager
def web_page() -> Iterator[int]:
    """A web server is there instead."""

    def answer(connection: socket.socket) -> None:
        connection.settimeout(10)
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with serving(answer) as port:
        yield port


@contextmanager
def serving(answer: Any) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@contextmanager
def media_port(*, tcp: bool = True) -> Iterator[int]:
    """Answers STUN over UDP, and over TCP with a length before each message (RFC 4571), as the media engine does."""
    port = free_port()

    def answer(data: bytes, peer: tuple[str, int]) -> bytes:
        asked = stun.parse_message(data)
        told = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
        told.attributes["XOR-MAPPED-ADDRESS"] = peer
        return bytes(told)

    def framed(connection: socket.socket) -> None:
        connection.settimeout(10)
        stream = connection.makefile("rb")
        told = answer(stream.read(*struct.unpack("!H", stream.read(2))), connection.getpeername())
        connection.sendall(struct.pack("!H", len(told)) + told)

    def serve(udp: socket.socket) -> None:
        while True:
            data, peer = udp.recvfrom(1500)
            if data == b"end":
                return
            if data:
                udp.sendto(answer(data, peer), peer)

    with ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        if tcp:
            port = stack.enter_context(serving(framed))
        udp.bind(("127.0.0.1", port))
        thread = threading.Thread(target=serve, args=(udp,), daemon=True)
        thread.start()
        yield port
        udp.sendto(b"end", ("127.0.0.1", port))
        thread.join(10)


# Everything


@needs_coturn
def test_all_is_well_where_nothing_is_blocked(turn: TurnProcess, certificate: Certificate) -> None:
    urls = turn.urls
    stun_url = urls.pop("stun")
    env = {"ANTIPHON_TURN_SECRET": SECRET}
    with (
        start_server(
            *SCRIPTED, "--stun-urls", stun_url, "--turn-urls", ",".join(urls.values()), "--api-keys", KEY, **env
        ) as server,
        media_port() as port,
    ):
        told = examine(
            server.url, "--media", f"127.0.0.1:{port}", "--ca", str(certificate.authority), ANTIPHON_API_KEY=KEY
        )
    assert told.code == 0, told
    assert told.checks.keys() == {
        "http", "websocket", "ice-servers", "media-udp", "media-tcp", "stun", "turn-udp", "turn-tcp", "turn-tls"
    }  # fmt: skip
    assert {check["state"] for check in told.checks.values()} == {"ok"}
    assert all(told.checks[kind]["relayed"] for kind in urls)
    assert all("media port answers through it" in told.checks[kind]["detail"] for kind in urls)
    assert told.conclusion == "Nothing is blocked."


@needs_coturn
@pytest.mark.parametrize(
    ("kind", "block", "said"),
    [
        ("stun", shut, "nothing listens"),
        ("stun", silent_udp, "no answer"),
        ("turn-udp", shut, "nothing listens"),
        ("turn-udp", silent_udp, "no answer"),
        ("turn-tcp", shut, "nothing listens"),
        ("turn-tcp", silent_tcp, "no answer"),
        ("turn-tcp", hanging_up, "closed without an answer"),
        ("turn-tls", shut, "nothing listens"),
        ("turn-tls", silent_tcp, "no answer"),
        ("turn-tls", hanging_up, "closed without an answer"),
        ("turn-tls", web_page, "TLS fails"),
    ],
)
def test_the_way_that_is_blocked_is_named_and_no_other(
    turn: TurnProcess, certificate: Certificate, kind: str, block: Any, said: str
) -> None:
    with block() as port:
        urls = turn.urls
        old = turn.tls_port if kind == "turn-tls" else turn.port
        urls[kind] = urls[kind].replace(str(old), str(port))
        flags = [part for name, url in urls.items() for part in ("--stun" if name == "stun" else "--turn", url)]
        timeout = IMPATIENCE if said == "no answer" else PATIENCE
        told = examine(*flags, "--ca", str(certificate.authority), timeout=timeout, ANTIPHON_TURN_SECRET=SECRET)
    assert (told.code, told.blocked) == (1, {kind})
    check = told.checks[kind]
    assert said in check["detail"]
    assert str(port) in check["target"]
    assert check["advice"]
    assert urls[kind] in told.conclusion
    assert "gets through by" in told.conclusion


@needs_coturn
def test_udp_that_is_forbidden_altogether_is_said(turn: TurnProcess) -> None:
    with silent_udp() as port:
        told = examine(
            *("--stun", f"stun:127.0.0.1:{port}", "--turn", f"turn:127.0.0.1:{port}"),
            *("--turn", turn.urls["turn-tcp"]),
            timeout=IMPATIENCE,
            ANTIPHON_TURN_SECRET=SECRET,
        )
    assert told.blocked == {"stun", "turn-udp"}
    assert "TCP gets through and UDP does not" in told.conclusion
    assert "WebRTC gets through by: TURN over TCP" in told.conclusion


@pytest.mark.parametrize(
    ("block", "blocked"), [(shut, {"media-udp", "media-tcp"}), (lambda: media_port(tcp=False), {"media-tcp"})]
)
def test_a_blocked_media_port_is_named(block: Any, blocked: set[str]) -> None:
    with block() as port:
        told = examine("--media", f"127.0.0.1:{port}")
    assert (told.code, told.blocked) == (1, blocked)
    for kind in blocked:
        assert f"127.0.0.1:{port}" in told.checks[kind]["advice"]


@needs_coturn
def test_a_turn_server_that_keeps_from_the_media_port_is_told_what_to_allow() -> None:
    with start_turn() as hardened, media_port() as port:
        told = examine(
            *("--turn", hardened.urls["turn-udp"], "--media", f"127.0.0.1:{port}"), ANTIPHON_TURN_SECRET=SECRET
        )
    assert told.blocked == {"turn-udp"}
    assert "--allow-peer 127.0.0.1" in told.checks["turn-udp"]["advice"]
    assert not told.checks["turn-udp"]["relayed"]


@needs_coturn
def test_a_media_port_that_is_silent_through_the_relay_is_named(turn: TurnProcess) -> None:
    with silent_udp() as port:
        told = examine(
            "--turn",
            turn.urls["turn-tcp"],
            "--media",
            f"127.0.0.1:{port}",
            timeout=IMPATIENCE,
            ANTIPHON_TURN_SECRET=SECRET,
        )
    assert "does not answer through it" in told.checks["turn-tcp"]["detail"]
    assert not told.checks["turn-tcp"]["relayed"]


@needs_coturn
@pytest.mark.parametrize(
    "login",
    [{"ANTIPHON_TURN_SECRET": "another-secret-0123456789"}, {"flags": ("--username", "1:x", "--credential", "y")}],
)
def test_refused_credentials_are_told_from_blocked_ports(turn: TurnProcess, login: dict[str, Any]) -> None:
    flags = login.pop("flags", ())
    told = examine("--turn", turn.urls["turn-udp"], *flags, **login)
    assert told.blocked == {"turn-udp"}
    assert "401" in told.checks["turn-udp"]["detail"]
    assert "clocks" in told.checks["turn-udp"]["advice"]


@needs_coturn
def test_a_certificate_that_is_not_trusted_is_named(turn: TurnProcess) -> None:
    told = examine("--turn", turn.urls["turn-tls"], ANTIPHON_TURN_SECRET=SECRET)
    assert told.blocked == {"turn-tls"}
    assert "certificate is not trusted" in told.checks["turn-tls"]["detail"]
    assert "--ca" in told.checks["turn-tls"]["advice"]


def test_a_name_that_nobody_knows_is_named() -> None:
    told = examine("--stun", "stun:turn.invalid")
    assert told.checks["stun"]["detail"] == "the name is not known"


# The server


def test_a_server_that_is_not_there_is_all_that_is_said() -> None:
    with shut() as port:
        told = examine(f"http://127.0.0.1:{port}")
    assert (told.code, told.checks.keys(), told.blocked) == (1, {"http"}, {"http"})
    assert "nothing listens" in told.checks["http"]["detail"]


def test_a_server_without_webrtc_is_well_and_says_what_it_lacks() -> None:
    with start_server(*SCRIPTED) as server:
        told = examine(server.url)
        table = antiphon("doctor", server.url)
    assert told.code == 0
    assert told.checks["websocket"]["state"] == "ok"
    assert told.checks["turn-tls"]["state"] == "absent"
    assert table.code == 0
    assert "Nothing is blocked." in table.out
    assert "TURN over TLS" in table.out


def test_a_missing_key_is_told() -> None:
    with start_server(*SCRIPTED, "--api-keys", KEY) as server:
        told = examine(server.url)
    assert told.blocked == {"ice-servers"}
    assert "--api-key" in told.checks["ice-servers"]["advice"]


async def test_a_proxy_that_passes_no_websocket_is_found() -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": "1"})

    async def servers(_: web.Request) -> web.Response:
        return web.json_response({"iceServers": [{"urls": "no address"}], "ttl": 1})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/v1/ice-servers", servers)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        told = await asyncio.to_thread(examine, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert told.blocked == {"websocket", "ice-servers"}
    assert "HTTP status 404" in told.checks["websocket"]["detail"]
    assert "can't be read" in told.checks["ice-servers"]["detail"]


def test_another_server_is_told_from_ours() -> None:
    with web_page() as port:
        told = examine(f"http://127.0.0.1:{port}")
    assert told.blocked == {"http"}
    assert "HTTP status 400" in told.checks["http"]["detail"]


# Usage


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nonsense"], "not the address of a server"),
        (["--stun", "nonsense"], "not the address of an ICE server"),
        (["--stun", "turn:127.0.0.1"], "goes with --turn"),
        (["--turn", "stun:127.0.0.1"], "goes with --stun"),
        (["--turn", "turn:127.0.0.1"], "ANTIPHON_TURN_SECRET"),
        (["--turn", "turn:127.0.0.1", "--username", "x"], "go together"),
        (["--media", "127.0.0.1"], "--media takes a host and a port"),
        (["--stun", "stun:127.0.0.1", "--ca", "/nonexistent"], "--ca"),
    ],
)
def test_wrong_usage_is_told_with_what_is_right(flags: list[str], message: str) -> None:
    ran = antiphon("doctor", *flags)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
