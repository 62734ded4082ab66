"""Where the doors of a server are."""

from __future__ import annotations

from yarl import URL

_HTTP = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def server_url(url: str) -> URL:
    """The base address of a server, as HTTP.

    Args:
        url: ``http``, ``https``, ``ws`` or ``wss``, with or without a path under which the server is mounted.

    Raises:
        ValueError: It is no such address.
    """
    try:
        given = URL(url)
        scheme = _HTTP.get(given.scheme)
    except ValueError as fault:
        raise ValueError(f"{url!r} is not an address ({fault}); write it like http://127.0.0.1:8080") from None
    if scheme is None or not given.host:
        raise ValueError(f"{url!r} is not the address of a server; write it like http://127.0.0.1:8080")
    path = given.path.removesuffix("/").removesuffix("/audio-stream")
    return given.with_scheme(scheme).with_path(path).with_query(None).with_fragment(None)


def door(base: URL, *path: str) -> URL:
    """The address of a door below a server's base address."""
    return base.joinpath(*path)
