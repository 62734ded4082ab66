from __future__ import annotations

import copy
import dataclasses
import math
import platform
import threading
from array import array
from typing import Any, cast

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from antiphon.errors import BadAudio
from antiphon.media.opus import (
    OPUS_VERSION,
    PRESETS,
    SAMPLE_RATES,
    VOICE_HIGH_QUALITY,
    VOICE_LOW_BANDWIDTH,
    VOICE_LOW_LATENCY,
    OpusDecoder,
    OpusDred,
    OpusEncoder,
    OpusEncoderConfig,
    SoftClip,
    opus_has_fec,
    opus_packet_info,
    opus_packet_samples,
)
from antiphon.media.resample import Resampler
from support.audio import speech

Int16 = NDArray[np.int16]

FRAME_MS = (2.5, 5, 10, 20, 40, 60)


def samples(name: str = "quick-brown-fox", *, rate: int = 16_000, channels: int = 1) -> Int16:
    """Speech, interleaved; in stereo, the second channel is quieter and late."""
    mono = np.frombuffer(speech(name), np.int16)
    if rate != 16_000:
        converter = Resampler(16_000, rate)
        mono = np.concatenate([converter.push(mono), converter.flush_int16()])
    return mono if channels == 1 else np.stack([mono, np.roll(mono, 333) // 2], 1).ravel()


def frames(encoder: OpusEncoder, pcm: Int16) -> list[Int16]:
    size = encoder.frame_samples * encoder.channels
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)]


def packets(encoder: OpusEncoder, pcm: Int16) -> list[bytes]:
    return [encoder.encode(frame) for frame in frames(encoder, pcm)]


def voice(**changes: Any) -> OpusEncoder:
    """Wide-band speech with room for FEC and DRED."""
    return OpusEncoder(16_000, **{"bitrate": 32_000, "complexity": 5, "dtx": False, "expected_loss": 20, **changes})


# Another libopus: the one FFmpeg was built with


def foreign_packets(pcm: Int16, rate: int, channels: int, options: dict[str, str], bitrate: int) -> list[bytes]:
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = rate, "mono" if channels == 1 else "stereo", "s16"
    context.options, context.bit_rate = options, bitrate
    context.open()
    size = context.frame_size * channels
    coded = []
    for start in range(0, len(pcm) - size + 1, size):
        block = np.ascontiguousarray(pcm[start : start + size]).reshape(1, -1)
        frame = AudioFrame.from_ndarray(block, format="s16", layout=context.layout.name)
        frame.sample_rate, frame.pts = rate, start // channels
        coded += [bytes(packet) for packet in context.encode(frame)]
    return coded


def foreign_decoded(coded: list[bytes], channels: int) -> Int16:
    context = av.CodecContext.create("libopus", "r")
    context.sample_rate, context.layout = 48_000, "mono" if channels == 1 else "stereo"
    return np.concatenate([f.to_ndarray().ravel() for packet in coded for f in context.decode(av.Packet(packet))])


@pytest.mark.parametrize("complexity", [0, 5])
@pytest.mark.parametrize("frame_ms", ["2.5", "20", "60"])
@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
@pytest.mark.parametrize("channels", [1, 2])
def test_packets_of_another_libopus_decode_to_the_same_bits(
    channels: int, application: str, frame_ms: str, complexity: int
) -> None:
    modes = set()
    for rate, bitrate in ((16_000, 16_000), (48_000, 24_000), (48_000, 96_000)):
        options = {"application": application, "frame_duration": frame_ms, "packet_loss": "10", "fec": "1"}
        coded = foreign_packets(samples(rate=rate, channels=channels), rate, channels, options, bitrate)
        modes |= {opus_packet_info(packet).mode for packet in coded}
        decoder = OpusDecoder(48_000, channels, complexity=complexity)
        ours = np.concatenate([decoder.decode(packet) for packet in coded])
        theirs = foreign_decoded(coded, channels)
        assert np.abs(ours).max() > 3_000
        if modes == {"celt"} and platform.machine() not in {"x86_64", "AMD64"}:
            # Elsewhere compilers may round the floating-point sums of CELT differently.
            assert np.abs(ours.astype(int) - theirs).max() <= 1
        else:
            assert np.array_equal(ours, theirs)
    if application == "voip" and frame_ms == "20":
        assert {"silk", "hybrid"} <= modes


def test_another_libopus_decodes_our_packets_to_the_same_bits() -> None:
    for config in PRESETS.values():
        coded = packets(config.encoder(), samples(rate=config.sample_rate))
        decoder = OpusDecoder()
        assert np.array_equal(np.concatenate([decoder.decode(packet) for packet in coded]), foreign_decoded(coded, 1))


# Settings


def test_the_presets_are_those_of_the_core() -> None:
    assert list(PRESETS.values()) == [VOICE_HIGH_QUALITY, VOICE_LOW_LATENCY, VOICE_LOW_BANDWIDTH]
    for name, config in PRESETS.items():
        ours, cores = config.encoder(), OpusEncoder.preset(name)
        for field in dataclasses.fields(config):
            assert getattr(ours, field.name) == getattr(cores, field.name), field.name
    assert OpusEncoderConfig() == VOICE_HIGH_QUALITY
    with pytest.raises(ValueError, match="voice_high_quality, voice_low_latency, voice_low_bandwidth; got"):
        OpusEncoder.preset("best")


def test_the_figures_of_the_presets() -> None:
    def figures(config: OpusEncoderConfig) -> tuple[object, ...]:
        return dataclasses.astuple(config)[:10]

    assert figures(VOICE_HIGH_QUALITY) == (48_000, 1, "voip", 128_000, 10, True, True, 5, True, False)
    assert figures(VOICE_LOW_LATENCY) == (16_000, 1, "restricted_lowdelay", 64_000, 5, False, True, 10, False, False)
    assert figures(VOICE_LOW_BANDWIDTH) == (8_000, 1, "voip", 32_000, 10, True, False, 0, True, False)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"sample_rate": 44_100}, "8000, 12000, 16000, 24000, 48000 Hz; got 44100"),
        ({"channels": 3}, "1 or 2; got 3"),
        ({"channels": -1}, "1 or 2; got -1"),
        ({"application": "phone"}, "voip, audio, restricted_lowdelay; got"),
        ({"bitrate": 512_000}, "6000 to 510000 bit/s; got 512000"),
        ({"complexity": 11}, "0 to 10; got 11"),
        ({"complexity": 256}, "0 to 10; got 256"),
        ({"expected_loss": -1}, "0 to 100 %; got -1"),
        ({"frame_ms": 30}, "2.5, 5, 10, 20, 40 or 60 ms; got 30"),
        ({"frame_ms": math.nan}, "2.5, 5, 10, 20, 40 or 60 ms; got NaN"),
        ({"dred_ms": 1_050}, "0 to 1040 ms; got 1050"),
        ({"dred_ms": 5}, "multiple of 10, from 0 to 1040; got 5"),
    ],
)
def test_wrong_settings_are_refused_with_the_right_ones(wrong: dict[str, Any], right: str) -> None:
    for make in (OpusEncoder, OpusEncoderConfig):
        with pytest.raises(ValueError, match=right):
            make(**wrong)


def test_wrong_settings_of_the_decoder_are_refused_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match="8000, 12000, 16000, 24000, 48000"):
        OpusDecoder(44_100)
    with pytest.raises(ValueError, match="1 or 2"):
        OpusDecoder(48_000, 0)
    with pytest.raises(ValueError, match="0 to 10; got 11"):
        OpusDecoder(complexity=11)
    with pytest.raises(ValueError, match="48000"):
        opus_packet_samples(b"\0", 44_100)


def test_settings_change_while_it_runs() -> None:
    encoder = voice(fec=False, vbr=False)
    pcm = samples()[16_000:]
    for bitrate in (16_000, 64_000, 24_000):
        encoder.bitrate = bitrate
        assert {len(packet) for packet in packets(encoder, pcm[:16_000])} == {bitrate // 8 // 50}
    assert not any(opus_has_fec(packet) for packet in packets(encoder, pcm))
    encoder.fec = True
    assert sum(opus_has_fec(packet) for packet in packets(encoder, pcm)) > 50
    encoder.complexity, encoder.expected_loss, encoder.dtx, encoder.dred_ms, encoder.frame_ms = 0, 0, True, 100, 60
    assert (encoder.complexity, encoder.expected_loss, encoder.dtx) == (0, 0, True)
    assert (encoder.dred_ms, encoder.frame_ms, encoder.frame_samples) == (100, 60.0, 960)
    assert opus_packet_info(encoder.encode(pcm[:960])).duration_ms == 60
    with pytest.raises(ValueError, match="0 to 100 %; got 101"):
        encoder.expected_loss = 101
    with pytest.raises(ValueError, match="6000 to 510000"):
        encoder.bitrate = -1
    assert encoder.expected_loss == 0


@pytest.mark.parametrize(
    "config",
    [
        OpusEncoderConfig(sample_rate=16_000, application="restricted_lowdelay", dtx=False, expected_loss=20),
        OpusEncoderConfig(sample_rate=16_000, frame_ms=5, dtx=False, expected_loss=20),
        VOICE_LOW_LATENCY,
    ],
)
def test_fec_is_accepted_without_effect_where_only_celt_can_code(config: OpusEncoderConfig) -> None:
    encoder = config.encoder()
    assert config.fec
    assert not encoder.fec
    encoder.fec = True
    assert not encoder.fec
    infos = [opus_packet_info(packet) for packet in packets(encoder, samples())]
    assert {(info.mode, info.fec) for info in infos} == {("celt", False)}
    assert voice().fec


# Samples in and out


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_packets_hold_one_frame_at_any_rate(rate: int, channels: int) -> None:
    for frame_ms in FRAME_MS:
        encoder = OpusEncoder(rate, channels, frame_ms=frame_ms)
        packet = encoder.encode(np.zeros(encoder.frame_samples * channels, np.int16))
        for other in SAMPLE_RATES:
            decoder = OpusDecoder(other, channels)
            expected = round(other * frame_ms / 1000)
            assert opus_packet_samples(packet, other) == expected
            assert decoder.decode(packet).shape == decoder.decode_float(packet).shape == (expected * channels,)


def test_samples_come_in_every_shape() -> None:
    pcm = samples(channels=2)[32_000:][:640]
    expected = OpusEncoder(16_000, 2).encode(pcm)
    alike: list[Any] = [
        pcm.reshape(-1, 2),
        pcm.astype(np.float32) / 32_768,
        pcm.tobytes(),
        bytearray(pcm.tobytes()),
        memoryview(b"x" + pcm.tobytes())[1:],
        array("h", pcm.tolist()),
        memoryview(cast(Any, pcm)),
    ]
    for same in alike:
        assert OpusEncoder(16_000, 2).encode(same) == expected


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (np.zeros(319, np.int16), ValueError, "320 samples; got 319 .right are 40 for 2.5 ms, .* 960 for 60 ms"),
        (np.zeros(0, np.float32), ValueError, "320 samples; got 0"),
        (bytes(639), ValueError, "639 bytes are not whole 16-bit samples"),
        (np.zeros(640, np.int16)[::2], ValueError, "C-contiguous"),
        (np.zeros(320, np.float64), TypeError, "int16 or float32"),
        (np.zeros(320, np.int32), TypeError, "int16 or float32"),
        ("pcm", TypeError, "bytes-like"),
        (None, TypeError, "bytes-like"),
    ],
)
def test_wrong_samples_are_refused(wrong: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        OpusEncoder(16_000).encode(wrong)


def test_everything_can_be_written_into_buffers_of_the_caller() -> None:
    encoder, packet = voice(dred_ms=100), bytearray(4_000)
    reference = voice(dred_ms=100)
    new, into, into_float = OpusDecoder(16_000), OpusDecoder(16_000), OpusDecoder(16_000)
    new_float, dred = OpusDecoder(16_000), OpusDred()
    out, out_float = np.zeros(960, np.int16), np.zeros(960, np.float32)
    for number, frame in enumerate(frames(encoder, samples())):
        length = encoder.encode_into(frame, packet)
        coded = memoryview(packet)[:length]
        assert coded == reference.encode(frame)
        match number % 5:
            case 1:
                a, b = new.conceal(320), new_float.conceal_float(320)
                into.conceal_into(out[:320])
                into_float.conceal_into(out_float[:320])
            case 2:
                a, b = new.recover(coded, 320), new_float.recover_float(coded, 320)
                into.recover_into(coded, out[:320])
                into_float.recover_into(coded, out_float[:320])
            case 3:
                before = dred.parse(coded, 16_000, 1_600)
                a, b = new.recover_dred(dred, before, 320), new_float.recover_dred_float(dred, before, 320)
                into.recover_dred_into(dred, before, out[:320])
                into_float.recover_dred_into(dred, before, out_float[:320])
            case _:
                a, b = new.decode(coded), new_float.decode_float(coded)
                assert into.decode_into(coded, out) == into_float.decode_into(coded, out_float) == 320
        assert np.array_equal(a, out[:320])
        assert np.array_equal(b, out_float[:320])
        # Nothing here is loud enough to be clipped, so the two only differ by rounding.
        assert np.abs(a - 32_768.0 * b).max() <= 0.51


def test_wrong_room_is_refused() -> None:
    encoder, decoder = voice(), OpusDecoder(16_000)
    frame = np.zeros(320, np.int16)
    packet = encoder.encode(frame)
    with pytest.raises(ValueError, match=r"320 samples for each of 1 channel\(s\), 320 in all; there is room for 319"):
        decoder.decode_into(packet, np.zeros(319, np.int16))
    with pytest.raises(TypeError, match="writable"):
        decoder.decode_into(packet, bytes(640))
    with pytest.raises(TypeError, match="int16 or float32"):
        decoder.decode_into(packet, bytearray(640))
    with pytest.raises(TypeError, match="unsigned bytes"):
        encoder.encode_into(frame, np.zeros(4_000, np.int16))
    with pytest.raises(ValueError, match="at least 4 bytes; got 3"):
        encoder.encode_into(frame, bytearray(3))
    with pytest.raises(ValueError, match="share memory"):
        encoder.encode_into(frame, frame.view(np.uint8))
    room = np.zeros(320, np.int16)
    with pytest.raises(ValueError, match="share memory"):
        decoder.decode_into(room.view(np.uint8)[:10], room)


@pytest.mark.parametrize("lost", [1, 39, 41])
def test_concealing_what_is_no_multiple_of_the_shortest_frame_is_refused(lost: int) -> None:
    decoder = OpusDecoder(16_000)
    with pytest.raises(ValueError, match=r"multiple of 2\.5 ms, 40 samples at 16000 Hz"):
        decoder.conceal(lost)
    with pytest.raises(ValueError, match=r"multiple of 2\.5 ms"):
        decoder.recover(b"\0", lost)
    with pytest.raises(ValueError, match=r"multiple of 2\.5 ms"):
        decoder.recover_dred(OpusDred(), 0, lost)


def test_nobody_conceals_for_hours() -> None:
    with pytest.raises(BadAudio, match="at most a minute"):
        OpusDecoder(48_000).conceal(48_000 * 3_600)
    assert len(OpusDecoder(8_000).conceal(480_000)) == 480_000


# Copies and resets


def test_a_copy_goes_on_as_the_original_does() -> None:
    encoder = voice(dred_ms=200)
    pcm = samples()
    packets(encoder, pcm[:32_000])
    twin, other = copy.copy(encoder), encoder.copy()
    expected = packets(encoder, pcm[32_000:])
    assert packets(twin, pcm[32_000:]) == expected
    assert packets(other, pcm[32_000:]) == expected
    assert packets(voice(dred_ms=200), pcm[32_000:]) != expected


def test_a_reset_makes_it_as_new() -> None:
    encoder, decoder, pcm = voice(dred_ms=100), OpusDecoder(16_000, complexity=5), samples()
    first = packets(encoder, pcm)
    heard = np.concatenate([decoder.decode(packet) for packet in first])
    encoder.reset()
    decoder.reset()
    assert packets(encoder, pcm) == first
    assert np.array_equal(np.concatenate([decoder.decode(packet) for packet in first]), heard)
    assert decoder.complexity == 5


def test_encoder_and_decoder_agree_on_the_final_range() -> None:
    encoder, decoder = OpusEncoder(16_000, dtx=False), OpusDecoder(48_000)
    for frame in frames(encoder, samples()):
        decoder.decode(encoder.encode(frame))
        assert encoder.final_range == decoder.final_range != 0


# Loss


def contour(pcm: Int16) -> NDArray[np.float64]:
    """Decibels of every 20 ms at 16 kHz."""
    blocks = pcm[: len(pcm) // 320 * 320].reshape(-1, 320).astype(np.float64)
    return cast(NDArray[np.float64], 10 * np.log10((blocks**2).mean(axis=1) + 1))


def test_fec_is_nearer_to_what_was_lost_than_concealment() -> None:
    coded = packets(voice(), samples())
    truth, recovered, concealed = [], [], []
    good, with_fec, without = OpusDecoder(16_000), OpusDecoder(16_000), OpusDecoder(16_000)
    for number, packet in enumerate(coded[:-1]):
        original = good.decode(packet)
        if number % 8 == 5 and opus_has_fec(coded[number + 1]):
            truth.append(original)
            recovered.append(with_fec.recover(coded[number + 1], 320))
            concealed.append(without.conceal(320))
        else:
            with_fec.decode(packet)
            without.decode(packet)
    assert len(truth) > 10
    loud = contour(np.concatenate(truth))
    errors = [np.abs(contour(np.concatenate(heard)) - loud).mean() for heard in (recovered, concealed)]
    assert errors[0] < 0.5 * errors[1]


def test_dred_brings_back_a_fifth_of_a_second() -> None:
    coded = packets(voice(dred_ms=400, fec=False, bitrate=40_000), samples())
    dred, first, lost = OpusDred(), 60, 10
    assert dred.parse(coded[first + lost], 16_000, lost * 320) == dred.reach >= lost * 320
    good, with_dred, without = OpusDecoder(16_000), OpusDecoder(16_000), OpusDecoder(16_000)
    for packet in coded[:first]:
        for decoder in (good, with_dred, without):
            decoder.decode(packet)
    truth = contour(np.concatenate([good.decode(packet) for packet in coded[first : first + lost]]))
    heard = [with_dred.recover_dred(dred, (lost - number) * 320, 320) for number in range(lost)]
    recovered = np.abs(contour(np.concatenate(heard)) - truth).mean()
    concealed = np.abs(contour(without.conceal(lost * 320)) - truth).mean()
    assert recovered < 6
    assert concealed > 2 * recovered
    assert repr(dred) == f"OpusDred(reach={dred.reach}, gap={dred.gap})"


def test_packets_without_dred_reach_back_no_further() -> None:
    dred = OpusDred()
    assert dred.parse(voice().encode(bytes(640)), 16_000, 16_000) == dred.reach == dred.gap == 0
    with pytest.raises(BadAudio, match="byte 0"):
        dred.parse(b"", 16_000, 320)


def test_dtx_is_told() -> None:
    encoder = voice(dtx=True)
    packets(encoder, samples()[16_000:32_000])
    assert not encoder.in_dtx
    assert any(len(encoder.encode(bytes(640))) <= 2 for _ in range(50))
    assert encoder.in_dtx


def test_deep_concealment_comes_with_complexity() -> None:
    coded = packets(voice(), samples())[:80]

    def played(complexity: int) -> tuple[bytes, bytes]:
        decoder = OpusDecoder(16_000, complexity=complexity)
        good = np.concatenate([decoder.decode(packet) for packet in coded])
        return good.tobytes(), decoder.conceal(1_600).tobytes()

    classic, deep, enhanced = played(0), played(5), played(7)
    assert classic[0] == deep[0] != enhanced[0]
    assert classic[1] != deep[1]


def test_bandwidth_extension_gives_wide_band_an_upper_band() -> None:
    coded = packets(voice(), samples())

    def upper(*, extended: bool) -> float:
        decoder = OpusDecoder(48_000, complexity=4, bandwidth_extension=extended)
        spectrum = np.abs(np.fft.rfft(np.concatenate([decoder.decode_float(packet) for packet in coded])))
        return float((spectrum[len(spectrum) // 3 + len(spectrum) // 30 :] ** 2).sum())

    assert upper(extended=True) > 100 * upper(extended=False)


# Packets


def test_what_a_packet_says() -> None:
    info = opus_packet_info(voice().encode(samples()[32_000:32_320]))
    assert (info.mode, info.bandwidth, info.channels, info.frames) == ("silk", "wide", 1, 1)
    assert (info.frame_ms, info.duration_ms, info.padding) == (20.0, 20.0, 0)
    assert repr(info).startswith('OpusPacketInfo(mode="silk", bandwidth="wide", channels=1')
    assert info == opus_packet_info(voice().encode(samples()[32_000:32_320]))
    assert info != opus_packet_info(b"\x80")


@pytest.mark.parametrize(
    ("packet", "byte"), [(b"", 0), (b"\x01123", 0), (b"\x02", 1), (b"\x02\x09x", 2), (b"\x03\x00", 1), (b"\x03\x0d", 1)]
)
def test_malformed_packets_are_refused_and_the_byte_named(packet: bytes, byte: int) -> None:
    decoder = OpusDecoder(16_000)
    for refuse in (
        decoder.decode,
        decoder.decode_float,
        opus_packet_info,
        lambda data: decoder.decode_into(data, np.zeros(1_920, np.int16)),
    ):
        with pytest.raises(BadAudio, match=f"byte {byte}: "):
            refuse(packet)
    assert not opus_has_fec(packet)
    assert not decoder.recover(packet, 320).any()


@pytest.mark.parametrize("wrong", ["text", None, 7, np.zeros(4, np.int16)])
def test_what_is_no_bytes_is_no_packet(wrong: Any) -> None:
    with pytest.raises(TypeError):
        OpusDecoder().decode(wrong)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 4), st.integers(1, 60)), max_size=8),
    st.sampled_from(SAMPLE_RATES),
    st.integers(1, 2),
    st.integers(0, 10),
)
def test_no_bytes_upset_the_decoder(
    stream: list[tuple[bytes, int, int]], rate: int, channels: int, complexity: int
) -> None:
    decoder, dred = OpusDecoder(rate, channels, complexity=complexity), OpusDred()
    for packet, what, steps in stream:
        lost = steps * rate // 400
        try:
            match what:
                case 0:
                    heard = decoder.conceal_float(lost)
                case 1:
                    heard = decoder.recover_float(packet, lost)
                case 2:
                    heard = decoder.recover_dred_float(dred, dred.parse(packet, rate, 48_000), lost)
                case _:
                    heard = decoder.decode_float(packet)
                    assert len(heard) == channels * opus_packet_samples(packet, rate)
        except BadAudio as error:
            assert str(error).startswith("byte ")
        else:
            assert np.isfinite(heard).all()


# Clipping


def test_sixteen_bits_are_clipped_softly() -> None:
    tone = (1.4 * np.sin(np.arange(48_000) * 0.03)).astype(np.float32)
    encoder = OpusEncoder(application="audio", fec=False)
    integers, floats, clip = OpusDecoder(), OpusDecoder(), SoftClip()
    for start in range(0, 48_000, 960):
        packet = encoder.encode(tone[start : start + 960])
        heard, wide = integers.decode(packet), floats.decode_float(packet)
        assert np.array_equal(clip.clip_to_int16(wide), heard)
    assert np.abs(wide).max() > 1.2
    ends = np.abs(heard.astype(int)) >= 32_767
    assert ends.sum() < 0.2 * (np.abs(wide) > 1).sum()


def test_soft_clipping_bends_in_place_and_takes_only_float32() -> None:
    clip, pcm = SoftClip(2), np.array([0.5, -0.5, 1.5, np.nan, 3.0, -1.0], np.float32)
    clip.clip(pcm)
    assert np.abs(pcm).max() <= 1
    with pytest.raises(ValueError, match="multiple of 2 channels"):
        clip.clip(np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="float32"):
        clip.clip(np.zeros(4, np.int16))
    with pytest.raises(ValueError, match="float32"):
        clip.clip_to_int16(np.zeros(4, np.int16))
    with pytest.raises(ValueError, match="1 or 2"):
        SoftClip(3)


# Threads


def test_other_threads_run_while_a_frame_is_encoded() -> None:
    # Each has an encoder of its own; what they make must not depend on who else is at work.
    pcm = samples()
    expected = packets(voice(), pcm)
    results: list[list[bytes]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        results[number] = packets(voice(), pcm)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_the_libopus_is_one_that_has_dred() -> None:
    major, minor = OPUS_VERSION.removeprefix("libopus ").split(".")[:2]
    assert (int(major), int(minor)) >= (1, 5)
    assert repr(OpusDecoder(16_000, 2)) == "OpusDecoder(sample_rate=16000, channels=2, complexity=0)"
    assert repr(voice()).startswith("OpusEncoder(sample_rate=16000, channels=1, application=")
