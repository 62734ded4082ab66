"""How many words were understood."""

from __future__ import annotations


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
