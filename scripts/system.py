"""Programs that tests use: which are there, and installing the others on Debian and Ubuntu."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

COMMANDS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "coturn": ("turnserver",),
}
"""Commands of which one is enough, for the packages whose command may have another name than the package."""

SERVICES = {"coturn": "coturn.service"}
"""Services that packages bring and tests don't want: these start the program themselves."""
POLICY = Path("/usr/sbin/policy-rc.d")
"""What packages ask before they start a service (invoke-rc.d(8), deb-systemd-invoke(1p))."""

APT = ["apt-get", "-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300"]
ATTEMPTS = 3


def missing(packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` whose command is not on the path."""
    return [p for p in packages if not any(shutil.which(command) for command in COMMANDS.get(p, (p,)))]


def how_to_get(package: str) -> str:
    """What a person types to install ``package`` here."""
    if shutil.which("apt-get"):
        return f"sudo apt-get install {package}"
    if platform.system() == "Darwin":
        return f"brew install {package}"
    return f"your system's package manager (the package is called {package} or alike)"


def install(packages: Sequence[str]) -> None:
    """Install what is missing where that needs no question asked: as root, on a system with ``apt-get``.

    Elsewhere nothing is done. A package that can't be installed is named; the others still are.
    """
    wanted = missing(packages)
    if not wanted or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"Installing system packages: {' '.join(wanted)}", flush=True)
    if not _apt(["update"]):
        return
    with _services_held_back():
        for package in wanted:
            if _apt(["install", "--yes", "--no-install-recommends", package]) and package in SERVICES:
                _disable(SERVICES[package])


@contextlib.contextmanager
def _services_held_back() -> Iterator[None]:
    """Keep packages from starting what they bring. A machine with a policy of its own keeps that."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _disable(service: str) -> None:
    """Keep a service from starting with the machine."""
    if shutil.which("systemctl"):
        subprocess.run(["systemctl", "--quiet", "disable", service], stdin=subprocess.DEVNULL, check=False)


def _apt(arguments: list[str]) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for attempt in range(1, ATTEMPTS + 1):
        done = subprocess.run(
            [*APT, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return True
        print(f"apt-get {' '.join(arguments)} failed, attempt {attempt} of {ATTEMPTS}", flush=True)
        if attempt < ATTEMPTS:
            time.sleep(5 * attempt)
    print(done.stdout[-2000:], flush=True)
    return False
