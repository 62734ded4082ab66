"""The command line as users run it: a process, perhaps on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from support.server import clean_environment

DEADLINE = 90.0
ANTIPHON = (sys.executable, "-m", "antiphon.cli")


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


def antiphon(*arguments: str, stdin: bytes = b"", columns: int = 250, **env: str) -> Ran:
    """Run a command to its end."""
    done = subprocess.run(
        [*ANTIPHON, *arguments],
        input=stdin,
        capture_output=True,
        timeout=DEADLINE,
        env=clean_environment(**{"COLUMNS": str(columns), **env}),
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


class Running:
    """A command that runs while the test talks to it. Its standard error is a terminal where `terminal` says so.

    Args:
        arguments: After ``antiphon``.
        terminal: Whether standard error is a terminal; a pipe otherwise.
    """

    def __init__(self, *arguments: str, terminal: bool = False, **env: str) -> None:
        self._screen, theirs = pty.openpty() if terminal else os.pipe()
        try:
            self._process = subprocess.Popen(
                [*ANTIPHON, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=theirs,
                env=clean_environment(**{"TERM": "xterm", "COLUMNS": "100", **env}),
            )
        finally:
            os.close(theirs)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin = self._process.stdin
        self._stdout = self._process.stdout
        self._out = self._stdout.fileno()
        self.out = ""
        self.err = ""

    def until(self, ready: Callable[[Running], bool], deadline: float = DEADLINE) -> None:
        """Read what it writes until `ready`.

        Raises:
            AssertionError: It ended before, or did not come to it.
        """
        end = time.monotonic() + deadline
        while not ready(self):
            assert self._read(end - time.monotonic()), f"it ended or hung; wrote {self.out!r} and {self.err!r}"

    def wait(self, deadline: float = DEADLINE, *, hang_up: bool = True) -> int:
        """Let it end, with the end of its input unless told otherwise, and return its exit code.

        `out` and `err` are complete then.
        """
        if hang_up and not self.stdin.closed:
            self.stdin.close()
        end = time.monotonic() + deadline
        while self._read(end - time.monotonic()):
            pass
        return self._process.wait(max(0.1, end - time.monotonic()))

    def until_taken(self, deadline: float = DEADLINE) -> None:
        """Wait until what was written to its standard input has been read."""
        end = time.monotonic() + deadline
        while array("i", fcntl.ioctl(self.stdin, termios.FIONREAD, bytes(4)))[0]:
            assert time.monotonic() < end, f"it reads nothing; wrote {self.out!r} and {self.err!r}"
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        if not self.stdin.closed:
            self.stdin.close()
        self._stdout.close()
        if self._screen >= 0:
            os.close(self._screen)

    def _read(self, timeout: float) -> bool:
        """Read something; False where there is nothing more, or not in time."""
        sources = [source for source in (self._out, self._screen) if source >= 0]
        if not sources:
            return False
        ready, _, _ = select.select(sources, [], [], max(0.0, timeout))
        for source in ready:
            try:
                data = os.read(source, 65_536)
            except OSError:  # a terminal whose other end is closed
                data = b""
            text = data.decode("utf-8", "replace")
            if source == self._out:
                self.out += text
                self._out = source if data else -1
            else:
                self.err += text
                if not data:
                    os.close(self._screen)
                    self._screen = -1
        return bool(ready)
