"""Clicks in Opus: made so that each can be told from the next, and found again in what a listener was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from antiphon.media.opus import OpusDecoder, OpusEncoderConfig
from bench.room_load import RATE, Spoken

Samples = NDArray[np.float32]

SECONDS = 12
APART, SPREAD = 0.45, 0.1
"""Seconds between two clicks, and by how much more at random: no server may hold a sound back for longer."""

LEVEL = 25
"""What each packet says of its loudness, in -dBov: nobody takes it for silence."""

BACKGROUND = 0.01
LOUDNESS = 0.6
FOUND = 0.25
"""Share of the loudest match that counts as a click."""


@cache
def click() -> Samples:
    """Four milliseconds of 1.5 kHz under a bell."""
    time = np.arange(-96, 97) / RATE
    return (np.exp(-((time / 0.0009) ** 2)) * np.cos(2 * np.pi * 1500 * time)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Train:
    """Clicks as packets.

    Attributes:
        packets: Of Opus, to be sent over and over.
        frame: Samples of a packet.
        at: Sample of the middle of each click, from the beginning of the packets.
        codec: Samples by which encoder and decoder alone delay a click.
    """

    packets: tuple[Spoken, ...]
    frame: int
    at: tuple[int, ...]
    codec: int


def train(config: OpusEncoderConfig, interval: int) -> Train:
    """Clicks over a quiet hum, encoded in packets of ``interval`` milliseconds."""
    chance = np.random.default_rng(7)
    length = SECONDS * RATE
    sound = BACKGROUND * np.sin(2 * np.pi * 220 * np.arange(length) / RATE).astype(np.float32)
    at, places = RATE // 4, []
    while at < length - RATE // 2:
        places.append(at)
        sound[at - 96 : at + 97] += LOUDNESS * click()
        at += int((APART + SPREAD * chance.random()) * RATE)
    frame = RATE * interval // 1000
    encoder = config.encoder()
    packets = tuple(Spoken(encoder.encode(part), LEVEL) for part in sound.reshape(-1, frame))
    decoder = OpusDecoder(RATE)
    heard = np.concatenate([decoder.decode_float(packet.payload) for packet in packets])
    late = [after - before for before, after in zip(places, found(heard), strict=True)]
    return Train(packets, frame, tuple(places), int(np.median(late)))


def found(sound: Samples) -> list[int]:
    """Sample of the middle of each click in a sound."""
    match = np.abs(np.convolve(sound, click()[::-1], "same"))
    places: list[int] = []
    threshold = FOUND * float(match.max(initial=0.0))
    reach = RATE // 20
    for at in np.flatnonzero(match > max(threshold, 1e-3)):
        around = match[max(at - reach, 0) : at + reach]
        if match[at] == around.max() and (not places or at - places[-1] > reach):
            places.append(int(at))
    return places


def played(packets: Sequence[tuple[float, int, bytes]]) -> list[float]:
    """When each click that a listener was sent could be played: a packet can from its arrival on.

    Args:
        packets: Arrival in seconds, RTP timestamp and Opus, in the order in which they came.
    """
    decoder = OpusDecoder(RATE)
    arrivals: list[float] = []
    starts: list[int] = []
    parts: list[Samples] = []
    total, expected = 0, None
    for arrival, timestamp, payload in packets:
        if expected is not None and timestamp != expected:
            # What is missing or late would shift all that follows: begin anew behind it.
            parts.append(np.zeros(RATE // 10, np.float32))
            arrivals.append(arrival)
            starts.append(total)
            total += RATE // 10
            decoder = OpusDecoder(RATE)
        samples = decoder.decode_float(payload)
        arrivals.append(arrival)
        starts.append(total)
        parts.append(samples)
        total += len(samples)
        expected = (timestamp + len(samples)) & 0xFFFFFFFF
    if not parts:
        return []
    places = np.searchsorted(starts, clicks := found(np.concatenate(parts)), "right") - 1
    return [arrivals[place] + (at - starts[place]) / RATE for place, at in zip(places, clicks, strict=True)]
