"""Files of every kind, whole and broken, decoded in this process."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any, cast

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.errors import AntiphonError, BadAudio, DurationLimit, UnsupportedFormat
from antiphon.media import rms_dbfs
from antiphon.media.decode import InProcessDecoder
from support.audio import KINDS, Kind, encode, sine, speech, tone_dbfs, wav

CODECS: dict[Kind, str] = {
    "wav": "pcm_s16le",
    "flac": "flac",
    "mp3": "mp3",
    "m4a": "aac",
    "ogg-opus": "opus",
    "ogg-vorbis": "vorbis",
    "webm": "opus",
}
LAME_GAIN = -0.45  # dB; LAME lowers everything by a factor of 0.95


def decode(data: bytes, max_seconds: float = 60.0, sample_rate: int = 16_000) -> bytes:
    with InProcessDecoder(io.BytesIO(data), sample_rate=sample_rate, max_seconds=max_seconds) as decoder:
        return b"".join(decoder)


def middle(pcm: bytes, sample_rate: int = 16_000) -> bytes:
    edge = 2 * (sample_rate // 10)
    return pcm[edge:-edge]


def video(audio_codec: str | None, seconds: float = 1.0, muxer: str = "mp4") -> bytes:
    """A film of grey frames, and a tone where a codec for it is named."""
    file = io.BytesIO()
    with av.open(cast(Any, file), "w", format=muxer) as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = None
        if audio_codec:
            sound = cast(AudioStream, container.add_stream(audio_codec, rate=48_000, layout="stereo"))
        for _ in range(round(25 * seconds)):
            frame = VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), "rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if sound:
            samples = np.frombuffer(sine(1000, seconds, sample_rate=48_000, channels=2), "<i2").astype(np.int16)
            for start in range(0, samples.size, 2048):
                audio = AudioFrame.from_ndarray(samples[None, start : start + 2048], "s16", "stereo")
                audio.sample_rate = 48_000
                container.mux(sound.encode(audio))
            container.mux(sound.encode(None))
    return file.getvalue()


def wav_header(fmt: bytes, size: int, data: bytes) -> bytes:
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(len(body), 0xFFFFFFFF)) + body


def pcm_fmt(sample_rate: int, channels: int, bits: int = 16, tag: int = 1) -> bytes:
    block = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, sample_rate, sample_rate * block % 2**32, block % 65_536, bits)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tone_keeps_its_frequency_level_and_length(kind: Kind, sample_rate: int) -> None:
    data = encode(sine(1000, 1, sample_rate=sample_rate, dbfs=-12), kind, sample_rate=sample_rate)
    heard = decode(data)
    level = -12 + (LAME_GAIN if kind == "mp3" else 0)
    assert tone_dbfs(middle(heard), 1000) == pytest.approx(level, abs=0.1)
    assert rms_dbfs(middle(heard)) == pytest.approx(level, abs=0.1), "something was added to the tone"
    # AAC in MP4 ends with what fills its last frame of 1024 samples.
    assert len(heard) / 32_000 == pytest.approx(1, abs=1.5 * 1024 / sample_rate if kind == "m4a" else 0.005)


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_is_told(kind: Kind) -> None:
    data = encode(sine(1000, 1, sample_rate=48_000, channels=2), kind, sample_rate=48_000, channels=2)
    with InProcessDecoder(io.BytesIO(data), max_seconds=60) as decoder:
        info = decoder.info
    assert (info.container, info.codec) == (kind.partition("-")[0].replace("m4a", "mp4"), CODECS[kind])
    assert (info.sample_rate, info.channels) == (48_000, 2)
    assert info.duration == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "ogg-opus"])
def test_what_does_not_fit_the_lower_rate_is_filtered_and_not_folded(kind: Kind) -> None:
    data = encode(sine(10_000, 1, sample_rate=48_000, dbfs=-6), kind, sample_rate=48_000)
    assert rms_dbfs(middle(decode(data))) < -6 - 60


def test_lossless_speech_comes_out_bit_for_bit() -> None:
    pcm = speech("go-forward")
    assert decode(encode(pcm, "wav")) == pcm
    assert decode(encode(pcm, "flac")) == pcm


def test_blocks_are_half_a_second_and_the_last_is_the_rest() -> None:
    with InProcessDecoder(io.BytesIO(wav(sine(440, 1.2))), max_seconds=60) as decoder:
        assert [len(block) for block in decoder] == [16_000, 16_000, 6_400]


def test_another_rate_may_be_asked_for() -> None:
    heard = decode(wav(sine(1000, 1, dbfs=-12)), sample_rate=8_000)
    assert len(heard) == 16_000
    assert tone_dbfs(middle(heard, 8_000), 1000, 8_000) == pytest.approx(-12, abs=0.1)


@pytest.mark.parametrize("channels", [2, 6, 8])
@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "webm"])
def test_the_same_tone_in_all_channels_keeps_its_level(kind: Kind, channels: int) -> None:
    data = encode(
        sine(1000, 1, sample_rate=48_000, channels=channels, dbfs=-12), kind, sample_rate=48_000, channels=channels
    )
    assert tone_dbfs(middle(decode(data)), 1000) == pytest.approx(-12, abs=0.1)


def test_the_centre_of_surround_is_the_loudest_and_its_effects_channel_silent() -> None:
    tone = np.frombuffer(sine(1000, 1, dbfs=-12), "<i2")
    levels = {}
    for index, name in enumerate(["FL", "FR", "FC", "LFE", "BL", "BR"]):
        samples = np.zeros((tone.size, 6), "<i2")
        samples[:, index] = tone
        levels[name] = rms_dbfs(decode(encode(samples.tobytes(), "wav", channels=6)))
    assert levels["FC"] > levels["FL"] == levels["FR"] > levels["BL"] == levels["BR"] > levels["LFE"]
    assert levels["LFE"] == -np.inf


@pytest.mark.parametrize(
    ("dtype", "bits", "tag"),
    [("u1", 8, 1), ("<i4", 32, 1), ("<f4", 32, 3), ("<f8", 64, 3)],
    ids=["u8", "s32", "f32", "f64"],
)
def test_every_sample_format_has_the_same_scale(dtype: str, bits: int, tag: int) -> None:
    samples = np.frombuffer(sine(1000, 1, dbfs=-12), "<i2") / 32_768
    whole = {"u1": samples * 128 + 128, "<i4": samples * 2**31}.get(dtype, samples)
    data = wav_header(pcm_fmt(16_000, 1, bits, tag), 2**31, whole.astype(dtype).tobytes())
    assert tone_dbfs(middle(decode(data)), 1000) == pytest.approx(-12, abs=0.1)


def test_samples_that_are_no_numbers_do_not_silence_the_rest() -> None:
    samples = np.tile(np.frombuffer(sine(1000, 1, sample_rate=48_000, dbfs=-12), "<i2") / 32_768, 2).astype("<f4")
    samples[100:110] = np.nan
    samples[200:210] = np.inf
    data = wav_header(pcm_fmt(48_000, 1, 32, 3), samples.nbytes, samples.tobytes())
    assert tone_dbfs(decode(data)[32_000:-3_200], 1000) == pytest.approx(-12, abs=0.1)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF], ids=["zero", "all ones", "huge"])
def test_a_streamed_wav_without_a_length_is_read_to_its_end(size: int) -> None:
    pcm = sine(440, 1.3)
    assert decode(wav_header(pcm_fmt(16_000, 1), size, pcm)) == pcm


def test_a_pipe_is_decoded_as_it_comes() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pcm = sine(440, 5)
    kinds: tuple[Kind, ...] = ("wav", "flac", "ogg-opus")
    for kind in kinds:
        with InProcessDecoder(Pipe(encode(pcm, kind)), max_seconds=60) as decoder:
            assert len(b"".join(decoder)) == len(pcm)
    # Longer than FFmpeg's buffer, in which it could still go back.
    long = sine(440, 15)
    with (
        pytest.raises(BadAudio, match="cannot be read from a pipe"),
        InProcessDecoder(Pipe(encode(long, "m4a")), max_seconds=60) as decoder,
    ):
        list(decoder)
    with InProcessDecoder(Pipe(encode(long, "m4a", options={"movflags": "faststart"})), max_seconds=60) as decoder:
        assert len(b"".join(decoder)) == pytest.approx(len(long), abs=4_096)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov", "dash"])
def test_fragmented_and_reordered_mp4(flags: str) -> None:
    data = encode(sine(1000, 1, dbfs=-12), "m4a", options={"movflags": flags})
    assert tone_dbfs(middle(decode(data)), 1000) == pytest.approx(-12, abs=0.1)


def test_tags_and_cover_art_before_the_audio_are_passed_over() -> None:
    picture = b"\x00image/png\x00\x03\x00" + b"\x89PNG\r\n\x1a\n" + bytes(100_000)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\x00\x00" + picture
    size = len(frame)
    tag = b"ID3\x03\x00\x00" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + frame
    pcm = sine(1000, 1, dbfs=-12)
    assert decode(tag + encode(pcm, "flac")) == pcm
    assert tone_dbfs(middle(decode(tag + tag + encode(pcm, "mp3"))), 1000) == pytest.approx(-12 + LAME_GAIN, abs=0.1)


def test_the_sound_of_a_film_is_taken() -> None:
    data = video("aac")
    with InProcessDecoder(io.BytesIO(data), max_seconds=60) as decoder:
        assert decoder.info.codec == "aac"
        heard = b"".join(decoder)
    assert tone_dbfs(middle(heard), 1000) == pytest.approx(-9.03, abs=0.1)


def test_a_change_of_rate_and_channels_within_a_file() -> None:
    stereo = encode(sine(500, 1, sample_rate=44_100, channels=2), "mp3", sample_rate=44_100, channels=2)
    mono = encode(sine(500, 1, sample_rate=16_000), "mp3", sample_rate=16_000)
    heard = decode(stereo + mono)
    assert tone_dbfs(heard[3_200:28_800], 500) == pytest.approx(-9.03 + LAME_GAIN, abs=0.3)
    assert tone_dbfs(heard[38_400:-6_400], 500) == pytest.approx(-9.03 + LAME_GAIN, abs=0.1)


def test_an_ogg_that_goes_on_with_another_stream() -> None:
    link = encode(sine(1000, 1, dbfs=-12), "ogg-opus")
    heard = decode(link + link)
    assert len(heard) / 32_000 == pytest.approx(2, abs=0.02)
    assert tone_dbfs(heard[35_200:-3_200], 1000) == pytest.approx(-12, abs=0.1)
    with pytest.raises(UnsupportedFormat, match=r"^after 1\.0 seconds the file goes on .* another channel count"):
        decode(link + encode(sine(1000, 1, channels=2), "ogg-opus", channels=2))


# What is wrong with a file, who is told, and how.

HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


def claiming(sample_rate: int, channels: int, bits: int = 16, tag: int = 1) -> bytes:
    return wav_header(pcm_fmt(sample_rate, channels, bits, tag), 1000, bytes(1000))


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", BadAudio, "^the file is empty"),
        (b"PK\x03\x04" + bytes(1000), BadAudio, "^this is a ZIP archive, not audio; send WAV, FLAC, MP3"),
        (HLS, BadAudio, "^this is a playlist, not audio"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x05hello", BadAudio, "^the file holds an ID3 tag and no sound"),
        (b"RIFF\x24\x00\x00\x00WAVE", BadAudio, "^the file begins as wav and is truncated or corrupt"),
        (b"fLaC" + bytes(100), BadAudio, "^the file begins as flac and is truncated or corrupt"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(100), BadAudio, "^the file begins as mp4 and is truncated or corrupt"),
        (b"OggS" + bytes(100), BadAudio, "^the file begins as ogg and is truncated or corrupt"),
        (b"\x1a\x45\xdf\xa3" + bytes(100), BadAudio, "^the file begins as matroska and is truncated or corrupt"),
        (wav(b""), BadAudio, "^the wav file holds no sound"),
        (claiming(16_000, 65_535), UnsupportedFormat, "claims an absurd number of channels; send 1 to 32"),
        (claiming(16_000, 40), UnsupportedFormat, "claims 40 channels; send 1 to 32"),
        (claiming(4_000_000_000, 1), BadAudio, "truncated or corrupt"),
        (claiming(2_000_000_000, 1), UnsupportedFormat, "claims 2000000000 samples a second"),
        (claiming(100, 1), UnsupportedFormat, "claims 100 samples a second"),
        (claiming(16_000, 1, 16, 0x6666), UnsupportedFormat, "^the audio is coded as .* not known"),
    ],
)
def test_a_bad_file_is_refused_with_its_fault(data: bytes, kind: type[AntiphonError], message: str) -> None:
    with pytest.raises(kind, match=message):
        decode(data)


@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
def test_a_film_without_sound_is_unsupported(muxer: str) -> None:
    with pytest.raises(UnsupportedFormat, match=r"^the file has no audio track, only video"):
        decode(video(None, muxer=muxer))


def test_a_codec_that_is_not_taken_is_named() -> None:
    with pytest.raises(UnsupportedFormat, match=r"^the audio is coded as ac3, which is not taken; send WAV"):
        decode(video("ac3"))


def test_longer_than_allowed_is_stopped_by_what_was_decoded() -> None:
    pcm = sine(440, 3)
    header_lies = wav_header(pcm_fmt(16_000, 1), 320, b"") + pcm
    assert decode(encode(pcm, "flac"), max_seconds=3.0) == pcm
    for data in (wav_header(pcm_fmt(16_000, 1), 0, pcm), encode(pcm, "flac"), encode(pcm, "webm")):
        heard: list[bytes] = []
        with (
            InProcessDecoder(io.BytesIO(data), max_seconds=2) as decoder,
            pytest.raises(DurationLimit, match=r"^the audio is longer than 2 seconds"),
        ):
            heard.extend(decoder)
        assert 32_000 < len(b"".join(heard)) <= 2 * 32_000
    assert len(decode(header_lies)) == 320


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg-opus", "ogg-vorbis", "webm"])
def test_a_file_cut_off_gives_what_it_still_holds(kind: Kind) -> None:
    data = encode(sine(1000, 4, dbfs=-12), kind)
    heard = decode(data[: len(data) // 2])
    assert 0.9 < len(heard) / 32_000 < 3.1
    assert tone_dbfs(heard[3_200:28_800], 1000) == pytest.approx(-12, abs=0.6)


def test_an_mp4_cut_off_gives_what_it_holds_and_then_says_where_it_ends() -> None:
    data = encode(sine(1000, 8, dbfs=-12), "m4a", options={"movflags": "faststart"})
    heard: list[bytes] = []
    with (
        InProcessDecoder(io.BytesIO(data[: len(data) // 2]), max_seconds=60) as decoder,
        pytest.raises(
            BadAudio,
            match=r"^the file is truncated: its audio breaks off after 3\.\d seconds, where its index names 8\.0",
        ),
    ):
        heard.extend(decoder)
    assert 3 <= len(b"".join(heard)) / 32_000 <= 4


def test_an_mp4_without_its_index_is_broken() -> None:
    data = encode(sine(1000, 2), "m4a")
    with pytest.raises(BadAudio, match=r"begins as mp4 and is truncated or corrupt: .*0\.0 seconds decoded"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["flac", "mp3", "m4a", "ogg-opus", "webm"])
def test_a_spoilt_stretch_is_passed_over_or_told(kind: Kind) -> None:
    data = bytearray(
        encode(sine(1000, 4, dbfs=-12), kind, options={"movflags": "faststart"} if kind == "m4a" else None)
    )
    start = len(data) // 2
    data[start : start + 300] = np.random.default_rng(5).bytes(300)
    heard = decode(bytes(data))
    # A WebM is read on from its next cluster, up to five seconds later.
    assert len(heard) / 32_000 > (1.9 if kind == "webm" else 2.9)
    assert tone_dbfs(heard[3_200:32_000], 1000) == pytest.approx(-12, abs=0.6)


def test_noise_behind_a_good_header_is_told() -> None:
    data = encode(sine(1000, 16), "m4a", options={"movflags": "faststart"})
    start = data.index(b"mdat") + 4
    noise = np.random.default_rng(5).bytes(len(data) - start)
    with pytest.raises(BadAudio, match=r"truncated or corrupt"):
        decode(data[:start] + noise)
    half = (start + len(data)) // 2
    with pytest.raises(BadAudio, match=r"^the file is truncated or corrupt after [78]\.\d seconds: 51 packets"):
        decode(data[:half] + noise[half - start :])


def test_a_fault_of_the_disk_is_not_blamed_on_the_file() -> None:
    class Failing(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            if self.tell() > 40_000:
                raise OSError(5, "Input/output error")
            return super().read1(size)

    with (
        InProcessDecoder(Failing(wav(sine(440, 4))), max_seconds=60) as decoder,
        pytest.raises(OSError, match="Input/output error"),
    ):
        list(decoder)


def test_nothing_is_decoded_after_closing() -> None:
    decoder = InProcessDecoder(io.BytesIO(wav(sine(440, 4))), max_seconds=60)
    blocks = iter(decoder)
    assert len(next(blocks)) == 16_000
    decoder.close()
    decoder.close()
    with pytest.raises(ValueError, match="closed"):
        list(blocks)


def test_ffmpeg_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in KINDS:
        data = bytearray(encode(sine(1000, 1), kind))
        data[len(data) // 2 :: 50] = b"\xff" * len(data[len(data) // 2 :: 50])
        with contextlib.suppress(BadAudio):
            decode(bytes(data))
    assert capfd.readouterr() == ("", "")


# Whatever comes, the answer is audio or an error with a code.

SOUND = sine(700, 0.6)
WHOLE = [
    wav(SOUND),
    *(encode(SOUND, kind) for kind in KINDS if kind != "wav"),
    encode(SOUND, "m4a", options={"movflags": "frag_keyframe+empty_moov"}),
    encode(sine(700, 0.2, sample_rate=48_000, channels=8), "flac", sample_rate=48_000, channels=8),
]
MAGIC = [b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\x80\x00\x00\x22", b"\x00\x00\x00\x10ftypisom", b"OggS\x00\x02",
         b"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm", b"\xff\xfb\x90\x64", b"ID3\x03\x00\x00\x00\x00\x00\x01"]  # fmt: skip


def answer(data: bytes) -> None:
    with contextlib.suppress(AntiphonError):
        decode(data, max_seconds=30)


@settings(deadline=None, max_examples=300)
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=4096))
def test_arbitrary_bytes_give_audio_or_an_error_with_a_code(magic: bytes, rest: bytes) -> None:
    answer(magic + rest)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 12))):
        # Headers stand at the front, and in MP4 at the end.
        place = draw(st.one_of(st.integers(0, 700), st.integers(-1500, -1), st.integers(0, 2**20))) % (len(data) or 1)
        patch = draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff"])))
        match draw(st.sampled_from(["overwrite", "insert", "delete", "cut", "repeat"])):
            case "overwrite":
                data[place : place + len(patch)] = patch
            case "insert":
                data[place:place] = patch
            case "delete":
                del data[place : place + draw(st.integers(1, 200))]
            case "cut" if draw(st.booleans()):
                del data[place:]
            case _:
                data[place:place] = data[place : place + draw(st.integers(1, 400))]
    return bytes(data)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(data=spoilt())
def test_spoilt_files_give_audio_or_an_error_with_a_code(data: bytes) -> None:
    answer(data)
