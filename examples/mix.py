"""Mix a meeting: sixty people, of whom a few speak in turn and sometimes at once, and all listen.

Run as ``python examples/mix.py [OUT.wav]``. Everything is made here, so nothing else is needed; with a file name, what
a listener hears is written to it.
"""

from __future__ import annotations

import sys
import time
import wave

import numpy as np
from numpy.typing import NDArray

from antiphon.media.mixer import OutputFormat, RoomConfig, opus_output
from antiphon.media.opus import OpusDecoder, OpusEncoderConfig

PEOPLE = 60
SECONDS = 8
RATE = 48_000
FRAME = 960
OPUS = OpusEncoderConfig(bitrate=32_000, complexity=5, dtx=False, fec=False, expected_loss=0)

# Who speaks from when to when, in seconds, and how high.
SPEAKERS = {
    1: ((0.0, 3.0), 110.0),
    2: ((2.0, 5.0), 165.0),
    3: ((4.0, 7.0), 220.0),
    4: ((4.5, 6.5), 140.0),
    5: ((5.0, 6.0), 196.0),
}


def voice(pitch: float, start: float, end: float, amplitude: float) -> NDArray[np.float32]:
    """Something like vowels: a harmonic sound that rises, falls and comes in syllables."""
    at = np.arange(SECONDS * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * at))) / RATE
    sound = np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 3 * at) + 0.6, 0, 1)
    return np.asarray(sound * amplitude * syllables * ((at >= start) & (at < end)), np.float32)


def packets(pcm: NDArray[np.float32]) -> list[tuple[bytes, int]]:
    """Opus packets with the level that a sender would put into the RTP header (RFC 6464)."""
    encoder = OPUS.encoder()
    sent = []
    for frame in pcm.reshape(-1, FRAME):
        level = 10 * np.log10(np.mean(frame.astype(np.float64) ** 2) + 1e-13)
        sent.append((encoder.encode(frame), min(127, round(-level))))
    return sent


def main() -> None:
    """Hold the meeting."""
    room = RoomConfig(loudest=3).conference()
    for person in range(PEOPLE):
        # Two are on the telephone, all others hear Opus.
        room.add(person, "opus", OutputFormat.mulaw() if person >= PEOPLE - 2 else opus_output(OPUS))
    quiet = packets(np.zeros(SECONDS * RATE, np.float32))
    sent = {person: packets(voice(pitch, *when, 0.1 + 0.03 * person)) for person, (when, pitch) in SPEAKERS.items()}

    listener, heard = OpusDecoder(RATE), []
    began, before = time.perf_counter(), None
    for tick in range(SECONDS * 50):
        arrived = {person: sent.get(person, quiet)[tick] for person in range(PEOPLE)}
        out = room.tick(arrived)
        heard.append(listener.decode(out[0]))
        active = [person for person, _ in room.active]
        if sorted(active) != before:
            print(
                f"{tick / 50:5.2f} s  heard: {active or 'nobody'}; encoders: {room.own_streams} own, "
                f"{room.shared_streams} shared for {PEOPLE - room.own_streams} listeners"
            )
            before = sorted(active)
    spent = time.perf_counter() - began

    done, slots = room.counters, PEOPLE * SECONDS * 50
    print(
        f"\n{slots} packets came in and went out: {done.decoded} were decoded, {done.encoded} encoded, "
        f"{done.rejoined} listeners returned to the shared stream."
    )
    print(f"{1e6 * spent / slots:.1f} µs for each participant's 20 ms: about {0.02 * slots / spent:.0f} people a core.")
    if len(sys.argv) > 1:
        with wave.open(sys.argv[1], "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(np.concatenate(heard).tobytes())
        print(f"what participant 0 heard is in {sys.argv[1]}")


if __name__ == "__main__":
    main()
