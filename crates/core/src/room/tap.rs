//! One speaker apart from the others.

use crate::{
    Error, Result,
    mixer::{RoomConfig, rate::Converter},
    resample::quantise,
};

/// Rates that a tap gives.
const RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Makes 16-bit mono of a participant's ticks.
#[derive(Debug)]
pub(super) struct Tap {
    converter: Converter,
    silence: Vec<f32>,
    resampled: Vec<f32>,
    pcm: Vec<i16>,
}

impl Tap {
    pub(super) fn new(sample_rate: u32, room: &RoomConfig) -> Result<Self> {
        if !RATES.contains(&sample_rate) {
            return Err(Error::unsupported(format!("sample_rate {sample_rate}: a tap gives one of {RATES:?}")));
        }
        Ok(Self {
            converter: Converter::new(room.sample_rate, room.channels, sample_rate, 1),
            silence: vec![0.0; room.tick_len()],
            resampled: Vec::new(),
            pcm: Vec::new(),
        })
    }

    /// Takes a tick of the room's samples, or silence.
    pub(super) fn take(&mut self, pcm: Option<&[f32]>) {
        self.resampled.clear();
        self.converter.convert(pcm.unwrap_or(&self.silence), &mut self.resampled);
        self.pcm.clear();
        self.pcm.extend(self.resampled.iter().map(|sample| quantise(sample * 32_768.0)));
    }

    /// The last tick; nothing before the first.
    pub(super) fn pcm(&self) -> &[i16] {
        &self.pcm
    }
}
