//! What the jitter buffer asks of a codec, and the codecs that need no library.

use super::conceal::Concealer;
use super::config::check_output;
use crate::g711::Law;
use crate::opus;
use crate::{Error, Result};

/// A decoder that can fill in for what was lost. Samples are interleaved `f32`; counts are of one channel.
pub trait FrameDecoder {
    /// Hertz of what comes out.
    fn sample_rate(&self) -> u32;

    /// Channels of what comes out.
    fn channels(&self) -> usize;

    /// Samples of each channel the packet will give, without decoding it.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it can't be a packet of this codec.
    fn samples(&self, packet: &[u8]) -> Result<usize>;

    /// Decodes a packet into `out`, which has room for [`Self::samples`], and says how many samples it wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize>;

    /// Fills `out` (a multiple of 2.5 ms) with what might have followed the last packet.
    ///
    /// # Errors
    /// None that input could cause.
    fn conceal(&mut self, out: &mut [f32]) -> Result<()>;

    /// Of the `span` samples lost just before the packet `next`, how many at their end it can recover.
    fn recoverable(&mut self, next: &[u8], span: usize) -> usize {
        let _ = (next, span);
        0
    }

    /// Fills `out` from the packet `next`, beginning `before` samples ahead of it, which is no more than
    /// [`Self::recoverable`] said.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    fn recover(&mut self, next: &[u8], before: usize, out: &mut [f32]) -> Result<()> {
        let _ = (next, before);
        self.conceal(out)
    }

    /// Whether the packet says that the sender falls silent (discontinuous transmission).
    fn is_pause(&self, packet: &[u8]) -> bool {
        let _ = packet;
        false
    }

    /// Forgets the stream.
    fn reset(&mut self);
}

impl FrameDecoder for Box<dyn FrameDecoder + Send> {
    fn sample_rate(&self) -> u32 {
        (**self).sample_rate()
    }
    fn channels(&self) -> usize {
        (**self).channels()
    }
    fn samples(&self, packet: &[u8]) -> Result<usize> {
        (**self).samples(packet)
    }
    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        (**self).decode(packet, out)
    }
    fn conceal(&mut self, out: &mut [f32]) -> Result<()> {
        (**self).conceal(out)
    }
    fn recoverable(&mut self, next: &[u8], span: usize) -> usize {
        (**self).recoverable(next, span)
    }
    fn recover(&mut self, next: &[u8], before: usize, out: &mut [f32]) -> Result<()> {
        (**self).recover(next, before, out)
    }
    fn is_pause(&self, packet: &[u8]) -> bool {
        (**self).is_pause(packet)
    }
    fn reset(&mut self) {
        (**self).reset();
    }
}

/// Far beyond full scale, and far from where sums of squares are no longer finite.
const LOUDEST: f32 = 64.0;

/// How samples stand in a PCM packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PcmFormat {
    /// 16 bits, little-endian.
    S16Le,
    /// 16 bits, big-endian: L16 of RFC 3551.
    S16Be,
    /// IEEE 754 single precision, little-endian; what isn't finite is taken as 0, and beyond ±64 is cut.
    F32Le,
}

impl PcmFormat {
    fn bytes(self) -> usize {
        match self {
            Self::S16Le | Self::S16Be => 2,
            Self::F32Le => 4,
        }
    }
}

/// Uncompressed audio, concealed by pitch repetition.
#[derive(Debug)]
pub struct PcmDecoder {
    format: PcmFormat,
    sample_rate: u32,
    channels: usize,
    concealer: Concealer,
}

impl PcmDecoder {
    /// For interleaved samples of `channels`, 1 or 2, at `sample_rate` hertz, one of [`SAMPLE_RATES`](super::SAMPLE_RATES).
    ///
    /// # Errors
    /// [`Error::Unsupported`], which lists what is taken.
    pub fn new(format: PcmFormat, sample_rate: u32, channels: usize) -> Result<Self> {
        check_output(sample_rate, channels)?;
        Ok(Self { format, sample_rate, channels, concealer: Concealer::new(sample_rate, channels) })
    }
}

impl FrameDecoder for PcmDecoder {
    fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn samples(&self, packet: &[u8]) -> Result<usize> {
        let frame = self.format.bytes() * self.channels;
        if packet.is_empty() || !packet.len().is_multiple_of(frame) {
            let whole = packet.len() - packet.len() % frame;
            return Err(Error::malformed(whole as u64, format!("PCM must be whole frames of {frame} bytes")));
        }
        Ok(packet.len() / frame)
    }

    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        let samples = self.samples(packet)?;
        let out = &mut out[..samples * self.channels];
        match self.format {
            PcmFormat::S16Le => {
                for (sample, bytes) in out.iter_mut().zip(packet.chunks_exact(2)) {
                    *sample = f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32_768.0;
                }
            }
            PcmFormat::S16Be => {
                for (sample, bytes) in out.iter_mut().zip(packet.chunks_exact(2)) {
                    *sample = f32::from(i16::from_be_bytes([bytes[0], bytes[1]])) / 32_768.0;
                }
            }
            PcmFormat::F32Le => {
                for (sample, bytes) in out.iter_mut().zip(packet.chunks_exact(4)) {
                    let value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    *sample = if value.is_finite() { value.clamp(-LOUDEST, LOUDEST) } else { 0.0 };
                }
            }
        }
        self.concealer.good(out);
        Ok(samples)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<()> {
        self.concealer.conceal(out);
        Ok(())
    }

    fn reset(&mut self) {
        self.concealer.reset();
    }
}

/// G.711, concealed by pitch repetition.
#[derive(Debug)]
pub struct G711Decoder {
    law: Law,
    concealer: Concealer,
}

impl G711Decoder {
    /// Mono at 8 000 hertz.
    pub fn new(law: Law) -> Self {
        Self { law, concealer: Concealer::new(8_000, 1) }
    }
}

impl FrameDecoder for G711Decoder {
    fn sample_rate(&self) -> u32 {
        8_000
    }

    fn channels(&self) -> usize {
        1
    }

    fn samples(&self, packet: &[u8]) -> Result<usize> {
        match packet.len() {
            0 => Err(Error::malformed(0, "a G.711 packet has at least one byte")),
            length => Ok(length),
        }
    }

    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        let out = &mut out[..packet.len()];
        self.law.decode_float(packet, out)?;
        self.concealer.good(out);
        Ok(packet.len())
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<()> {
        self.concealer.conceal(out);
        Ok(())
    }

    fn reset(&mut self) {
        self.concealer.reset();
    }
}

/// Opus, which conceals by itself and may carry error correction, for the last packet in-band (RFC 6716, section 2.1.7),
/// for more of them as deep redundancy (DRED).
pub struct OpusDecoder {
    decoder: opus::Decoder,
    redundancy: Option<Redundancy>,
}

/// Deep redundancy as it was last read, which costs as much as decoding some frames.
struct Redundancy {
    dred: opus::Dred,
    packet: Vec<u8>,
    span: usize,
}

impl OpusDecoder {
    /// Over a decoder of any rate and channels.
    pub fn new(decoder: opus::Decoder) -> Self {
        Self { decoder, redundancy: None }
    }

    /// As [`Self::new`], using deep redundancy where packets carry it.
    ///
    /// # Errors
    /// None that input could cause.
    pub fn with_redundancy(decoder: opus::Decoder) -> Result<Self> {
        let redundancy = Redundancy { dred: opus::Dred::new()?, packet: Vec::new(), span: 0 };
        Ok(Self { decoder, redundancy: Some(redundancy) })
    }
}

impl Redundancy {
    /// Samples before the packet that it describes.
    fn reach(&mut self, packet: &[u8], sample_rate: u32, span: usize) -> usize {
        if self.packet != packet || self.span < span {
            self.packet.clear();
            self.packet.extend_from_slice(packet);
            self.span = span;
            if self.dred.parse(packet, sample_rate, span).is_err() {
                self.packet.clear();
                return 0;
            }
        }
        self.dred.reach()
    }
}

impl FrameDecoder for OpusDecoder {
    fn sample_rate(&self) -> u32 {
        self.decoder.sample_rate()
    }

    fn channels(&self) -> usize {
        self.decoder.channels().into()
    }

    fn samples(&self, packet: &[u8]) -> Result<usize> {
        opus::packet_samples(packet, self.decoder.sample_rate())
    }

    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        self.decoder.decode_float(packet, out)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<()> {
        self.decoder.conceal_float(out)
    }

    fn recoverable(&mut self, next: &[u8], span: usize) -> usize {
        let rate = self.decoder.sample_rate();
        let deep = self.redundancy.as_mut().map_or(0, |redundancy| redundancy.reach(next, rate, span));
        // In-band error correction is of a whole packet.
        let packet = if opus::has_fec(next) { opus::packet_samples(next, rate).unwrap_or(0) } else { 0 };
        deep.max(if span >= packet { packet } else { 0 })
    }

    fn recover(&mut self, next: &[u8], before: usize, out: &mut [f32]) -> Result<()> {
        let last = before * usize::from(self.decoder.channels()) == out.len();
        match &self.redundancy {
            Some(redundancy) if redundancy.packet == next && !(last && opus::has_fec(next)) => {
                self.decoder.recover_dred_float(&redundancy.dred, before, out)
            }
            _ => self.decoder.recover_float(next, out),
        }
    }

    fn is_pause(&self, packet: &[u8]) -> bool {
        // With DTX a frame of at most two bytes stands for those that follow it unsent (RFC 7587, section 3.1.3).
        packet.len() <= 2
    }

    fn reset(&mut self) {
        self.decoder.reset();
    }
}
