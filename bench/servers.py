"""The servers of a comparison: Antiphon and its peers, each started on a free port of the loopback interface."""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from bench.host import ProcessTree, running_on

HERE = Path(__file__).parent
START_SECONDS = 60.0
STOP_SECONDS = 15.0
INSTALL_PYTHON = "pip install -e '.[bench]'"
INSTALL_NODE = "npm ci --prefix bench"


class ServerError(Exception):
    """A server did not start, or ended while it was being measured; the message ends with what it printed last."""


@dataclass(frozen=True, slots=True)
class Server:
    """How to start a server.

    Attributes:
        name: What tables call it, with its version.
        command: Arguments; the port is appended, after ``--port`` for Antiphon.
        environment: Variables beyond those of this process.
        missing: What keeps it from running here and how to get it; empty where nothing does.
    """

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    missing: str = ""


def antiphon(engine: str, *, max_streams: int = 2000) -> Server:
    """This project's server with a recogniser, given by its name or as ``module:Class``."""
    options = ("--engine", engine, "--max-streams", str(max_streams), "--port")
    version = importlib.metadata.version("antiphon")
    return Server(f"Antiphon {version}", (sys.executable, "-m", "antiphon.cli", "serve", *options))


def python_peer(script: str, name: str, *packages: str) -> Server:
    """A peer in ``bench/peers``; ``packages`` are the distributions it needs, the first names its version."""
    absent = [package for package in packages if not _distribution(package)]
    missing = f"{', '.join(absent)} not installed: {INSTALL_PYTHON}" if absent else ""
    version = _distribution(packages[0])
    return Server(f"{name} {version}".strip(), (sys.executable, str(HERE / "peers" / script)), missing=missing)


def node_peer(script: str, name: str, package: str, *, native: bool = False) -> Server:
    """A Node peer in ``bench/peers``.

    Args:
        script: File name.
        name: What tables call it.
        package: The npm package it needs.
        native: Let ``ws`` unmask with the optional native package ``bufferutil`` rather than in JavaScript.
    """
    version = _npm_version(package)
    absent = [p for p in (package, *(["bufferutil"] if native else [])) if not _npm_version(p)]
    missing = f"npm packages {', '.join(absent)} not installed: {INSTALL_NODE}" if absent else ""
    if shutil.which("node") is None:
        missing = "node is not on the PATH: install Node.js 18 or newer"
    label = f"{name} {version}" + (" with bufferutil" if native else "")
    environment = () if native else (("WS_NO_BUFFER_UTIL", "1"),)
    return Server(label, ("node", str(HERE / "peers" / script)), environment, missing)


def _distribution(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _npm_version(package: str) -> str:
    try:
        manifest = json.loads((HERE / "node_modules" / package / "package.json").read_text())
    except OSError:
        return ""
    return str(manifest["version"])


@dataclass(slots=True)
class Running:
    """A started server.

    Attributes:
        core: The one it is pinned to.
        delivered: Bytes of audio sent to it since it started, for checking what it counted.
    """

    server: Server
    port: int
    core: int
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    tree: ProcessTree
    delivered: int = 0

    def check(self) -> None:
        """Raise :class:`ServerError` where the server has ended."""
        code = self.process.poll()
        if code is not None:
            raise ServerError(f"{self.server.name} ended with status {code}: {self.tail()}")

    def tail(self) -> str:
        """The last of what the server printed."""
        self.output.seek(0)
        return self.output.read()[-2000:].decode(errors="replace").strip() or "(nothing printed)"


@contextmanager
def started(server: Server, core: int) -> Iterator[Running]:
    """Start a server pinned to ``core`` and stop it at the end.

    Raises:
        ServerError: It ended or did not listen within :data:`START_SECONDS`.
    """
    allow_many_files()
    port = _free_port()
    with ExitStack() as stack:
        output = stack.enter_context(TemporaryFile())
        with running_on(core):
            process = subprocess.Popen(
                [*server.command, str(port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict(server.environment)},
                cwd=HERE.parent,
            )
        stack.callback(_stop, process)
        running = Running(server, port, core, process, output, ProcessTree(process.pid))
        _await_listening(running)
        yield running


def _await_listening(running: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        running.check()
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", running.port)) == 0:
                return
        time.sleep(0.05)
    raise ServerError(f"{running.server.name} did not listen within {START_SECONDS:.0f} s: {running.tail()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def allow_many_files() -> int:
    """Raise the soft limit of open files, which children inherit, to the hard one; the limit now in force."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
