"""Where live WebM and Ogg can be joined: for listeners who come in the middle, or have lost a part.

A decoder needs the header of a container, and then what begins with a cluster or a block (WebM), or with a page (Ogg).
The finders here take the bytes of a stream, cut anywhere, and say for each piece at which of its bytes somebody may
join, and what has to be sent before that::

    finder = JoinFinder.of(piece)
    join = finder.push(piece)
    if join is not None:
        send(join.head + piece[join.at :])

Only the structure is looked at; what is inside of a block is never touched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from antiphon.formats import Encoding

MAX_HEADER: Final = 64 * 1024
"""Bytes of a header that are kept. A stream with more cannot be joined."""

EBML: Final = b"\x1a\x45\xdf\xa3"
CLUSTER: Final = b"\x1f\x43\xb6\x75"
OGG: Final = b"OggS"

_SEGMENT: Final = b"\x18\x53\x80\x67"
_TIMESTAMP: Final = b"\xe7"
_BLOCKS: Final = frozenset({b"\xa3", b"\xa0"})
_VIDEO: Final = b"V_"
"""How the codecs of video are named in a header."""
_MAX_ELEMENT: Final = 1 << 24
"""Bytes of an element that is passed over. None of a live stream is near that; what claims more is no element."""

_PAGE_HEAD: Final = 27
_CONTINUED, _FIRST = 0x01, 0x02


@dataclass(frozen=True, slots=True)
class Join:
    """Where a piece of a stream may be joined.

    Attributes:
        at: The byte of the piece.
        head: What has to come before that.
    """

    at: int
    head: bytes


def container_of(data: bytes) -> Encoding | None:
    """The container whose header stands at the start of `data`; None where none does."""
    if data[:4] == EBML:
        return Encoding.WEBM
    if data[:4] == OGG and len(data) > 5 and data[5] & _FIRST:
        return Encoding.OGG
    return None


class JoinFinder(ABC):
    """Follows one stream.

    Attributes:
        header: What stands before all audio; empty until it is complete.
    """

    def __init__(self) -> None:
        self.header = b""
        self._kept: bytearray | None = None
        self._rest = b""
        self._skip = 0
        self._lost = True

    @staticmethod
    def of(container: Encoding) -> JoinFinder:
        """The finder for a container, ``webm`` or ``ogg``."""
        return WebmJoinFinder() if container is Encoding.WEBM else OggJoinFinder()

    def push(self, piece: bytes) -> Join | None:
        """Take the next piece, and say where the first place is in it to join; None where there is none.

        A piece that begins with a header is taken for a stream that begins anew, wherever the one before broke off.
        """
        if container_of(piece) is not None:
            self._rest, self._skip, self._lost = b"", 0, False
        base = len(self._rest)
        data = self._rest + piece
        at = 0
        if self._lost:
            at = self._recognise(data)
            if at < 0:
                self._rest = data[-3:]
                return None
            self._lost, self._skip = False, 0
        found: Join | None = None
        while True:
            step = min(self._skip, len(data) - at)
            self._keep(data[at : at + step])
            at += step
            self._skip -= step
            if self._skip:
                break
            try:
                unit = self._unit(data, at)
            except ValueError:
                self.miss()
                return found
            if unit is None:
                break
            head, end = unit
            if found is None and head is not None and at >= base:
                found = Join(at - base, head)
            self._keep(data[at:end])
            at = end
        self._rest = data[at:]
        return found

    def miss(self) -> None:
        """A piece is missing here: places are found again from the next one that can be recognised."""
        self._rest, self._skip, self._lost = b"", 0, True

    @abstractmethod
    def _recognise(self, data: bytes) -> int:
        """Where the structure can be seen again; -1 where it cannot."""

    @abstractmethod
    def _unit(self, data: bytes, at: int) -> tuple[bytes | None, int] | None:
        """Read the head of the unit at `at`, and set how many bytes of content are to be passed over after it.

        Returns:
            What has to come before this unit for somebody who joins here, None where nobody can; and where the head
            ends. None where not all of the head is there.

        Raises:
            ValueError: This is no unit.
        """

    def _begin_header(self) -> None:
        self.header = b""
        self._kept = bytearray()

    def _end_header(self) -> None:
        if self._kept is not None:
            self.header, self._kept = bytes(self._kept), None

    def _keep(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > MAX_HEADER:
                self._kept = None


class WebmJoinFinder(JoinFinder):
    """WebM and Matroska (RFC 9559).

    Within a cluster a stream is joined at any block, under a head of a cluster made for it, which has the timestamp of
    the one that was broken off. With video a block may need others, so that clusters alone count.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cluster: bytes | None = None

    def _recognise(self, data: bytes) -> int:
        at = -1
        while (at := data.find(CLUSTER, at + 1)) >= 0:
            try:
                cluster = _element(data, at)
            except ValueError:
                continue
            if cluster is not None and data[cluster[1] : cluster[1] + 1] == _TIMESTAMP:
                return at
        return -1

    def _unit(self, data: bytes, at: int) -> tuple[bytes | None, int] | None:
        element = _element(data, at)
        if element is None:
            return None
        name, content, size = element
        if name == EBML:
            self._begin_header()
            self._cluster = None
            join = b""
        elif name == CLUSTER:
            self._end_header()
            self._cluster = None
            join = self.header
        elif name == _TIMESTAMP:
            if size is None or size > 8:
                raise ValueError("a timestamp has at most eight bytes")
            if content + size > len(data):
                return None
            # a cluster of unknown size, with this timestamp
            self._cluster = CLUSTER + b"\x01" + b"\xff" * 7 + data[at : content + size]
            join = b""
        elif name in _BLOCKS and self._cluster is not None and self.header and _VIDEO not in self.header:
            join = self.header + self._cluster
        else:
            join = b""
        if name not in (_SEGMENT, CLUSTER):
            if size is None or size > _MAX_ELEMENT:
                raise ValueError("an element without an end, or beyond all measure")
            self._skip = size
        return (join if join or name == EBML else None), content


class OggJoinFinder(JoinFinder):
    """Ogg (RFC 3533): a stream is joined at any page that goes on with no packet."""

    def __init__(self) -> None:
        super().__init__()
        self._packets = 0

    def _recognise(self, data: bytes) -> int:
        return data.find(OGG)

    def _unit(self, data: bytes, at: int) -> tuple[bytes | None, int] | None:
        if not OGG.startswith(data[at : at + 4]):
            raise ValueError("no page")
        if len(data) < at + _PAGE_HEAD or len(data) < at + _PAGE_HEAD + data[at + 26]:
            return None
        flags = data[at + 5]
        content = at + _PAGE_HEAD + data[at + 26]
        lacing = data[at + _PAGE_HEAD : content]
        self._skip = sum(lacing)
        if flags & _FIRST:
            self._begin_header()
            # what follows the identification: a comment (RFC 7845 section 3), and with Vorbis another one
            self._packets = 2 if data[content + 1 : content + 7] == b"vorbis" else 1
            return b"", content
        if self._packets > 0:
            self._packets -= sum(length < 255 for length in lacing)
            return None, content
        self._end_header()
        return (self.header if self.header and not flags & _CONTINUED else None), content


def _element(data: bytes, at: int) -> tuple[bytes, int, int | None] | None:
    """The element whose head stands at `at` (RFC 8794 sections 4 to 6).

    Returns:
        Its name, where its content begins, and how long that is; None for the latter where that is unknown. None where
        not all of the head is there.

    Raises:
        ValueError: No element begins like this.
    """
    if at >= len(data):
        return None
    name_bytes = 9 - data[at].bit_length()
    if name_bytes > 4:
        raise ValueError("no name of an element")
    size_at = at + name_bytes
    if size_at >= len(data):
        return None
    size_bytes = 9 - data[size_at].bit_length()
    if size_bytes > 8:
        raise ValueError("no size of an element")
    content = size_at + size_bytes
    if content > len(data):
        return None
    ones = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(data[size_at:content]) & ones
    return data[at:size_at], content, None if size == ones else size
