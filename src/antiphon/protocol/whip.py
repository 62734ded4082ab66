"""The bodies of WHIP and WHEP: fragments of session descriptions that trickle candidates and restart ICE.

RFC 9725 section 4.3, RFC 8840 section 9 (``application/trickle-ice-sdpfrag``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from antiphon.errors import BadMessage, TooLarge
from antiphon.protocol import sdp
from antiphon.protocol.negotiation import MAX_CANDIDATE_BYTES

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_CANDIDATES = 64
"""Candidates in one fragment."""

# ice-char, RFC 8839 section 5.4
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """ICE's user name fragment and password."""

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """A checked fragment.

    Attributes:
        credentials: Of the ICE session it belongs to; None where it does not say.
        candidates: ``candidate:...``, each.
    """

    credentials: Credentials | None
    candidates: tuple[str, ...]


def parse_fragment(text: str) -> Fragment:
    """Check the body of a PATCH.

    Raises:
        BadMessage: It is no fragment.
        TooLarge: A candidate is too long, or there are too many.
    """
    candidates: list[str] = []
    for line in sdp.lines(text):
        if line and line[1:2] != "=":
            raise BadMessage(f"this is no fragment of a session description (RFC 8840 section 9): {line[:40]!r}")
        if line.startswith("a=candidate:"):
            if len(line) > MAX_CANDIDATE_BYTES:
                raise TooLarge(f"a candidate has {len(line)} characters; at most {MAX_CANDIDATE_BYTES} are taken")
            candidates.append(line[2:])
    if len(candidates) > MAX_CANDIDATES:
        raise TooLarge(f"{len(candidates)} candidates came at once; at most {MAX_CANDIDATES} are taken")
    return Fragment(credentials_of(text), tuple(candidates))


def credentials_of(text: str) -> Credentials | None:
    """The first credentials in a description or a fragment; None where there are none.

    Raises:
        BadMessage: One of the two is missing or cannot be.
    """
    ufrag = password = None
    for line in sdp.lines(text):
        if ufrag is None and line.startswith("a=ice-ufrag:"):
            ufrag = line.removeprefix("a=ice-ufrag:")
        elif password is None and line.startswith("a=ice-pwd:"):
            password = line.removeprefix("a=ice-pwd:")
    if ufrag is None and password is None:
        return None
    if not _UFRAG.fullmatch(ufrag or "") or not _PASSWORD.fullmatch(password or ""):
        raise BadMessage(
            "a=ice-ufrag must have 4 to 256 and a=ice-pwd 22 to 256 letters, digits, '+' or '/' (RFC 8839 section 5.4)"
        )
    return Credentials(ufrag or "", password or "")


def restart_offer(offer: str, credentials: Credentials) -> str:
    """The offer that a client would make to restart ICE: its last one with new credentials and no candidates."""
    found: list[str] = []
    for line in sdp.lines(offer):
        if line.startswith("a=ice-ufrag:"):
            found.append(f"a=ice-ufrag:{credentials.ufrag}")
        elif line.startswith("a=ice-pwd:"):
            found.append(f"a=ice-pwd:{credentials.password}")
        elif line.startswith("o="):
            found.append(_next_version(line))
        elif line and not line.startswith(("a=candidate:", "a=end-of-candidates")):
            found.append(line)
    return "\r\n".join(found) + "\r\n"


def fragment_of(answer: str) -> str:
    """What an answer says of ICE, as a fragment: for the answer to a restart."""
    session: list[str] = []
    media: list[str] = []
    for line in sdp.lines(answer):
        if line.startswith("m="):
            if media:
                # everything is bundled: the first m-line speaks for all
                break
            media.append(line)
        elif line.startswith(("a=ice-", "a=candidate:", "a=end-of-candidates")):
            (media or session).append(line)
        elif media and line.startswith("a=mid:"):
            media.insert(1, line)
    return "\r\n".join((*session, *media)) + "\r\n"


def _next_version(origin: str) -> str:
    fields = origin.split(" ")
    if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit():
        fields[2] = str(int(fields[2]) + 1)
    return " ".join(fields)
