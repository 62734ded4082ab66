"""What builds the native core: whether it is there, and what to install where it is not."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class RustError(Exception):
    """A tool that builds the native core is missing or too old; the message says what to install."""


def wanted() -> tuple[int, ...]:
    """The oldest Rust that builds the core."""
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    return tuple(map(int, str(workspace["package"]["rust-version"]).split(".")))


def environment() -> dict[str, str]:
    """Variables for running Cargo: a CMake that came with the development tools is found where the system has none."""
    path = os.environ.get("PATH", os.defpath)
    return os.environ | {"PATH": os.pathsep.join([path, str(ROOT / ".venv" / "bin")])}


def check() -> None:
    """Say so where the core cannot be built here.

    Raises:
        RustError: Cargo, a Rust that is new enough, or a C compiler is missing.
    """
    oldest = ".".join(map(str, wanted()))
    problems, advice = [], []
    found = _rustc()
    if found is None or not shutil.which("cargo"):
        problems.append(f"Rust {oldest} or newer, with cargo, is not installed.")
    elif found < wanted():
        problems.append(f"Rust {'.'.join(map(str, found))} is too old: {oldest} or newer is needed.")
    if problems:
        advice.append("  Rust         with rustup, see rustup.rs (what distributions carry is often too old)")
    if not any(shutil.which(command) for command in (os.environ.get("CC") or "cc", "gcc", "clang")):
        problems.append("A C compiler (cc, gcc or clang) is not installed.")
        advice.append(f"  C compiler   {_compiler()}")
    if problems:
        wheel = "Or install a wheel, which needs neither: pip install antiphon-VERSION-....whl"
        raise RustError(
            "\n".join(
                ["Antiphon's native core cannot be built here.", *problems, "Install what is missing:", *advice, wheel]
            )
        )


def _rustc() -> tuple[int, ...] | None:
    rustc = shutil.which(os.environ.get("RUSTC") or "rustc")
    if rustc is None:
        return None
    try:
        shown = subprocess.run([rustc, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.match(r"rustc (\d+)\.(\d+)", shown)
    return (int(version[1]), int(version[2])) if version else None


def _compiler() -> str:
    if platform.system() == "Darwin":
        return "xcode-select --install"
    if shutil.which("apt-get"):
        return "sudo apt-get install build-essential"
    return "with your system's package manager: gcc or clang, and make"
