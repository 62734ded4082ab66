"""Servers that several test files share: one that hears, and one that says a script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.server import SCRIPTED, ServerProcess, start_server


@pytest.fixture(scope="session")
def hearing() -> Iterator[ServerProcess]:
    """A server with PocketSphinx, as it is by default, but in no hurry to refuse audio."""
    with start_server("--max-rate", "100") as server:
        yield server


@pytest.fixture(scope="session")
def scripted() -> Iterator[ServerProcess]:
    """A server with the double that says 'one two three', 'four five six', … three seconds of audio each."""
    with start_server(*SCRIPTED, "--max-rate", "100", "--max-streams", "100") as server:
        yield server
