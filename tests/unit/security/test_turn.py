"""Credentials for TURN, the lists that hold them, and addresses taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.security.turn import (
    IceOptions,
    IceUrl,
    MediaAddress,
    ice_response,
    ice_servers,
    link_headers,
    parse_ice_url,
    turn_credentials,
)

SECRET = "0123456789abcdef"
NOW = 1_699_999_000.9
TURN = "turn:turn.example.org:3478?transport=udp"
TURNS = "turns:turn.example.org:5349?transport=tcp"
OPTIONS = IceOptions(("stun:turn.example.org",), (TURN, TURNS), SECRET, ttl=1000)


@pytest.mark.parametrize(
    ("user", "username", "credential"),
    [
        # printf %s USERNAME | openssl dgst -sha1 -hmac SECRET -binary | base64
        ("alice", "1700000000:alice", "QmpguVhgm8LJZp0MkvqhyKEkXps="),
        ("", "1700000000", "YGDXUio7uqwZEMSxecOL2Fm7Lrg="),
    ],
)
def test_credentials_are_the_signature_of_their_end(user: str, username: str, credential: str) -> None:
    assert turn_credentials(SECRET, 1_700_000_000, user) == (username, credential)


def test_the_list_has_credentials_where_they_are_needed() -> None:
    stun, turn = ice_servers(OPTIONS, "alice", NOW)
    assert stun == {"urls": ["stun:turn.example.org"]}
    assert turn["urls"] == [TURN, TURNS]
    assert (turn["username"], turn["credential"]) == ("1700000000:alice", "QmpguVhgm8LJZp0MkvqhyKEkXps=")


def test_nothing_set_up_is_an_empty_list() -> None:
    assert ice_response(IceOptions(), "alice", NOW) == {"iceServers": [], "ttl": IceOptions().ttl}


def test_the_media_port_is_told_where_there_is_one() -> None:
    body = ice_response(OPTIONS, "alice", NOW, MediaAddress("voice.example.org", 8443, tcp=True))
    assert body["media"] == {"host": "voice.example.org", "port": 8443, "tcp": True}
    assert body["ttl"] == 1000


@pytest.mark.parametrize("user", ["Zoë Meier", "a:b", 'a"; rel="x', "a\r\nb", "x" * 65, "\udcff"])
def test_users_that_are_not_plain_go_to_turn_servers_as_digests(user: str) -> None:
    (_, turn) = ice_servers(OPTIONS, user, NOW)
    _, _, shown = turn["username"].partition(":")
    assert len(shown) == 16
    assert shown.isalnum()
    assert ice_servers(OPTIONS, user, NOW) == ice_servers(OPTIONS, user, NOW)
    assert ice_servers(OPTIONS, user + "x", NOW) != ice_servers(OPTIONS, user, NOW)


def test_links_are_those_of_whip() -> None:
    servers = ice_servers(OPTIONS, "alice", NOW)
    name, credential = servers[1]["username"], servers[1]["credential"]
    rest = f'; rel="ice-server"; username="{name}"; credential="{credential}"; credential-type="password"'
    assert link_headers(servers) == [
        '<stun:turn.example.org>; rel="ice-server"',
        f"<{TURN}>{rest}",
        f"<{TURNS}>{rest}",
    ]


def test_quotes_in_a_link_are_escaped() -> None:
    (link,) = link_headers([{"urls": [TURN], "username": 'a"b\\c', "credential": "d"}])
    assert r'username="a\"b\\c"' in link


@pytest.mark.parametrize(
    ("text", "relays", "host", "port", "transport"),
    [
        ("stun:turn.example.org", False, "turn.example.org", 3478, "udp"),
        ("stuns:turn.example.org", False, "turn.example.org", 5349, "tls"),
        ("turn:192.0.2.1:80", True, "192.0.2.1", 80, "udp"),
        ("turn:[2001:db8::1]:443?transport=tcp", True, "2001:db8::1", 443, "tcp"),
        ("turns:turn.example.org", True, "turn.example.org", 5349, "tls"),
        ("turns:turn.example.org:443?transport=tcp", True, "turn.example.org", 443, "tls"),
    ],
)
def test_addresses_are_taken_apart(text: str, relays: bool, host: str, port: int, transport: str) -> None:
    assert parse_ice_url(text) == IceUrl(text, relays, host, port, transport)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("turn.example.org", "is not the address"),
        ("turn://turn.example.org", "is not the address"),
        ("https://turn.example.org", "is not the address"),
        ("turn:turn.example.org?transport=sctp", "is not the address"),
        ("turn:turn.example.org\n", "is not the address"),
        ("turn:user@turn.example.org", "is not the address"),
        ("turn:turn.example.org:0", "ports are 1 to 65535"),
        ("turn:turn.example.org:99999", "ports are 1 to 65535"),
        ("turn:[1.2.3]", "no IPv6 address"),
        ("stun:turn.example.org?transport=udp", "takes no transport"),
        ("turns:turn.example.org?transport=udp", "DTLS"),
    ],
)
def test_what_is_no_address_is_refused_with_what_is_right(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_ice_url(text)


@given(st.one_of(st.text(), st.from_regex(r"(stun|turns?):\[?[0-9a-f:.]*\]?(:\d*)?(\?transport=\w*)?")))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        url = parse_ice_url(text)
    except ValueError:
        return
    assert url.text == text
    assert 1 <= url.port <= 65535
    assert url.host
