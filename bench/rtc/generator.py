"""The load: ``bench/rtcload``, many WebRTC peers in one process, which is spoken to in JSON lines."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bench.host import running_on
from bench.room_load import Spoken

ROOT = Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 60.0


class GeneratorError(Exception):
    """The load could not be made, or a peer of it failed."""


def missing() -> str:
    """What keeps the generator from being built; empty where nothing does."""
    return "" if shutil.which("cargo") else "cargo is not on the PATH: the load generator is Rust"


@cache
def program(package: str = "rtcload") -> Path:
    """A generator, built where it is not yet.

    Raises:
        GeneratorError: It does not build.
    """
    command = ["cargo", "build", "--release", "--locked", "--package", package, "--message-format", "json"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if built.returncode:
        raise GeneratorError(f"{package} does not build: {built.stderr[-2000:]}")
    told = [json.loads(line) for line in built.stdout.splitlines()]
    return Path(next(line["executable"] for line in told if line.get("executable")))


class Lines:
    """A process that is spoken to in JSON lines, pinned to a core."""

    def __init__(self, command: Sequence[str | Path], core: int) -> None:
        paths = [str(ROOT / "src"), str(ROOT)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        self._name = " ".join(Path(part).name for part in command[:3])
        with running_on(core):
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                cwd=ROOT,
            )
        self._told = bytearray()

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def say(self, command: dict[str, Any]) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as failure:
            raise GeneratorError(f"{self._name} ended with {self.process.wait()}") from failure

    def hear(self, what: str, seconds: float = ANSWER_SECONDS) -> Any:
        """Wait until it tells ``what``.

        Raises:
            GeneratorError: It told of an error instead, ended or said nothing.
        """
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while (end := self._told.find(b"\n")) < 0:
            if not select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise GeneratorError(f"{self._name} did not tell of {what!r} within {seconds:.0f} s")
            if not (chunk := os.read(descriptor, 1 << 20)):
                raise GeneratorError(f"{self._name} ended with {self.process.wait()}")
            self._told += chunk
        told: dict[str, Any] = json.loads(self._told[:end])
        del self._told[: end + 1]
        if what not in told:
            raise GeneratorError(f"{self._name}: {told.get('error', told)}")
        return told[what]

    def ask(self, command: dict[str, Any], what: str) -> Any:
        """Send a command and wait for what it is answered by."""
        self.say(command)
        return self.hear(what)


def python(module: str, *arguments: str) -> list[str]:
    """The command of a server in ``bench/peers``."""
    return [sys.executable, "-m", f"bench.peers.{module}", *arguments]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends what.

    Attributes:
        peer: Its number.
        sound: Number of the sound.
        offset: Packet to begin with.
    """

    peer: int
    sound: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A run of the load; see ``bench/rtcload/src/control.rs``.

    Attributes:
        warm: Seconds before anything counts.
        seconds: Seconds that count.
        interval: Milliseconds a packet.
        tag: Mark packets, so that those forwarded untouched are known again.
        precise: One system call for each packet.
        record: Peers of whom every packet is told.
    """

    senders: list[Sender]
    seconds: float
    warm: float = 1.0
    interval: int = 20
    tag: bool = False
    precise: bool = False
    record: list[int] = field(default_factory=list)


class Generator(Lines):
    """The load."""

    def __init__(self, core: int, host: str = "") -> None:
        """Args:
        core: Where it runs.
        host: The machine's own address, for servers that do not use the loopback interface.
        """
        super().__init__([program(), host] if host else [program()], core)
        self.peers = 0

    def sound(self, packets: Sequence[Spoken]) -> None:
        """Give it something to send; sounds are numbered from 0."""
        self.say({"do": "sound", "packets": [[packet.payload.hex(), packet.level] for packet in packets]})

    def join(self, count: int, lines: Sequence[str], answered: Callable[[list[str]], list[str]]) -> None:
        """Connect so many more peers.

        Args:
            count: How many.
            lines: Direction of each of their lines of audio.
            answered: Has offers answered by the server.
        """
        offers = self.ask({"do": "offer", "count": count, "lines": list(lines)}, "offers")
        self.ask({"do": "answer", "answers": answered(offers)}, "connected")
        self.peers += count

    def where(self, count: int) -> list[tuple[str, int]]:
        """Where the next so many participants without WebRTC listen."""
        told = self.ask({"do": "where", "count": count}, "listening")
        return [_address(text) for text in told]

    def join_plain(self, servers: Sequence[tuple[str, int]]) -> None:
        """Participants without WebRTC that send to these addresses."""
        self.ask({"do": "plain", "servers": [f"{host}:{port}" for host, port in servers]}, "listening")
        self.peers += len(servers)

    def run(
        self, plan: Plan, warm: Callable[[], None] = lambda: None, sent: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Send; ``warm`` and ``sent`` are called when what counts begins and when it is over."""
        senders = [(sender.peer, sender.sound, sender.offset) for sender in plan.senders]
        asked = {"senders": senders, "warm": plan.warm, "seconds": plan.seconds, "interval": plan.interval}
        self.say({"do": "run", **asked, "tag": plan.tag, "precise": plan.precise, "record": plan.record})
        self.hear("warm", plan.warm + ANSWER_SECONDS)
        warm()
        self.hear("sent", plan.seconds + ANSWER_SECONDS)
        sent()
        outcome: dict[str, Any] = self.hear("result")
        return outcome


def own_address() -> str:
    """An address of this machine beside those of loopback; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Of the block for documentation (RFC 5737): this sends nothing, it asks for a route.
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return ""
        host: str = probe.getsockname()[0]
    return "" if host.startswith("127.") else host


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
