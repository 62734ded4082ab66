"""Decode one audio file piece by piece, in this process.

FFmpeg gets the bytes of one file and nothing else: it opens no path and no address itself, is told which of six
containers to read, and decodes only the codecs listed below. Still, a small hostile file can make it allocate gigabytes
(an MP4 index, a WAV comment) or, by a bug of its own, crash; :mod:`antiphon.media.files` runs this in a process of
its own under limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard

from antiphon.errors import BadAudio, DurationLimit, UnsupportedFormat
from antiphon.media import sniff
from antiphon.media.downmix import downmix_weights, mono
from antiphon.media.resample import MonoResampler, Samples
from antiphon.media.source import ByteSource
from antiphon.media.wire import FileInfo

BLOCK_SECONDS = 0.5

MAX_BAD_PACKETS = 50
"""Packets in a row that cannot be read or decoded before the file counts as corrupt."""

MIN_SAMPLE_RATE = 1_000
MAX_SAMPLE_RATE = 768_000
MAX_CHANNELS = 32
MAX_ID3_TAGS = 16

CODECS = frozenset(
    {
        "aac", "alac", "flac", "mp2", "mp3", "opus", "vorbis",
        "adpcm_ima_wav", "adpcm_ms", "gsm_ms", "pcm_alaw", "pcm_mulaw",
        "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_s8", "pcm_u8",
        "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le",
    }
)  # fmt: skip
"""Codecs taken, by FFmpeg's canonical names."""

_DECODERS = CODECS | {"mp3float", "mp2float", "libopus", "libvorbis"}

_OPTIONS = {
    "protocol_whitelist": "none",
    "codec_whitelist": ",".join(sorted(_DECODERS)),
    "max_streams": "64",
}
# Little probing: FFmpeg would look into half a megabyte of PCM, which from a live pipe is long in coming; 64 kB remain.
_DEMUXER_OPTIONS = {"wav": {"max_size": "8192", "probesize": "32"}, "mov": {"enable_drefs": "0"}}

# PyAV 18 frees the custom channel map of a frame twice. Of the codecs taken, only xHE-AAC gives frames one.
_AAC_PROFILES = frozenset({None, "LC", "HE-AAC", "HE-AACv2", "Main", "SSR", "LTP", "LD", "ELD"})

# What PyAV raises for a file's faults: FFmpeg's own errors, and its own on values out of range.
_FAULTS = (av.FFmpegError, ValueError, OverflowError)


class InProcessDecoder:
    """What :class:`antiphon.media.files.FileDecoder` is, without its protection.

    Args:
        file: Open for reading bytes, read from where it stands and left open; need not be seekable.
        sample_rate: Hertz of what comes out.
        max_seconds: Longest audio taken, counted in decoded samples.

    Raises:
        The same as :class:`~antiphon.media.files.FileDecoder`.
    """

    def __init__(self, file: BinaryIO, *, sample_rate: int = 16_000, max_seconds: float) -> None:
        self._sample_rate = sample_rate
        self._length = _Length(max_seconds)
        self._faults = 0
        self._spoilt = False
        self._container: InputContainer | None = None
        self._source = ByteSource(file)
        self._kind = _identify(self._source)
        self._container = self._open()
        try:
            self._stream = self._first_audio(self._container)
            self._weights, self._info = self._prepare(self._container)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> FileInfo:
        """What the header says, known before anything is decoded."""
        return self._info

    def close(self) -> None:
        """Let go of everything; harmless when repeated. Not to be called while another thread iterates."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        size = 2 * max(1, round(self._sample_rate * BLOCK_SECONDS))
        ready = bytearray()
        for pcm in self._converted():
            ready += pcm
            while len(ready) >= size:
                yield bytes(ready[:size])
                del ready[:size]
        if ready:
            yield bytes(ready)

    # Opening

    def _open(self) -> InputContainer:
        demuxer = self._kind.demuxer
        options = _OPTIONS | _DEMUXER_OPTIONS.get(demuxer, {}) | {"format_whitelist": demuxer}
        try:
            return av.open(self._source, "r", format=demuxer, container_options=options, metadata_errors="replace")
        except _FAULTS as error:
            raise self._source.failure or self._broken_header() from error

    def _broken_header(self) -> BadAudio:
        if self._kind.demuxer == "mov" and not self._source.seekable():
            return BadAudio(
                "this MP4 is truncated, or has its index at the end and cannot be read from a pipe; send it as a"
                " file, or write it with the index first (ffmpeg -movflags +faststart)"
            )
        return BadAudio(
            f"the file begins as {self._kind.name} and is truncated or corrupt: no audio was found in it (0.0 seconds"
            " decoded); export it again and send that"
        )

    def _first_audio(self, container: InputContainer) -> AudioStream:
        chosen: AudioStream | None = None
        for stream in container.streams:
            if chosen is None and isinstance(stream, AudioStream):
                chosen = stream
            else:
                stream.discard = Discard.all
        if chosen is None:
            kinds = sorted({stream.type for stream in container.streams} & {"video", "subtitle"})
            if not kinds:
                raise self._broken_header()
            raise UnsupportedFormat(f"the file has no audio track, only {', '.join(kinds)}; send one with sound")
        return chosen

    def _prepare(self, container: InputContainer) -> tuple[Samples, FileInfo]:
        stream = self._stream
        context = cast(AudioCodecContext | None, stream.codec_context)
        codec = context.codec.canonical_name if context is not None else "something that is not known here"
        # In WAV nothing divides AAC into packets.
        if context is None or codec not in CODECS or (codec, self._kind.demuxer) == ("aac", "wav"):
            raise UnsupportedFormat(f"the audio is coded as {codec}, which is not taken; send {sniff.ACCEPTED}")
        if codec == "aac" and context.profile not in _AAC_PROFILES:
            raise UnsupportedFormat(f"AAC of profile {context.profile} is not taken; send AAC-LC")
        names = _detach_layout(context)
        try:
            context.open(strict=False)
        except _FAULTS as error:
            raise self._broken_header() from error
        duration = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / av.time_base
        info = FileInfo(
            container=self._kind.name,
            codec=codec,
            sample_rate=context.sample_rate,
            channels=len(names),
            duration=duration if duration is not None and duration > 0 else None,
        )
        return downmix_weights(names), info

    # Decoding

    def _converted(self) -> Iterator[bytes]:
        rate = 0
        resampler: MonoResampler | None = None
        for frame in self._frames():
            channels = frame.layout.nb_channels
            if frame.sample_rate != rate or channels != len(self._weights):
                _check_shape(frame.sample_rate, channels)
            if channels != len(self._weights):
                self._weights = downmix_weights([""] * channels)
            if resampler is None or frame.sample_rate != rate:
                if resampler is not None:
                    yield resampler.flush()
                rate = frame.sample_rate
                resampler = MonoResampler(rate, self._sample_rate)
            self._length.add(frame.samples, rate)
            yield resampler.push(mono(frame, self._weights))
        if resampler is not None:
            yield resampler.flush()

    def _frames(self) -> Iterator[AudioFrame]:
        """Decoded frames that hold samples; a fault is passed over unless too many follow one another."""
        sound = False
        for packet in self._packets():
            if self._info.codec == "aac" and packet.has_sidedata("new_extradata"):
                raise UnsupportedFormat(
                    f"the AAC stream changes its configuration after {self._length.seconds:.1f} seconds, which is"
                    " not taken; export it again as one stream"
                )
            try:
                frames = packet.decode()
            except _FAULTS as error:
                self._fault(error)
                continue
            self._faults = 0
            for frame in frames:
                if frame.samples:
                    sound = True
                    yield frame
        if self._source.failure is not None:
            raise self._source.failure
        if not sound:
            if self._spoilt:
                raise self._broken_header()
            raise BadAudio(f"the {self._info.container} file holds no sound; send one that does")
        if self._cut_off():
            raise BadAudio(
                f"the file is truncated: its audio breaks off after {self._length.seconds:.1f} seconds, where its index"
                f" names {self._info.duration or 0:.1f}; send the whole file"
            )

    def _cut_off(self) -> bool:
        """Whether the index of an MP4 names packets behind the end of the file; the last one alone may be cut."""
        if self._kind.demuxer != "mov" or self._source.size is None:
            return False
        entries = self._stream.index_entries
        if len(entries) < 2:
            return False
        entry = entries[len(entries) - 2]
        return entry.pos + entry.size > self._source.size

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        """The packets of the track; where reading fails it goes on behind the fault."""
        demuxer: Iterator[Packet[AudioStream]] | None = None
        # PyAV reads freed memory where a demuxer is asked for more after its container was closed.
        while self._container is not None:
            if demuxer is None:
                demuxer = self._container.demux(self._stream)
            try:
                packet = next(demuxer, None)
            except _FAULTS as error:
                self._fault(error)
                demuxer = None
                continue
            if packet is None:
                return
            self._source.progressed()
            yield packet
        raise ValueError("the decoder is closed")

    def _fault(self, error: Exception) -> None:
        if self._source.failure is not None:
            raise self._source.failure from error
        if isinstance(error, av.PatchWelcomeError):
            raise UnsupportedFormat(
                f"after {self._length.seconds:.1f} seconds the file goes on in a way that cannot be decoded here, such"
                " as with another channel count; export it again as one stream"
            ) from error
        self._spoilt = True
        self._faults += 1
        if self._faults > MAX_BAD_PACKETS:
            if not self._length.seconds:
                raise self._broken_header() from error
            raise BadAudio(
                f"the file is truncated or corrupt after {self._length.seconds:.1f} seconds: {self._faults} packets"
                " in a row could not be decoded; export it again and send that"
            ) from error


class _Length:
    """Seconds decoded so far, counted in samples, over changes of the sample rate."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._before = 0.0
        self._samples = 0
        self._rate = 1

    @property
    def seconds(self) -> float:
        return self._before + self._samples / self._rate

    def add(self, samples: int, rate: int) -> None:
        if rate != self._rate:
            self._before, self._samples, self._rate = self.seconds, 0, rate
        self._samples += samples
        if self.seconds > self._limit:
            raise DurationLimit(
                f"the audio is longer than {self._limit:g} seconds, the most that is taken; send it in shorter files"
            )


def _identify(source: ByteSource) -> sniff.Container:
    """Find the container and let the source begin with it; tags before it, with their pictures, are passed over."""
    if not source.peek(1):
        raise BadAudio("the file is empty; send one with sound in it")
    for _ in range(MAX_ID3_TAGS):
        tag = sniff.id3_size(source.peek(sniff.SHORT_HEAD))
        if not tag:
            break
        source.skip(tag)
    if not source.peek(1):
        raise BadAudio("the file holds an ID3 tag and no sound, or is truncated; send one with sound in it")
    found = sniff.by_signature(source.peek(sniff.SHORT_HEAD)) or sniff.by_frames(source.peek(sniff.LONG_HEAD))
    if found is None:
        raise sniff.refusal(source.peek(sniff.LONG_HEAD))
    source.skip(found.offset)
    return found


def _detach_layout(context: AudioCodecContext) -> list[str]:
    """The names of the channels, whose layout the decoder is made to forget.

    PyAV 18 shares the memory of a custom channel map between the context, each frame and every layout object read
    from them, and each of them frees it. ``layout`` here stays the only owner; frames get a plain count.
    """
    layout = context.layout
    count = layout.nb_channels
    if count:
        context.layout = f"{count}C"
    _check_shape(context.sample_rate, count)
    return [channel.name for channel in layout.channels]


def _check_shape(sample_rate: int, channels: int) -> None:
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise UnsupportedFormat(
            f"the file claims {sample_rate} samples a second; send {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise UnsupportedFormat(
            f"the file claims {channels or 'an absurd number of'} channels; send 1 to {MAX_CHANNELS}"
        )
