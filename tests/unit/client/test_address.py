"""Addresses of servers and their doors."""

from __future__ import annotations

import pytest

from antiphon.client.address import door, server_url


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("ws://voice.example/audio-stream", "http://voice.example"),
        ("wss://voice.example/", "https://voice.example"),
        ("https://example.org/voice/", "https://example.org/voice"),
        ("http://[::1]:8080/?token=x#y", "http://[::1]:8080"),
    ],
)
def test_the_base_address_is_found(given: str, base: str) -> None:
    assert str(server_url(given)) == base


def test_doors_lie_below_the_path_where_the_server_is_mounted() -> None:
    below = door(server_url("https://example.org/voice"), "v1", "sessions", "a b", "events")
    assert str(below) == "https://example.org/voice/v1/sessions/a%20b/events"


@pytest.mark.parametrize("given", ["", "localhost", "localhost:8080", "ftp://example.org", "http://", "http://[::1"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        server_url(given)
