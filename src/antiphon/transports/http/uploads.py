"""Receiving a whole file: as the body of the request, or as the field ``file`` of a form. Never held in memory."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import fsspec
import orjson
from aiohttp import BodyPartReader, ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from antiphon.errors import BadAudio, BadMessage, Forbidden, NotFound, TooLarge
from antiphon.protocol import fields

T = TypeVar("T")

BLOCK = 1 << 18
IDLE_TIMEOUT = 60.0
"""Seconds an upload may stand still."""
MAX_FIELD = 4096
"""Bytes of a form's other fields, each, and of a JSON body."""
MAX_FIELDS = 16
"""Fields of a form."""


@dataclass(slots=True)
class Upload:
    """A received file, in a temporary place, and the fields that came with it."""

    path: Path
    options: dict[str, Any] = field(default_factory=dict)

    def discard(self) -> None:
        """Delete the file, unless a job has taken it."""
        self.path.unlink(missing_ok=True)


class Uploads:
    """Receives files.

    Args:
        max_bytes: The largest file.
        object_store: A URL under which objects may be named instead of uploaded, such as ``file:///srv/audio`` or
            ``s3://bucket/prefix``; empty for none.
    """

    def __init__(self, max_bytes: int, object_store: str = "") -> None:
        self._max_bytes = max_bytes
        self._store = object_store.rstrip("/")

    async def receive(self, request: web.Request) -> Upload:
        """The file of a request.

        Raises:
            TooLarge: It is over the maximum.
            BadMessage: There is none, or the form is broken.
            BadAudio: It is empty.
            NotFound: A URL that names nothing, or there is no store.
            Forbidden: A URL outside the store.
        """
        kind = request.content_type
        if (request.content_length or 0) > self._max_bytes + MAX_FIELD and kind != "application/json":
            raise self._too_large()
        if kind == "application/json":
            return await self._from_store(request)
        handle, name = tempfile.mkstemp(prefix="antiphon-")
        upload = Upload(Path(name))
        try:
            with os.fdopen(handle, "wb") as target:
                if kind.startswith("multipart/"):
                    await self._receive_form(request, upload, target)
                else:
                    await self._copy(_blocks(request.content.iter_chunked(BLOCK)), target)
                size = target.tell()
            if size == 0:
                raise BadAudio("the file is empty; send WAV, FLAC, MP3, MP4/M4A, Ogg or WebM")
        except BaseException:
            upload.discard()
            raise
        return upload

    async def _receive_form(self, request: web.Request, upload: Upload, target: Any) -> None:
        found = False
        try:
            reader = await request.multipart()
            for count in range(MAX_FIELDS + 1):
                part = await _within(reader.next())
                if part is None:
                    break
                if not isinstance(part, BodyPartReader):
                    raise BadMessage("the form holds another form; send one file in the field 'file'")
                if count == MAX_FIELDS:
                    raise BadMessage(f"the form has more than {MAX_FIELDS} fields")
                if part.name == "file":
                    if found:
                        raise BadMessage("the form has two files; send one", field="file")
                    found = True
                    await self._copy(_blocks(_part_blocks(part)), target)
                else:
                    upload.options[part.name or ""] = await _read_field(part)
        except (ValueError, AssertionError, RuntimeError, HttpProcessingError) as fault:
            raise BadMessage(f"the multipart form is broken: {str(fault)[:200] or type(fault).__name__}") from None
        if not found:
            raise BadMessage("the form has no field 'file'", field="file")

    async def _copy(self, blocks: AsyncIterator[bytes], target: Any) -> None:
        total = 0
        async for block in blocks:
            total += len(block)
            if total > self._max_bytes:
                raise self._too_large()
            await asyncio.to_thread(target.write, block)

    async def _from_store(self, request: web.Request) -> Upload:
        text = bytearray()
        async for block in _blocks(request.content.iter_any()):
            text += block
            if len(text) > MAX_FIELD:
                raise TooLarge(f"a JSON body may have up to {MAX_FIELD} bytes; a file is sent as it is, or in a form")
        try:
            body = orjson.loads(text)
        except orjson.JSONDecodeError as fault:
            raise BadMessage(f"the body is not JSON: {fault}") from None
        options = fields.as_object(body, "this request")
        url = fields.text(options, "url", longest=2048)
        if url is None:
            raise BadMessage("send {'url': ...}, or the file itself as body or form field 'file'", field="url")
        self._check_url(url)
        handle, name = tempfile.mkstemp(prefix="antiphon-")
        upload = Upload(Path(name), options)
        try:
            with os.fdopen(handle, "wb") as target:
                await asyncio.to_thread(self._fetch, url, target)
        except BaseException:
            upload.discard()
            raise
        return upload

    def _check_url(self, url: str) -> None:
        if not self._store:
            raise NotFound("this server has no object store; its operator can name one with object_store", field="url")
        root, name = self._store + "/", url[len(self._store) + 1 :]
        steps = name.split("/")
        # nothing that a file system, a chain of them ("::") or a web server might read as something else
        if (
            not url.startswith(root)
            or not name.isprintable()
            or any(sign in name for sign in ("%", "?", "\\", "::"))
            or any(step in ("", ".", "..") for step in steps)
        ):
            raise Forbidden("this URL is not inside the server's object store", field="url")
        if root.startswith("file:"):
            folder = Path(urlsplit(root).path).resolve()
            if not folder.joinpath(*steps).resolve().is_relative_to(folder):
                raise Forbidden("this URL is not inside the server's object store", field="url")

    def _fetch(self, url: str, target: Any) -> None:
        try:
            with fsspec.open(url, "rb") as source:
                total = 0
                while block := source.read(BLOCK):
                    total += len(block)
                    if total > self._max_bytes:
                        raise self._too_large()
                    target.write(block)
        except OSError as fault:
            if not isinstance(fault, _NO_SUCH_OBJECT) and fault.errno != errno.ENAMETOOLONG:
                raise
            raise NotFound(f"the object store has no {url[:200]!r}", field="url") from None

    def _too_large(self) -> TooLarge:
        return TooLarge(f"files may have up to {self._max_bytes} bytes; split this one, or compress it (Opus, MP3)")


_NO_SUCH_OBJECT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


async def _within(coming: Awaitable[T]) -> T:
    """What comes of an upload, within the deadline."""
    try:
        async with asyncio.timeout(IDLE_TIMEOUT):
            return await coming
    except TimeoutError:
        raise BadMessage(f"the upload stood still for {IDLE_TIMEOUT:.0f} s") from None
    except (ClientPayloadError, ConnectionError):
        raise BadMessage("the upload broke off before the file was complete; send it again") from None


async def _blocks(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Blocks of a decent size, each within the deadline."""
    while (block := await _within(anext(source, None))) is not None:
        yield block


async def _part_blocks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while block := await part.read_chunk(BLOCK):
        yield block


async def _read_field(part: BodyPartReader) -> str:
    value = bytearray()
    async for block in _blocks(_part_blocks(part)):
        value += block
        if len(value) > MAX_FIELD:
            raise TooLarge(f"the form field {part.name!r} has more than {MAX_FIELD} bytes", field=part.name)
    return value.decode("utf-8", "replace")
