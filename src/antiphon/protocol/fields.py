"""Reading the fields of a client's JSON, with errors that name the one at fault."""

from __future__ import annotations

import re
from typing import Any

from antiphon.errors import BadMessage

SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def as_object(message: object, what: str) -> dict[str, Any]:
    """`message`, where it is a JSON object."""
    if not isinstance(message, dict):
        raise BadMessage(f"{what} takes a JSON object, not {json_type(message)}")
    return message


def text(message: dict[str, Any], name: str, default: str | None = None, *, longest: int = 256) -> str | None:
    """A field that is text, or absent or null."""
    value = message.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise BadMessage(f"{name} must be text, not {json_type(value)}", field=name)
    if len(value) > longest:
        raise BadMessage(f"{name} has {len(value)} characters; at most {longest} are taken", field=name)
    return value


def boolean(message: dict[str, Any], name: str, default: bool) -> bool:
    """A field that is true or false, or absent or null."""
    value = message.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadMessage(f"{name} must be true or false, not {json_type(value)}", field=name)
    return value


def whole_number(message: dict[str, Any], name: str, default: int | None = None) -> int | None:
    """A field that is a whole number from 0 on, or absent or null. Ids may also come as digits in text."""
    value = message.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise BadMessage(f"{name} must be a whole number from 0 on, not {str(value)[:40]!r}", field=name)
    return value


def session_id(message: dict[str, Any], name: str) -> str | None:
    """A field that names a session, or is absent or null."""
    value = text(message, name, longest=128)
    if value is not None and not SESSION_ID.fullmatch(value):
        raise BadMessage(
            f"{name} must be 1 to 128 letters, digits, '.', '_', ':' or '-', and begin with a letter or digit",
            field=name,
        )
    return value


def json_type(value: object) -> str:
    """What JSON calls the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, bytes | bytearray | memoryview):
        return "binary data"
    return "an array" if isinstance(value, list | tuple) else "an object"
