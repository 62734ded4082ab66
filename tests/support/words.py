"""How much of what was said was understood; and saying it again where that was too little.

Speech that goes through a process in real time has gaps where the machine is busy, and is misheard then. That says
nothing about the server, so it is said again; a server that loses or damages it never understands it.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Sequence

TIMES = 4
"""So often something is said, until it is understood."""
READING = 20.0
"""Seconds until what was said has been written down; then it is said again."""


class NotUnderstood(AssertionError):
    """Other words came than were said."""


def word_errors(said: str, heard: str) -> int:
    """Words to change, insert or remove (Levenshtein distance over words)."""
    wanted, got = said.split(), heard.split()
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        above, row[0] = row[:], i
        for j, other in enumerate(got, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other))
    return row[-1]


def word_error_rate(said: str, heard: str) -> float:
    """Word errors over words said; more than 1 where more was heard than said."""
    return word_errors(said, heard) / len(said.split())


def alike(heard: str, words: str, share: float = 0.75) -> bool:
    """Whether such a share of the words was heard, in their order, and not too many others."""
    said, understood = words.split(), heard.split()
    blocks = difflib.SequenceMatcher(None, said, understood, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) >= share * max(len(said), len(understood))


def among(results: Sequence[str], *words: str, share: float = 0.75) -> bool:
    """Whether each of these words was understood, in this order: as one of the results, or several that follow another.

    Before, between and after may be what was understood less well.
    """
    begin = 0
    for wanted in words:
        for end in range(begin + 1, len(results) + 1):
            if any(alike(" ".join(results[at:end]), wanted, share) for at in range(begin, end)):
                begin = end
                break
        else:
            return False
    return True


async def until_understood(say: Callable[[], Awaitable[object]], *checks: Callable[[], Awaitable[object]]) -> None:
    """Say something until every check is content with it.

    Args:
        say: Says it, each time anew.
        checks: Wait for what came of it, and raise :class:`NotUnderstood` where that is not what was said.

    Raises:
        NotUnderstood: Of the last time.
    """
    for left in reversed(range(TIMES)):
        try:
            await say()
            for check in checks:
                await check()
            return
        except NotUnderstood:
            if not left:
                raise
