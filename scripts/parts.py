"""Run the parts of a job one after the other, whatever becomes of each, and say at the end how each ended."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.environment import ROOT

BIN = ROOT / ".venv" / "bin"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one part ended.

    Attributes:
        name: What the part is called.
        state: ``passed``, ``FAILED`` or ``SKIPPED``.
        detail: Why, and for what was skipped how to get it.
        seconds: How long it took.
    """

    name: str
    state: str
    detail: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Job:
    """A list of parts and how they ended.

    Attributes:
        title: The name of the make target.
        strict: Whether a skipped part fails the job. It does where CI is set: there it would hide that an
            install step is missing.
    """

    title: str
    strict: bool = field(default_factory=lambda: os.environ.get("CI", "") not in {"", "0", "false"})
    outcomes: list[Outcome] = field(default_factory=list)

    def run(
        self,
        name: str,
        command: Sequence[str | Path],
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run ``command`` with its output in the open and note how it ended."""
        words = [str(word) for word in command]
        shown = shlex.join(w.removeprefix(f"{BIN}/").removeprefix(f"{ROOT}/") for w in words)
        where = f"  (in {cwd.relative_to(ROOT)})" if cwd != ROOT else ""
        print(f"\n--- {name}: {shown}{where}", flush=True)
        began = time.monotonic()
        try:
            code = subprocess.run(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
            detail = f"exit status {code}" if code else ""
        except OSError as error:
            code, detail = 127, f"{words[0]} could not be started: {error.strerror}"
        seconds = time.monotonic() - began
        self.outcomes.append(Outcome(name, "FAILED" if code else "passed", detail, seconds))

    def again(self, name: str, command: Sequence[str | Path]) -> None:
        """Run what failed in the last part once more, by itself: that decides, and the summary says so."""
        first = self.outcomes.pop()
        self.run(name, command)
        second = self.outcomes.pop()
        passed = "had failed beside others and passed alone: see above which" if second.state == "passed" else ""
        detail = passed or f"{first.detail}; alone {second.detail}"
        self.outcomes.append(Outcome(first.name, second.state, detail, first.seconds + second.seconds))

    def skip(self, name: str, reason: str) -> None:
        """Note that a part was not run, why, and what to install for it."""
        self.outcomes.append(Outcome(name, "SKIPPED", reason))

    def fail(self, name: str, reason: str) -> None:
        """Note that a part could not be run and should have been."""
        self.outcomes.append(Outcome(name, "FAILED", reason))

    def finish(self) -> int:
        """Print the summary.

        Returns:
            The exit status: 0 where all is well.
        """
        print(f"\n=== make {self.title}")
        for outcome in self.outcomes:
            took = f"  {outcome.seconds:.1f} s" if outcome.seconds else ""
            detail = f" - {outcome.detail}" if outcome.detail else ""
            print(f"{outcome.state}: {outcome.name}{detail}{took}")
        states = {outcome.state for outcome in self.outcomes}
        if "SKIPPED" in states and self.strict:
            print("CI is set, so what was skipped counts as failed.")
        sys.stdout.flush()
        return int("FAILED" in states or ("SKIPPED" in states and self.strict))
