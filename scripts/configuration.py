"""Write docs/reference/configuration.md from the settings themselves: ``python -m scripts.configuration [--check]``.

With ``--check`` nothing is written; the page on disk has to be what would be.
"""

from __future__ import annotations

import importlib
import os
import sys
import typing
from typing import Any
from unittest import mock

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from antiphon.server import config
from scripts.environment import ROOT

PAGE = ROOT / "docs" / "reference" / "configuration.md"

HEAD = """\
# Configuration

Every setting, as `antiphon serve --help` has them. This page is made from the settings' own definitions
(`python -m scripts.configuration`); how to set them is in [../how-to/configure.md](../how-to/configure.md).

The setting `max_streams` is the flag `--max-streams`, the environment variable `ANTIPHON_MAX_STREAMS`, and the key
`max_streams` of the TOML file. Flags win over variables, variables over the file, the file over the defaults.

| setting | default | takes | meaning |
| --- | --- | --- | --- |
"""


def defaults(cores: int) -> dict[str, Any]:
    """The defaults on a machine with so many cores."""
    with mock.patch.object(os, "cpu_count", return_value=cores):
        fields = importlib.reload(config).Settings.model_fields
    return {name: field.get_default() for name, field in fields.items()}


def shown(value: object) -> str:
    """A default as people write it."""
    if value in ("", (), SecretStr("")):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return f"`{value}`"


def taken(field: FieldInfo) -> str:
    """What values a setting takes."""
    kind = field.annotation
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return "list of texts"
    low = next((f"{rule.ge}" for rule in field.metadata if isinstance(rule, annotated_types.Ge)), "")
    high = next((f"{rule.le}" for rule in field.metadata if isinstance(rule, annotated_types.Le)), "")
    name = {bool: "true or false", int: "whole number", float: "number", str: "text", SecretStr: "text"}[
        typing.cast(type, kind)
    ]
    span = f"{low} to {high}" if low and high else f"from {low}" if low else ""
    return f"{name} {span}".strip()


def page() -> str:
    """The text of the page."""
    one, many = defaults(1), defaults(7)
    rows = []
    for name, field in config.Settings.model_fields.items():
        default = shown(one[name]) if one[name] == many[name] else f"{shown(one[name])} for each core"
        rows.append(f"| `{name}` | {default} | {taken(field)} | {field.description} |\n")
    return HEAD + "".join(rows)


def main(arguments: list[str]) -> int:
    text = page()
    if arguments == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            name = PAGE.relative_to(ROOT)
            print(f"{name} is not what the settings say; run: python -m scripts.configuration", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
