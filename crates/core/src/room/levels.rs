//! How loud somebody is, as far as that is known before anything is decoded.

use crate::{
    g711::Law,
    mixer::{Hint, InputFormat, level, opus_hint},
};

/// Packets remembered.
const REMEMBERED: usize = 64;
/// Packets looked at behind the one that plays: what begins there is chosen before it is to be heard.
const AHEAD: u16 = 3;

/// An RTP packet that arrived, without its header.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// Source; another one begins the stream anew.
    pub ssrc: u32,
    /// Goes up by one with every packet, modulo 2¹⁶.
    pub sequence_number: u16,
    /// Time of the first sample on the format's clock, modulo 2³².
    pub timestamp: u32,
    /// Without padding.
    pub payload: &'a [u8],
    /// Level in −dBov, 0 (loudest) to 127, of the header extension of RFC 6464.
    pub level: Option<u8>,
    /// That extension's flag: whether the sender takes it for voice.
    pub voice: Option<bool>,
}

/// What a packet tells.
#[derive(Debug, Clone, Copy)]
struct Note {
    sequence_number: u16,
    known: Known,
}

/// What is known of a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    /// In dBov.
    pub(super) level: Option<f32>,
    pub(super) voice: Option<bool>,
    /// Where no level is known.
    pub(super) hint: Hint,
}

impl Known {
    pub(super) const NOTHING: Self = Self { level: None, voice: None, hint: Hint::Unknown };
    pub(super) const SILENCE: Self = Self { level: Some(level::SILENCE), voice: None, hint: Hint::Silent };

    pub(super) fn of(format: InputFormat, payload: &[u8], told: Option<u8>, voice: Option<bool>) -> Self {
        let level = told.map(|level| -f32::from(level.min(127))).or_else(|| measure(format, payload));
        let hint = if level.is_none() { opus_hint(payload) } else { Hint::Unknown };
        let level = if hint == Hint::Silent { Some(level::SILENCE) } else { level };
        Self { level, voice, hint }
    }

    /// Of two moments beside each other, the louder.
    fn louder(self, other: Self) -> Self {
        let voice = match (self.voice, other.voice) {
            (Some(a), Some(b)) => Some(a || b),
            (a, b) => a.or(b),
        };
        if self.level.is_some() != other.level.is_some() {
            // A level under the other's unknown one says little.
            let known = if self.level.is_some() { self } else { other };
            let unknown = if self.level.is_some() { other } else { self };
            let loud = known.level.is_some_and(|level| level > level::SILENCE);
            return Self { voice, ..if loud { known } else { unknown } };
        }
        let rank = |known: &Self| (known.level.unwrap_or(0.0), order(known.hint));
        Self { voice, ..if rank(&self) >= rank(&other) { self } else { other } }
    }
}

fn order(hint: Hint) -> u8 {
    match hint {
        Hint::Silent => 0,
        Hint::Quiet => 1,
        Hint::Unknown => 2,
        Hint::Voice => 3,
    }
}

/// The level of what needs no decoder.
fn measure(format: InputFormat, payload: &[u8]) -> Option<f32> {
    let power = match format {
        InputFormat::Opus => return None,
        InputFormat::Pcmu => power(payload.iter().map(|byte| Law::Mu.decode_sample(*byte))),
        InputFormat::Pcma => power(payload.iter().map(|byte| Law::A.decode_sample(*byte))),
        InputFormat::Pcm16 { .. } => power(payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]))),
    };
    Some(level::of_power(power))
}

fn power(samples: impl ExactSizeIterator<Item = i16>) -> f32 {
    const FULL_SCALE: f32 = 32_768.0;
    let count = samples.len().max(1) as f32;
    let sum: f32 = samples.map(|sample| f32::from(sample) * f32::from(sample)).sum();
    sum / count / (FULL_SCALE * FULL_SCALE)
}

/// What the last packets told.
#[derive(Debug)]
pub(super) struct Levels {
    notes: [Option<Note>; REMEMBERED],
    ssrc: u32,
    newest: u16,
}

impl Default for Levels {
    fn default() -> Self {
        Self { notes: [None; REMEMBERED], ssrc: 0, newest: 0 }
    }
}

impl Levels {
    pub(super) fn note(&mut self, format: InputFormat, packet: &Arrived<'_>) {
        if packet.ssrc != self.ssrc {
            *self = Self { ssrc: packet.ssrc, ..Self::default() };
        }
        self.newest = packet.sequence_number;
        let known = Known::of(format, packet.payload, packet.level, packet.voice);
        let sequence_number = packet.sequence_number;
        self.notes[usize::from(sequence_number) % REMEMBERED] = Some(Note { sequence_number, known });
    }

    /// What is known of the packets that play now or soon, `next` being the next to be taken up.
    pub(super) fn around(&self, next: Option<u16>) -> Known {
        let first = next.unwrap_or(self.newest).wrapping_sub(1);
        (0..=AHEAD)
            .map(|step| first.wrapping_add(step))
            .filter_map(|number| {
                self.notes[usize::from(number) % REMEMBERED].filter(|note| note.sequence_number == number)
            })
            .map(|note| note.known)
            .reduce(Known::louder)
            .unwrap_or(Known::NOTHING)
    }
}
