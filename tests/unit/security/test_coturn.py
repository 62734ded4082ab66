"""What the configuration for coturn lets through, and what never gets into it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from antiphon.security.coturn import (
    CoturnOptions,
    coturn_configuration,
    denied,
    parse_addresses,
    turn_addresses,
)

OPTIONS = CoturnOptions("0123456789abcdef", "turn.example.org")


def lines(options: CoturnOptions) -> list[str]:
    return [line for line in coturn_configuration(options).splitlines() if line and not line.startswith("#")]


def ranges(options: CoturnOptions) -> list[tuple[Any, Any]]:
    found = [line.partition("=")[2].split("-") for line in lines(options) if line.startswith("denied-peer-ip=")]
    return [(ip_address(first), ip_address(last)) for first, last in found]


def covered(address: str, options: CoturnOptions) -> bool:
    """Whether coturn finds an address in a denied range: it looks at each byte by itself."""
    wanted = ip_address(address)
    return any(
        all(low <= byte <= high for low, byte, high in zip(first.packed, wanted.packed, last.packed, strict=True))
        for first, last in ranges(options)
        if first.version == wanted.version
    )


PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fc00::1", "fdff::1"]
INSIDE = [
    "0.0.0.0",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::127.0.0.1",
    "::10.0.0.0",
    "::10.1.0.0",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "fe80::1",
    "fd00:ec2::254",
    "ff02::1",
]
PUBLIC = ["8.8.8.8", "100.128.0.1", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2001:4860::8888"]


@pytest.mark.parametrize("address", [*PRIVATE, *INSIDE])
def test_what_is_not_public_is_denied(address: str) -> None:
    assert covered(address, OPTIONS)
    assert denied(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_not(address: str) -> None:
    assert not covered(address, OPTIONS)
    assert denied(ip_address(address)) is None


@pytest.mark.parametrize("address", INSIDE)
def test_opening_private_networks_opens_neither_loopback_nor_metadata(address: str) -> None:
    assert covered(address, replace(OPTIONS, private_peers=True))


@pytest.mark.parametrize("address", PRIVATE)
def test_private_networks_can_be_opened(address: str) -> None:
    assert not covered(address, replace(OPTIONS, private_peers=True))


def test_no_range_of_ipv6_begins_at_zero_which_coturn_takes_for_all_of_ipv4() -> None:
    assert all(int(first) != 0 for first, _ in ranges(OPTIONS) if first.version == 6)


def test_an_address_that_was_named_is_allowed_by_itself() -> None:
    named = replace(OPTIONS, allowed_peers=parse_addresses(["10.1.2.3"]))
    assert "allowed-peer-ip=10.1.2.3" in lines(named)
    assert "allow-loopback-peers" not in lines(named)
    assert covered("10.1.2.3", named)
    assert "allow-loopback-peers" in lines(replace(OPTIONS, allowed_peers=parse_addresses(["127.0.0.1"])))


def test_a_public_address_of_our_own_is_allowed_as_what_it_stands_for() -> None:
    public, private = parse_addresses(["8.8.8.8", "10.0.0.5"])
    behind = replace(OPTIONS, external=(public, private), allowed_peers=(public,))
    assert "external-ip=8.8.8.8/10.0.0.5" in lines(behind)
    assert "allowed-peer-ip=10.0.0.5" in lines(behind)


def test_doors_that_nobody_needs_are_shut() -> None:
    shut = {"no-cli", "no-tcp-relay", "no-dtls", "no-multicast-peers", "no-rfc5780", "no-software-attribute"}
    assert shut <= set(lines(OPTIONS))
    assert "no-tcp-relay" not in lines(replace(OPTIONS, tcp_relay=True))


def test_without_a_certificate_there_is_no_tls() -> None:
    assert "no-tls" in lines(OPTIONS)
    assert not any(line.startswith(("cert=", "tls-listening-port=")) for line in lines(OPTIONS))
    secure = replace(OPTIONS, certificate=Path("/etc/a.pem"), key=Path("/etc/a.key"), tls_port=443)
    assert {"tls-listening-port=443", "cert=/etc/a.pem", "pkey=/etc/a.key", "no-tlsv1_1"} <= set(lines(secure))
    assert "no-tls" not in lines(secure)


def test_addresses_for_clients_follow_the_options() -> None:
    secure = replace(OPTIONS, certificate=Path("/etc/a.pem"), key=Path("/etc/a.key"))
    assert turn_addresses("turn.example.org", secure) == [
        "turn:turn.example.org:3478?transport=udp",
        "turn:turn.example.org:3478?transport=tcp",
        "turns:turn.example.org:5349?transport=tcp",
    ]
    assert turn_addresses("2001:db8::1", replace(OPTIONS, port=80)) == [
        "turn:[2001:db8::1]:80?transport=udp",
        "turn:[2001:db8::1]:80?transport=tcp",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secret": "short"}, "openssl rand"),
        ({"secret": "0123456789abcdef\nno-auth"}, "openssl rand"),
        ({"secret": "0123456789abcdef # x"}, "openssl rand"),
        ({"realm": "a\nno-auth"}, "realm"),
        ({"realm": ""}, "realm"),
        ({"certificate": Path("/a.pem")}, "needs its key"),
        ({"certificate": Path("/a\nno-auth"), "key": Path("/a")}, "reads no file"),
        ({"certificate": Path("/a"), "key": Path("/b"), "tls_port": 3478}, "at once"),
        ({"relay_ports": (50_000, 40_000)}, "end before they begin"),
    ],
)
def test_what_would_change_the_configuration_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(OPTIONS, **change)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="not an IP address"):
        parse_addresses(["10.0.0.0/8"])
