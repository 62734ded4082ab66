"""What the control plane needs to know of a session description (RFC 8866); the engine reads the rest."""

from __future__ import annotations

from collections.abc import Iterator


def lines(sdp: str) -> Iterator[str]:
    """The lines, without their ends."""
    for line in sdp.split("\n"):
        yield line.rstrip("\r")


def identity(offer: str) -> tuple[str, ...]:
    """What stays the same as long as a peer connection lives, ICE restarts included, and differs between two.

    That is the origin's user and session (RFC 8866 section 5.2, kept by RFC 9429 section 5.2.2) and the fingerprints of
    its certificates (RFC 8122 section 5).
    """
    found: set[str] = set()
    for line in lines(offer):
        if line.startswith("o="):
            found.add(" ".join(line.split(" ")[:2]))
        elif line.startswith("a=fingerprint:"):
            found.add(line.lower())
    return tuple(sorted(found))
