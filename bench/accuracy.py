"""Word error rate: PocketSphinx on whole files, PocketSphinx fed live, and Antiphon's streaming pipeline over it.

Run as ``python -m bench.accuracy [--voices rms,slt] [--markdown FILE]``; needs flite (Debian package ``flite``). The
speech is synthesised, a second of it at a time, with noise at about -64 dBFS; each voice is one stream.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder
from rich.console import Console
from rich.progress import track

from antiphon.events import Event, Transcript
from antiphon.media.resample import Resampler
from antiphon.speech.engines.pocketsphinx import PocketSphinxRecogniser
from antiphon.speech.recogniser import EngineOptions
from antiphon.speech.transcriber import Transcriber

RATE = 16_000
CHUNK = 2 * RATE // 10
SENTENCES = """\
please open the window and close the door
the weather is very nice today
i would like to order a cup of coffee
can you tell me the time of the next train
we will meet again tomorrow morning at nine
she read the letter and put it on the table
turn left at the corner and go straight ahead
the meeting will start in ten minutes in the large room
please send me the report before the end of the day
he walked slowly along the river until it was dark
what would you like to have for dinner tonight
she has lived in this house for more than twenty years
the children are playing in the garden behind the school
i do not think that this is a good idea
they went to the market to buy some bread and cheese
could you please speak a little more slowly
the train to the north leaves from platform number four
we need to talk about the budget for next year
my brother works in a hospital near the station
it is going to rain in the afternoon so take an umbrella
""".splitlines()


@dataclass
class Score:
    """Errors of one way of hearing."""

    errors: int = 0
    words: int = 0

    @property
    def rate(self) -> float:
        return self.errors / self.words


def word_errors(reference: str, heard: str) -> int:
    """Words to change, insert or remove (Levenshtein distance over words)."""
    wanted, got = reference.split(), heard.split()
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        above, row[0] = row[:], i
        for j, other in enumerate(got, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other))
    return row[-1]


def synthesise(voice: str, folder: Path) -> list[tuple[bytes, str]]:
    """Every sentence in a voice, with half a second of noise before and a second after."""
    spoken = []
    for number, sentence in enumerate(SENTENCES):
        path = folder / f"{voice}-{number}.wav"
        subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", str(path)], check=True, timeout=60)
        with wave.open(str(path)) as file:
            resampler = Resampler(file.getframerate(), RATE)
            samples = resampler.push(np.frombuffer(file.readframes(file.getnframes()), np.int16))
            samples = np.concatenate([samples, resampler.flush_int16()])
        noise = np.random.default_rng(number).normal(scale=20.0, size=len(samples) + 3 * RATE // 2)
        noise[RATE // 2 : RATE // 2 + len(samples)] += samples
        spoken.append((np.clip(noise, -32768, 32767).astype("<i2").tobytes(), sentence))
    return spoken


def whole(decoder: Decoder, pcm: bytes) -> str:
    """The engine on a whole file."""
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    return decoder.hyp().hypstr if decoder.hyp() else ""


def live(decoder: Decoder, pcm: bytes) -> str:
    """The engine fed in pieces, each file a speaker it does not know."""
    decoder.set_cmn(INITIAL_CMN[0])
    decoder.start_utt()
    for offset in range(0, len(pcm), CHUNK):
        decoder.process_raw(pcm[offset : offset + CHUNK])
    decoder.end_utt()
    return decoder.hyp().hypstr if decoder.hyp() else ""


INITIAL_CMN: list[str] = []


def score_engine(hear: Callable[[Decoder, bytes], str], voices: dict[str, list[tuple[bytes, str]]]) -> Score:
    """Score one way of using the engine alone."""
    score = Score()
    decoder = Decoder(samprate=float(RATE), loglevel="FATAL")
    INITIAL_CMN[:] = [decoder.get_cmn(False)]
    for spoken in voices.values():
        for pcm, sentence in track(spoken, hear.__name__, console=Console(stderr=True), transient=True):
            add(score, sentence, hear(decoder, pcm))
    return score


def add(score: Score, sentence: str, heard: str) -> None:
    """Count one sentence."""
    score.errors += word_errors(sentence, heard)
    score.words += len(sentence.split())


async def score_antiphon(voices: dict[str, list[tuple[bytes, str]]]) -> Score:
    """Score the pipeline: gate, live decoding in a process, and what it does about the speaker's mean."""
    score = Score()
    engine = PocketSphinxRecogniser(EngineOptions(max_decoders=1))
    await engine.start()
    for spoken in voices.values():
        finals: list[Transcript] = []

        def keep(event: Event, finals: list[Transcript] = finals) -> None:
            if isinstance(event, Transcript) and not event.is_partial:
                finals.append(event)

        transcriber = Transcriber("bench", engine, "en-US", RATE, keep)
        edges = [0.0]
        for pcm, _ in spoken:
            for offset in range(0, len(pcm), CHUNK):
                transcriber.push(pcm[offset : offset + CHUNK])
                await transcriber.ready(1.0)
            edges.append(transcriber.position)
        await transcriber.finish()
        for (_, sentence), (begin, end) in zip(spoken, itertools.pairwise(edges), strict=True):
            heard = " ".join(final.text for final in finals if begin <= final.start < end)
            add(score, sentence, heard)
    await engine.close()
    return score


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voices", default="rms,slt,awb,kal16", help="flite voices, comma-separated")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args()
    if shutil.which("flite") is None:
        print("SKIPPED: flite is not installed; on Debian: apt-get install flite", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        voices = {voice: synthesise(voice, Path(folder)) for voice in options.voices.split(",")}
    scores = {
        "PocketSphinx, whole files": score_engine(whole, voices),
        "PocketSphinx, fed live, unknown speaker": score_engine(live, voices),
        "Antiphon, streaming": asyncio.run(score_antiphon(voices)),
    }
    base = scores["PocketSphinx, whole files"].rate
    lines = ["| what hears | words wrong | against whole files |", "| --- | --- | --- |"]
    lines += [f"| {name} | {score.rate:.1%} | {score.rate / base:.2f} |" for name, score in scores.items()]
    table = "\n".join(lines) + "\n"
    print(table, end="")
    if options.markdown:
        options.markdown.write_text(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
