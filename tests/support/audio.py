"""Real audio for the tests: recorded speech, sines, and files of every container and codec that is taken."""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

SPEECH = Path(__file__).parent.parent / "data" / "speech"
SPEECH_RATE = 16_000

Kind = Literal["wav", "flac", "mp3", "m4a", "mov", "ogg-opus", "ogg-vorbis", "webm"]
KINDS: tuple[Kind, ...] = ("wav", "flac", "mp3", "m4a", "ogg-opus", "ogg-vorbis", "webm")
"""One of each container and codec that people send."""

# FFmpeg's muxer and encoder of each kind.
_WRITERS: dict[Kind, tuple[str, str]] = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("mp4", "aac"),
    "mov": ("mov", "pcm_s16le"),
    "ogg-opus": ("ogg", "libopus"),
    "ogg-vorbis": ("ogg", "vorbis"),
    "webm": ("webm", "libopus"),
}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}


def transcripts() -> dict[str, str]:
    """The words of each speech file, by file name."""
    words: dict[str, str] = json.loads((SPEECH / "transcripts.json").read_text())
    return words


def speech(name: str) -> bytes:
    """The samples of a speech file: mono s16le at 16 kHz.

    Args:
        name: Such as ``go-forward.wav``; ``.wav`` may be left out.
    """
    with wave.open(str(SPEECH / f"{name.removesuffix('.wav')}.wav"), "rb") as file:
        assert file.getparams()[:3] == (1, 2, SPEECH_RATE)
        return file.readframes(file.getnframes())


def sine(
    hertz: float, seconds: float = 1.0, *, sample_rate: int = 16_000, channels: int = 1, dbfs: float = -9.03
) -> bytes:
    """A sine in every channel, interleaved s16le.

    Args:
        dbfs: RMS over 32768, so that -3.01 is full scale.
    """
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    peak = 32_768 * 10 ** (dbfs / 20) * math.sqrt(2)
    samples = np.rint(peak * np.sin(2 * np.pi * hertz * times)).clip(-32_768, 32_767)
    return np.repeat(samples.astype("<i2"), channels).tobytes()


def tone_dbfs(pcm: bytes, hertz: float, sample_rate: int = 16_000) -> float:
    """The level of one frequency in mono s16le, on the scale of :func:`sine`'s ``dbfs``."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    window = np.hanning(samples.size)
    turns = np.exp(-2j * np.pi * hertz * np.arange(samples.size) / sample_rate)
    peak = 2 * abs(np.dot(samples * window, turns)) / window.sum()
    return 20 * math.log10(max(peak, 1e-9) / math.sqrt(2) / 32_768)


NOTE_S = 0.25
LOWEST_NOTE, NOTE_STEP = 400.0, 150.0


def notes(count: int, *, sample_rate: int = 16_000) -> bytes:
    """So many sines of a quarter of a second each, every one 150 Hz above the last: order and gaps can be heard."""
    return b"".join(
        sine(LOWEST_NOTE + NOTE_STEP * number, NOTE_S, sample_rate=sample_rate, dbfs=-15.0) for number in range(count)
    )


def notes_heard(pcm: bytes, sample_rate: int, most: int = 40) -> list[int]:
    """Which notes of :func:`notes` are in mono s16le, one after another; the same one is told once while it lasts."""
    window = 2 * (sample_rate // 20)
    heard: list[int] = []
    for at in range(0, len(pcm) - window + 1, window):
        piece = pcm[at : at + window]
        levels = [tone_dbfs(piece, LOWEST_NOTE + NOTE_STEP * number, sample_rate) for number in range(most)]
        loudest = int(np.argmax(levels))
        if levels[loudest] > -25.0 and (not heard or heard[-1] != loudest):
            heard.append(loudest)
    return heard


def wav(pcm: bytes, *, sample_rate: int = 16_000, channels: int = 1) -> bytes:
    """s16le in a plain 44-byte-header WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(pcm)
    return file.getvalue()


def encode(
    pcm: bytes,
    kind: Kind,
    *,
    sample_rate: int = 16_000,
    channels: int = 1,
    options: dict[str, str] | None = None,
    to: str | os.PathLike[str] | None = None,
) -> bytes:
    """Write s16le into a container.

    Opus gets the nearest rate above that it knows. Mono becomes two equal channels in Vorbis, since FFmpeg's own
    encoder writes nothing but stereo. MP3 holds at most two channels, and LAME lowers them by 0.45 dB.

    Args:
        options: Of FFmpeg's muxer, such as ``movflags``.
        to: Where to write it as well.

    Returns:
        The file.
    """
    muxer, codec = _WRITERS[kind]
    if codec == "vorbis" and channels == 1:
        pcm, channels = np.repeat(np.frombuffer(pcm, "<i2"), 2).tobytes(), 2
    # On disk, since the muxer opens an MP4 once more to move its index to the front.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audio")
        _write(path, muxer, codec, pcm, sample_rate, channels, options or {})
        data = path.read_bytes()
    if to is not None:
        Path(to).write_bytes(data)
    return data


def _write(
    path: Path, muxer: str, codec: str, pcm: bytes, sample_rate: int, channels: int, options: dict[str, str]
) -> None:
    rate = sample_rate
    if codec == "libopus":
        rate = next((known for known in (8_000, 12_000, 16_000, 24_000) if known >= sample_rate), 48_000)
    with av.open(str(path), "w", format=muxer, options=options) as container:
        stream = cast(AudioStream, container.add_stream(codec, rate=rate, layout=_LAYOUTS[channels]))
        stream.codec_context.options = {"strict": "experimental"}
        if codec not in ("pcm_s16le", "flac"):
            stream.codec_context.bit_rate = 96_000 * channels
        for frame in _frames(pcm, sample_rate, channels):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frames(pcm: bytes, sample_rate: int, channels: int) -> Iterator[AudioFrame]:
    samples: npt.NDArray[Any] = np.frombuffer(pcm, "<i2").astype(np.int16)
    step = 1024 * channels
    for start in range(0, samples.size, step):
        frame = AudioFrame.from_ndarray(samples[None, start : start + step], "s16", _LAYOUTS[channels])
        frame.sample_rate = sample_rate
        frame.pts = start // channels
        yield frame
