//! The outside of a packet: what its table of contents and lengths say (RFC 6716, section 3).

use super::MAX_PACKET_MICROS;
use super::values;
use crate::{Error, Result};

/// Longest a coded frame may be (RFC 6716, R2).
const MAX_FRAME_BYTES: usize = 1_275;

/// How the frames of a packet are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Linear prediction, for speech.
    Silk,
    /// SILK below 8 kHz, CELT above.
    Hybrid,
    /// Transform, for everything and with little delay.
    Celt,
}

impl Mode {
    /// `silk`, `hybrid` or `celt`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silk => "silk",
            Self::Hybrid => "hybrid",
            Self::Celt => "celt",
        }
    }
}

/// How high the audio of a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bandwidth {
    /// 4 kHz.
    Narrow,
    /// 6 kHz.
    Medium,
    /// 8 kHz.
    Wide,
    /// 12 kHz.
    SuperWide,
    /// 20 kHz.
    Full,
}

impl Bandwidth {
    /// `narrow`, `medium`, `wide`, `superwide` or `full`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Narrow => "narrow",
            Self::Medium => "medium",
            Self::Wide => "wide",
            Self::SuperWide => "superwide",
            Self::Full => "full",
        }
    }
}

/// What can be said of a packet without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketInfo {
    /// How its frames are coded.
    pub mode: Mode,
    /// How high its audio goes.
    pub bandwidth: Bandwidth,
    /// 1 or 2.
    pub channels: u8,
    /// Frames in it, 1 to 48.
    pub frames: u8,
    /// Microseconds of each frame.
    pub frame_micros: u32,
    /// Whether it carries in-band FEC for what comes before it.
    pub fec: bool,
    /// Bytes of padding, in which DRED travels.
    pub padding: usize,
}

impl PacketInfo {
    /// Reads a packet's framing; an error names the byte that breaks a rule.
    pub fn parse(packet: &[u8]) -> Result<Self> {
        let (&toc, rest) =
            packet.split_first().ok_or_else(|| Error::malformed(0, "an Opus packet has at least one byte"))?;
        let (mode, bandwidth, frame_micros) = configuration(toc >> 3);
        let channels = if toc & 4 == 0 { 1 } else { 2 };
        let framing = match toc & 3 {
            0 => Framing::one(rest)?,
            1 => Framing::two_equal(rest)?,
            2 => Framing::two(rest)?,
            _ => Framing::many(rest, frame_micros)?,
        };
        let fec = mode != Mode::Celt && has_redundancy(framing.first, frame_micros, channels);
        Ok(Self { mode, bandwidth, channels, frames: framing.frames, frame_micros, fec, padding: framing.padding })
    }

    /// Microseconds of audio in all.
    pub fn micros(&self) -> u32 {
        u32::from(self.frames) * self.frame_micros
    }

    /// Samples of one channel at `sample_rate`, one of [`SAMPLE_RATES`](super::SAMPLE_RATES).
    pub fn samples(&self, sample_rate: u32) -> usize {
        usize::from(self.frames) * self.frame_samples(sample_rate)
    }

    pub(super) fn frame_samples(&self, sample_rate: u32) -> usize {
        sample_rate as usize / 400 * (self.frame_micros / 2_500) as usize
    }
}

/// Samples of one channel in a packet, when decoded at `sample_rate`.
pub fn packet_samples(packet: &[u8], sample_rate: u32) -> Result<usize> {
    values::sample_rate(sample_rate.into())?;
    Ok(PacketInfo::parse(packet)?.samples(sample_rate))
}

/// Whether a packet carries in-band FEC for what comes before it. One that is malformed carries none.
pub fn has_fec(packet: &[u8]) -> bool {
    PacketInfo::parse(packet).is_ok_and(|info| info.fec)
}

/// RFC 6716, section 3.1, table 2.
fn configuration(number: u8) -> (Mode, Bandwidth, u32) {
    const SILK: [Bandwidth; 3] = [Bandwidth::Narrow, Bandwidth::Medium, Bandwidth::Wide];
    const CELT: [Bandwidth; 4] = [Bandwidth::Narrow, Bandwidth::Wide, Bandwidth::SuperWide, Bandwidth::Full];
    match number {
        0..12 => (Mode::Silk, SILK[usize::from(number / 4)], [10_000, 20_000, 40_000, 60_000][usize::from(number % 4)]),
        12 | 13 => (Mode::Hybrid, Bandwidth::SuperWide, [10_000, 20_000][usize::from(number % 2)]),
        14 | 15 => (Mode::Hybrid, Bandwidth::Full, [10_000, 20_000][usize::from(number % 2)]),
        _ => (Mode::Celt, CELT[usize::from(number / 4 % 4)], 2_500 << (number % 4)),
    }
}

/// The first frame of a packet, and what surrounds it. `rest` is always the packet without its first byte.
struct Framing<'a> {
    frames: u8,
    first: &'a [u8],
    padding: usize,
}

impl<'a> Framing<'a> {
    fn new(frames: u8, first: &'a [u8], padding: usize, at: usize) -> Result<Self> {
        if first.len() > MAX_FRAME_BYTES {
            return Err(too_long(first.len(), at));
        }
        Ok(Self { frames, first, padding })
    }

    fn one(rest: &'a [u8]) -> Result<Self> {
        Self::new(1, rest, 0, 0)
    }

    fn two_equal(rest: &'a [u8]) -> Result<Self> {
        if !rest.len().is_multiple_of(2) {
            return Err(Error::malformed(0, format!("{} bytes are not two frames of equal length", rest.len())));
        }
        Self::new(2, &rest[..rest.len() / 2], 0, 0)
    }

    fn two(rest: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { rest, at: 1 };
        let first = reader.frame_length()?;
        let start = reader.at;
        let (first, second) = reader.take(first, start)?;
        if second.len() > MAX_FRAME_BYTES {
            return Err(too_long(second.len(), start));
        }
        Self::new(2, first, 0, start)
    }

    fn many(rest: &'a [u8], frame_micros: u32) -> Result<Self> {
        let mut reader = Reader { rest, at: 1 };
        let header = reader.byte("the count of frames is missing")?;
        let frames = header & 0x3F;
        if frames == 0 || u32::from(frames) * frame_micros > MAX_PACKET_MICROS {
            let most = MAX_PACKET_MICROS / frame_micros;
            return Err(Error::malformed(1, format!("{frames} frames; 1 to {most} of this length fit into 120 ms")));
        }
        let padding = if header & 0x40 == 0 { 0 } else { reader.padding()? };
        let mut lengths = [0; 48];
        let lengths = &mut lengths[..usize::from(frames)];
        let (last, others) = lengths.split_last_mut().expect("there is at least one frame");
        if header & 0x80 == 0 {
            let room = reader.room(padding)?;
            if !room.is_multiple_of(usize::from(frames)) {
                return Err(Error::malformed(1, format!("{room} bytes are not {frames} frames of equal length")));
            }
            *last = room / usize::from(frames);
            others.fill(*last);
        } else {
            for length in others.iter_mut() {
                *length = reader.frame_length()?;
            }
            let taken: usize = others.iter().sum();
            let room = reader.room(padding)?;
            *last = room.checked_sub(taken).ok_or_else(|| {
                Error::malformed(reader.at as u64, format!("frames of {taken} bytes in the {room} that are left"))
            })?;
            if *last > MAX_FRAME_BYTES {
                return Err(too_long(*last, reader.at));
            }
        }
        let (first, start) = (lengths[0], reader.at);
        Self::new(frames, reader.take(first, start)?.0, padding, start)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self, missing: &str) -> Result<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(|| Error::malformed(self.at as u64, missing))?;
        self.rest = rest;
        self.at += 1;
        Ok(byte)
    }

    /// RFC 6716, section 3.2.1.
    fn frame_length(&mut self) -> Result<usize> {
        let first = usize::from(self.byte("the length of a frame is missing")?);
        if first < 252 {
            return Ok(first);
        }
        Ok(first + 4 * usize::from(self.byte("the second byte of a frame's length is missing")?))
    }

    /// RFC 6716, section 3.2.5: each 255 stands for 254 and says that another byte follows.
    fn padding(&mut self) -> Result<usize> {
        let mut padding = 0;
        loop {
            let byte = self.byte("the length of the padding is missing")?;
            if byte != 255 {
                return Ok(padding + usize::from(byte));
            }
            padding += 254;
        }
    }

    fn room(&self, padding: usize) -> Result<usize> {
        self.rest.len().checked_sub(padding).ok_or_else(|| {
            Error::malformed(
                self.at as u64,
                format!("{padding} bytes of padding in the {} that are left", self.rest.len()),
            )
        })
    }

    fn take(&self, length: usize, at: usize) -> Result<(&'a [u8], &'a [u8])> {
        self.rest.split_at_checked(length).ok_or_else(|| {
            Error::malformed(at as u64, format!("a frame of {length} bytes in the {} that are left", self.rest.len()))
        })
    }
}

fn too_long(length: usize, at: usize) -> Error {
    Error::malformed(at as u64, format!("a frame of {length} bytes; the longest has {MAX_FRAME_BYTES}"))
}

/// The LBRR flags in the header of a SILK frame (RFC 6716, section 4.2.3), each after the voice activity flags of its
/// channel: one for every 20 ms.
fn has_redundancy(frame: &[u8], frame_micros: u32, channels: u8) -> bool {
    let Some(&header) = frame.first() else { return false };
    let parts = (frame_micros / 20_000).max(1);
    let mid = header >> (7 - parts) & 1;
    let side = if channels == 2 { header >> (6 - 2 * parts) & 1 } else { 0 };
    mid | side != 0
}
