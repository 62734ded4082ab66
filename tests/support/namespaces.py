"""Networks of their own for the tests, made of Linux' network namespaces and pairs of virtual devices."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

CLONE_NEWNET = 0x40000000
"""Of setns(2)."""
TIMEOUT = 20.0


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def _missing() -> str:
    """Why there are none here; empty where there are."""
    if shutil.which("ip") is None:
        return "ip is not installed (package iproute2)"
    name = f"antiphon-try-{os.getpid()}"
    tried = _run("ip", "netns", "add", name)
    try:
        if tried.returncode:
            return f"network namespaces need root on Linux: {tried.stderr.strip()}"
        tried = _run("ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two")
        return f"no virtual network devices here: {tried.stderr.strip()}" if tried.returncode else ""
    finally:
        _run("ip", "netns", "del", name)


def need_namespaces() -> None:
    """Skip the test where this machine has none."""
    if reason := _missing():
        pytest.skip(reason)


class Namespace:
    """A network namespace; it and its devices are gone after its ``with`` block."""

    def __init__(self, name: str) -> None:
        self.name = f"antiphon-{os.getpid()}-{name}"

    def __enter__(self) -> Self:
        done = _run("ip", "netns", "add", self.name)
        assert done.returncode == 0, done.stderr
        self.ip("link set lo up")
        return self

    def __exit__(self, *_: object) -> None:
        _run("ip", "netns", "del", self.name)

    def ip(self, command: str) -> None:
        """Run ``ip`` in it."""
        done = _run("ip", "-n", self.name, *command.split())
        assert done.returncode == 0, f"ip {command}: {done.stderr}"

    def lose(self, device: str, percent: float) -> bool:
        """Let a device lose that share of what it sends; False where the kernel has no netem."""
        qdisc = ("tc", "-n", self.name, "qdisc", "add", "dev", device, "root", "netem", "loss", f"{percent}%")
        return shutil.which("tc") is not None and _run(*qdisc).returncode == 0

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread opens in the block, and processes that it starts, are in the namespace."""
        with Path("/proc/thread-self/ns/net").open() as outside, Path("/run/netns", self.name).open() as within:
            _enter(within.fileno())
            try:
                yield
            finally:
                _enter(outside.fileno())


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def connect(one: Namespace, other: Namespace, network: int, device: str) -> None:
    """A cable between two namespaces: ``10.231.NETWORK.1`` at one end and ``.2`` at the other."""
    one.ip(f"link add {device} type veth peer name {device} netns {other.name}")
    for end, host in ((one, 1), (other, 2)):
        end.ip(f"addr add 10.231.{network}.{host}/24 dev {device}")
        end.ip(f"link set {device} up")
