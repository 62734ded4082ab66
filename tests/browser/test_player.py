"""The SDK's player, in Chromium, on a server that misbehaves."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from antiphon.media.opus import OpusEncoder
from browser.kit import Browser
from browser.listening import listen
from support import beeps
from support.odd_server import FRAME, OddServer, Visit, packets
from support.server import ServerProcess

COUNT = 12
FILE = {"source": "file:beeps.wav"}


async def whole(visit: Visit) -> None:
    """All beeps from the place that was asked for, in real time."""
    await visit.start()
    await visit.send(packets(beeps.make(COUNT))[visit.first :])
    await visit.finish()


async def test_beeps_come_out_in_order_once_and_complete(browser: Browser, hearing: ServerProcess) -> None:
    async with OddServer(whole) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.all_to_the_sample(COUNT)
    await listener.unbroken(server.visits[0].late_ms)
    assert (await listener.stats())["decoder"] == "webcodecs"
    states = [told["state"] for told in await listener.told("state")]
    assert states[:3] == ["connecting", "buffering", "playing"]
    assert states[-1] == "ended"
    assert server.visits[0].query == {"source": "file:beeps.wav", "events": "true"}


async def test_without_webcodecs_the_same_is_heard(browser: Browser, hearing: ServerProcess) -> None:
    async with OddServer(whole) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url, webcodecs=False)
        await listener.all_to_the_sample(COUNT)
    await listener.unbroken(server.visits[0].late_ms)
    assert (await listener.stats())["decoder"] == "wasm"


async def test_an_output_of_another_rate_is_served(browser: Browser, hearing: ServerProcess) -> None:
    async with OddServer(whole) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url, rate=16_000)
        await listener.all_to_the_sample(COUNT)
    await listener.unbroken(server.visits[0].late_ms)
    assert listener.rate == 16_000


async def test_packets_that_come_late_and_in_bursts_are_played_without_a_loss(
    browser: Browser, hearing: ServerProcess
) -> None:
    random = Random(1)

    async def jittery(visit: Visit) -> None:
        await visit.start()
        await visit.send(packets(beeps.make(COUNT)), late_ms=lambda _: random.uniform(0, 100))
        await visit.finish()

    async with OddServer(jittery) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.all_to_the_sample(COUNT)
    assert (await listener.stats())["target"] > 90


async def test_a_page_that_is_busy_is_not_heard(browser: Browser, hearing: ServerProcess) -> None:
    async with OddServer(whole) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.until("player.state === 'playing'")
        await listener.page.evaluate(
            "() => { for (let round = 0; round < 3; round++) {"
            " const begun = performance.now(); while (performance.now() - begun < 300); } }"
        )
        await listener.all_to_the_sample(COUNT)
    await listener.unbroken(server.visits[0].late_ms)


async def test_a_hidden_tab_plays_on(browser: Browser, hearing: ServerProcess) -> None:
    async with OddServer(whole) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.until("player.state === 'playing'")
        other = await listener.page.context.new_page()
        await other.bring_to_front()
        await listener.all_to_the_sample(COUNT)
    # timers of hidden tabs fire once a second
    await listener.unbroken(server.visits[0].late_ms)


# between two beeps, and in the middle of one
@pytest.mark.parametrize(("sent", "places"), [(61, [0, 1.14]), (51, [0, 0.94])])
async def test_a_connection_that_is_cut_is_made_again_where_it_was(
    browser: Browser, hearing: ServerProcess, sent: int, places: list[float]
) -> None:
    async def cut(visit: Visit) -> None:
        await visit.start()
        rest = packets(beeps.make(COUNT))[visit.first :]
        if visit.number < 2:
            await visit.send(rest[:sent])  # and then it is cut, without a word
        else:
            await visit.send(rest)
            await visit.finish()

    async with OddServer(cut) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.all_to_the_sample(COUNT)
        assert [float(visit.query.get("position", 0)) for visit in server.visits[:2]] == places
    assert (await listener.stats())["reconnects"] == 2
    assert len(await listener.told("reconnecting")) == 2


async def test_bytes_that_are_no_opus_leave_a_hole_and_no_more(browser: Browser, hearing: ServerProcess) -> None:
    random = Random(2)

    async def bad(visit: Visit) -> None:
        await visit.start()
        sound = packets(beeps.make(COUNT))
        for number in range(0, len(sound), 25):  # in the silence before each other beep
            sound[number] = b"" if number % 50 else bytes([0xFB, 0x3F]) + random.randbytes(40)
        sound[30] = bytes([0x0B, 0xFF])
        await visit.send(sound)
        await visit.finish()

    for webcodecs in (True, False):
        async with OddServer(bad) as server:
            listener = await listen(browser, hearing.url, FILE, server=server.url, webcodecs=webcodecs)
            await listener.all_beeps(COUNT)
        assert (await listener.stats())["bad"] >= 7


async def test_what_is_no_opus_at_all_is_an_error_that_says_so(browser: Browser, hearing: ServerProcess) -> None:
    async def nonsense(visit: Visit) -> None:
        await visit.start()
        await visit.send([b"\x1b\xff"] * 80)
        await visit.finish()

    async with OddServer(nonsense) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.until("player.state === 'failed'")
    (failed,) = await listener.told("failed")
    assert failed["code"] == "bad_stream"
    assert failed["action"]


async def test_what_the_server_dropped_is_told_and_skipped(browser: Browser, hearing: ServerProcess) -> None:
    async def slow(visit: Visit) -> None:
        await visit.start(live=True)
        sound = packets(beeps.make(COUNT))
        await visit.send(sound[:70])
        await visit.socket.send_json({"type": "dropped", "packets": 10, "total": 10})
        await visit.send(sound[80:])
        await visit.finish()

    async with OddServer(slow) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.ended()
    assert [(told["packets"], told["total"]) for told in await listener.told("dropped")] == [(10, 10)]
    heard = await listener.beeps()
    assert heard == sorted(set(heard))
    assert set(range(COUNT)) - set(heard) <= {5}
    assert (await listener.stats())["lost"] == 10


async def test_an_error_of_the_server_is_told_in_its_words_and_not_tried_again(
    browser: Browser, hearing: ServerProcess
) -> None:
    async def refuse(visit: Visit) -> None:
        await visit.socket.send_json(
            {"type": "error", "code": "not_found", "message": "there is no file beeps.wav", "retryable": False}
        )
        await visit.socket.close(code=1008)

    async with OddServer(refuse) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.until("player.state === 'failed'")
        assert len(server.visits) == 1
    (failed,) = await listener.told("failed")
    assert (failed["code"], failed["message"]) == ("not_found", "there is no file beeps.wav")


async def test_the_server_can_clear_what_waits(browser: Browser, hearing: ServerProcess) -> None:
    async def barge_in(visit: Visit) -> None:
        await visit.start()
        sound = packets(beeps.make(COUNT))
        await visit.send(sound[:50])
        for packet in sound[50:110]:  # far ahead of its time
            await visit.socket.send_bytes(packet)
        await visit.socket.send_json({"type": "clear"})
        await asyncio.sleep(1)  # what a listener would play that did not clear
        await visit.send(sound[110:])
        await visit.finish()

    async with OddServer(barge_in) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.ended()
    assert len(await listener.told("cleared")) == 1
    heard = await listener.beeps()
    assert heard[:3] == [0, 1, 2]
    assert heard[-3:] == [9, 10, 11]
    assert not set(heard) & {5, 6, 7}


async def test_pause_and_resume_leave_nothing_out(browser: Browser, hearing: ServerProcess) -> None:
    async with OddServer(whole) as server:
        listener = await listen(browser, hearing.url, FILE, server=server.url)
        await listener.until("player.stats.position > 0.85")  # between two beeps
        await listener.page.evaluate("() => listening.player.pause()")
        await listener.until("player.stats.level === 0")
        assert await listener.page.evaluate("() => listening.player.state") == "paused"
        await listener.page.evaluate("() => listening.player.resume()")
        await listener.all_beeps(COUNT)
    assert len(server.visits) == 2


async def test_pushed_packets_are_played_and_cleared(browser: Browser, hearing: ServerProcess) -> None:
    encoder = OpusEncoder(24_000, application="audio", bitrate=48_000, dtx=False, fec=False)
    sound = beeps.make(COUNT)[::2].copy()
    opus = [list(encoder.encode(part)) for part in sound[: len(sound) // 480 * 480].reshape(-1, 480)]
    pcm = [list((part * 32_767).astype("<i2").tobytes()) for part in sound[: len(sound) // 480 * 480].reshape(-1, 480)]
    assert FRAME == 960
    for codec, pushed in (("opus", opus), ("pcm_s16le", pcm)):
        order = {"codec": codec, "sampleRate": 24_000, "frameMs": 20, "live": False}
        listener = await listen(browser, hearing.url, order)
        await listener.page.evaluate(
            "(packets) => { for (const packet of packets) listening.player.push(Uint8Array.from(packet));"
            " listening.player.end(); }",
            pushed,
        )
        await listener.all_to_the_sample(COUNT)


WRONG_ORDER = """
async () => {
  const { StreamPlayer } = await import("/static/sdk/stream-player.js");
  const player = new StreamPlayer();
  const tried = {
    push: () => player.push(new Uint8Array(2)),
    say: () => player.say("too early"),
    setBitrate: () => player.setBitrate(24_000),
    open: () => player.open({ codec: "mp3", sampleRate: 48_000 }),
    closed: () => (player.close(), player.listen({ source: "file:beeps.wav" })),
  };
  const codes = {};
  for (const [name, act] of Object.entries(tried)) {
    try {
      await act();
    } catch (error) {
      codes[name] = [error.code, error.action !== ""];
    }
  }
  player.clear();
  player.end();
  player.pause();
  await player.resume();
  player.stop();
  return codes;
}
"""


async def test_calls_in_the_wrong_order_say_what_to_do(browser: Browser, hearing: ServerProcess) -> None:
    page = (await browser.open(hearing.url, fake_device=False)).page
    assert await page.evaluate(WRONG_ORDER) == {
        "push": ["not_open", True],
        "say": ["not_open", True],
        "setBitrate": ["not_open", True],
        "open": ["unsupported_codec", True],
        "closed": ["closed", True],
    }
