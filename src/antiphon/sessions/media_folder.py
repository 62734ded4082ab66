"""The folder whose files may be listened to. Whoever names one learns nothing of what lies beside it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from antiphon.errors import NotFound

SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".m4a", ".mp4", ".mov", ".ogg", ".oga", ".opus", ".webm", ".mka", ".mkv"}
)
"""Names of what is listed; anything else may be asked for all the same, and is told apart by content."""
MAX_LISTED = 1000
"""Files that are listed, the first by name."""
MAX_VISITED = 20_000
"""Files and folders that are looked at for a list."""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that is open.

    Attributes:
        file: To be closed by whoever has it.
        identity: Equal for the same file with the same content.
    """

    file: BinaryIO
    identity: tuple[int, ...]


class MediaFolder:
    """Lists and opens files. The methods block: call them in a worker thread.

    Args:
        root: The folder; None where the server offers no files.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = None if root is None else os.path.realpath(root)

    def open(self, name: str) -> MediaFile:
        """Open a file by the name that :meth:`list` gives it.

        Raises:
            NotFound: There is no such regular file inside the folder, whatever the reason.
        """
        if self._root is None:
            raise NotFound(
                "this server offers no files; its operator can name a folder of them with media_folder", field="source"
            )
        parts = name.split("/")
        if "\0" in name or any(part.startswith(".") or not part for part in parts):
            raise _not_found(name)
        try:
            path = os.path.realpath(os.path.join(self._root, *parts), strict=True)
            if os.path.commonpath((path, self._root)) != self._root or not stat.S_ISREG(os.stat(path).st_mode):
                raise _not_found(name)
            # what was a regular file a moment ago must not make this wait if it has become a pipe
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, ValueError):
            raise _not_found(name) from None
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - closed by the caller
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            file.close()
            raise _not_found(name)
        return MediaFile(file, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))

    def list(self) -> list[dict[str, Any]]:
        """Name and size in bytes of each file, as ``GET /v1/media`` tells them: those of folders after those beside."""
        if self._root is None:
            return []
        found: list[dict[str, Any]] = []
        visited = 0
        for folder, folders, files in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            visited += len(folders) + len(files)
            for name in sorted(files):
                relative = os.path.relpath(os.path.join(folder, name), self._root)
                # what a query cannot name is not offered
                named = relative.isprintable() and "\\" not in relative and not name.startswith(".")
                if not named or os.path.splitext(name)[1].lower() not in SUFFIXES:
                    continue
                try:
                    with self.open(relative).file as file:
                        found.append({"name": relative, "bytes": os.fstat(file.fileno()).st_size})
                except NotFound:
                    continue
                if len(found) >= MAX_LISTED:
                    return found
            if visited > MAX_VISITED:
                break
        return found


def _not_found(name: str) -> NotFound:
    return NotFound(f"there is no file {name[:80]!r}; GET /v1/media lists those there are", field="source")
