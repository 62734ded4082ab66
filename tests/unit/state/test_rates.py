"""Windows that slide: exactly as many within a minute, for each name, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import RateLimited
from antiphon.state import MemoryWindows, RateWindows
from antiphon.testing import VirtualClock


class Desk:
    """Windows with a clock to be moved."""

    def __init__(self, per_minute: int = 60, max_windows: int = 100) -> None:
        self.clock = VirtualClock()
        self.storage = MemoryWindows(self.clock.monotonic, max_windows)
        self.windows = RateWindows(per_minute, self.storage, self.clock.monotonic)

    async def takes(self, name: str = "a") -> bool:
        try:
            await self.windows.take(name, "segments")
        except RateLimited:
            return False
        return True

    async def retry_after(self, name: str = "a") -> float:
        with pytest.raises(RateLimited) as refused:
            await self.windows.take(name, "segments")
        assert refused.value.retry_after is not None
        return refused.value.retry_after


async def test_the_sixtieth_passes_and_the_sixty_first_does_not() -> None:
    desk = Desk()
    assert [await desk.takes() for _ in range(61)] == [True] * 60 + [False]
    assert await desk.takes("b")


async def test_a_window_slides_and_says_when_there_is_room_again() -> None:
    desk = Desk(per_minute=2)
    assert await desk.takes()
    desk.clock.advance(20.0)
    assert await desk.takes()
    wait = await desk.retry_after()
    assert wait == pytest.approx(40.0, abs=0.002)
    desk.clock.advance(39.9)
    assert not await desk.takes()
    desk.clock.advance(0.101)
    assert await desk.takes()
    # a refusal was not counted, and the second of them is in the window still
    assert await desk.retry_after() == pytest.approx(20.0, abs=0.01)


async def test_whoever_waits_as_told_is_let_in() -> None:
    desk = Desk(per_minute=3)
    for step in (0.3, 7.7, 11.13):
        assert await desk.takes()
        desk.clock.advance(step)
    for _ in range(20):
        desk.clock.advance(await desk.retry_after())
        assert await desk.takes()


async def test_names_are_forgotten_and_never_too_many() -> None:
    desk = Desk(per_minute=1, max_windows=3)
    assert [await desk.takes(str(name)) for name in range(5)] == [True, True, True, False, False]
    assert not await desk.takes("0")
    assert len(desk.storage) == 3
    assert await desk.retry_after("new") == pytest.approx(60.0, abs=0.01)
    desk.clock.advance(60.0)
    assert await desk.takes("4")
    assert len(desk.storage) == 1


@given(
    per_minute=st.integers(1, 5),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 40)), max_size=60),
)
async def test_no_minute_has_more_than_it_may(per_minute: int, steps: list[tuple[str, float]]) -> None:
    desk = Desk(per_minute=per_minute)
    taken: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for name, step in steps:
        desk.clock.advance(step)
        now = desk.clock.monotonic()
        lately = sum(at > now - 60 for at in taken[name])
        took = await desk.takes(name)
        assert took == (lately < per_minute)
        if took:
            taken[name].append(now)
