"""Where the commands put audio."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from antiphon.cli import outputs
from antiphon.cli.outputs import WavFile


def sizes(path: Path) -> tuple[int, int]:
    """What a WAV says of its length, and of that of its samples."""
    header = path.read_bytes()[:44]
    return struct.unpack("<I", header[4:8])[0], struct.unpack("<I", header[40:44])[0]


def test_a_recording_says_how_long_it_is_after_each_write(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    with WavFile(path) as file:
        file.open(16_000)
        for count in (1, 2, 3):
            file.write(bytes(320))
            assert sizes(path) == (36 + 320 * count, 320 * count)
            assert path.stat().st_size == 44 + 320 * count


def test_a_recording_of_more_than_a_header_can_name_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 1_000
    monkeypatch.setattr(outputs, "UNKNOWN_SIZE", most)
    path = tmp_path / "out.wav"
    with WavFile(path) as file:
        file.open(16_000)
        file.write(bytes(960))
        assert sizes(path) == (996, 960)
        file.write(bytes(320))
    assert sizes(path) == (most, most)
    assert path.stat().st_size == 44 + 960 + 320
