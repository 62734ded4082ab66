"""Put the Chrome extension together: ``python -m scripts.extension [FOLDER]``, by default in build/chrome-extension.

Its own files, those of the server's pages that it shares, the SDK, and its icons, drawn from the SVG. There is nothing
to compile: what is in the folder is what is in the repository.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from scripts import icons
from scripts.environment import ROOT

SOURCE = ROOT / "clients" / "chrome-extension"
WEB = ROOT / "src" / "antiphon" / "web"
BUILD = ROOT / "build" / "chrome-extension"

SHARED = (
    "app.css",
    "captions.js",
    "chevron.svg",
    "exports.js",
    "meter.js",
    "notices.js",
    "page.js",
    "transcript.js",
)
"""Files of the server's pages that the extension uses, beside the SDK."""
SIZES = (16, 32, 48, 128)
"""Of the icons, in pixels."""


def build(target: Path = BUILD) -> Path:
    """Write the extension to `target`, in place of what was there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(SOURCE, target, ignore=shutil.ignore_patterns("*.md", "package.json"))
    for name in SHARED:
        (target / "web").mkdir(exist_ok=True)
        shutil.copyfile(WEB / name, target / "web" / name)
    # capturing needs nothing of others, and Chrome has every decoder
    shutil.copytree(WEB / "sdk", target / "web" / "sdk", ignore=shutil.ignore_patterns("vendor"))
    (target / "icons").mkdir()
    for size in SIZES:
        (target / "icons" / f"{size}.png").write_bytes(icons.draw(WEB / "icon.svg", size))
    shutil.copyfile(ROOT / "LICENSE", target / "LICENSE")
    return target


def main() -> int:
    target = build(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else build()
    print(f"{target}: open chrome://extensions, switch on Developer mode, press Load unpacked, and choose it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
