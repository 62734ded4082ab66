"""Node's ``socket.io-client`` as a process that says what it was told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support.audio import speech
from support.server import ServerProcess

SCRIPTS = Path(__file__).parent / "node"


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
    return run_node(
        "talk.mjs",
        {"url": server.url, "audio": str(audio), "size": 3_200, "start": {"language_code": "en-US"}, **task},
    )


def run_node(script: str, task: dict[str, Any]) -> Told:
    """Have a script do a task, and give what it was told meanwhile."""
    done = subprocess.run(
        ["node", str(SCRIPTS / script)], input=json.dumps(task), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return Told(done.stdout)
