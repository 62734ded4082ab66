"""Keep the project's virtual environment: make it, and install the project into it.

``python -m scripts.environment`` makes ``.venv`` where there is none that works.
``python -m scripts.environment STAMP [EXTRA ...]`` also installs the project, editable, with those extras
and writes STAMP, a file in ``.venv`` that says what was installed.

Both hold a lock on the way, so that several ``make`` runs beside each other don't spoil it.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts import rust

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Wait for, then hold, a lock of this checkout; it ends with the process at the latest."""
    path = ROOT / ".cache" / f"{name.replace('/', '-')}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another run that is setting up {name}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(paths: Iterable[Path]) -> str:
    """A digest of what the files hold; one that is not there counts as empty.

    Stamps hold it rather than rely on times, so that only a change of content installs anew.
    """
    content = b"\0".join(path.read_bytes() if path.exists() else b"" for path in paths)
    return hashlib.sha256(content).hexdigest()


def sources() -> list[Path]:
    """What decides what is installed: the requirements, and everything that the native core is built of."""
    crates = sorted(path for path in (ROOT / "crates").rglob("*") if path.suffix in {".rs", ".toml"})
    return [ROOT / "pyproject.toml", ROOT / "Cargo.toml", ROOT / "Cargo.lock", *crates]


def installed() -> list[set[str]]:
    """The sets of extras that are installed as the sources now ask for them."""
    now = digest(sources())
    stamps = [path.read_text().split() for path in VENV.glob(".with-*")]
    return [set(stamp[1:]) for stamp in stamps if stamp[:1] == [now]]


def works() -> bool:
    """Whether the environment has a Python that starts, is new enough and has pip."""
    probe = [str(PYTHON), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def create() -> None:
    """Make the environment unless one is there that works.

    Raises:
        subprocess.CalledProcessError: The venv module failed; it has said why.
    """
    if works():
        return
    print(f"Making {VENV.name} with Python {sys.version.split()[0]}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)


def install(stamp: Path, extras: list[str]) -> None:
    """Install the project with ``extras``, unless that has been done since its requirements or its core changed.

    Raises:
        rust.RustError: What builds the native core is missing.
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    if not any(present.issuperset(extras) for present in installed()):
        target = f".[{','.join(extras)}]" if extras else "."
        what = f"Antiphon ({', '.join(extras)})" if extras else "Antiphon"
        rust.check()
        print(f"Building and installing {what}; the first time this takes two or three minutes", flush=True)
        began = time.monotonic()
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--retries", "5"]
        subprocess.run([PYTHON, "-m", "pip", "install", *quiet, "--editable", target], cwd=ROOT, check=True)
        print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)
    stamp.write_text(" ".join([digest(sources()), *extras]) + "\n")


def main(arguments: list[str]) -> int:
    try:
        with lock("the virtual environment"):
            create()
            if arguments:
                install(ROOT / arguments[0], arguments[1:])
    except rust.RustError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"Setting up {VENV.name} failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        print("Installing needs a network; running what is installed does not.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
