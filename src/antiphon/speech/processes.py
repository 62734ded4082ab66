"""Processes that speech engines start."""

from __future__ import annotations

import os

NICENESS = 5
"""Of workers above the server's: where cores are short, each gets a third of what a thread of the server gets."""


def let_media_go_first() -> None:
    """Lower this process's priority: media must not wait for words."""
    os.nice(NICENESS)


def environment() -> dict[str, str]:
    """This process's variables without the settings of Antiphon, among which are secrets."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("ANTIPHON_")}
