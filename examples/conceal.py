"""Lose packets of speech, and hear how near each remedy comes to what was lost.

Run as ``python examples/conceal.py [SPEECH.wav]``, which also writes what is heard to ``conceal-*.wav`` beside it when
``--write`` is given. Without a file it uses a made-up voice.
"""

from __future__ import annotations

import argparse
import wave
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from antiphon.media.opus import OpusDecoder, OpusDred, OpusEncoderConfig, opus_has_fec
from antiphon.media.resample import Resampler

RATE = 16_000
FRAME = 320
Int16 = npt.NDArray[np.int16]
Remedy = Callable[[list[bytes], list[bool]], Int16]


def voice(seconds: float = 6.0) -> Int16:
    """Something like vowels: harmonics of a gliding pitch under two gliding formants, twice a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 130 + 25 * np.sin(2 * np.pi * 0.9 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = (500 + 250 * np.sin(2 * np.pi * 1.7 * time), 1600 + 500 * np.sin(2 * np.pi * 1.3 * time))
    sound = np.zeros_like(time)
    for harmonic in range(1, 30):
        loudness = sum(np.exp(-(((harmonic * pitch - formant) / 200) ** 2)) for formant in formants) + 0.02
        sound += loudness * np.sin(harmonic * phase)
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 2 * time)
    return np.array(4_000 * syllables * sound, np.int16)


def resampled(sound: npt.NDArray[np.float64], from_rate: int, to_rate: int) -> npt.NDArray[np.float64]:
    converter = Resampler(from_rate, to_rate)
    pieces = [converter.push(sound.astype(np.float32)), converter.flush()]
    return np.concatenate(pieces).astype(np.float64)


def read(path: str) -> Int16:
    """The first channel of a 16-bit WAV file, at 16 kHz."""
    with wave.open(path) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)[:: file.getnchannels()]
        sound = np.asarray(resampled(pcm / 32_768, file.getframerate(), RATE), np.float64)
    return np.clip(np.round(sound * 32_768), -32_768, 32_767).astype(np.int16)


def losses(count: int, seed: int = 7) -> list[bool]:
    """One packet in ten is lost, in bursts of one to three; the first and the last arrive."""
    random = np.random.default_rng(seed)
    lost = [False] * count
    for start in range(10, count - 4, 20):
        for number in range(random.integers(1, 4)):
            lost[start + number] = True
    return lost


def silence(packets: list[bytes], lost: list[bool]) -> Int16:
    decoder = OpusDecoder(RATE)
    pairs = zip(packets, lost, strict=True)
    return np.concatenate([np.zeros(FRAME, np.int16) if gone else decoder.decode(packet) for packet, gone in pairs])


def concealed(complexity: int) -> Remedy:
    """From 5 on, a neural network goes on with the voice."""

    def play(packets: list[bytes], lost: list[bool]) -> Int16:
        decoder = OpusDecoder(RATE, complexity=complexity)
        pairs = zip(packets, lost, strict=True)
        return np.concatenate([decoder.conceal(FRAME) if gone else decoder.decode(packet) for packet, gone in pairs])

    return play


def recovered_by_fec(packets: list[bytes], lost: list[bool]) -> Int16:
    """The packet after a loss carries a coarse copy of the last frame lost."""
    decoder = OpusDecoder(RATE, complexity=5)
    heard = []
    for number, packet in enumerate(packets):
        if not lost[number]:
            heard.append(decoder.decode(packet))
        elif not lost[number + 1] and opus_has_fec(packets[number + 1]):
            heard.append(decoder.recover(packets[number + 1], FRAME))
        else:
            heard.append(decoder.conceal(FRAME))
    return np.concatenate(heard)


def recovered_by_dred(packets: list[bytes], lost: list[bool]) -> Int16:
    """The packet after a loss describes all frames lost, if the jitter buffer holds back as long as the burst lasts."""
    decoder, dred = OpusDecoder(RATE, complexity=5), OpusDred()
    heard = []
    for number, packet in enumerate(packets):
        if not lost[number]:
            heard.append(decoder.decode(packet))
            continue
        following = lost.index(False, number)
        dred.parse(packets[following], RATE, (following - number) * FRAME)
        heard.append(decoder.recover_dred(dred, (following - number) * FRAME, FRAME))
    return np.concatenate(heard)


def distance(wanted: Int16, heard: Int16, lost: list[bool]) -> float:
    """Decibels between the spectra of what was lost and of what was heard instead."""
    window = np.hanning(FRAME)

    def spectra(pcm: Int16) -> npt.NDArray[np.float64]:
        frames = pcm[: len(lost) * FRAME].reshape(-1, FRAME)[np.array(lost)] * window
        return np.asarray(20 * np.log10(np.abs(np.fft.rfft(frames)) + 100))

    return float(np.abs(spectra(wanted) - spectra(heard)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", nargs="?", help="a 16-bit WAV file")
    parser.add_argument("--write", action="store_true", help="write what is heard to conceal-*.wav")
    options = parser.parse_args()
    pcm = read(options.speech) if options.speech else voice()
    plain = OpusEncoderConfig(sample_rate=RATE, bitrate=32_000, dtx=False, fec=False, expected_loss=15)
    with_fec = OpusEncoderConfig(sample_rate=RATE, bitrate=32_000, dtx=False, fec=True, expected_loss=15)
    with_dred = OpusEncoderConfig(sample_rate=RATE, bitrate=32_000, dtx=False, fec=False, expected_loss=15, dred_ms=200)
    remedies: dict[str, tuple[OpusEncoderConfig, Remedy]] = {
        "silence": (plain, silence),
        "classic concealment": (plain, concealed(0)),
        "deep concealment": (plain, concealed(5)),
        "FEC": (with_fec, recovered_by_fec),
        "DRED": (with_dred, recovered_by_dred),
    }
    lost = losses(len(pcm) // FRAME)
    print(f"{len(lost)} packets of 20 ms at 32 kbit/s, of which {sum(lost)} are lost\n")
    print(f"{'instead of what was lost':28}{'off by':>8}")
    for name, (config, remedy) in remedies.items():
        encoder = config.encoder()
        packets = [encoder.encode(pcm[at : at + FRAME]) for at in range(0, len(lost) * FRAME, FRAME)]
        decoder = OpusDecoder(RATE)
        wanted = np.concatenate([decoder.decode(packet) for packet in packets])
        heard = remedy(packets, lost)
        print(f"{name:28}{distance(wanted, heard, lost):5.1f} dB")
        if options.write:
            path = f"conceal-{name.replace(' ', '-').lower()}.wav"
            with wave.open(path, "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(heard.astype("<i2").tobytes())


if __name__ == "__main__":
    main()
