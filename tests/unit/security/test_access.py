"""Pages of other sites and clients without a key stay outside."""

from __future__ import annotations

import pytest

from antiphon.errors import Forbidden, Unauthorized
from antiphon.security.access import Access, bearer_token, is_loopback


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "127.0.0.1:8080"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("https://voice.example", "voice.example"),
        ("https://App.Example", "voice.example"),
    ],
)
def test_own_and_listed_origins_and_no_browser_at_all_may_connect(origin: str | None, host: str) -> None:
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    Access(origins=("https://app.example/",)).check_origin(headers)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:9090", "null", "http://127.0.0.1:8080.evil.example", ""]
)
def test_other_origins_may_not(origin: str) -> None:
    with pytest.raises(Forbidden, match="cors_origins"):
        Access().check_origin({"Host": "127.0.0.1:8080", "Origin": origin})


def test_a_star_lets_every_page_in() -> None:
    Access(origins=("*",)).check_origin({"Host": "a", "Origin": "https://b"})


LOOPBACK = ["localhost", "LOCALHOST:8080", "localhost.", "a.localhost:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"]


@pytest.mark.parametrize("host", [*LOOPBACK, "voice.example", "Voice.Example:443", None])
def test_names_of_loopback_and_those_allowed_are_known(host: str | None) -> None:
    Access(hosts=("voice.example",)).check_host({} if host is None else {"Host": host})


STRANGE = [
    "evil.example",
    "evil.example:8080",
    "voice.example.evil",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
]
STRANGE += ["evillocalhost", "192.168.1.2", "0.0.0.0", "[::]", "[", "", "127.0.0.1@evil.example", "é", "a b"]


@pytest.mark.parametrize("host", STRANGE)
def test_other_names_are_not(host: str) -> None:
    with pytest.raises(Forbidden, match="allowed_hosts"):
        Access(hosts=("voice.example",)).check_host({"Host": host})


def test_where_names_do_not_count_any_will_do() -> None:
    Access().check_host({"Host": "evil.example"})


def test_without_keys_nobody_needs_one() -> None:
    Access().check_key(None)


def test_any_of_the_keys_will_do_and_nothing_else() -> None:
    access = Access(api_keys=("first-key-of-two", "second-key-of-two"))
    access.check_key("first-key-of-two")
    access.check_key("second-key-of-two")
    with pytest.raises(Unauthorized, match="asks for an API key"):
        access.check_key(None)
    for wrong in ("", "first-key-of-tw", "first-key-of-two ", "ключ"):
        with pytest.raises(Unauthorized, match="not known"):
            access.check_key(wrong)


@pytest.mark.parametrize(
    ("header", "token"), [("Bearer abc", "abc"), ("bearer abc ", "abc"), ("Basic abc", None), ("", None)]
)
def test_bearer_tokens_are_read(header: str, token: str | None) -> None:
    assert bearer_token({"Authorization": header}) == token


def test_loopback_is_told_from_the_rest() -> None:
    assert is_loopback("127.0.0.1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("localhost.evil.example")
