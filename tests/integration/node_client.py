"""Node's ``socket.io-client`` as a process that says what it was told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support.audio import speech
from support.server import ServerProcess

SCRIPT = Path(__file__).parent / "node" / "talk.mjs"


class Told:
    """What the client was told."""

    def __init__(self, lines: str) -> None:
        self.messages: list[tuple[str, Any]] = [tuple(json.loads(line)) for line in lines.splitlines()]

    def all(self, name: str) -> list[Any]:
        return [data for told, data in self.messages if told == name]

    @property
    def text(self) -> str:
        return " ".join(result["text"] for result in self.all("transcription_result") if not result["is_partial"])


def talk(server: ServerProcess, folder: Path, **task: Any) -> Told:
    audio = folder / "speech.raw"
    audio.write_bytes(speech("go-forward"))
    what = {"url": server.url, "audio": str(audio), "size": 3_200, "start": {"language_code": "en-US"}, **task}
    done = subprocess.run(
        ["node", str(SCRIPT)], input=json.dumps(what), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return Told(done.stdout)
