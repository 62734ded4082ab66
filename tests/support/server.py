"""Real servers for the tests, each a process of its own on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

LISTENING = re.compile(r"listens on (http://\S+)")
START_DEADLINE = 60.0
STOP_DEADLINE = 60.0

SCRIPTED = ("--engine", "antiphon.testing:ScriptedRecogniser")
"""Flags for the double that says 'one two three', 'four five six', 'seven eight nine', three seconds of audio each."""


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of Antiphon, and a terminal wide enough that no line wraps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return {**kept, "COLUMNS": "250", "NO_COLOR": "1", **more}


class ServerProcess:
    """A running ``antiphon serve``; ends with its ``with`` block.

    Attributes:
        url: Where it listens, ``http://127.0.0.1:PORT``.
        port: The port of it.
        pid: Of the server itself.
    """

    def __init__(self, flags: tuple[str, ...], env: dict[str, str], deadline: float) -> None:
        self._flags = flags
        self._env = env
        self._lines: list[str] = []
        self._announced = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="antiphon-test-")
        self.url = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "antiphon.cli", "serve", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=clean_environment(**env),
            cwd=self._folder.name,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name=f"stderr of {self.pid}", daemon=True)
        self._reader.start()
        announced = self._announced.wait(deadline)
        if not self.url:
            self.kill()
            what = "ended" if announced else f"did not listen within {deadline:.0f} s"
            raise RuntimeError(f"the server with {' '.join(flags)!r} {what}:\n{self.log}")
        self.port = urlsplit(self.url).port or 0

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return "".join(self._lines)

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/audio-stream"

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self, deadline: float = STOP_DEADLINE) -> int:
        """End it as an operator would (SIGTERM), wait, and return its exit code.

        Raises:
            TimeoutError: It did not end; it was killed then.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"the server did not end within {deadline:.0f} s of SIGTERM:\n{self.log}") from None
        self._finish()
        return code

    def kill(self) -> None:
        """End it at once (SIGKILL); its recogniser processes notice and end by themselves."""
        if self._process.returncode is None:
            self._process.kill()
        self._process.wait(STOP_DEADLINE)
        self._finish()

    def pause(self) -> None:
        """Freeze the server itself (SIGSTOP): connections stay and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def restarted(self, *flags: str, deadline: float = START_DEADLINE) -> ServerProcess:
        """Another server on the same port with the same flags and `flags`; this one must have ended."""
        flags = (*self._flags, *flags, "--port", str(self.port))  # the last --port holds
        return ServerProcess(flags, self._env, deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self.resume()
            self.stop()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            if not self.url and (found := LISTENING.search(line)):
                self.url = found[1]
                self._announced.set()
        self._announced.set()

    def _finish(self) -> None:
        self._reader.join(5.0)
        if not self._reader.is_alive() and self._process.stderr is not None:
            self._process.stderr.close()
        self._folder.cleanup()


def start_server(*flags: str, deadline: float = START_DEADLINE, **env: str) -> ServerProcess:
    """Start ``antiphon serve`` with `flags` and wait until it listens.

    Args:
        flags: Such as ``"--engine", "antiphon.testing:ScriptedRecogniser"``; ports are free ones unless given.
        deadline: Seconds it may take.
        env: Environment variables, such as ``ANTIPHON_LANGUAGE="en-US"``.

    Raises:
        RuntimeError: It ended, or did not listen in time; the message holds what it wrote.
    """
    for port in ("--port", "--rtc-port"):
        if port not in flags:
            flags = (*flags, port, "0")
    return ServerProcess(flags, env, deadline)
