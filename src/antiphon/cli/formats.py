"""Transcripts as text, JSON, SubRip and WebVTT."""

from __future__ import annotations

import json
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

from antiphon.events import Transcript, Word
from antiphon.protocol.transcription import words_to_wire

LINE_CHARACTERS = 42
CUE_CHARACTERS = 2 * LINE_CHARACTERS
CUE_SECONDS = 7.0
"""Longest cue. Characters a line, lines a cue and seconds a cue are what subtitling guidelines agree on."""


class Format(StrEnum):
    """What ``--format`` takes."""

    TEXT = "text"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"


class Writer(ABC):
    """Writes a transcript as it grows.

    Args:
        target: Where to; every complete piece is flushed.
    """

    def __init__(self, target: TextIO) -> None:
        self.target = target

    def begin(self) -> None:
        """What comes before the first utterance."""
        return

    @abstractmethod
    def utterance(self, final: Transcript) -> None:
        """An utterance that will not change any more, in order."""

    def end(self, duration: float) -> None:
        """What comes after the last one; `duration` is the audio's, in seconds."""
        return

    def write(self, text: str) -> None:
        """Write and flush."""
        self.target.write(text)
        self.target.flush()


class TextWriter(Writer):
    """One utterance a line."""

    def utterance(self, final: Transcript) -> None:
        self.write(final.text + "\n")


class JsonWriter(Writer):
    """One object at the end, with the fields of a job's ``result``."""

    def __init__(self, target: TextIO) -> None:
        super().__init__(target)
        self._finals: list[Transcript] = []

    def utterance(self, final: Transcript) -> None:
        self._finals.append(final)

    def end(self, duration: float) -> None:
        transcript = {
            "text": " ".join(final.text for final in self._finals),
            "duration": round(duration, 3),
            "results": [_result(final) for final in self._finals],
        }
        self.write(json.dumps(transcript, ensure_ascii=False, indent=2) + "\n")


class SrtWriter(Writer):
    """SubRip: numbered cues, a comma before the milliseconds."""

    def __init__(self, target: TextIO) -> None:
        super().__init__(target)
        self._count = 0

    def utterance(self, final: Transcript) -> None:
        for cue in cues(final):
            self._count += 1
            times = f"{timestamp(cue.start, ',')} --> {timestamp(cue.end, ',')}"
            self.write(f"{self._count}\n{times}\n{_lines(cue.text)}\n\n")


class VttWriter(Writer):
    """WebVTT (W3C): a header, and cues whose text escapes what markup would be."""

    def begin(self) -> None:
        self.write("WEBVTT\n\n")

    def utterance(self, final: Transcript) -> None:
        for cue in cues(final):
            times = f"{timestamp(cue.start, '.')} --> {timestamp(cue.end, '.')}"
            text = _lines(cue.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            self.write(f"{times}\n{text}\n\n")


WRITERS: dict[Format, type[Writer]] = {
    Format.TEXT: TextWriter,
    Format.JSON: JsonWriter,
    Format.SRT: SrtWriter,
    Format.VTT: VttWriter,
}


@dataclass(frozen=True, slots=True)
class Cue:
    """A piece of text with the seconds of audio during which it is shown."""

    start: float
    end: float
    text: str


def cues(final: Transcript) -> Iterator[Cue]:
    """Cut an utterance into cues that can be read; where no word times are known, it stays in one."""
    held: list[Word] = []
    for word in final.words:
        if held:
            text = " ".join(known.word for known in (*held, word))
            if len(text) > CUE_CHARACTERS or word.end - held[0].start > CUE_SECONDS:
                yield _cue(held)
                held = []
        held.append(word)
    if held:
        yield _cue(held)
    elif not final.words:
        yield Cue(final.start, final.end, final.text)


def timestamp(seconds: float, separator: str) -> str:
    """``HH:MM:SS`` and milliseconds."""
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{separator}{rest % 1000:03d}"


def _cue(words: list[Word]) -> Cue:
    return Cue(words[0].start, words[-1].end, " ".join(word.word for word in words))


def _lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LINE_CHARACTERS, break_long_words=False))


def _result(final: Transcript) -> dict[str, Any]:
    result: dict[str, Any] = {
        "text": final.text,
        "start": final.start,
        "end": final.end,
        "language": final.language,
    }
    if final.words:
        result["words"] = words_to_wire(final.words)
    return result
