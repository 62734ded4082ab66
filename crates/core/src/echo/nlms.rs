//! The plain canceller: a normalised least-mean-squares filter, a gate and comfort noise, sample by sample.

use super::EchoMetrics;
use super::meter::Meter;
use super::signals::{Random, energy};
use crate::{Error, Result};

/// The longest filter offered, in samples.
const MOST_TAPS: usize = 8192;
/// The far end is silent below this mean square: -70 dBFS.
const SILENCE: f32 = 1e-7;

/// Parameters of the plain canceller. The default is the documented preset.
#[derive(Debug, Clone, PartialEq)]
pub struct NlmsConfig {
    /// Length of the adaptive filter in samples, 1 to 8192; echoes that arrive later are not removed.
    pub taps: usize,
    /// Step size, over 0 and under 2.
    pub step: f32,
    /// What the coefficients are multiplied with for each sample, over 0 and up to 1.
    pub leak: f32,
    /// Samples quieter than this are taken to be residual echo; 0 to 1.
    pub suppression_threshold: f32,
    /// What they are multiplied with, 0 to 1.
    pub suppression_gain: f32,
    /// Largest magnitude of the noise that is added to every sample, 0 to 1.
    pub comfort_noise: f32,
}

impl Default for NlmsConfig {
    fn default() -> Self {
        Self {
            taps: 512,
            step: 0.1,
            leak: 0.999,
            suppression_threshold: 0.01,
            suppression_gain: 0.1,
            comfort_noise: 0.001,
        }
    }
}

impl NlmsConfig {
    fn check(&self) -> Result<()> {
        let unit = 0.0..=1.0;
        let wrong = if !(1..=MOST_TAPS).contains(&self.taps) {
            format!("taps is {}; use 1 to {MOST_TAPS}", self.taps)
        } else if !(self.step > 0.0 && self.step < 2.0) {
            format!("step is {}; use a value over 0 and under 2", self.step)
        } else if !(self.leak > 0.0 && self.leak <= 1.0) {
            format!("leak is {}; use a value over 0 and up to 1", self.leak)
        } else if !unit.contains(&self.suppression_threshold) {
            format!("suppression_threshold is {}; use 0 to 1", self.suppression_threshold)
        } else if !unit.contains(&self.suppression_gain) {
            format!("suppression_gain is {}; use 0 to 1", self.suppression_gain)
        } else if !unit.contains(&self.comfort_noise) {
            format!("comfort_noise is {}; use 0 to 1", self.comfort_noise)
        } else {
            return Ok(());
        };
        Err(Error::unsupported(wrong))
    }
}

pub(super) struct Nlms {
    config: NlmsConfig,
    taps: Vec<f32>,
    /// The far end's last samples, newest first, twice over so that a window of them is one slice.
    past: Vec<f32>,
    at: usize,
    /// Sum of squares of the samples under the filter.
    power: f64,
    /// Far end waiting to be as late as the hint says.
    waiting: std::collections::VecDeque<f32>,
    random: Random,
    meter: Meter,
    echo: Vec<f32>,
}

impl Nlms {
    pub fn new(config: &NlmsConfig, hop: usize) -> Result<Self> {
        config.check()?;
        Ok(Self {
            taps: vec![0.0; config.taps],
            past: vec![0.0; 2 * config.taps],
            at: 0,
            power: 0.0,
            waiting: std::collections::VecDeque::new(),
            random: Random::new(0x2545_f491),
            meter: Meter::default(),
            echo: vec![0.0; hop],
            config: config.clone(),
        })
    }

    /// One frame; nothing is delayed.
    pub fn process(&mut self, far: &[f32], near: &[f32], out: &mut [f32]) {
        for n in 0..near.len() {
            self.waiting.push_back(far[n]);
            let played = self.waiting.pop_front().unwrap_or(0.0);
            self.push(played);
            let window = &self.past[self.at..self.at + self.taps.len()];
            let echo = dot(&self.taps, window);
            let error = near[n] - echo;
            let gain = self.config.step * error / (self.power as f32 + 1e-6);
            for (tap, sample) in self.taps.iter_mut().zip(window) {
                *tap = self.config.leak * *tap + gain * sample;
            }
            self.echo[n] = echo;
            let quiet = error.abs() < self.config.suppression_threshold;
            let kept = if quiet { error * self.config.suppression_gain } else { error };
            out[n] = kept + self.config.comfort_noise * self.random.uniform();
        }
        // Decayed coefficients would otherwise become denormal numbers, which are slow.
        self.taps.iter_mut().filter(|tap| tap.abs() < 1e-12).for_each(|tap| *tap = 0.0);
        let heard = energy(&self.echo) > SILENCE * near.len() as f32;
        self.meter.update(far, near, &self.echo, out, heard, false);
    }

    fn push(&mut self, sample: f32) {
        let length = self.taps.len();
        self.at = if self.at == 0 { length - 1 } else { self.at - 1 };
        let oldest = f64::from(self.past[self.at]);
        self.past[self.at] = sample;
        self.past[self.at + length] = sample;
        self.power = (self.power + f64::from(sample).powi(2) - oldest.powi(2)).max(0.0);
    }

    /// Delay the far end by `samples` before the filter.
    pub fn hint(&mut self, samples: usize) {
        self.waiting.clear();
        self.waiting.resize(samples, 0.0);
    }

    pub fn metrics(&self) -> EchoMetrics {
        self.meter.metrics()
    }
}

/// In eight sums, as one would have to be added up in order.
fn dot(first: &[f32], second: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (first_parts, second_parts) = (first.chunks_exact(8), second.chunks_exact(8));
    let rest: f32 = first_parts.remainder().iter().zip(second_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in first_parts.zip(second_parts) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}
