"""Bring what the pages load of others into ``src/antiphon/web/sdk/vendor``: ``python -m scripts.web_assets``.

One file so far: the Opus decoder for browsers without WebCodecs. Everything else works without it, so that a machine
without Node.js or without a network is told what it lacks, and goes on.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from scripts import node
from scripts.environment import ROOT

FOLDER = ROOT / "scripts" / "web-assets"
VENDOR = ROOT / "src" / "antiphon" / "web" / "sdk" / "vendor"
ASSETS = {"opus-decoder/dist/opus-decoder.min.js": "opus-decoder.js"}
"""By path in ``node_modules``, the name in the vendor folder."""
NOTICE = """\
opus-decoder.js is the package opus-decoder, copyright Ethan Halsall, under the MIT licence:
https://github.com/eshaz/wasm-audio-decoders
It has libopus inside, copyright Xiph.Org, Skype Limited and others, under the BSD licence:
https://opus-codec.org/license
"""


def bring() -> list[Path]:
    """Fetch what is missing, copy it, and return the copies.

    Raises:
        node.NodeError: npm is missing or failed.
    """
    node.install(FOLDER)
    VENDOR.mkdir(exist_ok=True)
    copies = []
    for source, name in ASSETS.items():
        copies.append(VENDOR / name)
        shutil.copyfile(FOLDER / "node_modules" / source, VENDOR / name)
    (VENDOR / "NOTICE").write_text(NOTICE)
    return copies


def main() -> int:
    try:
        bring()
    except node.NodeError as error:
        print(f"SKIPPED: the Opus decoder for browsers without WebCodecs: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
