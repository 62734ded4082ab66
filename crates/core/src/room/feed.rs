//! RTP's numbers for what comes without them, so that a jitter buffer can follow its pace.

use super::decoding::PIECE_MS;
use crate::{Result, resample::PcmConverter};

/// Audio that was over for longer than this when more came has been paused, not delayed.
const PAUSE_US: i64 = 300_000;
/// No more than this waits, so that the audio cannot end later than so far from now.
const MOST_US: i64 = 1_000_000;
/// A longer pause doesn't differ from this one.
const LONGEST_PAUSE_US: i64 = 3_600_000_000;

/// Sequence numbers and timestamps of a stream that has none.
#[derive(Debug)]
pub(super) struct Numbers {
    clock_rate: u32,
    sequence_number: u16,
    timestamp: u32,
    /// When the audio so far would be over if it were played as it came, in microseconds.
    ends: Option<i64>,
}

impl Numbers {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self { clock_rate, sequence_number: 0, timestamp: 0, ends: None }
    }

    /// Notes that more came now.
    pub(super) fn begin(&mut self, now: i64) {
        let pause = now.saturating_sub(self.ends.unwrap_or(now));
        if pause > PAUSE_US {
            let skipped = pause.min(LONGEST_PAUSE_US) * i64::from(self.clock_rate) / 1_000_000;
            self.timestamp = self.timestamp.wrapping_add(skipped as u32);
        }
        let ends = if pause > PAUSE_US { now } else { self.ends.unwrap_or(now) };
        self.ends = Some(ends.min(now.saturating_add(MOST_US)));
    }

    /// The sequence number and the timestamp of the next packet, which lasts for so many ticks of the clock.
    pub(super) fn next(&mut self, ticks: u32) -> (u16, u32) {
        let numbers = (self.sequence_number, self.timestamp);
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(ticks);
        let lasts = i64::from(ticks) * 1_000_000 / i64::from(self.clock_rate);
        self.ends = self.ends.map(|ends| ends.saturating_add(lasts));
        numbers
    }
}

/// 16-bit samples in pieces of any size, made into packets.
pub(super) struct Cutter {
    frame_bytes: usize,
    /// Bytes of [`PIECE_MS`] as they come, and as they are cut.
    piece_in: usize,
    piece: usize,
    converter: Option<PcmConverter>,
    /// What came and is too short to be a packet.
    rest: Vec<u8>,
    whole: Vec<u8>,
}

impl Cutter {
    /// For samples of this rate and channels, of which the buffer takes `rate` and `channels`.
    pub(super) fn new(sample_rate: u32, channels: u8, rate: u32, buffer_channels: u8) -> Result<Self> {
        let same = (sample_rate, channels) == (rate, buffer_channels);
        let converter = if same { None } else { Some(PcmConverter::new(sample_rate, channels, rate)?) };
        let bytes = |rate: u32, channels: u8| (rate * PIECE_MS / 1000) as usize * 2 * usize::from(channels);
        Ok(Self {
            frame_bytes: 2 * usize::from(channels),
            piece_in: bytes(sample_rate, channels),
            piece: bytes(rate, buffer_channels),
            converter,
            rest: Vec::new(),
            whole: Vec::new(),
        })
    }

    /// Takes samples, and gives packets of those that make some: of [`PIECE_MS`], the last of up to twice that.
    pub(super) fn push(&mut self, pcm: &[u8]) -> Result<impl Iterator<Item = &[u8]>> {
        self.whole.clear();
        self.rest.extend_from_slice(pcm);
        let whole = self.rest.len() - self.rest.len() % self.frame_bytes;
        if whole >= self.piece_in {
            match &mut self.converter {
                Some(converter) => converter.push(&self.rest[..whole], &mut self.whole)?,
                None => self.whole.extend_from_slice(&self.rest[..whole]),
            }
            self.rest.drain(..whole);
        }
        let (piece, mut left) = (self.piece, self.whole.as_slice());
        Ok(std::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            let (packet, rest) = left.split_at(if left.len() < 2 * piece { left.len() } else { piece });
            left = rest;
            Some(packet)
        }))
    }
}
