"""Draw an icon of ours as PNG: browsers take no SVG for an extension's icons.

Only what our own icons are made of is understood: upright rectangles, and level strokes. Anything else is an error
rather than a wrong picture.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

SAMPLES = 16
"""Points looked at for each pixel, along each side."""
NAMESPACE = "{http://www.w3.org/2000/svg}"
TOKEN = re.compile(r"([MhHvVz])|(-?\d*\.?\d+)")

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom, in units of the view box."""


def colour(value: str | None) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``.

    Raises:
        ValueError: It is written another way.
    """
    if value is None or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError(f"a colour has to be #rrggbb, not {value!r}")
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def subpaths(data: str) -> Iterator[list[tuple[float, float]]]:
    """The corners of each part of a path of upright and level lines.

    Raises:
        ValueError: There is something else in it.
    """
    if TOKEN.sub("", data).strip(" ,"):
        raise ValueError(f"a path may have M, h, H, v, V and z only: {data!r}")
    points: list[tuple[float, float]] = []
    command = ""
    numbers: list[float] = []
    for letter, number in TOKEN.findall(data):
        if letter:
            command, numbers = letter, []
            if letter == "M" and points:
                yield points
                points = []
            continue
        numbers.append(float(number))
        if command == "M" and len(numbers) == 2:
            points = [(numbers[0], numbers[1])]
        elif command != "M":
            x, y = points[-1]
            value = numbers.pop()
            steps = {"h": (x + value, y), "H": (value, y), "v": (x, y + value), "V": (x, value)}
            points.append(steps[command])
    if points:
        yield points


def rectangles(shape: ElementTree.Element) -> Iterator[tuple[Rectangle, float, tuple[int, int, int]]]:
    """What a shape covers: rectangles with the radius of their corners, and a colour.

    Raises:
        ValueError: It is no shape that is understood here.
    """
    number = {name: float(value) for name, value in shape.attrib.items() if re.fullmatch(r"-?\d*\.?\d+", value)}
    if shape.tag == f"{NAMESPACE}rect":
        x, y = number.get("x", 0.0), number.get("y", 0.0)
        box = (x, y, x + number["width"], y + number["height"])
        yield box, number.get("rx", 0.0), colour(shape.get("fill"))
    elif shape.tag == f"{NAMESPACE}path":
        stroke = shape.get("stroke")
        half = number.get("stroke-width", 1.0) / 2
        for points in subpaths(shape.get("d", "")):
            xs, ys = [x for x, _ in points], [y for _, y in points]
            if stroke is not None:
                if len(set(ys)) != 1:
                    raise ValueError("a stroke has to be level")
                yield (min(xs), ys[0] - half, max(xs), ys[0] + half), 0.0, colour(stroke)
            else:
                if len(points) != 4 or len(set(xs)) != 2 or len(set(ys)) != 2:
                    raise ValueError(f"a filled path has to be a rectangle, not {points}")
                yield (min(xs), min(ys), max(xs), max(ys)), 0.0, colour(shape.get("fill"))
    else:
        raise ValueError(f"{shape.tag} is not understood")


def draw(svg: Path, size: int) -> bytes:
    """The icon as a PNG of `size` pixels on each side, with transparency.

    Raises:
        ValueError: The icon has something that is not understood here.
    """
    root = ElementTree.parse(svg).getroot()  # noqa: S314 - a file of this repository
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    if width != height:
        raise ValueError("an icon has to be square")
    side = size * SAMPLES
    at = (np.arange(side) + 0.5) * width / side
    canvas = np.zeros((side, side, 4))
    for shape in root:
        for (left, top, right, bottom), radius, rgb in rectangles(shape):
            # the distance by which a point lies outside the rectangle that the corners are round about
            dx = np.maximum(np.maximum(left + radius - at, at - (right - radius)), 0.0)
            dy = np.maximum(np.maximum(top + radius - at, at - (bottom - radius)), 0.0)
            covered = dx[None, :] ** 2 + dy[:, None] ** 2 <= radius**2
            canvas[covered] = (*rgb, 255)
    pixels = canvas.reshape(size, SAMPLES, size, SAMPLES, 4)
    alpha = pixels[..., 3:].sum(axis=(1, 3))
    colours = (pixels[..., :3] * (pixels[..., 3:] > 0)).sum(axis=(1, 3)) * 255 / np.maximum(alpha, 1)
    return png(np.concatenate([colours, alpha / SAMPLES**2], axis=2).round().astype(np.uint8))


def png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Rows of red, green, blue and alpha as a PNG (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
