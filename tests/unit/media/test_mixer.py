"""Rooms as Python sees them: arrays in and out, packets in and out."""

from __future__ import annotations

import dataclasses
import gc
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from antiphon.errors import BadAudio
from antiphon.media.mixer import Conference, LostPacket, Mixer, OutputFormat, RoomConfig, opus_output
from antiphon.media.opus import OpusDecoder, OpusEncoderConfig

SPEECH = Path(__file__).parent.parent.parent / "data" / "speech"
RATE = 16_000
TICK = 320
OPUS = OpusEncoderConfig(sample_rate=RATE, bitrate=32_000, complexity=3, dtx=False, fec=False, expected_loss=0)
OPEN = RoomConfig(
    sample_rate=RATE, loudest=None, threshold=-127.0, fade_ms=0.0, lookahead_ms=0.0, ceiling=0.0, hold_ms=0
)
"""Mixes everything as it is, but for the fade's first sample."""

Samples = NDArray[np.float32]


def tone(hz: float, amplitude: float, ticks: int) -> Samples:
    at = np.arange(ticks * TICK) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def packets(pcm: Samples) -> list[bytes]:
    encoder = OPUS.encoder()
    return [encoder.encode(frame) for frame in pcm.reshape(-1, TICK)]


def speech(name: str) -> Samples:
    with wave.open(str(SPEECH / name)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return (samples[: len(samples) // TICK * TICK] / 32768).astype(np.float32)


def level(pcm: Samples, hz: float) -> float:
    """Amplitude of one frequency in dB."""
    at = np.arange(len(pcm)) / RATE
    window = np.hanning(len(pcm))
    found = np.abs(np.sum(pcm * window * np.exp(-2j * np.pi * hz * at))) / np.sum(window) * 2
    return float(20 * np.log10(found + 1e-9))


def conference(participants: int, **values: object) -> Conference:
    room = RoomConfig(sample_rate=RATE, **values).conference()  # type: ignore[arg-type]
    for participant in range(participants):
        room.add(participant, "opus", opus_output(OPUS))
    return room


class TestMixer:
    def test_each_hears_the_sum_of_the_others_exactly(self) -> None:
        mixer = OPEN.mixer()
        for person in range(5):
            mixer.add(person)
        random = np.random.default_rng(1)
        for turn in range(4):
            # Whole 16-bit values: their sums are exact in whatever order.
            said = (random.integers(-3000, 3000, (5, TICK)) / 32768).astype(np.float32)
            heard = mixer.tick(dict(enumerate(said)))
            for person in range(5):
                wanted = said.sum(axis=0, dtype=np.float32) - said[person]
                np.testing.assert_array_equal(heard[person][turn == 0 :], wanted[turn == 0 :])

    def test_the_loudest_are_mixed_and_all_others_share_one_array(self) -> None:
        mixer = Mixer(RATE, loudest=2)
        for person in range(6):
            mixer.add(person)
        voices = {n: tone(200.0 * (n + 1), amplitude, 3) for n, amplitude in enumerate((0.02, 0.3, 0.1, 0.2))}
        for tick in range(3):
            heard = mixer.tick({n: pcm[tick * TICK : (tick + 1) * TICK] for n, pcm in voices.items()})
        assert [person for person, _ in mixer.active] == [1, 3]
        assert heard[0] is heard[2] is heard[4] is heard[5]
        assert heard[1] is not heard[3]
        np.testing.assert_array_equal(heard[0], mixer.shared)
        late = mixer.delay_samples
        np.testing.assert_array_equal(heard[1], voices[3][2 * TICK - late : 3 * TICK - late])

    @pytest.mark.parametrize("kind", [np.int16, np.float32, bytes])
    def test_samples_of_each_kind_are_taken(self, kind: type) -> None:
        mixer = OPEN.mixer()
        mixer.add(1)
        mixer.add(2)
        whole = np.arange(-8000, -8000 + 50 * TICK, 50, dtype=np.int16)
        given: NDArray[np.int16] | Samples | bytes = whole
        if kind is bytes:
            given = whole.tobytes()
        elif kind is np.float32:
            given = np.asarray(whole / 32768, np.float32)
        mixer.tick({1: given})
        np.testing.assert_array_equal(mixer.tick({1: given})[2], whole.astype(np.float32) / 32768)

    def test_many_at_full_scale_do_not_clip_and_one_alone_is_untouched(self) -> None:
        mixer = Mixer(RATE, loudest=None)
        for person in range(12):
            mixer.add(person)
        random = np.random.default_rng(2)
        for _ in range(50):
            heard = mixer.tick({n: random.uniform(-1, 1, TICK).astype(np.float32) for n in range(12)})
            assert max(np.abs(pcm).max() for pcm in heard.values()) <= 10 ** (-1 / 20) + 1e-6
        assert np.abs(mixer.shared).max() > 0.5
        alone = tone(440.0, 0.85, 150)
        late = mixer.delay_samples
        heard_alone = [mixer.tick({0: alone[at : at + TICK]})[1] for at in range(0, len(alone), TICK)]
        np.testing.assert_array_equal(np.concatenate(heard_alone)[-20 * TICK :], alone[-20 * TICK - late : -late])

    def test_what_is_heard_cannot_be_written_to_and_outlives_the_room(self) -> None:
        mixer = Mixer(RATE)
        mixer.add(1)
        heard = mixer.tick({})[1]
        with pytest.raises(ValueError, match="read-only"):
            heard[0] = 1.0
        del mixer
        gc.collect()
        assert heard.shape == (TICK,)
        assert not heard.any()

    def test_gains_and_mutes_act_on_everybody_else(self) -> None:
        mixer = OPEN.mixer()
        for person in range(3):
            mixer.add(person)
        pcm = np.full(TICK, 0.25, np.float32)
        mixer.set_gain(0, 2.0)
        mixer.set_muted(1, True)
        mixer.tick({0: pcm, 1: pcm})
        heard = mixer.tick({0: pcm, 1: pcm})
        assert heard[2][-1] == heard[1][-1] == 0.5
        assert heard[0][-1] == 0.0

    def test_wrong_values_are_refused_with_the_right_ones(self) -> None:
        with pytest.raises(ValueError, match="8000, 12000, 16000, 24000, 48000"):
            Mixer(44_100)
        with pytest.raises(ValueError, match="10, 20"):
            RoomConfig(tick_ms=30)
        with pytest.raises(ValueError, match="channels"):
            Mixer(RATE, 900)
        with pytest.raises(ValueError, match="-40 to 0"):
            Mixer(RATE, ceiling=float("nan"))
        mixer = Mixer(RATE, max_participants=1)
        mixer.add(1)
        with pytest.raises(BadAudio, match="max_participants is 1"):
            mixer.add(2)
        with pytest.raises(ValueError, match="a tick has 320"):
            mixer.tick({1: np.zeros(10, np.float32)})
        with pytest.raises(ValueError, match="participant 9 is not in the room"):
            mixer.tick({9: np.zeros(TICK, np.float32)})
        with pytest.raises(TypeError):
            mixer.tick({1: np.zeros(TICK)})  # type: ignore[dict-item]
        assert mixer.remove(1)
        assert not mixer.remove(1)
        assert len(mixer) == 0
        assert 1 not in mixer


class TestConference:
    def test_a_shared_mix_is_encoded_once_and_given_as_one_object(self) -> None:
        room = conference(60)
        voices = [packets(tone(300.0 + 100 * n, 0.3, 40)) for n in range(3)]
        silent = packets(np.zeros(TICK, np.float32))[0]
        for tick in range(40):
            before = room.counters
            out = room.tick({n: (voices[n][tick], 15) if n < 3 else (silent, 127) for n in range(60)})
            after = room.counters
            assert after.decoded - before.decoded == 3
            assert after.encoded - before.encoded == 4
            assert len({id(packet) for packet in out.values()}) == 4
            assert len(out) == 60
            assert all(out[n] is out[59] for n in range(3, 60))
        assert sorted(person for person, _ in room.active) == [0, 1, 2]
        assert room.own_streams == 3
        assert room.shared_streams == 1

    def test_speakers_hear_each_other_and_not_themselves(self) -> None:
        room = conference(3)
        tones = (400.0, 900.0)
        voices = [packets(tone(hz, 0.3, 60)) for hz in tones]
        decoders = [OpusDecoder(RATE) for _ in range(3)]
        heard: list[list[Samples]] = [[], [], []]
        for tick in range(60):
            out = room.tick({n: (voice[tick], 14, True) for n, voice in enumerate(voices)})
            for person, decoder in enumerate(decoders):
                heard[person].append(decoder.decode_float(out[person]))
        levels = [[level(np.concatenate(pcm[30:]), hz) for hz in tones] for pcm in heard]
        assert levels[0][0] < -45 < -12 < levels[0][1]
        assert levels[1][1] < -45 < -12 < levels[1][0]
        assert min(levels[2]) > -12

    def test_who_falls_silent_returns_to_the_shared_stream(self) -> None:
        room = conference(3)
        steady, other = packets(speech("two-utterances.wav")), packets(tone(600.0, 0.2, 10))
        for tick, packet in enumerate(steady[:100]):
            inputs = {0: (packet, 20)} | ({1: (other[tick], 17)} if tick < 10 else {})
            out = room.tick(inputs)
            assert (out[1] is not out[2]) or tick >= 10
        assert room.counters.rejoined == 1
        assert out[1] is out[2]
        assert room.own_streams == 1

    def test_packets_without_levels_are_judged_by_what_is_in_them(self) -> None:
        room = conference(3)
        said = packets(speech("go-forward.wav"))
        silent = packets(np.zeros(TICK, np.float32))[0]
        active = []
        for packet in said:
            room.tick({0: packet, 1: silent})
            active.append([person for person, _ in room.active])
        assert [0] in active
        assert all(person in ([], [0]) for person in active)
        assert room.counters.decoded < 1.5 * len(said)

    def test_losses_are_concealed_and_nonsense_is_counted(self) -> None:
        room = conference(3)
        said = packets(tone(500.0, 0.3, 40))
        for tick, packet in enumerate(said):
            if tick == 20:
                room.tick({0: LostPacket()})
            elif tick == 25:
                room.tick({0: LostPacket(said[26])})
            elif tick == 30:
                room.tick({0: (b"\xfb\x03\x01\x02", 5), 1: b""})
            else:
                room.tick({0: (packet, 14)})
            if tick > 2:
                assert float(np.sqrt(np.mean(room.shared**2))) > 0.015, f"a hole in tick {tick}"
        assert room.counters.concealed == 3
        assert room.counters.malformed == 2
        assert LostPacket(b"x").next_packet == b"x"
        assert LostPacket().next_packet is None

    def test_arrays_telephones_and_lists_mix_with_opus(self) -> None:
        room = Conference(RATE)
        room.add(0, "pcm_s16le", OutputFormat.pcm_s16le(RATE), sample_rate=RATE)
        room.add(1, "alaw", OutputFormat.mulaw())
        room.add(2, "opus", None)
        pcm = tone(500.0, 0.3, 30)
        for tick in range(30):
            piece = pcm[tick * TICK : (tick + 1) * TICK]
            # An agent speaks in samples that nobody has to decode; half of them at a time.
            out = room.tick({2: [LostPacket(), piece]} if tick % 2 else {2: piece})
        assert set(out) == {0, 1}
        assert len(out[1]) == 160
        heard = np.frombuffer(out[0], np.int16)
        assert 0.25 < np.abs(heard).max() / 32768 < 0.35
        assert room.level(2) == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.2)
        assert room.speaking(2)
        assert not room.speaking(0)

    def test_a_change_of_bitrate_goes_on_with_the_same_encoder(self) -> None:
        room = conference(3)
        said = packets(tone(500.0, 0.3, 60))
        decoder, heard = OpusDecoder(RATE), []
        for tick, packet in enumerate(said):
            if tick == 30:
                room.set_output(1, opus_output(dataclasses.replace(OPUS, bitrate=64_000)))
            heard.append(decoder.decode_float(room.tick({0: (packet, 14)})[1]))
        steps = np.abs(np.diff(np.concatenate(heard[10:])))
        assert steps.max() < 1.3 * 0.3 * 2 * np.pi * 500 / RATE
        assert room.shared_streams == 2

    def test_wrong_values_are_refused_with_the_right_ones(self) -> None:
        room = Conference()
        with pytest.raises(ValueError, match="opus, mulaw, alaw, pcm_s16le"):
            room.add(1, "mp3")
        with pytest.raises(ValueError, match="ticks of 20 ms"):
            room.add(1, "opus", OutputFormat.opus(frame_ms=10))
        with pytest.raises(ValueError, match="16000"):
            OutputFormat.pcm_s16le(11_025)
        with pytest.raises(ValueError, match="voip, audio, restricted_lowdelay"):
            OutputFormat.opus(application="music")
        with pytest.raises(ValueError, match="not in the room"):
            room.level(3)
        room.add(1)
        with pytest.raises(ValueError, match="already"):
            room.add(1)
        with pytest.raises(TypeError, match=r"\(packet, level\)"):
            room.tick({1: (b"x",)})  # type: ignore[dict-item]
        with pytest.raises(OverflowError):
            room.add(-1)
        assert repr(room) == "Conference(sample_rate=48000, channels=1, participants=1)"
        assert 1 in room

    def test_formats_are_equal_by_value(self) -> None:
        assert OutputFormat.opus() == OutputFormat.opus(48_000)
        assert OutputFormat.opus() != OutputFormat.opus(bitrate=33_000)
        assert len({OutputFormat.mulaw(), OutputFormat.mulaw(), OutputFormat.alaw()}) == 2
        assert "bitrate=32000" in repr(OutputFormat.opus())

    def test_other_threads_run_while_a_tick_is_mixed(self) -> None:
        room = RoomConfig(sample_rate=48_000, loudest=None, threshold=-127.0).conference()
        loud = OpusEncoderConfig(complexity=10)
        for person in range(20):
            room.add(person, "opus", opus_output(loud))
        pcm = np.full(960, 0.1, np.float32)
        inputs = dict.fromkeys(range(20), pcm)
        turns, done = 0, threading.Event()

        def count() -> None:
            nonlocal turns
            while not done.is_set():
                turns += 1

        other = threading.Thread(target=count)
        other.start()
        try:
            before = turns
            for _ in range(5):
                room.tick(inputs)
            assert turns > before
        finally:
            done.set()
            other.join()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "mute", "speak", "hush", "garbage", "tick"]),
            st.integers(0, 4),
            st.binary(max_size=30),
        ),
        max_size=80,
    )
)
def test_whatever_happens_everybody_present_hears_something_decodable(
    deeds: list[tuple[str, int, bytes]],
) -> None:
    room = RoomConfig(sample_rate=RATE, hold_ms=60, tenure_ms=40).conference()
    voice = packets(tone(400.0, 0.3, 20))
    present: dict[int, OpusDecoder] = {}
    speaking: set[int] = set()
    for tick, (deed, who, data) in enumerate(deeds):
        extra: dict[int, bytes] = {}
        match deed:
            case "add" if who not in present:
                room.add(who, "opus", opus_output(OPUS))
                present[who] = OpusDecoder(RATE)
            case "remove":
                assert room.remove(who) == (present.pop(who, None) is not None)
            case "mute" if who in present:
                room.set_muted(who, len(data) % 2 == 0)
            case "speak":
                speaking.add(who)
            case "hush":
                speaking.discard(who)
            case "garbage" if who in present:
                extra = {who: data}
        out = room.tick(dict.fromkeys(speaking & set(present), voice[tick % 20]) | extra)
        assert set(out) == set(present)
        assert room.own_streams <= len(present)
        for person, packet in out.items():
            assert len(present[person].decode(packet)) == TICK
