"""Encode speech with each preset, and say how large and how near to the original it is.

Run as ``python examples/encode.py [SPEECH.wav]``; without a file it encodes a made-up voice: a buzz whose pitch and
vowel glide.
"""

from __future__ import annotations

import sys
import wave

import numpy as np
import numpy.typing as npt

from antiphon.media.g711 import mulaw_decode, mulaw_encode
from antiphon.media.opus import OPUS_VERSION, PRESETS, OpusDecoder, OpusEncoderConfig, opus_packet_info
from antiphon.media.resample import Resampler

RATE = 48_000
Samples = npt.NDArray[np.float64]


def voice(seconds: float = 4.0) -> Samples:
    """Something like a vowel: harmonics of a gliding pitch under two gliding formants, with pauses."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = (500 + 250 * np.sin(2 * np.pi * 1.1 * time), 1500 + 600 * np.sin(2 * np.pi * 0.6 * time))
    sound = np.zeros_like(time)
    for harmonic in range(1, 40):
        hertz = harmonic * pitch
        loudness = sum(np.exp(-(((hertz - formant) / 150) ** 2)) for formant in formants) + 0.02
        sound += loudness * np.sin(harmonic * phase)
    speaking = np.clip(4 * np.sin(2 * np.pi * 0.5 * time), 0, 1)
    return np.asarray(0.25 * speaking * sound)


def resampled(sound: Samples, from_rate: int, to_rate: int) -> Samples:
    converter = Resampler(from_rate, to_rate)
    pieces = [converter.push(sound.astype(np.float32)), converter.flush()]
    return np.concatenate(pieces).astype(np.float64)


def read(path: str) -> Samples:
    """The first channel of a 16-bit WAV file, at 48 kHz."""
    with wave.open(path) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)[:: file.getnchannels()]
        return np.asarray(resampled(pcm / 32_768, file.getframerate(), RATE))


def to_int16(sound: Samples) -> npt.NDArray[np.int16]:
    return np.clip(np.round(sound * 32_768), -32_768, 32_767).astype(np.int16)


def fidelity(wanted: Samples, heard: Samples) -> float:
    """How alike two sounds are, in decibels: the mean difference of their spectra over time (log-spectral distance)."""
    length = min(len(wanted), len(heard)) // 512 * 512

    def spectra(sound: Samples) -> Samples:
        power = np.abs(np.fft.rfft(sound[:length].reshape(-1, 512) * np.hanning(512))) ** 2
        return np.asarray(10 * np.log10(power + 1e-4))

    return float(np.abs(spectra(wanted) - spectra(heard)).mean())


def encode(sound: Samples, config: OpusEncoderConfig) -> tuple[list[bytes], Samples]:
    """All packets, and what they decode to at the same rate, the codec's delay taken off."""
    pcm = to_int16(resampled(sound, RATE, config.sample_rate))
    encoder, decoder = config.encoder(), OpusDecoder(config.sample_rate)
    size = encoder.frame_samples
    packets = [encoder.encode(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]
    heard = np.concatenate([decoder.decode(packet) for packet in packets]) / 32_768
    return packets, heard[encoder.lookahead :]


def main() -> None:
    sound = read(sys.argv[1]) if len(sys.argv) > 1 else voice()
    seconds = len(sound) / RATE
    print(f"{seconds:.1f} s of {sys.argv[1] if len(sys.argv) > 1 else 'a made-up voice'}, {OPUS_VERSION}\n")
    print(f"{'preset':22}{'rate':>8}{'kbit/s':>9}{'packets':>9}{'silent':>8}{'coded as':>18}{'off by':>9}")
    for name, config in PRESETS.items():
        packets, heard = encode(sound, config)
        spoken = [packet for packet in packets if len(packet) > 2]
        info = opus_packet_info(max(spoken, key=len))
        rate = sum(map(len, packets)) * 8 / seconds / 1000
        wanted = resampled(sound, RATE, config.sample_rate)
        print(
            f"{name:22}{config.sample_rate:8}{rate:9.1f}{len(packets):9}{len(packets) - len(spoken):8}"
            f"{info.mode + ', ' + info.bandwidth:>18}{fidelity(wanted, heard):6.1f} dB"
        )
    pcm = to_int16(resampled(sound, RATE, 8_000))
    coded = mulaw_encode(pcm)
    rate = len(coded) * 8 / seconds / 1000
    off = fidelity(pcm / 32_768, mulaw_decode(coded) / 32_768)
    print(f"{'G.711 mu-law':22}{8_000:8}{rate:9.1f}{'-':>9}{'-':>8}{'-':>18}{off:6.1f} dB")


if __name__ == "__main__":
    main()
