"""Words through a network that loses packets and delays the others: they come, and what is missing is concealed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

pytest.importorskip("aiortc")

from antiphon.testing import UdpLink
from integration.callers import Caller
from integration.observe import Message, media_port
from integration.webrtc import Peer, connect
from support.audio import speech, transcripts
from support.server import ServerProcess, start_server
from support.words import READING, TIMES, word_error_rate

PAUSE = bytes(24_000)
"""Three quarters of a second."""
SAID = ("tomorrow-morning", "quick-brown-fox")
WORDS = " ".join(transcripts()[f"{name}.wav"] for name in SAID)
JITTER_MS = (10.0, 30.0)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server that hears several at once."""
    with start_server("--max-rate", "100") as started:
        yield started


class FarPeer(Peer):
    """A peer whose packets go through a link."""

    def __init__(self, link: UdpLink) -> None:
        super().__init__()
        self.link = link

    async def take(self, answer: str) -> None:
        await super().take(self.link.redirected(answer))


@dataclass(frozen=True)
class Outcome:
    """What came of one call.

    Attributes:
        lost: Share of packets that the link dropped on the way to the server.
        heard: The captions.
        errors: Share of wrong words in what came nearest to what was said.
        stats: The server's figures of the speaker.
    """

    lost: float
    heard: list[str]
    errors: float
    stats: Message


@asynccontextmanager
async def far_talker(server: ServerProcess, link: UdpLink, room: str) -> AsyncIterator[tuple[Caller, FarPeer]]:
    peer = FarPeer(link)
    try:
        async with Caller(server.url) as caller:
            await caller.enter(room, "Ada", captions=True)
            await connect(caller, peer)
            yield caller, peer
    finally:
        await peer.finish()


async def talk(server: ServerProcess, port: int, loss: float, most: float) -> Outcome:
    """Say everything over a link that loses that share, till no more than `most` of the words are wrong."""
    async with (
        UdpLink(port, delay_ms=JITTER_MS, seed=7) as link,
        far_talker(server, link, f"far-{loss}") as (caller, peer),
    ):
        link.loss = loss  # connecting through it would take seconds, in which nothing is said
        link.up.passed = link.up.lost = 0

        def heard() -> list[str]:
            return [final["text"] for final in caller.finals if final["text"]]

        # what is lost of one word may be all of it, and these are few words
        for _ in range(TIMES):
            for name in SAID:
                peer.voice.say(PAUSE + speech(name) + PAUSE)
            await peer.voice.said()
            with contextlib.suppress(AssertionError):
                await caller.until(lambda: fewest_errors(heard()) <= most, READING)
                break
        lost, link.loss = link.up.share_lost, 0.0
        peer.say({"type": "stats"})
        return Outcome(lost, heard(), fewest_errors(heard()), await peer.wait("stats"))


def fewest_errors(results: list[str]) -> float:
    """Share of wrong words where it was understood best: of some results that follow one another."""
    runs = [results[first:last] for last in range(1, len(results) + 1) for first in range(last)]
    return min((word_error_rate(WORDS, " ".join(run)) for run in runs), default=1.0)


async def test_words_come_through_a_network_that_loses_packets(server: ServerProcess) -> None:
    port = await media_port(server.url)
    bounds = {0.01: 0.3, 0.05: 0.4, 0.2: 0.5}
    outcomes = await asyncio.gather(*(talk(server, port, loss, most) for loss, most in bounds.items()))
    for (loss, most), outcome in zip(bounds.items(), outcomes, strict=True):
        assert outcome.lost == pytest.approx(loss, rel=0.5)
        assert outcome.errors <= most, outcome
        # what the network lost is concealed, and not much beside it: a speaker that waits for a core is late as well
        assert loss / 2 < outcome.stats["concealed"] < loss * 1.5 + 0.1, outcome
