"""Janus' AudioBridge as a peer: started with nothing but that plugin, and filled with participants over plain RTP."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.host import ProcessTree, running_on
from bench.room_load import PAYLOAD_TYPE, RATE

FOLDERS = tuple(
    Path(root) / "janus" for root in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")
)
START_SECONDS = 15.0


class JanusError(Exception):
    """Janus did not start, or answered something else than it should."""


def _folder() -> Path | None:
    return next((f for f in FOLDERS if (f / "plugins" / "libjanus_audiobridge.so").exists()), None)


def missing() -> str:
    """What keeps Janus from running here and how to get it; empty where nothing does."""
    if shutil.which("janus") is None or _folder() is None:
        return "Janus with its AudioBridge is not installed: apt install janus"
    return ""


def version() -> str:
    """Janus' version."""
    told = subprocess.run(["janus", "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    return next(
        (word for line in told.splitlines() if "version" in line.lower() for word in line.split()[-1:]), ""
    ).strip("()")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a room is configured.

    Attributes:
        complexity: Of its Opus encoders.
        bitrate: Bits a second; 0 lets libopus decide, which is Janus' default.
        prebuffering: Packets waited for before the first is decoded.
    """

    complexity: int = 4
    bitrate: int = 0
    prebuffering: int = 6


class Janus:
    """A running server and its HTTP interface."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.tree = ProcessTree(process.pid)
        self._url = f"http://127.0.0.1:{port}/janus"
        self._numbers = itertools.count(1)
        self._session = 0

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body | {"transaction": str(next(self._numbers))}).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        if told.get("janus") == "error":
            raise JanusError(f"{body}: {told}")
        return told

    def connect(self) -> None:
        """Wait until it answers, and open a session."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._session = self._post("", {"janus": "create"})["data"]["id"]
            except (urllib.error.URLError, ConnectionError) as failure:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise JanusError(f"Janus did not start: {failure}") from failure
                time.sleep(0.1)
            else:
                return

    def _attach(self) -> str:
        body = {"janus": "attach", "plugin": "janus.plugin.audiobridge"}
        return f"/{self._session}/{self._post(f'/{self._session}', body)['data']['id']}"

    def _message(self, handle: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._post(handle, {"janus": "message", "body": body})

    def _event(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self._url}/{self._session}?maxev=1", timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
        data: dict[str, Any] = told.get("plugindata", {}).get("data", {})
        return data

    @contextmanager
    def room(self, participants: int, settings: Settings, port: int) -> Iterator[list[tuple[str, int]]]:
        """A room whose participants all listen on one port; gives where each of them sends to."""
        room = next(self._numbers) + 100_000
        owner = self._attach()
        options = {"room": room, "sampling_rate": RATE, "allow_rtp_participants": True}
        options |= {"default_prebuffering": settings.prebuffering, "default_bitrate": settings.bitrate}
        self._message(owner, {"request": "create", **options})
        handles, addresses = [], []
        for _ in range(participants):
            handles.append(handle := self._attach())
            rtp = {"ip": "127.0.0.1", "port": port, "payload_type": PAYLOAD_TYPE}
            self._message(
                handle, {"request": "join", "room": room, "muted": False, "quality": settings.complexity, "rtp": rtp}
            )
            addresses.append(self._joined())
        try:
            yield addresses
        finally:
            for handle in handles:
                self._post(handle, {"janus": "detach"})
            self._message(owner, {"request": "destroy", "room": room})

    def _joined(self) -> tuple[str, int]:
        while True:
            data = self._event()
            if "error" in data:
                raise JanusError(str(data))
            if data.get("audiobridge") == "joined" and "rtp" in data:
                return data["rtp"]["ip"], data["rtp"]["port"]


@contextmanager
def started(core: int) -> Iterator[Janus]:
    """Janus on loopback with nothing but the AudioBridge, pinned to a core.

    Raises:
        JanusError: It did not start.
    """
    library = _folder()
    if library is None:
        raise JanusError(missing())
    with TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        _configure(folder, library, port)
        log = folder.joinpath("log").open("wb")
        with log, running_on(core):
            process = subprocess.Popen(["janus", "-F", name], stdout=log, stderr=log)
        try:
            janus = Janus(port, process)
            janus.connect()
            yield janus
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _configure(folder: Path, library: Path, port: int) -> None:
    for kind, file in (("plugins", "libjanus_audiobridge.so"), ("transports", "libjanus_http.so")):
        folder.joinpath(kind).mkdir()
        folder.joinpath(kind, file).symlink_to(library / kind / file)
    folder.joinpath("none").mkdir()
    lines = (f'{kind}_folder = "{folder / path}"' for kind, path in _PLACES.items())
    write = {
        "janus.jcfg": "general: {\n" + "\n".join(lines) + '\ndebug_level = 2\n}\nnat: {\nice_enforce_list = "lo"\n}\n',
        "janus.transport.http.jcfg": f'general: {{\nhttp = true\nport = {port}\nip = "127.0.0.1"\nhttps = false\n}}\n',
        "janus.plugin.audiobridge.jcfg": 'general: {\nlocal_ip = "127.0.0.1"\n}\n',
    }
    for name, text in write.items():
        folder.joinpath(name).write_text(text)


_PLACES = {"configs": ".", "plugins": "plugins", "transports": "transports", "events": "none", "loggers": "none"}
