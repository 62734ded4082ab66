"""The SDK's player, in Chromium, on a server that misbehaves."""

from __future__ import annotations

from random import Random

from browser.kit import Browser
from browser.listening import listen
from support import beeps
from support.odd_server import OddServer, Visit, packets
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
        await listener.ended()
        import numpy as np; snd=await listener.sound(); np.save('/tmp/snd.npy', snd); print(beeps.heard(snd, listener.rate), await listener.stats(), await listener.told('state'))
        assert await listener.beeps() == list(range(COUNT))
        stats = await listener.stats()
    assert stats["underruns"] == 0 and stats["concealed"] == 0, stats
    assert stats["decoder"] == "webcodecs"
    assert [told["state"] for told in await listener.told("state")] == ["connecting", "buffering", "playing", "ended"]
