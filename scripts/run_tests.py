"""All tests: ``python -m scripts.run_tests [--packages "NAME ..."] [PYTEST ARGUMENT ...]``.

With pytest arguments, only pytest runs. What can't run on this machine is named at the end, with what to
install for it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

from scripts import node, rust, system
from scripts.environment import ROOT
from scripts.parts import BIN, Job

JS = ROOT / "tests" / "js"
NEEDED_BY = {
    "chromium": "browser tests",
    "coturn": "tests with a real TURN server",
    "flite": "tests of speech that another machine understands",
}
FUZZ_SECONDS = 4
"""For each target: enough to show that all of them build and run. `make fuzz` is for finding something."""
MOST_AGAIN = 20
"""Failed tests that are run once more; where more fail, the fault is not the machine's."""
MARKERS = {"chromium": "browser"}
"""Pytest markers of the tests that need a package. Others skip themselves where their program is missing."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", default="", help="Debian packages that tests use")
    options, pytest_arguments = parser.parse_known_args()
    job = Job("test")
    packages = options.packages.split()
    system.install(packages)

    left_out = []
    for package in system.missing(packages):
        what = NEEDED_BY.get(package, f"tests that use {package}")
        job.skip(what, f"{package} is not installed; install it with: {system.how_to_get(package)}")
        if package in MARKERS:
            left_out.append(MARKERS[package])

    node_error = ""
    if (JS / "package.json").exists():
        try:
            node.install(JS)
        except node.NodeError as error:
            node_error = str(error)
            left_out.append("node")

    if node_error:
        job.skip("JavaScript tests, and tests with Node clients", node_error)
    elif pytest_arguments:
        print("With ARGS only pytest is run.")
    elif (JS / "package.json").exists():
        job.run("JavaScript tests", ["npm", "test", "--silent"], JS)

    if not pytest_arguments:
        job.run(
            "Rust tests",
            ["cargo", "test", "--locked", "--workspace", "--no-fail-fast", "--quiet"],
            environment=rust.environment(),
        )
        if shutil.which("c++"):
            fuzz: list[str | Path] = [BIN / "python", "-m", "scripts.fuzz", "--core", "--seconds", str(FUZZ_SECONDS)]
            job.run("Fuzzing, a short run", fuzz, environment=rust.environment())
        else:
            job.skip("Fuzzing, a short run", f"no C++ compiler; install one with: {system.how_to_get('g++')}")

    # Files are the unit, so that what a file shares is started once; they come in the order of tests/conftest.py.
    alongside = ["-n", str(max(2, os.cpu_count() or 1)), "--dist", "loadfile", "--no-loadscope-reorder"]
    workers = [] if pytest_arguments else alongside
    markers = ["-m", " and ".join(f"not {marker}" for marker in left_out)] if left_out else []
    job.run("Python tests", [BIN / "python", "-m", "pytest", *workers, *markers, *pytest_arguments])
    if workers and job.outcomes[-1].state == "FAILED" and 0 < failed() <= MOST_AGAIN:
        # Browsers, recognisers and servers of two files share the machine: what a test waits for may come too late.
        job.again("Python tests that failed, alone", [BIN / "python", "-m", "pytest", "--last-failed", *markers])
    return job.finish()


def failed() -> int:
    """How many tests failed in the last run of pytest, as it notes them itself; 0 where it could not."""
    notes = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
    try:
        return len(json.loads(notes.read_text()))
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
