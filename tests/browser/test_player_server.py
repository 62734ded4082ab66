"""The SDK's player, in Chromium, on the server itself: what is in a file is heard, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.kit import Browser
from browser.listening import listen
from support import beeps
from support.proxy import Proxy
from support.server import ServerProcess, start_server

COUNT = 24
FILE = {"source": "file:beeps.wav", "sampleRate": 48_000, "bitrate": 64_000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media folder."""
    made = tmp_path_factory.mktemp("media")
    beeps.write(made / "beeps.wav", COUNT)
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    with start_server("--media-folder", str(folder)) as running:
        yield running


async def test_a_file_is_heard_whole_once_and_in_order(browser: Browser, server: ServerProcess) -> None:
    listener = await listen(browser, server.url, FILE)
    await listener.all_to_the_sample(COUNT)
    (started,) = await listener.told("started")
    assert (started["live"], started["position"]) == (False, 0)
    assert abs(started["duration"] - (COUNT + 1) * beeps.EVERY) < 0.1
    (ended,) = await listener.told("ended")
    assert ended["reason"] == "complete"


@pytest.mark.parametrize("frame_ms", [10, 40, 60])
async def test_packets_of_every_length_are_played(browser: Browser, server: ServerProcess, frame_ms: int) -> None:
    listener = await listen(browser, server.url, {**FILE, "frameMs": frame_ms})
    await listener.all_to_the_sample(COUNT)


async def test_from_a_place_in_the_file(browser: Browser, server: ServerProcess) -> None:
    listener = await listen(browser, server.url, {**FILE, "position": 3.1})
    await listener.ended()
    assert await listener.beeps() == list(range(12, COUNT))


async def test_through_a_link_that_delays_and_breaks_nothing_is_missing(
    browser: Browser, server: ServerProcess
) -> None:
    async with Proxy(server.port, seed=3, delay_ms=(0, 80)) as link:
        listener = await listen(browser, link.url, FILE)
        for seconds in (1.3, 3.1):
            await listener.until("player.state === 'playing' && player.stats.position > arg", seconds)
            link.cut()
        await listener.all_to_the_sample(COUNT)
    assert (await listener.stats())["reconnects"] == 2


async def test_a_link_that_stalls_makes_a_pause_and_loses_nothing(browser: Browser, server: ServerProcess) -> None:
    async with Proxy(server.port) as link:
        listener = await listen(browser, link.url, FILE)
        await listener.until("player.stats.position > 1.9")
        link.stall()
        await listener.until("player.state === 'buffering'")
        link.flow()
        await listener.all_to_the_sample(COUNT)
    assert (await listener.stats())["underruns"] >= 1


async def test_a_server_that_is_killed_and_comes_back_goes_on_where_it_was(
    browser: Browser, server: ServerProcess
) -> None:
    listener = await listen(browser, server.url, FILE)
    await listener.until("player.stats.position > 2.35")
    server.kill()
    await listener.until("player.state === 'reconnecting'")
    with server.restarted():
        await listener.all_to_the_sample(COUNT)
    first, second = await listener.told("started")
    assert first["position"] == 0
    assert second["position"] > 2.2


async def test_a_server_that_shuts_down_and_comes_back_goes_on_where_it_was(
    browser: Browser, server: ServerProcess
) -> None:
    listener = await listen(browser, server.url, FILE)
    await listener.until("player.stats.position > 2.35")
    assert server.stop() == 0
    with server.restarted():
        await listener.all_to_the_sample(COUNT)


async def test_another_bitrate_is_taken_without_a_gap(browser: Browser, server: ServerProcess) -> None:
    listener = await listen(browser, server.url, FILE)
    await listener.until("player.stats.position > 1.9")
    await listener.page.evaluate("() => listening.player.setBitrate(30_000)")
    await listener.all_to_the_sample(COUNT)
    (change,) = await listener.told("bitrate-change")
    assert change["bitrate"] == 32_000


async def test_texts_are_said_one_after_another_and_cleared(browser: Browser, server: ServerProcess) -> None:
    listener = await listen(browser, server.url, {"source": "say:"})
    await listener.until("told.some(({ type }) => type === 'started')")
    await listener.page.evaluate("() => { listening.player.say('One.'); listening.player.say('Two.'); }")
    await listener.until("told.filter(({ type }) => type === 'said').length === 2")
    await listener.page.evaluate("() => listening.player.say('A long text that nobody hears to its end. '.repeat(20))")
    await listener.until("told.filter(({ type }) => type === 'saying').length === 3")
    await listener.until("player.state === 'playing'")
    await listener.page.evaluate("() => listening.player.clear()")
    await listener.until("told.filter(({ type }) => type === 'said').length === 3 && player.stats.level < 10")
    assert await listener.told("cleared")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("file:none.wav", "not_found"),
        ("file:../secret.wav", "bad_message"),
        ("room:no body", "bad_message"),
        ("say:" + 6_000 * "a", "too_large"),
        ("nonsense", "bad_message"),
    ],
)
async def test_what_cannot_be_heard_is_an_error_with_the_servers_words(
    browser: Browser, server: ServerProcess, source: str, code: str
) -> None:
    listener = await listen(browser, server.url, {"source": source})
    await listener.until("player.state === 'failed'")
    (failed,) = await listener.told("failed")
    assert failed["code"] == code
    assert failed["message"]
    assert (await listener.stats())["reconnects"] == 0
