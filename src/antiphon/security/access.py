"""What every door asks: is it us who is meant, may this page talk to us, and does this client have a key?"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from antiphon.errors import Forbidden, Unauthorized


class Access:
    """Checks names, origins and keys.

    Args:
        api_keys: Keys that open every door; none means that no key is asked for.
        origins: Web origins besides the server's own that may connect, such as ``https://app.example``, or ``*``.
        hosts: Names besides those of loopback under which the server may be asked for anything; None for any name.
    """

    def __init__(
        self, api_keys: tuple[str, ...] = (), origins: tuple[str, ...] = (), hosts: tuple[str, ...] | None = None
    ) -> None:
        self._keys = tuple(key.encode() for key in api_keys)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._hosts = None if hosts is None else frozenset(host.rstrip(".").lower() for host in hosts)

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Refuse whoever asks for another server than this one.

        A site may let its own name point to this machine. To a browser its page is then of the server's own origin
        (DNS rebinding); the name that it asks for gives it away. Clients that are not browsers may send none.

        Raises:
            Forbidden: The name is not known.
        """
        host = headers.get("Host")
        if self._hosts is None or host is None:
            return
        name = ""
        with contextlib.suppress(ValueError):
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        if is_loopback(name) or name.endswith(".localhost") or name in self._hosts:
            return
        raise Forbidden(
            f"this server does not know itself as {host[:100]!r}; ask for localhost, or let its operator name that "
            "host in allowed_hosts, or set api_keys"
        )

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse pages of other sites, which a browser would let connect otherwise.

        Clients that are not browsers send no origin and pass.

        Raises:
            Forbidden: The origin is neither the server's own nor listed.
        """
        origin = headers.get("Origin")
        if origin is None or "*" in self._origins or origin.lower() in self._origins:
            return
        with contextlib.suppress(ValueError):
            if urlsplit(origin).netloc.lower() == headers.get("Host", "").lower() != "":
                return
        raise Forbidden(
            f"pages of {origin[:100]!r} may not use this server; its operator can allow them with cors_origins"
        )

    def check_key(self, token: str | None) -> None:
        """Raises:
        Unauthorized: A key is asked for, and this is none.
        """
        if not self._keys:
            return
        if token is None:
            raise Unauthorized("this server asks for an API key; send it as bearer token, or as 'token'")
        # bytes of a header that are no UTF-8 come as surrogates
        given = token.encode("utf-8", "surrogateescape")
        # all are compared, so that the time taken does not tell which came close
        if not sum(hmac.compare_digest(given, key) for key in self._keys):
            raise Unauthorized("this API key is not known here")


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of an ``Authorization: Bearer`` header (RFC 6750 section 2.1)."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def is_loopback(host: str) -> bool:
    """True where listening on `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
