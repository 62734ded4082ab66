"""Live encodings become the PCM that recognisers take."""

from __future__ import annotations

import io

import av
import numpy as np
import numpy.typing as npt
import pytest

from antiphon.errors import BadAudio, UnsupportedFormat
from antiphon.formats import AudioFormat, Encoding
from antiphon.media import LiveOpus, SampleDecoder
from support.audio import Kind, encode, sine, tone_dbfs

TONE = sine(440, 2.0, dbfs=-12)


def packets(pcm: bytes) -> list[bytes]:
    with av.open(io.BytesIO(encode(pcm, "ogg-opus")), "r") as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def samples(pcm: bytes) -> npt.NDArray[np.int16]:
    return np.frombuffer(pcm, "<i2")


def heard(live: LiveOpus) -> bytes:
    return b"".join(pcm for _, pcm in live.decode(1e9))


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_opus_comes_out_at_the_rate_that_was_asked_for(rate: int) -> None:
    live = LiveOpus(Encoding.OPUS, rate)
    ready = sum(live.push(packet) for packet in packets(TONE))
    assert live.waiting == ready
    pcm = heard(live) + live.flush()
    assert len(pcm) == pytest.approx(2 * rate * ready / live.clock_rate, abs=4)
    assert tone_dbfs(pcm[rate:-rate], 440, rate) == pytest.approx(-12, abs=0.5)


@pytest.mark.parametrize(("carrier", "kind"), [(Encoding.WEBM, "webm"), (Encoding.OGG, "ogg-opus")])
def test_a_container_gives_what_its_packets_give(carrier: Encoding, kind: Kind) -> None:
    file = encode(TONE, kind)
    live = LiveOpus(carrier, 16_000)
    pcm = b""
    for start in range(0, len(file), 333):
        live.push(file[start : start + 333])
        pcm += heard(live)
    live.finish()
    pcm += heard(live)
    assert len(pcm) / 32_000 == pytest.approx(2.0, abs=0.021)
    assert tone_dbfs(pcm[16_000:-8_000], 440) == pytest.approx(-12, abs=0.5)


def test_what_was_lost_is_made_up_for_and_what_is_long_is_left_out() -> None:
    every = packets(TONE)
    live = LiveOpus(Encoding.OPUS, 16_000)
    for packet in every[:30]:
        live.push(packet)
    live.lost(3 * 960)
    live.push(every[33])
    live.lost(20 * 960)
    live.push(every[54])
    (first_gap, first), (second_gap, second) = live.decode(1e9)
    assert (first_gap, len(first)) == (0, 34 * 640)
    assert (second_gap, len(second)) == (20 * 320, 640)
    assert live.concealed == 3 * 960
    made_up = samples(first)[30 * 320 : 33 * 320].astype(float)
    assert np.sqrt(np.mean(made_up**2)) > 1_000


def test_decoding_stops_near_the_limit_and_goes_on() -> None:
    live = LiveOpus(Encoding.OPUS, 16_000)
    for packet in packets(TONE):
        live.push(packet)
    total = live.waiting
    ((_, first),) = live.decode(0.5)
    assert len(first) == 16_000
    assert live.waiting == total - 24_000


@pytest.mark.parametrize("junk", [b"", b"\x7b", b"\x7b\x00", b"\x7b\x3f" + bytes(9)])
def test_a_packet_that_is_none_is_refused_and_nothing_changes(junk: bytes) -> None:
    live = LiveOpus(Encoding.OPUS, 16_000)
    with pytest.raises(BadAudio, match="byte"):
        live.push(junk)
    with pytest.raises(BadAudio, match="byte"):
        LiveOpus.duration(junk)
    assert live.waiting == 0


def test_a_container_of_something_else_is_refused_by_its_name() -> None:
    live = LiveOpus(Encoding.OGG, 16_000)
    assert live.push(encode(TONE, "ogg-vorbis")) == 0
    with pytest.raises((BadAudio, UnsupportedFormat), match=r"(?i)vorbis"):
        live.check()
    live.check()
    live.push(encode(TONE, "ogg-opus"))
    live.finish()
    live.check()
    assert len(heard(live)) / 32_000 == pytest.approx(2.0, abs=0.021)
    with pytest.raises(ValueError, match="opus, webm, ogg"):
        LiveOpus(Encoding.MULAW, 16_000)


@pytest.mark.parametrize("law", [Encoding.MULAW, Encoding.ALAW])
@pytest.mark.parametrize("channels", [1, 2])
def test_g711_becomes_linear_and_mono(law: Encoding, channels: int) -> None:
    from antiphon._native import alaw_encode, mulaw_encode

    compress = mulaw_encode if law is Encoding.MULAW else alaw_encode
    stereo = np.repeat(samples(sine(440, 1.0, sample_rate=8_000, dbfs=-12)), channels)
    decoder = SampleDecoder(AudioFormat(law, 8_000, channels), 16_000)
    assert not decoder.passthrough
    coded = compress(stereo)

    chunks = [coded[start : start + 160] for start in range(0, len(coded), 160)]
    pcm = b"".join(decoder.decode(chunk) for chunk in chunks) + decoder.flush()
    assert len(pcm) == 32_000
    assert tone_dbfs(pcm[8_000:-8_000], 440) == pytest.approx(-12, abs=0.3)


def test_pcm_at_the_engines_rate_goes_through_untouched() -> None:
    decoder = SampleDecoder(AudioFormat(), 16_000)
    assert decoder.passthrough
    assert decoder.decode(TONE) is TONE
    assert decoder.flush() == b""
