"""People in rooms: who sends what over RTP, paced in real time, and how much comes back."""

from __future__ import annotations

import random
import select
import socket
import struct
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from antiphon.media.opus import OpusEncoderConfig

RATE = 48_000
FRAME = 960
TICK = 0.02
PAYLOAD_TYPE = 111
RTP_HEADER = 12
LEVEL_EXTENSION = 1
"""Number of the header extension for levels (RFC 6464), as offers of browsers usually have it."""

SILENT = 127
ENCODER = OpusEncoderConfig(bitrate=32_000, complexity=4, dtx=False, fec=False, expected_loss=0, constrained_vbr=True)
"""What everybody sends, and what every mix is encoded by: mono, 48 kHz."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A packet and its level in -dBov."""

    payload: bytes
    level: int


@dataclass(frozen=True, slots=True)
class Voices:
    """What there is to send.

    Attributes:
        speech: Packets of uninterrupted speech, to be begun anywhere.
        silence: A packet of digital silence.
    """

    speech: tuple[Spoken, ...]
    silence: Spoken

    def packet(self, participant: int, speaking: int, tick: int) -> Spoken:
        """What one of a room sends in a tick; the first ``speaking`` of them speak, each at another place."""
        if participant < speaking:
            return self.speech[(tick + participant * 37) % len(self.speech)]
        return self.silence


def voices(folder: Path) -> Voices:
    """The recordings of a folder (16 kHz, mono, 16-bit) as Opus packets of 20 ms, without their pauses."""
    pcm = []
    for path in sorted(folder.glob("*.wav")):
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
            pcm.append(soxr.resample(samples, file.getframerate(), RATE))
    text = np.concatenate(pcm).astype(np.float32)
    frames = text[: len(text) // FRAME * FRAME].reshape(-1, FRAME)
    levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-13)
    encoder = ENCODER.encoder()
    # The loudest of any 300 ms, so that nobody who is said to speak pauses for longer than a conference waits.
    heard = [frame for frame, level in zip(frames, levels, strict=True) if level > -45]
    loud = [level for level in levels if level > -45]
    speech = tuple(Spoken(encoder.encode(f), round(-level)) for f, level in zip(heard, loud, strict=True))
    silent = ENCODER.encoder()
    return Voices(speech, Spoken([silent.encode(np.zeros(FRAME, np.float32)) for _ in range(50)][-1], SILENT))


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a load.

    Attributes:
        slots: Participants times ticks.
        received: Packets that came back; as many as slots where nobody was left out.
        octets: Bytes of Opus in them.
        late: Seconds by which the last tick was sent too late.
    """

    slots: int
    received: int
    octets: int
    late: float


class Load:
    """Participants of one or more rooms behind one UDP socket, told apart by where they send to and by SSRC."""

    def __init__(self, said: Voices, *, levels: bool) -> None:
        """Args:
        said: What is sent.
        levels: Whether each packet carries its level.
        """
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, option, 1 << 22)
        self._said = said
        self._levels = levels
        self._tick = 0
        self._sequence = random.Random(1).randrange(1 << 16)
        self._buffer = bytearray(2048)
        self._received = self._octets = 0

    @property
    def port(self) -> int:
        """Where all of them listen."""
        port: int = self.socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def run(self, rooms: Sequence[Sequence[tuple[str, int]]], speaking: int, seconds: float) -> Heard:
        """Send for some seconds.

        Args:
            rooms: For each room, where each of its participants sends to.
            speaking: How many of each room speak.
            seconds: How long.
        """
        ticks = round(seconds / TICK)
        self._received = self._octets = 0
        start, late = time.monotonic(), 0.0
        for tick in range(ticks):
            for number, room in enumerate(rooms):
                # Rooms take turns within a tick: all at once would not go into a socket's buffer.
                due = start + (tick + number / len(rooms)) * TICK
                self._receive(due)
                late = time.monotonic() - due
                self._send(number, room, speaking)
            self._tick += 1
        self._receive(start + ticks * TICK + 0.1)
        return Heard(ticks * sum(map(len, rooms)), self._received, self._octets, late)

    def _send(self, number: int, room: Sequence[tuple[str, int]], speaking: int) -> None:
        sequence, timestamp = (self._sequence + self._tick) & 0xFFFF, self._tick * FRAME & 0xFFFFFFFF
        for participant, address in enumerate(room):
            said = self._said.packet(participant, speaking, self._tick)
            first = 0x90 if self._levels else 0x80
            head = struct.pack("!BBHII", first, PAYLOAD_TYPE, sequence, timestamp, number * 1000 + participant)
            if self._levels:
                voice = 0x80 if said.level < SILENT else 0
                head += struct.pack("!HHBBH", 0xBEDE, 1, LEVEL_EXTENSION << 4, voice | said.level, 0)
            try:
                self.socket.sendto(head + said.payload, address)
            except BlockingIOError:
                continue

    def _receive(self, until: float) -> None:
        """Count what comes until then."""
        while True:
            try:
                while True:
                    self._octets += self.socket.recv_into(self._buffer) - RTP_HEADER
                    self._received += 1
            except BlockingIOError:
                pass
            left = until - time.monotonic()
            if left <= 0:
                return
            select.select([self.socket], [], [], left)
