"""Frames come when they are due, whenever packets do."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from antiphon.client.playout import Decoding, Playout, PlayoutOptions
from antiphon.media import OpusDecoder, OpusEncoder

RATE, FRAME_MS = 16_000, 20
SAMPLES = RATE * FRAME_MS // 1000


def packets(count: int) -> list[bytes]:
    encoder = OpusEncoder(RATE, bitrate=32_000)
    times = np.arange(count * SAMPLES) / RATE
    tone = (8000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
    return [encoder.encode(tone[at : at + SAMPLES]) for at in range(0, len(tone), SAMPLES)]


def playout(live: bool = False, **options: int) -> Playout:
    return Playout(Decoding(RATE, FRAME_MS), FRAME_MS, live=live, options=PlayoutOptions(**options))


def test_playing_begins_with_five_packets_and_gives_each_once_in_order() -> None:
    sent = packets(20)
    player = playout()
    heard = []
    for number, packet in enumerate(sent):
        player.push(packet)
        samples, kind = player.pull() if number >= 2 else (np.zeros(0, np.int16), "early")
        if number < 4:
            assert kind in ("early", "silence")
        else:
            assert kind == "played"
            heard.append(samples)
    player.end()
    while not player.over:
        heard.append(player.pull()[0])
    decoder = OpusDecoder(RATE)
    assert np.array_equal(np.concatenate(heard), np.concatenate([decoder.decode(packet) for packet in sent]))
    assert player.counters.underruns == player.counters.concealed == 0


def test_an_underrun_is_concealed_then_silent_and_makes_the_buffer_longer() -> None:
    player = playout(start=2)
    for packet in packets(3):
        player.push(packet)
    kinds = [player.pull()[1] for _ in range(12)]
    assert kinds == ["played"] * 3 + ["concealed"] * 5 + ["silence"] * 4
    assert (player.counters.underruns, player.target) == (1, 3)
    for packet in packets(3)[:2]:
        player.push(packet)
    assert player.pull()[1] == "silence"
    player.push(packets(1)[0])
    assert player.pull()[1] == "played"


def test_a_short_stream_is_played_though_it_never_fills_the_buffer() -> None:
    player = playout()
    player.push(packets(1)[0])
    assert player.pull()[1] == "silence"
    player.end()
    assert player.pull()[1] == "played"
    assert player.over


def test_lost_packets_keep_their_time_and_broken_ones_do_no_harm() -> None:
    player = playout(start=1)
    first, second = packets(2)
    player.push(first)
    player.lost(2)
    player.push(b"\xff\xff\xff")
    player.push(second)
    assert [player.pull()[1] for _ in range(5)] == ["played", "concealed", "concealed", "concealed", "played"]
    assert (player.counters.lost, player.counters.broken) == (2, 1)


def test_calm_makes_the_buffer_shorter_again_and_a_live_source_is_kept_close() -> None:
    sent = packets(1)[0]
    for live in (True, False):
        player = playout(live=live, start=2)
        player.target = 4
        for _ in range(12):
            player.push(sent)
        for _ in range(500 * 20):
            player.push(sent)
            player.pull()
        assert player.target == 2
        assert player.counters.underruns == 0
        assert (player.counters.dropped > 0) is live
        assert (player.seconds <= 0.06) is live


def test_a_live_source_that_comes_in_a_burst_after_a_pause_is_caught_up_with_at_once() -> None:
    for live in (True, False):
        player = playout(live=live, start=2)
        sent = packets(40)
        for packet in sent[:2]:
            player.push(packet)
        for _ in range(20):
            player.pull()
        for packet in sent[2:]:
            player.push(packet)
        assert player.pull()[1] == "played"
        assert player.counters.dropped == (35 if live else 0)
        assert player.seconds == pytest.approx(0.04 if live else 0.74)


def test_more_than_the_limit_drops_the_oldest_and_says_so() -> None:
    player = playout(limit=10)
    for packet in packets(15):
        player.push(packet)
    assert (player.counters.dropped, player.seconds) == (5, 0.2)
    player.clear()
    assert player.seconds == 0


@pytest.mark.parametrize("seed", range(5))
def test_jitter_within_the_buffer_is_not_heard(seed: int) -> None:
    random = Random(seed)
    sent = packets(300)
    arrivals = sorted((number * FRAME_MS + random.uniform(0, 60), number) for number in range(len(sent)))
    order = sorted(number for _, number in arrivals)
    times = [at for at, _ in arrivals]
    player = playout(start=5)
    taken = 0
    kinds = []
    for now in range(0, 300 * FRAME_MS, FRAME_MS):
        while taken < len(times) and times[taken] <= now:
            player.push(sent[order[taken]])
            taken += 1
        kinds.append(player.pull()[1])
    assert "concealed" not in kinds
    assert player.counters.underruns == 0


def test_what_the_decoder_gives_before_the_audio_is_left_out() -> None:
    decoding = Decoding(RATE, FRAME_MS, skip=312)
    assert [len(decoding.decode(packet)) for packet in packets(3)] == [SAMPLES - 104, SAMPLES, SAMPLES]
