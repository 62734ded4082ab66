from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from antiphon.media import g711

VECTORS = Path(__file__).parents[2] / "vectors" / "g711.csv"
EVERY_SAMPLE = np.arange(-32_768, 32_768).astype(np.int16)
EVERY_BYTE = bytes(range(256))

LAWS = ("mulaw", "alaw")
ENCODE: dict[str, Callable[[Any], bytes]] = {"mulaw": g711.mulaw_encode, "alaw": g711.alaw_encode}
DECODE: dict[str, Callable[[Any], NDArray[np.int16]]] = {"mulaw": g711.mulaw_decode, "alaw": g711.alaw_decode}
DECODE_FLOAT = {"mulaw": g711.mulaw_decode_float, "alaw": g711.alaw_decode_float}


def vectors(law: str) -> list[dict[str, int]]:
    """By byte, from the tables of the Recommendation (tests/vectors/make_g711.py)."""
    with VECTORS.open(encoding="ascii") as file:
        rows = [row for row in csv.DictReader(file) if row.pop("law") == law]
    assert len(rows) == 256
    return [{name: int(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("law", LAWS)
def test_every_sample_and_byte_are_coded_as_in_the_recommendation(law: str) -> None:
    expected = np.zeros(65_536, np.uint8)
    for row in vectors(law):
        expected[row["lowest"] + 32_768 : row["highest"] + 32_769] = row["byte"]
    assert np.array_equal(np.frombuffer(ENCODE[law](EVERY_SAMPLE), np.uint8), expected)
    assert DECODE[law](EVERY_BYTE).tolist() == [row["sample"] for row in vectors(law)]


@pytest.mark.parametrize("law", LAWS)
def test_ffmpeg_decodes_every_byte_alike(law: str) -> None:
    context = cast(AudioCodecContext, av.CodecContext.create(f"pcm_{law}", "r"))
    context.sample_rate, context.layout = 8_000, "mono"
    theirs = np.concatenate([frame.to_ndarray().ravel() for frame in context.decode(av.Packet(EVERY_BYTE))])
    assert np.array_equal(DECODE[law](EVERY_BYTE), theirs)


@pytest.mark.parametrize("law", LAWS)
def test_the_standard_library_encodes_every_sample_alike(law: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="Python 3.13 no longer has it")
    convert = audioop.lin2ulaw if law == "mulaw" else audioop.lin2alaw
    theirs = np.frombuffer(convert(EVERY_SAMPLE.tobytes(), 2), np.uint8)
    ours = np.frombuffer(ENCODE[law](EVERY_SAMPLE), np.uint8)
    if law == "mulaw":
        # It brings negative samples to 14 bits by rounding away from 0, G.191 towards it: only those within 3 of the
        # lower end of an interval tell the difference, by one step.
        differing = EVERY_SAMPLE[ours != theirs]
        assert (differing < 0).all()
        assert len(differing) <= 4 * 127
        assert np.array_equal(ours[EVERY_SAMPLE >= 0], theirs[EVERY_SAMPLE >= 0])
        assert np.abs(ours.astype(int) - theirs).max() == 1
    else:
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("law", LAWS)
def test_what_was_coded_once_is_coded_the_same_again(law: str) -> None:
    once = DECODE[law](ENCODE[law](EVERY_SAMPLE))
    assert np.array_equal(DECODE[law](ENCODE[law](once)), once)
    # Half a step of the widest segment.
    assert np.abs(once.astype(int) - EVERY_SAMPLE).max() <= (644 if law == "mulaw" else 512)
    loud = np.abs(EVERY_SAMPLE.astype(int)) > 1_000
    assert (np.abs(once.astype(int) - EVERY_SAMPLE)[loud] / np.abs(EVERY_SAMPLE.astype(int))[loud]).max() < 0.034


@pytest.mark.parametrize("law", LAWS)
def test_samples_come_as_integers_floats_and_bytes(law: str) -> None:
    expected = ENCODE[law](EVERY_SAMPLE)
    assert ENCODE[law](EVERY_SAMPLE.tobytes()) == expected
    assert ENCODE[law](EVERY_SAMPLE.astype(np.float32) / 32_768) == expected
    assert ENCODE[law](EVERY_SAMPLE.reshape(256, 256)) == expected
    assert ENCODE[law](b"") == b""
    assert np.array_equal(DECODE_FLOAT[law](EVERY_BYTE) * 32_768, DECODE[law](EVERY_BYTE))
    assert DECODE_FLOAT[law](EVERY_BYTE).dtype == np.float32
    assert np.array_equal(DECODE[law](bytearray(EVERY_BYTE)), DECODE[law](memoryview(EVERY_BYTE)))
    assert len(DECODE[law](b"")) == 0


@pytest.mark.parametrize("law", LAWS)
def test_floats_beyond_the_range_are_cut_off(law: str) -> None:
    wild = np.array([2, np.inf, -2, -np.inf, np.nan], np.float32)
    assert ENCODE[law](wild) == ENCODE[law](np.array([32_767, 32_767, -32_768, -32_768, 0], np.int16))


@pytest.mark.parametrize("law", LAWS)
def test_wrong_input_is_refused(law: str) -> None:
    with pytest.raises(ValueError, match="3 bytes are not whole 16-bit samples"):
        ENCODE[law](b"abc")
    with pytest.raises(TypeError, match="int16 or float32"):
        ENCODE[law](np.zeros(4))
    with pytest.raises(TypeError, match="bytes"):
        DECODE[law](np.zeros(4, np.int16))
    with pytest.raises(ValueError, match="C-contiguous"):
        ENCODE[law](EVERY_SAMPLE[::2])
