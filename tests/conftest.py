"""What holds for all tests."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# what a shell runs in the background ignores Ctrl-C, and so would all that tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes is the machine's affair
settings.register_profile("antiphon", deadline=None)
settings.load_profile("antiphon")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files in an order in which workers share the machine well.

    Files with a browser, which take a core each, in turn with others, which wait for the most part; the larger ones
    first, and unit tests last, so that no worker is left alone with a long file.
    """
    sizes = Counter(item.path for item in items)
    places: dict[Path, tuple[int, int]] = {}
    folders = Counter[str]()
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        folder = path.relative_to(Path(__file__).parent).parts[0]
        places[path] = (int(folder == "unit"), folders[folder])
        folders[folder] += 1
    items.sort(key=lambda item: (*places[item.path], item.path))
