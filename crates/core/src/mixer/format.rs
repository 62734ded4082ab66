//! What participants send and want to hear.

use super::config::{RATES, RoomConfig};
use crate::{Error, Result, opus::EncoderConfig};

/// What a participant's packets hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// Opus of any rate and channels (RFC 6716, RFC 7587).
    Opus,
    /// G.711 μ-law, 8000 samples a second, mono.
    Pcmu,
    /// G.711 A-law, 8000 samples a second, mono.
    Pcma,
    /// 16-bit little-endian samples, interleaved.
    Pcm16 {
        /// 8000, 12000, 16000, 24000 or 48000.
        sample_rate: u32,
        /// 1 or 2.
        channels: u8,
    },
}

/// What a participant wants to hear. Those who want the same share one encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Opus; the frame is a tick or several.
    Opus(EncoderConfig),
    /// G.711 μ-law, a packet each tick.
    Pcmu,
    /// G.711 A-law, a packet each tick.
    Pcma,
    /// 16-bit little-endian samples, interleaved, a packet each tick.
    Pcm16 {
        /// 8000, 12000, 16000, 24000 or 48000.
        sample_rate: u32,
        /// 1 or 2.
        channels: u8,
    },
}

impl InputFormat {
    pub(super) fn checked(self) -> Result<Self> {
        if let Self::Pcm16 { sample_rate, channels } = self {
            check(sample_rate, channels)?;
        }
        Ok(self)
    }

    /// Samples a second and channels of packets that are not Opus.
    pub(super) fn shape(self) -> (u32, u8) {
        match self {
            Self::Pcm16 { sample_rate, channels } => (sample_rate, channels),
            Self::Pcmu | Self::Pcma => (8_000, 1),
            Self::Opus => (48_000, 2),
        }
    }
}

impl OutputFormat {
    /// This format, if there is such.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where a value is not one of the right ones.
    pub fn checked_values(self) -> Result<Self> {
        match self {
            Self::Opus(config) => config.check()?,
            Self::Pcm16 { sample_rate, channels } => check(sample_rate, channels)?,
            Self::Pcmu | Self::Pcma => {}
        }
        Ok(self)
    }

    pub(super) fn checked(self, room: &RoomConfig) -> Result<Self> {
        if let Self::Opus(config) = self {
            let (frame, tick) = (config.frame.micros(), room.tick_ms * 1000);
            if !frame.is_multiple_of(tick) {
                return Err(Error::unsupported(format!(
                    "frame of {} ms: in a room with ticks of {} ms it is a multiple of that",
                    config.frame.millis(),
                    room.tick_ms
                )));
            }
        }
        self.checked_values()
    }

    /// Samples a second and channels.
    pub(super) fn shape(self) -> (u32, u8) {
        match self {
            Self::Opus(config) => (config.sample_rate, config.channels),
            Self::Pcm16 { sample_rate, channels } => (sample_rate, channels),
            Self::Pcmu | Self::Pcma => (8_000, 1),
        }
    }

    /// Ticks in a packet.
    pub(super) fn ticks(self, room: &RoomConfig) -> u32 {
        match self {
            Self::Opus(config) => config.frame.micros() / (room.tick_ms * 1000),
            _ => 1,
        }
    }
}

fn check(sample_rate: u32, channels: u8) -> Result<()> {
    if !RATES.contains(&sample_rate) {
        return Err(Error::unsupported(format!("sample_rate {sample_rate}: pcm_s16le is mixed at one of {RATES:?}")));
    }
    if !(1..=2).contains(&channels) {
        return Err(Error::unsupported(format!("channels {channels}: pcm_s16le is mixed with 1 or 2")));
    }
    Ok(())
}
