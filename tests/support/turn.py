"""Real TURN servers for the tests: coturn, run by ``antiphon turn`` on free ports of loopback."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import trustme

from support.server import clean_environment

SECRET = "a-secret-of-the-turn-server-0123456789"
START_DEADLINE = 60.0
STOP_DEADLINE = 60.0
RELAY_PORTS = 64

needs_coturn = pytest.mark.skipif(
    shutil.which("turnserver") is None, reason="turnserver is not installed (package coturn)"
)


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost and the loopback addresses.

    Attributes:
        chain: PEM file of it.
        key: PEM file of its key.
        authority: PEM file of who signed it.
    """

    chain: Path
    key: Path
    authority: Path


def make_certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "turn.pem", folder / "turn.key", folder / "authority.pem")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1", "::1")
    certificate.private_key_pem.write_to_path(str(made.key))
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(str(made.chain), append=number > 0)
    authority.cert_pem.write_to_path(str(made.authority))
    return made


def free_port() -> int:
    """A port that is free on loopback for UDP and TCP."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class TurnProcess:
    """A running ``antiphon turn``; ends with its ``with`` block.

    Attributes:
        port: For STUN, and TURN over UDP and TCP.
        tls_port: For TURN over TLS; closed without a certificate.
        pid: Of ``antiphon turn``; coturn is its child.
    """

    def __init__(self, flags: tuple[str, ...], certificate: Certificate | None) -> None:
        self.port, self.tls_port = free_port(), free_port()
        first = random.randrange(20_000, 32_000 - RELAY_PORTS)  # below what systems give out by themselves
        if certificate is not None:
            flags = ("--cert", str(certificate.chain), "--key", str(certificate.key), *flags)
        self._certificate = certificate
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [sys.executable, "-m", "antiphon.cli", "turn", "--listen", "127.0.0.1"]
        command += ["--port", str(self.port), "--tls-port", str(self.tls_port)]
        command += ["--relay-ports", f"{first}-{first + RELAY_PORTS}", *flags]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=clean_environment(ANTIPHON_TURN_SECRET=SECRET),
            start_new_session=True,
        )
        self.pid = self._process.pid
        end = time.monotonic() + START_DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{' '.join(command)} does not answer:\n{self.log}")

    @property
    def log(self) -> str:
        """What it and coturn have written so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode("utf-8", "replace")

    @property
    def urls(self) -> dict[str, str]:
        """Its addresses by kind of check."""
        urls = {
            "stun": f"stun:127.0.0.1:{self.port}",
            "turn-udp": f"turn:127.0.0.1:{self.port}?transport=udp",
            "turn-tcp": f"turn:127.0.0.1:{self.port}?transport=tcp",
        }
        if self._certificate is not None:
            urls["turn-tls"] = f"turns:localhost:{self.tls_port}?transport=tcp"
        return urls

    def wait(self, deadline: float = STOP_DEADLINE) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(deadline)

    def stop(self) -> int:
        """End it as an operator would, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it and coturn at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process.poll() is None:
                self.stop()
        finally:
            self.kill()
            self._log.close()

    def _answers(self) -> bool:
        """Whether STUN over UDP and connections over TCP are answered; takes a moment."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.settimeout(0.1)
                udp.connect(("127.0.0.1", self.port))
                udp.send(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + os.urandom(12))
                udp.recv(1500)
            ports = [self.port] if self._certificate is None else [self.port, self.tls_port]
            for port in ports:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
            return False
        return True


def start_turn(*flags: str, certificate: Certificate | None = None) -> TurnProcess:
    """Start ``antiphon turn`` with `flags` on free ports of loopback, and wait until it answers.

    Peers on loopback are denied unless `flags` allow one.

    Raises:
        RuntimeError: It ended, or does not answer in time; the message holds what it wrote.
    """
    return TurnProcess(flags, certificate)
