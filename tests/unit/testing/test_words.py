"""What tests of speech take for understood, and how often they say it."""

from __future__ import annotations

import pytest

from support.words import TIMES, NotUnderstood, among, until_understood

FORWARD = "go forward ten meters"
MORNING = "we will meet again tomorrow morning at nine"


@pytest.mark.parametrize(
    ("results", "words", "understood"),
    [
        ([FORWARD], [FORWARD], True),
        (["go forward", "ten meters"], [FORWARD], True),
        (["the", "go forward ten meters", "oh"], [FORWARD], True),
        (["go forward to the majors", FORWARD], [FORWARD], True),
        ([FORWARD, "we will meet tomorrow morning at nine"], [FORWARD, MORNING], True),
        ([], [FORWARD], False),
        (["go forward to the majors"], [FORWARD], False),
        (["ten meters", "go forward"], [FORWARD], False),
        ([MORNING, FORWARD], [FORWARD, MORNING], False),
        ([FORWARD], [FORWARD, FORWARD], False),
    ],
)
def test_words_are_found_among_results(results: list[str], words: list[str], understood: bool) -> None:
    assert among(results, *words) is understood


async def test_what_is_not_understood_is_said_again_and_not_for_ever() -> None:
    said: list[int] = []

    async def say() -> None:
        said.append(len(said))

    async def the_third_time() -> None:
        if len(said) < 3:
            raise NotUnderstood("something else")

    await until_understood(say, the_third_time)
    assert len(said) == 3

    async def never() -> None:
        raise NotUnderstood("something else")

    with pytest.raises(NotUnderstood, match="something else"):
        await until_understood(say, never)
    assert len(said) == 3 + TIMES


async def test_another_failure_is_no_misunderstanding() -> None:
    said: list[int] = []

    async def say() -> None:
        said.append(len(said))
        raise AssertionError("the connection closed")

    with pytest.raises(AssertionError, match="the connection closed"):
        await until_understood(say)
    assert len(said) == 1
