//! The near end's background noise: its floor, and noise like it to fill what suppression takes away.

use super::signals::Random;
use super::spectrum::Spectrum;

/// Smoothing of power before its floor is sought.
const SMOOTHING: f32 = 0.4;
/// How fast the floor follows downwards, and by what it rises a frame: 0.4 dB a second.
const FALL: f32 = 0.3;
const RISE: f32 = 1.001;
/// The floor of a fluctuating power lies under its mean.
const BIAS: f32 = 2.0;
/// Where the floor begins, as a sample's power; it falls from there at once.
const START: f32 = 6e-6;

pub(super) struct Noise {
    smooth: Vec<f32>,
    floor: Vec<f32>,
    least: f32,
    random: Random,
}

impl Noise {
    pub fn new(hop: usize) -> Self {
        Self {
            smooth: vec![0.0; hop + 1],
            floor: vec![START * hop as f32; hop + 1],
            // a tenth of the power of -96 dBFS in a frame
            least: hop as f32 * 2.5e-11,
            random: Random::new(0x9e37_79b9),
        }
    }

    /// The floor's power, a bin.
    pub fn floor(&self) -> &[f32] {
        &self.floor
    }

    pub fn update(&mut self, power: &[f32]) {
        for ((floor, smooth), power) in self.floor.iter_mut().zip(&mut self.smooth).zip(power) {
            *smooth += SMOOTHING * (power - *smooth);
            if *smooth < *floor {
                *floor += FALL * (*smooth - *floor);
            } else {
                *floor *= RISE;
            }
            *floor = floor.max(self.least);
        }
    }

    /// Apply `gain` and put noise in the place of what it takes away.
    pub fn fill(&mut self, spectrum: &mut Spectrum, gain: &[f32]) {
        for (k, (gain, floor)) in gain.iter().zip(&self.floor).enumerate() {
            // Two uniform numbers of variance one third make a unit of power together when scaled so.
            let level = if k == 0 { 0.0 } else { ((1.0 - gain * gain).max(0.0) * BIAS * floor * 1.5).sqrt() };
            spectrum.re[k] = gain * spectrum.re[k] + level * self.random.uniform();
            spectrum.im[k] = gain * spectrum.im[k] + level * self.random.uniform();
        }
    }
}
