"""Make the speech files of this folder: ``python tests/data/speech/make.py`` (needs flite and its voice ``rms``).

Every file is 16 kHz mono 16-bit WAV: 0.5 s of silence, the words, 1 s of silence, and noise of -65 dBFS over all of it.
Ends by asking PocketSphinx, with its own English model, whether it hears each file's words.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder

HERE = Path(__file__).parent
RATE = 16_000
LEADING, BETWEEN, TRAILING = 0.5, 1.5, 1.0  # seconds of silence
NOISE_DBFS = -65.0
SENTENCES = {
    "go-forward.wav": ["go forward ten meters"],
    "quick-brown-fox.wav": ["the quick brown fox jumped over the lazy dog"],
    "tomorrow-morning.wav": ["we will meet again tomorrow morning at nine"],
    "two-utterances.wav": ["please open the window", "it is very warm in here"],
}

Samples = npt.NDArray[np.float64]


def speak(words: str) -> Samples:
    """The words by flite, cut to where the voice is above -50 dBFS."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", "rms", "-t", words, "-o", file.name], check=True)
        with wave.open(file.name, "rb") as speech:
            assert speech.getparams()[:3] == (1, 2, RATE)
            samples = np.frombuffer(speech.readframes(speech.getnframes()), "<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(samples) > 32_768 * 10 ** (-50 / 20))
    return samples[loud[0] : loud[-1] + 1]


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE))


def compose(sentences: list[str], seed: int) -> bytes:
    parts = [silence(LEADING)]
    for index, words in enumerate(sentences):
        parts += [silence(BETWEEN)] * (index > 0) + [speak(words)]
    samples = np.concatenate([*parts, silence(TRAILING)])
    noise = np.random.default_rng(seed).normal(0, 32_768 * 10 ** (NOISE_DBFS / 20), samples.size)
    return np.clip(np.rint(samples + noise), -32_768, 32_767).astype("<i2").tobytes()


def hear(pcm: bytes) -> str:
    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return heard.hypstr if heard else ""


def main() -> int:
    wrong = 0
    for seed, (name, sentences) in enumerate(SENTENCES.items()):
        pcm = compose(sentences, seed)
        with wave.open(str(HERE / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(pcm)
        heard = hear(pcm)
        wrong += heard != " ".join(sentences)
        print(f"{name}: {len(pcm) / 2 / RATE:.2f} s, heard {heard!r}")
    transcripts = {name: " ".join(sentences) for name, sentences in SENTENCES.items()}
    (HERE / "transcripts.json").write_text(json.dumps(transcripts, indent=2) + "\n")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
