"""Fuzz the native core: ``python -m scripts.fuzz [--seconds N] [TARGET ...]``.

Builds the targets of ``crates/core/fuzz`` and ``crates/rtc/fuzz`` with libFuzzer and AddressSanitizer, and runs each
for so many seconds from the corpus that is kept there. What is found on the way stays in ``.cache/fuzz`` for the next
run; an input that breaks something goes to ``build/fuzz``, is named at the end, and the exit status is 1. ``--keep``
adds to the kept corpus what reached code that nothing there reaches; ``--replay FILE`` runs one input.

Needs Rust and a C++ compiler. The sanitiser and the coverage that guides libFuzzer are options that Rust has not
declared stable: RUSTC_BOOTSTRAP=1 lets the stable compiler take them, for these builds only.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from scripts.environment import ROOT, lock

CORE = ROOT / "crates" / "core" / "fuzz"
FOLDERS = (CORE, ROOT / "crates" / "rtc" / "fuzz")
FOUND = ROOT / ".cache" / "fuzz"
BROKEN = ROOT / "build" / "fuzz"

RUSTFLAGS = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
    "-Zsanitizer=address",
    "--cfg=fuzzing",
)
LIMITS = ("-max_len=65536", "-timeout=10", "-rss_limit_mb=1024")
LARGEST_KEPT = 2 * 1024
"""Bytes of an input that may join the kept corpus."""

STATUS = re.compile(r"#(\d+)\s.* cov: (\d+) .* exec/s: (\d+) ")
FAILURE = re.compile(r"SUMMARY: |.* panicked at |ERROR: ")


class FuzzError(Exception):
    """Fuzzing can't begin; the message says what to do."""


def targets() -> dict[str, Path]:
    """All targets that are written, and the folder of each."""
    return {path.stem: folder for folder in FOLDERS for path in sorted((folder / "fuzz_targets").glob("*.rs"))}


def corpus(name: str) -> Path:
    """The kept inputs of a target."""
    return targets()[name] / "corpus" / name


def host() -> str:
    """The triple of this machine: a sanitiser needs to be told it.

    Raises:
        FuzzError: A tool is missing.
    """
    for tool, package in (("cargo", "Rust, from https://rustup.rs"), ("c++", "a C++ compiler, such as g++")):
        if shutil.which(tool) is None:
            raise FuzzError(f"{tool} is not on the path: install {package}")
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)["host"]


def build(names: list[str]) -> dict[str, Path]:
    """Build targets.

    Returns:
        The program of each.

    Raises:
        FuzzError: Something does not compile, or a tool is missing.
    """
    triple = host()
    environment = os.environ | {"RUSTC_BOOTSTRAP": "1", "RUSTFLAGS": " ".join(RUSTFLAGS)}
    environment.pop("CARGO_TARGET_DIR", None)
    folder = ROOT / "target" / "fuzz"
    print(f"Building {', '.join(names)}; the first time this takes a few minutes", flush=True)
    for source in FOLDERS:
        wanted = [name for name in names if targets()[name] == source]
        command = ["cargo", "build", "--release", "--manifest-path", str(source / "Cargo.toml"), "--target", triple]
        command += ["--target-dir", str(folder), *(word for name in wanted for word in ("--bin", name))]
        if not wanted:
            continue
        with lock("fuzz"):
            if subprocess.run(command, env=environment, check=False).returncode:
                raise FuzzError("the fuzz targets do not build")
    return {name: folder / triple / "release" / name for name in names}


def run(name: str, program: Path, seconds: int) -> Path | None:
    """Fuzz one target, showing how it goes.

    Returns:
        The input that broke it, if one did.

    Raises:
        FuzzError: It ended otherwise than by its time or an input.
    """
    for folder in (FOUND / name, BROKEN / name, corpus(name)):
        folder.mkdir(parents=True, exist_ok=True)
    before = set((BROKEN / name).iterdir())
    command = [str(program), f"-max_total_time={seconds}", f"-artifact_prefix={BROKEN / name}/", *LIMITS]
    command += [str(FOUND / name), str(corpus(name))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    try:
        tail = watch(name, process.stderr or (), seconds)
    finally:
        process.kill()
    if process.wait() == 0:
        return None
    for line in tail:
        print(f"    {line}")
    broken = sorted(set((BROKEN / name).iterdir()) - before)
    if not broken:
        raise FuzzError(f"{name} ended with status {process.returncode}")
    return broken[0]


def watch(name: str, said: Iterable[str], seconds: int) -> list[str]:
    """Show the progress of a fuzzer, by what it says, until it ends.

    Returns:
        The lines that tell what went wrong, or the last ones.
    """
    began, shown = time.monotonic(), 0.0
    every = 1.0 if sys.stdout.isatty() else 15.0
    lines: deque[str] = deque(maxlen=12)
    telling: list[str] = []
    runs = coverage = speed = "0"
    for line in said:
        # The line after the place of a panic is its message.
        if FAILURE.match(line) or (lines and " panicked at " in lines[-1]):
            telling.append(line.rstrip())
        lines.append(line.rstrip())
        if status := STATUS.match(line):
            runs, coverage, speed = status.groups()
        now = time.monotonic() - began
        if now - shown >= every:
            shown = now
            text = f"{name}: {min(now, seconds):.0f} of {seconds} s, {runs} inputs, {speed}/s, {coverage} edges reached"
            print(
                f"\r\033[K{text}" if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True
            )
    took = time.monotonic() - began
    print("\r\033[K" if sys.stdout.isatty() else "", end="")
    print(f"{name}: {runs} inputs in {took:.0f} s, {coverage} edges reached", flush=True)
    return telling or list(lines)


def keep(name: str, program: Path) -> None:
    """Add to the kept corpus those finds that reach what nothing there reaches."""
    small = ROOT / ".cache" / "fuzz-small" / name
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir(parents=True)
    for found in (FOUND / name).iterdir():
        if found.stat().st_size <= LARGEST_KEPT:
            shutil.copy(found, small)
    before = len(list(corpus(name).iterdir()))
    command = [str(program), "-set_cover_merge=1", "-use_counters=0", *LIMITS, str(corpus(name)), str(small)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = list(corpus(name).iterdir())
    print(f"{name}: {len(after) - before} inputs added, {sum(path.stat().st_size for path in after)} bytes in all")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(targets())}; without any, all of them")
    parser.add_argument("--core", action="store_true", help="only the core's, which build faster")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--keep", action="store_true", help="add what reached new code to the kept corpus")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input through one target")
    options = parser.parse_args()
    names = options.target or [name for name, folder in targets().items() if folder == CORE or not options.core]
    if unknown := set(names) - set(targets()):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(targets())}")
    if options.replay and len(names) != 1:
        parser.error("--replay needs one target")
    try:
        programs = build(names)
        if options.replay:
            return int(subprocess.run([programs[names[0]], *LIMITS, options.replay], check=False).returncode != 0)
        broken = {name: run(name, programs[name], options.seconds) for name in names}
    except FuzzError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for name, path in broken.items():
        if path is not None:
            print(f"BROKEN: {name} by {path.relative_to(ROOT)}")
            print(f"  again: python -m scripts.fuzz {name} --replay {path.relative_to(ROOT)}")
        elif options.keep:
            keep(name, programs[name])
    return int(any(broken.values()))


if __name__ == "__main__":
    raise SystemExit(main())
