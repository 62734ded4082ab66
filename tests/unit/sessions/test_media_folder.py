"""The folder of files: what is inside can be heard, and nothing else can be seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.errors import NotFound
from antiphon.sessions.media_folder import MAX_LISTED, MediaFolder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.wav").write_bytes(b"secret")
    root = tmp_path_factory.mktemp("media")
    (root / "a.wav").write_bytes(b"inside a")
    (root / "songs").mkdir()
    (root / "songs" / "b ü.mp3").write_bytes(b"inside b")
    (root / "songs" / "notes.txt").write_bytes(b"inside notes")
    (root / ".hidden.wav").write_bytes(b"hidden")
    (root / ".git").mkdir()
    (root / ".git" / "c.wav").write_bytes(b"hidden")
    (root / "out.wav").symlink_to(outside / "secret.wav")
    (root / "away").symlink_to(outside)
    (root / "in.wav").symlink_to(root / "a.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    os.mkfifo(root / "pipe.wav")
    for odd in (b"line\nfeed.wav", b"back\\slash.wav", b"latin-\xe9.wav"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + odd)).write_bytes(b"inside, and not to be named")
    return root


def content(folder: MediaFolder, name: str) -> bytes:
    with folder.open(name).file as file:
        return file.read()


def test_files_are_listed_by_name_and_size(root: Path) -> None:
    assert MediaFolder(root).list() == [
        {"name": "a.wav", "bytes": 8},
        {"name": "in.wav", "bytes": 8},
        {"name": "songs/b ü.mp3", "bytes": 8},
    ]


def test_what_is_listed_can_be_opened(root: Path) -> None:
    folder = MediaFolder(root)
    for file in folder.list():
        assert content(folder, file["name"]).startswith(b"inside")
    # told apart by content and not by name
    assert content(folder, "songs/notes.txt") == b"inside notes"


@pytest.mark.parametrize(
    "name",
    [
        "b.wav", "", ".", "..", "songs", "songs/", "/a.wav", "../outside0/secret.wav", "songs/../a.wav", "./a.wav",
        "out.wav", "away/secret.wav", "loop.wav", "pipe.wav", ".hidden.wav", ".git/c.wav", "a.wav\0", "a.wav/b",
        "songs//b ü.mp3", "a" * 300, "a/" * 3000, "/dev/zero", "/proc/self/mem", "\ud800.wav",
    ],
)  # fmt: skip
def test_everything_else_is_not_there(root: Path, name: str) -> None:
    with pytest.raises(NotFound) as error:
        MediaFolder(root).open(name)
    assert "GET /v1/media" in error.value.message
    assert str(root) not in error.value.message
    assert error.value.field == "source"


@given(st.lists(st.sampled_from(["..", ".", "", "away", "songs", "a.wav", "out.wav", "\0", "~"]) | st.text(max_size=5)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_leads_outside(root: Path, parts: list[str]) -> None:
    try:
        heard = content(MediaFolder(root), "/".join(parts))
    except NotFound:
        return
    assert heard.startswith(b"inside")


def test_a_file_that_changed_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"one")
    folder = MediaFolder(tmp_path)
    before, same = folder.open("a.wav"), folder.open("a.wav")
    (tmp_path / "a.wav").write_bytes(b"other")
    after = folder.open("a.wav")
    assert before.identity == same.identity != after.identity
    for media in (before, same, after):
        media.file.close()


def test_without_a_folder_nothing_is_there_and_the_error_says_why() -> None:
    assert MediaFolder(None).list() == []
    with pytest.raises(NotFound, match="media_folder"):
        MediaFolder(None).open("a.wav")


def test_a_list_has_an_end(tmp_path: Path) -> None:
    for number in range(MAX_LISTED + 5):
        (tmp_path / f"{number:05}.wav").touch()
    assert len(MediaFolder(tmp_path).list()) == MAX_LISTED
