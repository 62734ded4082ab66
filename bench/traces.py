"""What a network does to a stream of packets, made from a seed.

A trace lists when each packet leaves and when it arrives, if it does. The least delay is taken off: zero is the fastest
that a packet can be.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Network:
    """A way from a sender to a receiver.

    Attributes:
        name: In a few words.
        loss: Share of packets lost.
        burst: Mean length of a run of lost packets; 1 loses each by itself, more is a Gilbert-Elliott channel whose bad
            state loses everything.
        jitter_ms: Packets are late by a normal distribution of this mean and half of it as deviation; never early, and
            in order, as behind one queue.
        reordered: Share of packets that, after that, are overtaken by others.
        skew_ppm: How much slower the sender's clock runs.
        spike_ms: Once, a third into the trace, everything stands still for so long.
        duplicated: Share of packets that come twice.
    """

    name: str
    loss: float = 0.0
    burst: float = 1.0
    jitter_ms: float = 5.0
    reordered: float = 0.0
    skew_ppm: float = 0.0
    spike_ms: float = 0.0
    duplicated: float = 0.0


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of each packet of a stream.

    Attributes:
        packet_s: Seconds of audio in a packet, by the sender's clock.
        departures: Seconds at which each packet left, by the receiver's clock.
        arrivals: Pairs of a time and a packet's number, in order of time.
        lost: Whether the network lost each packet.
    """

    packet_s: float
    departures: NDArray[np.float64]
    arrivals: list[tuple[float, int]] = field(repr=False)
    lost: NDArray[np.bool_] = field(repr=False)


def trace(network: Network, *, seconds: float, seed: int, packet_s: float = 0.02) -> Trace:
    """Send packets for so many seconds."""
    random = np.random.default_rng(seed)
    count = round(seconds / packet_s)
    departures = np.arange(count, dtype=np.float64) * (packet_s * (1 + network.skew_ppm * 1e-6))
    lost = _lost(network, count, random)
    late = np.maximum(0.0, random.normal(network.jitter_ms, network.jitter_ms / 2, count)) / 1000
    times = departures + late
    if network.spike_ms:
        start = seconds / 3
        times = np.where(
            (times >= start) & (times < start + network.spike_ms / 1000), start + network.spike_ms / 1000, times
        )
    times = np.maximum.accumulate(times).astype(np.float64)
    overtaken = random.random(count) < network.reordered
    times = times + overtaken * random.uniform(1.2, 3.0, count) * packet_s
    arrivals = [(float(times[number]), number) for number in range(count) if not lost[number]]
    again = random.random(count) < network.duplicated
    arrivals += [
        (float(times[number]) + 0.003, number) for number in range(count) if again[number] and not lost[number]
    ]
    arrivals.sort()
    return Trace(packet_s, departures, arrivals, lost)


def _lost(network: Network, count: int, random: np.random.Generator) -> NDArray[np.bool_]:
    if network.burst <= 1:
        return random.random(count) < network.loss
    lost = np.zeros(count, bool)
    bad = False
    leave = 1 / network.burst
    enter = leave * network.loss / (1 - network.loss)
    for number, draw in enumerate(random.random(count)):
        bad = draw >= leave if bad else draw < enter
        lost[number] = bad
    return lost
