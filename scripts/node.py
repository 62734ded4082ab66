"""Install the Node packages of a folder: ``python -m scripts.node FOLDER``.

Nothing is done, and no network needed, until ``package.json`` or its lock file changes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from scripts.environment import ROOT, digest, lock

HOW_TO_GET_NODE = "install Node.js 20 or newer with npm, from your system's packages or nodejs.org"
CALM = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


class NodeError(Exception):
    """The packages are not there; the text says what is missing or went wrong."""


def install(folder: Path) -> None:
    """Bring ``folder/node_modules`` up to date.

    Raises:
        NodeError: npm is missing or failed.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NodeError(f"Node.js is not installed; {HOW_TO_GET_NODE}")
    name = str(folder.relative_to(ROOT))
    lock_file = folder / "package-lock.json"
    stamp = folder / "node_modules" / ".installed"
    wanted = [folder / "package.json", lock_file]
    with lock(f"the Node packages of {name}"):
        if stamp.exists() and stamp.read_text() == digest(wanted):
            return
        print(f"Installing the Node packages of {name}", flush=True)
        verb = "ci" if lock_file.exists() else "install"
        command = [npm, verb, *CALM, "--omit-lockfile-registry-resolved"]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise NodeError(f"npm {verb} failed in {name} (exit status {done.returncode}); its output is above")
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest(wanted))


def main(arguments: list[str]) -> int:
    try:
        for argument in arguments:
            install(ROOT / argument)
    except NodeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
