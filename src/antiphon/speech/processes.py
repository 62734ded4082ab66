"""Processes that speech engines start."""

from __future__ import annotations

import os


def environment() -> dict[str, str]:
    """This process's variables without the settings of Antiphon, among which are secrets."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("ANTIPHON_")}
