//! What a room is made of.

use super::select::Rules;
use crate::{Error, Result};

/// Sample rates in which a room can mix: those of Opus (RFC 6716, section 2.1.3), so that decoders and encoders need no
/// resampling.
pub(super) const RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

const TICKS_MS: [u32; 2] = [10, 20];

/// How a room mixes. The default is 48 kHz, mono, ticks of 20 ms, the loudest three.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomConfig {
    /// Samples a second of the mix: 8000, 12000, 16000, 24000 or 48000.
    pub sample_rate: u32,
    /// Channels of the mix: 1 or 2.
    pub channels: u8,
    /// Milliseconds of one tick: 10 or 20.
    pub tick_ms: u32,
    /// Most who are heard at once; `None` hears everybody who speaks.
    pub loudest: Option<usize>,
    /// From this level on, in dBov, somebody speaks; −127 makes everybody a speaker who sends anything.
    pub threshold: f32,
    /// Milliseconds for which somebody who has become quiet keeps the place.
    pub hold_ms: u32,
    /// Decibels by which a challenger must be louder than the quietest who is heard.
    pub margin: f32,
    /// Milliseconds for which nobody who goes on speaking is displaced.
    pub tenure_ms: u32,
    /// Milliseconds in which a voice comes in, goes out or changes its gain; at most one tick.
    pub fade_ms: f32,
    /// Milliseconds that the limiter looks ahead, by which everything is delayed: 0 to 20.
    pub lookahead_ms: f32,
    /// The highest amplitude that leaves the mix, in dBFS, −40 to 0.
    pub ceiling: f32,
    /// A participant whose level is told by nobody is decoded every so many ticks to learn it, while quiet.
    pub probe_ticks: u32,
    /// Most participants of the room.
    pub max_participants: usize,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            sample_rate: 48_000,
            channels: 1,
            tick_ms: 20,
            loudest: Some(3),
            threshold: -50.0,
            hold_ms: 400,
            margin: 6.0,
            tenure_ms: 300,
            fade_ms: 5.0,
            lookahead_ms: 2.5,
            ceiling: -1.0,
            probe_ticks: 3,
            max_participants: 1000,
        }
    }
}

impl RoomConfig {
    /// Samples of one channel in a tick.
    pub fn tick_samples(&self) -> usize {
        (self.sample_rate / 1000 * self.tick_ms) as usize
    }

    /// Samples of all channels in a tick.
    pub fn tick_len(&self) -> usize {
        self.tick_samples() * usize::from(self.channels)
    }

    /// The ceiling as an amplitude.
    pub(super) fn ceiling_amplitude(&self) -> f32 {
        10.0_f32.powf(self.ceiling / 20.0).min(1.0)
    }

    /// Samples of one channel in a fade.
    pub(super) fn fade_samples(&self) -> usize {
        ((self.sample_rate as f32 * self.fade_ms / 1000.0) as usize).clamp(1, self.tick_samples())
    }

    /// The times above in ticks.
    pub(super) fn rules(&self) -> Rules {
        let tick = self.tick_ms as f32;
        Rules {
            loudest: self.loudest.unwrap_or(usize::MAX),
            threshold: self.threshold,
            hysteresis: 6.0,
            hold: self.hold_ms.div_ceil(self.tick_ms),
            margin: self.margin,
            tenure: self.tenure_ms.div_ceil(self.tick_ms),
            attack: 40.0 / tick,
            release: 300.0 / tick,
        }
    }

    pub(super) fn checked(self) -> Result<Self> {
        if !RATES.contains(&self.sample_rate) {
            return Err(Error::unsupported(format!(
                "sample_rate {}: a room mixes at one of {RATES:?}",
                self.sample_rate
            )));
        }
        if !(1..=2).contains(&self.channels) {
            return Err(Error::unsupported(format!("channels {}: a room has 1 or 2", self.channels)));
        }
        if !TICKS_MS.contains(&self.tick_ms) {
            return Err(Error::unsupported(format!("tick_ms {}: a tick is one of {TICKS_MS:?} ms", self.tick_ms)));
        }
        let tick = self.tick_ms as f32;
        within("threshold", self.threshold, -127.0, 0.0, "dBov")?;
        within("margin", self.margin, 0.0, 127.0, "dB")?;
        within("fade_ms", self.fade_ms, 0.0, tick, "ms")?;
        within("lookahead_ms", self.lookahead_ms, 0.0, tick, "ms")?;
        within("ceiling", self.ceiling, -40.0, 0.0, "dBFS")?;
        within("hold_ms", self.hold_ms as f32, 0.0, 60_000.0, "ms")?;
        within("tenure_ms", self.tenure_ms as f32, 0.0, 60_000.0, "ms")?;
        within("probe_ticks", self.probe_ticks as f32, 1.0, 50.0, "ticks")?;
        Ok(self)
    }
}

fn within(name: &str, value: f32, least: f32, most: f32, unit: &str) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::unsupported(format!("{name} {value}: {least} to {most} {unit}")))
}
