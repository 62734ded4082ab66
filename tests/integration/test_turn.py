"""A real coturn with the configuration that ``antiphon turn`` gives it: who may use it, and to reach what."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from aioice import stun

from antiphon.client.ice import Allocation, Login, Refused, allocation, stun_over_tcp, stun_over_udp
from antiphon.security.turn import IceOptions, ice_servers, parse_ice_url, turn_credentials
from support.cli import antiphon
from support.server import SCRIPTED, start_server
from support.turn import SECRET, Certificate, TurnProcess, free_port, make_certificate, needs_coturn, start_turn

pytestmark = needs_coturn

DEADLINE = 60.0
KINDS = ("turn-udp", "turn-tcp", "turn-tls")
IPV6 = 0x02000000
"""The family of a relay as it stands in REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.8)."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def lenient(certificate: Certificate) -> Iterator[TurnProcess]:
    """A TURN server that relays to 127.0.0.1, and to no other address of loopback."""
    with start_turn("--allow-peer", "127.0.0.1", certificate=certificate) as turn:
        yield turn


@pytest.fixture(scope="module")
def strict() -> Iterator[TurnProcess]:
    """A TURN server as it is by default, with relays for IPv6 as well where the machine has it."""
    with start_turn(*(("--listen", "::1") if has_ipv6() else ())) as turn:
        yield turn


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@asynccontextmanager
async def allocated(
    turn: TurnProcess, login: Login | None = None, kind: str = "turn-udp", certificate: Certificate | None = None
) -> AsyncIterator[Allocation]:
    url = parse_ice_url(turn.urls[kind])
    trust = ssl.create_default_context(cafile=certificate.authority) if certificate else None
    known = login or Login(*turn_credentials(SECRET, int(time.time()) + 600, "tester"))
    async with allocation(url, ("127.0.0.1", url.port), known, trust, DEADLINE) as relay:
        yield relay


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, int]]:
    """A peer on loopback that answers STUN requests as a media port does."""

    class Peer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if data:
                asked = stun.parse_message(data)
                answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
                answer.attributes["XOR-MAPPED-ADDRESS"] = addr[:2]
                self.transport.sendto(bytes(answer), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


# Who may use it


@pytest.mark.parametrize("kind", KINDS)
async def test_credentials_open_it_and_packets_go_through_and_back(
    lenient: TurnProcess, certificate: Certificate, kind: str
) -> None:
    (listed,) = ice_servers(IceOptions(turn_urls=(lenient.urls[kind],), secret=SECRET), "Zoë", time.time())
    login = Login(listed["username"], listed["credential"])
    async with asyncio.timeout(DEADLINE), echo() as peer, allocated(lenient, login, kind, certificate) as relay:
        assert await relay.round_trip(peer) == relay.relayed


@pytest.mark.parametrize("kind", KINDS)
async def test_one_relay_reaches_another(lenient: TurnProcess, certificate: Certificate, kind: str) -> None:
    async with (
        asyncio.timeout(DEADLINE),
        allocated(lenient, None, kind, certificate) as one,
        allocated(lenient, None, kind, certificate) as other,
    ):
        await one.send_to(other, os.urandom(64))


async def test_stun_needs_no_credentials(lenient: TurnProcess, certificate: Certificate) -> None:
    trust = ssl.create_default_context(cafile=certificate.authority)
    async with asyncio.timeout(DEADLINE):
        assert (await stun_over_udp(("127.0.0.1", lenient.port)))[0] == "127.0.0.1"
        tls = ("127.0.0.1", lenient.tls_port)
        assert (await stun_over_tcp(tls, "localhost", trust, framed=False))[0] == "127.0.0.1"


def expired() -> Login:
    return Login(*turn_credentials(SECRET, int(time.time()) - 5, "tester"))


def foreign() -> Login:
    return Login(*turn_credentials("another-secret-0123456789", int(time.time()) + 600, "tester"))


def prolonged() -> Login:
    _, credential = turn_credentials(SECRET, int(time.time()) + 5, "tester")
    return Login(f"{int(time.time()) + 600}:tester", credential)


def renamed() -> Login:
    username, credential = turn_credentials(SECRET, int(time.time()) + 600, "tester")
    return Login(username.replace("tester", "other"), credential)


@pytest.mark.parametrize("login", [expired, foreign, prolonged, renamed])
async def test_other_credentials_are_refused(lenient: TurnProcess, login: Any) -> None:
    with pytest.raises(Refused) as refusal:
        async with allocated(lenient, login()):
            pass
    assert refusal.value.code == 401


async def test_nobody_gets_in_without_credentials(lenient: TurnProcess) -> None:
    with pytest.raises(Refused) as refusal:
        async with allocated(lenient, Login()):
            pass
    assert refusal.value.code == 401


async def test_the_list_of_the_server_opens_the_turn_server(lenient: TurnProcess) -> None:
    urls = f"{lenient.urls['turn-udp']},{lenient.urls['turn-tcp']}"
    secret = {"ANTIPHON_TURN_SECRET": SECRET}
    with start_server(*SCRIPTED, "--turn-urls", urls, **secret) as server:
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/v1/ice-servers") as response:
            (listed,) = (await response.json())["iceServers"]
    assert listed["urls"] == urls.split(",")
    async with allocated(lenient, Login(listed["username"], listed["credential"])) as relay:
        assert relay.relayed[0] == "127.0.0.1"


async def test_one_user_gets_as_many_relays_as_the_quota_says() -> None:
    with start_turn("--user-quota", "1") as turn:
        async with allocated(turn):
            with pytest.raises(Refused) as refusal:
                async with allocated(turn):
                    pass
            assert refusal.value.code == 486
            other = Login(*turn_credentials(SECRET, int(time.time()) + 600, "another"))
            async with allocated(turn, other):
                pass


# To reach what


@pytest.mark.parametrize(
    "peer",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.0.0.2",
        "0.0.0.0",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
async def test_it_relays_to_nothing_inside(strict: TurnProcess, peer: str) -> None:
    async with allocated(strict) as relay:
        with pytest.raises(Refused) as refusal:
            await relay.permit((peer, 9))
        assert refusal.value.code == 403


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 on loopback")
@pytest.mark.parametrize(
    "peer",
    [
        "::",
        "::1",
        "::127.0.0.1",
        "::10.0.0.0",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ],
)
async def test_nor_by_ipv6(strict: TurnProcess, monkeypatch: pytest.MonkeyPatch, peer: str) -> None:
    async with allocated_for_ipv6(strict, monkeypatch) as relay:
        with pytest.raises(Refused) as refusal:
            await relay.permit((peer, 9))
        assert refusal.value.code == 403


@pytest.mark.parametrize("peer", ["8.8.8.8", "1.0.0.1", "223.255.255.255"])
async def test_what_is_public_is_relayed_to(strict: TurnProcess, peer: str) -> None:
    async with allocated(strict) as relay:
        await relay.permit((peer, 9))


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 on loopback")
@pytest.mark.parametrize("peer", ["2001:4860::8888", "2606:4700::1111", "2a00:1450::1"])
async def test_and_so_by_ipv6(strict: TurnProcess, monkeypatch: pytest.MonkeyPatch, peer: str) -> None:
    async with allocated_for_ipv6(strict, monkeypatch) as relay:
        await relay.permit((peer, 9))


@asynccontextmanager
async def allocated_for_ipv6(turn: TurnProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Allocation]:
    """A relay with an address of IPv6, which the library can't ask for by itself."""
    entry = (0x0017, "REQUESTED-ADDRESS-FAMILY", stun.pack_unsigned, stun.unpack_unsigned)
    monkeypatch.setitem(stun.ATTRIBUTES_BY_NAME, "REQUESTED-ADDRESS-FAMILY", entry)
    original = stun.Message.__init__

    def asking(self: stun.Message, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if (self.message_method, self.message_class) == (stun.Method.ALLOCATE, stun.Class.REQUEST):
            self.attributes["REQUESTED-ADDRESS-FAMILY"] = IPV6

    monkeypatch.setattr(stun.Message, "__init__", asking)
    async with allocated(turn) as relay:
        assert ":" in relay.relayed[0]
        yield relay


async def test_behind_a_nat_the_media_port_is_reached_by_the_public_address() -> None:
    with start_turn("--external-ip", "8.8.8.8/127.0.0.1", "--allow-peer", "8.8.8.8") as turn:
        async with asyncio.timeout(DEADLINE), echo() as (_, port), allocated(turn) as relay:
            assert relay.relayed[0] == "8.8.8.8"
            seen = await relay.round_trip(("8.8.8.8", port))
            assert seen == ("127.0.0.1", relay.relayed[1])


async def test_naming_one_address_opens_no_other(lenient: TurnProcess) -> None:
    async with allocated(lenient) as relay:
        await relay.permit(("127.0.0.1", 9))
        for peer in ("127.0.0.2", "10.0.0.1"):
            with pytest.raises(Refused) as refusal:
                await relay.permit((peer, 9))
            assert refusal.value.code == 403


async def test_private_peers_can_be_opened_without_loopback_and_metadata() -> None:
    with start_turn("--allow-private-peers") as turn:
        async with allocated(turn) as relay:
            await relay.permit(("10.0.0.1", 9))
            for peer in ("127.0.0.1", "169.254.169.254"):
                with pytest.raises(Refused):
                    await relay.permit((peer, 9))


async def test_nothing_else_listens(lenient: TurnProcess) -> None:
    """Neither coturn's command line (5766) nor its web page."""
    (coturn,) = psutil.Process(lenient.pid).children()
    listening = {c.laddr.port for c in coturn.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening == {lenient.port, lenient.tls_port}


# The command


def test_it_ends_coturn_with_itself_and_leaves_nothing() -> None:
    with start_turn() as turn:
        (coturn,) = psutil.Process(turn.pid).children()
        folder = Path(coturn.cwd())
        assert (folder / "turnserver.conf").stat().st_mode & 0o077 == 0
        assert SECRET not in " ".join(coturn.cmdline())
        assert turn.stop() == 0
        assert not coturn.is_running()
        assert not folder.exists()
        assert SECRET not in turn.log


def test_ctrl_c_ends_it_too() -> None:
    with start_turn() as turn:
        os.killpg(turn.pid, signal.SIGINT)
        assert turn.wait() == 0


def test_it_says_when_coturn_ends_by_itself() -> None:
    with start_turn() as turn:
        (coturn,) = psutil.Process(turn.pid).children()
        coturn.kill()
        assert turn.wait() == 3
        assert "coturn ended by itself" in turn.log


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_taken_port_is_named(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        ran = antiphon("turn", "--listen", "127.0.0.1", "--port", str(port), ANTIPHON_TURN_SECRET=SECRET)
    assert ran.code == 1
    assert f"127.0.0.1:{port}/{'UDP' if kind == socket.SOCK_DGRAM else 'TCP'}" in ran.err
    assert "--port" in ran.err


def test_a_foreign_address_is_named() -> None:
    ran = antiphon("turn", "--listen", "192.0.2.77", "--port", str(free_port()), ANTIPHON_TURN_SECRET=SECRET)
    assert ran.code == 1
    assert "--external-ip" in ran.err


def test_a_certificate_that_is_none_is_named(certificate: Certificate, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    for chain, key in ((bad, certificate.key), (certificate.chain, bad), (tmp_path / "none", certificate.key)):
        ran = antiphon("turn", "--cert", str(chain), "--key", str(key), ANTIPHON_TURN_SECRET=SECRET)
        assert ran.code == 1
        assert str(bad if bad in (chain, key) else chain) in ran.err


def test_without_a_certificate_it_says_that_tls_is_left_out(tmp_path: Path) -> None:
    ran = antiphon("turn", "--write", "-", "--host", "turn.example.org", ANTIPHON_TURN_SECRET=SECRET)
    assert ran.code == 0
    assert "No certificate" in ran.err
    assert "no-tls\n" in ran.out


def test_a_file_can_be_written_for_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "turnserver.conf"
    ran = antiphon("turn", "--write", str(target), "--host", "turn.example.org", ANTIPHON_TURN_SECRET=SECRET)
    assert ran.code == 0
    assert f"static-auth-secret={SECRET}" in target.read_text()
    assert target.stat().st_mode & stat.S_IRWXO == 0
    assert "ANTIPHON_TURN_URLS=turn:turn.example.org:3478?transport=udp" in ran.err
    assert SECRET not in ran.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--allow-peer", "10.0.0.0/8"], "not an IP address"),
        (["--listen", "turn.example.org"], "not an IP address"),
        (["--external-ip", "1.2.3"], "not an IP address"),
        (["--relay-ports", "1-2-3"], "--relay-ports"),
        (["--relay-ports", "50000-40000"], "end before they begin"),
        (["--realm", "a b"], "realm"),
        (["--cert", "a.pem"], "needs its key"),
    ],
)
def test_wrong_usage_is_told_with_what_is_right(flags: list[str], message: str) -> None:
    ran = antiphon("turn", "--write", "-", *flags, ANTIPHON_TURN_SECRET=SECRET)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_without_a_secret_it_says_how_to_make_one(tmp_path: Path) -> None:
    ran = antiphon("turn", "--write", "-")
    assert ran.code == 2
    assert "openssl rand" in ran.err


def test_without_coturn_it_says_how_to_get_it(tmp_path: Path) -> None:
    ran = antiphon("turn", "--listen", "127.0.0.1", ANTIPHON_TURN_SECRET=SECRET, PATH=str(tmp_path))
    assert ran.code == 3
    assert "coturn is not installed" in ran.err
    assert "--write" in ran.err
