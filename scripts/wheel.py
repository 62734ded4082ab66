"""Build a wheel, and show that it works where there is no Rust: ``python -m scripts.wheel [PYTEST ARGUMENT ...]``.

The wheel is written to ``dist``. It is then installed into an environment of its own, whose path has no Cargo, no Rust
and no C compiler's driver named by ``CC``; the tests run there against the installed package, not the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import rust
from scripts.environment import PYTHON, ROOT, digest

DIST = ROOT / "dist"
VENV = ROOT / "build" / "wheel-venv"
PIP = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
TESTS = ["tests/unit", "tests/integration", "-m", "not node"]
"""What runs where no other tests are asked for: all that needs neither Node nor a browser."""


def build() -> Path:
    """Build the wheel.

    Raises:
        rust.RustError: What builds the native core is missing.
        subprocess.CalledProcessError: The build failed; it has said why.
    """
    rust.check()
    shutil.rmtree(DIST, ignore_errors=True)
    print("Building the wheel", flush=True)
    subprocess.run([PYTHON, *PIP, "wheel", "--no-deps", "--wheel-dir", DIST, "."], cwd=ROOT, check=True)
    (wheel,) = DIST.glob("antiphon-*.whl")
    if "-abi3-" not in wheel.name:
        raise SystemExit(f"{wheel.name} is bound to one version of Python: it should be an abi3 wheel")
    size = wheel.stat().st_size / 2**20
    print(f"{wheel.relative_to(ROOT)}, {size:.1f} MiB, SHA-256 {digest([wheel])}", flush=True)
    return wheel


def without_rust() -> dict[str, str]:
    """The environment's variables with nothing in it that could build the core."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = [folder for folder in folders if not any((Path(folder) / tool).exists() for tool in ("cargo", "rustc"))]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO", "RUST", "PYTHONPATH"))}
    return kept | {"PATH": os.pathsep.join([str(VENV / "bin"), *path])}


def test(wheel: Path, arguments: list[str]) -> int:
    """Install the wheel into a fresh environment and run the tests there; returns pytest's exit status."""
    print(f"Installing it into {VENV.relative_to(ROOT)}, which has no Rust", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    python, environment = VENV / "bin" / "python", without_rust()
    if shutil.which("cargo", path=environment["PATH"]):
        raise SystemExit("cargo is still on the path, so this would prove nothing")
    subprocess.run(
        [python, *PIP, "install", "--only-binary", "antiphon", f"{wheel}[test]"], env=environment, check=True
    )
    where = "import antiphon._native as native; print(native.__file__)"
    subprocess.run([python, "-c", where], cwd=VENV, env=environment, check=True)
    return subprocess.run(
        [python, "-m", "pytest", *(arguments or TESTS)], cwd=ROOT, env=environment, check=False
    ).returncode


def main() -> int:
    try:
        return test(build(), sys.argv[1:])
    except rust.RustError as error:
        print(error, file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"Failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
