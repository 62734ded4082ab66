"""Live streams on their way in: from any encoding to the mono 16-bit PCM that recognisers take."""

from __future__ import annotations

from antiphon._native import LiveDecoder, alaw_decode, mulaw_decode
from antiphon.formats import OPUS_RATES, AudioFormat, Encoding
from antiphon.media.pcm import PcmConverter

OPUS_CLOCK = 48_000
"""Samples a second in which all durations of Opus are counted (RFC 7845 section 4)."""


class SampleDecoder:
    """PCM or G.711 in, mono s16le at one rate out, as a stream.

    Args:
        source: What comes in: ``pcm_s16le``, ``mulaw`` or ``alaw``.
        sample_rate: Hertz of what goes out.

    Raises:
        UnsupportedFormat: The source is none of these.
    """

    def __init__(self, source: AudioFormat, sample_rate: int) -> None:
        self._law = {Encoding.MULAW: mulaw_decode, Encoding.ALAW: alaw_decode}.get(source.encoding)
        linear = source
        if self._law is not None:
            linear = AudioFormat(Encoding.PCM_S16LE, source.sample_rate, source.channels)
        self._converter = PcmConverter(linear, sample_rate)
        self.passthrough = self._law is None and self._converter.passthrough

    def decode(self, data: bytes) -> bytes:
        """Convert the next piece of the stream, whole sample frames; it may lag behind, see :class:`PcmConverter`."""
        return self._converter.convert(self._law(data).tobytes() if self._law is not None else data)

    def flush(self) -> bytes:
        """End the stream: what the resampler still holds."""
        return self._converter.flush()


class LiveOpus:
    """Opus in, by the packet or in a container, mono s16le at one rate out, as a stream.

    Losses of up to 120 ms are made up for: from the copy in the packet that follows (in-band FEC) where it carries
    one, else by concealment.

    Attributes:
        clock_rate: Hertz in which durations are counted, 48 000.

    Args:
        carrier: ``opus`` where each message is one packet; ``webm`` or ``ogg`` for the bytes of a container.
        sample_rate: Hertz of what goes out.

    Raises:
        ValueError: The encoding is not a carrier of Opus.
    """

    clock_rate = OPUS_CLOCK

    def __init__(self, carrier: Encoding, sample_rate: int) -> None:
        direct = sample_rate in OPUS_RATES
        self._rate = sample_rate if direct else OPUS_CLOCK
        self._decoder = LiveDecoder(carrier.value, self._rate)
        self._converter = None if direct else PcmConverter(AudioFormat(sample_rate=OPUS_CLOCK), sample_rate)
        self._sample_rate = sample_rate

    @property
    def waiting(self) -> int:
        """Samples of 48 kHz that were pushed and not decoded yet."""
        return self._decoder.waiting

    @property
    def concealed(self) -> int:
        """Samples of 48 kHz that were lost and made up for."""
        return self._decoder.concealed

    @staticmethod
    def duration(packet: bytes) -> int:
        """How many samples of 48 kHz a packet holds.

        Raises:
            BadAudio: It is no Opus packet.
        """
        return LiveDecoder.duration(packet)

    def push(self, data: bytes) -> int:
        """Take one packet, or the next bytes of the container, cut anywhere.

        Returns:
            Samples of 48 kHz that this made ready to be decoded.

        Raises:
            BadAudio: It is no Opus packet, and nothing was taken. What is wrong with a container is for :meth:`check`.
        """
        return self._decoder.push(data)

    def check(self) -> None:
        """Tell what was wrong with the container since this was asked last.

        What came before the fault can be decoded still, and what comes next may be a stream that begins anew.

        Raises:
            BadAudio: The bytes are not the container.
            UnsupportedFormat: The container holds something else than mono or stereo Opus.
        """
        self._decoder.check()

    def lost(self, samples: int) -> None:
        """``samples`` of 48 kHz were lost before the packet that is pushed next."""
        self._decoder.lost(samples)

    def decode(self, seconds: float) -> list[tuple[int, bytes]]:
        """Decode what waits, up to about ``seconds`` of it.

        Returns:
            Stretches of mono s16le, each with the samples (of its rate) before it that nobody sent.
        """
        stretches = self._decoder.decode(int(seconds * OPUS_CLOCK))
        if self._converter is None:
            return stretches
        scale = self._sample_rate / OPUS_CLOCK
        return [(round(gap * scale), self._converter.convert(pcm)) for gap, pcm in stretches]

    def finish(self) -> int:
        """No more will come; returns the samples of 48 kHz that this made ready, to be decoded still."""
        return self._decoder.finish()

    def flush(self) -> bytes:
        """After the last of it was decoded: what the resampler still holds."""
        return self._converter.flush() if self._converter is not None else b""
