"""Fragments of session descriptions, as WHIP and WHEP carry them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import BadMessage, TooLarge
from antiphon.protocol import sdp
from antiphon.protocol.whip import (
    MAX_CANDIDATES,
    Credentials,
    credentials_of,
    fragment_of,
    parse_fragment,
    restart_offer,
)

PASSWORD = "abcdefghijklmnopqrstuv"
# RFC 9725 section 4.3.1, figure 4, shortened
TRICKLE = f"""a=group:BUNDLE 0 1\r
m=audio 9 UDP/TLS/RTP/SAVPF 111\r
a=mid:0\r
a=ice-ufrag:EsAw\r
a=ice-pwd:{PASSWORD}\r
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r
a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host generation 0 ufrag EsAw network-id 2\r
a=end-of-candidates\r
"""
OFFER = f"""v=0\r
o=- 4611 2 IN IP4 127.0.0.1\r
s=-\r
a=fingerprint:sha-256 AA:BB\r
m=audio 9 UDP/TLS/RTP/SAVPF 111\r
a=mid:0\r
a=ice-ufrag:EsAw\r
a=ice-pwd:{PASSWORD}\r
a=candidate:1 1 udp 1 192.0.2.1 61764 typ host\r
a=end-of-candidates\r
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r
a=mid:1\r
a=ice-ufrag:EsAw\r
a=ice-pwd:{PASSWORD}\r
"""
NEW = Credentials("+new", "+" * 22)

LINES = st.sampled_from([*TRICKLE.split("\r\n"), "m=video 0", "a=ice-ufrag:x", "a=ice-pwd:", "x", "\x00"])


@given(st.text(max_size=300) | st.lists(LINES, max_size=20).map("\r\n".join))
def test_anything_is_a_fragment_or_a_documented_error(text: str) -> None:
    try:
        fragment = parse_fragment(text)
    except (BadMessage, TooLarge) as refusal:
        assert len(refusal.message) < 400
    else:
        assert all(candidate.startswith("candidate:") for candidate in fragment.candidates)
    restart_offer(text, NEW)
    fragment_of(text)
    sdp.identity(text)


def test_a_fragment_has_credentials_and_candidates() -> None:
    fragment = parse_fragment(TRICKLE)
    assert fragment.credentials == Credentials("EsAw", PASSWORD)
    assert [candidate.split(" ")[4] for candidate in fragment.candidates] == ["192.0.2.1", "198.51.100.2"]
    assert parse_fragment("").credentials is None


@pytest.mark.parametrize("wrong", ["a=ice-ufrag:EsAw\r\n", f"a=ice-ufrag:E w!\r\na=ice-pwd:{PASSWORD}\r\n", "hello"])
def test_what_cannot_be_is_refused(wrong: str) -> None:
    with pytest.raises(BadMessage):
        parse_fragment(wrong)


def test_candidates_are_bounded() -> None:
    with pytest.raises(TooLarge):
        parse_fragment("a=candidate:1\r\n" * (MAX_CANDIDATES + 1))
    with pytest.raises(TooLarge):
        parse_fragment("a=candidate:" + "1" * 3000)


def test_a_restart_is_the_same_offer_with_other_credentials() -> None:
    offer = restart_offer(OFFER, NEW)
    assert credentials_of(offer) == NEW
    assert PASSWORD not in offer
    assert "candidate" not in offer
    assert "o=- 4611 3 IN IP4 127.0.0.1\r\n" in offer
    assert sdp.identity(offer) == sdp.identity(OFFER)
    assert len(offer.splitlines()) == len(OFFER.splitlines()) - 2


def test_another_connection_has_another_identity() -> None:
    assert sdp.identity(OFFER) != sdp.identity(OFFER.replace("o=- 4611", "o=- 4612"))
    assert sdp.identity(OFFER) != sdp.identity(OFFER.replace("AA:BB", "AA:CC"))
    assert sdp.identity(OFFER) == sdp.identity(OFFER.replace("sha-256 AA", "SHA-256 aa"))


def test_the_answer_to_a_restart_says_what_concerns_ice() -> None:
    fragment = fragment_of(OFFER.replace("s=-", "a=ice-lite"))
    assert fragment.splitlines() == [
        "a=ice-lite",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:EsAw",
        f"a=ice-pwd:{PASSWORD}",
        "a=candidate:1 1 udp 1 192.0.2.1 61764 typ host",
        "a=end-of-candidates",
    ]
