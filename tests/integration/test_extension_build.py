"""What the Chrome extension is put together from: complete, of our own making, and asking for little."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import posixpath
import re
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.frame import VideoFrame
from scripts import icons
from scripts.extension import SIZES, build

from antiphon import __version__

ID = "emdjfckmfhakpgbhpbcmmgdicnmbnclg"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("extension") / "built")


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def references(text: str) -> set[str]:
    """What a module has the browser load; types in its comments are not among it."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    modules = re.findall(r"""(?:\bfrom|^import|\bimport\()\s*["']([^"']+)["']""", text, re.MULTILINE)
    urls = re.findall(r"""new URL\(\s*["']([^"']+)["'],\s*import\.meta\.url""", text)
    return {*modules, *urls}


def test_its_id_is_the_one_that_servers_are_told(manifest: dict[str, Any]) -> None:
    digest = hashlib.sha256(base64.b64decode(manifest["key"])).hexdigest()[:32]
    assert "".join(chr(ord("a") + int(digit, 16)) for digit in digest) == ID
    assert f"chrome-extension://{ID}" in (ROOT / "docs" / "how-to" / "caption-a-tab.md").read_text()


def test_it_asks_for_no_more_than_it_needs(manifest: dict[str, Any]) -> None:
    assert manifest["manifest_version"] == 3
    assert manifest["version"] == __version__
    assert manifest["permissions"] == ["activeTab", "offscreen", "sidePanel", "storage", "tabCapture"]
    for more in ("host_permissions", "optional_permissions", "content_scripts", "content_security_policy"):
        assert more not in manifest
    assert "externally_connectable" not in manifest
    assert "web_accessible_resources" not in manifest


def test_everything_that_it_loads_is_in_it(folder: Path) -> None:
    scripts = sorted(folder.rglob("*.js"))
    assert len(scripts) > 20
    for script in scripts:
        for name in references(script.read_text()):
            if (script.parent / name).name == "opus-decoder.js":
                continue  # of the player, for browsers without WebCodecs; there is no player here
            assert name.startswith("."), f"{script.name} loads {name}"
            assert (script.parent / name).resolve().is_file(), f"{script.name} loads {name}"
    pages = sorted(folder.glob("*.html"))
    assert {page.name for page in pages} == {"offscreen.html", "options.html", "panel.html", "permission.html"}
    for page in pages:
        text = page.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), f"{page.name} has a script of its own in it"
        for name in re.findall(r"""(?:src|href)=["']([^"']+)["']""", text):
            assert (folder / name).is_file(), f"{page.name} loads {name}"
    for style in folder.rglob("*.css"):
        for name in re.findall(r"""url\(["']?([^"')]+)""", style.read_text()):
            assert (style.parent / name).is_file(), f"{style.name} loads {name}"


def test_it_holds_nothing_but_text_and_the_icons_drawn_here(folder: Path, manifest: dict[str, Any]) -> None:
    named = set(manifest["icons"].values()) | set(manifest["action"]["default_icon"].values())
    drawn = {f"icons/{size}.png" for size in SIZES}
    assert named <= drawn
    for path in folder.rglob("*"):
        name = posixpath.join(*path.relative_to(folder).parts)
        if path.is_file() and name not in drawn:
            assert "\0" not in path.read_text(encoding="utf-8"), name


@pytest.mark.parametrize("size", SIZES)
def test_an_icon_is_a_picture_of_its_size(folder: Path, size: int) -> None:
    with av.open(io.BytesIO((folder / "icons" / f"{size}.png").read_bytes()), format="png_pipe") as picture:
        (frame,) = picture.decode(video=0)
    assert isinstance(frame, VideoFrame)
    pixels = frame.to_ndarray(format="rgba")
    assert pixels.shape == (size, size, 4)
    assert pixels[0, 0, 3] < 128  # its corners are round
    assert tuple(pixels[size // 2, size // 16]) == (0x16, 0x20, 0x3A, 255)  # and its ground is ours


@pytest.mark.parametrize(
    "shape",
    [
        '<circle cx="1" cy="1" r="1" fill="#000000"/>',
        '<path d="M0 0l4 4" fill="#000000"/>',
        '<path d="M0 0h4v2h4v2z" fill="#000000"/>',
        '<rect width="4" height="4" fill="red"/>',
        '<path d="M0 0v4" stroke="#000000"/>',
    ],
    ids=["circle", "slanted", "no rectangle", "named colour", "upright stroke"],
)
def test_what_cannot_be_drawn_rightly_is_not_drawn(tmp_path: Path, shape: str) -> None:
    svg = tmp_path / "icon.svg"
    svg.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">{shape}</svg>')
    with pytest.raises(ValueError, match=r"\w"):
        icons.draw(svg, 16)
