//! What the linear filter leaves of the echo is taken out in the frequency domain and replaced by comfort noise.

use super::bands::Bands;
use super::noise::Noise;
use super::residual::Residual;
use super::spectrum::{Fourier, Spectrum};

/// By how much the residual echo is taken to be more than estimated: while the near end talks, and while it does not.
const OVER_NEAR: f32 = 2.5;
const OVER_FAR: f32 = 40.0;
/// Weight of the last frame in the ratio of near end to echo (decision-directed: Ephraim and Malah, 1984).
const MEMORY: f32 = 0.7;
/// While the near end is silent, no bin is let through by more than this times the mean of those where speech would be.
const CAP: f32 = 2.0;
/// -60 dB
const LEAST_GAIN: f32 = 1e-3;

pub(super) struct Suppressor {
    hop: usize,
    bands: Bands,
    window: Vec<f32>,
    last_error: Vec<f32>,
    last_echo: Vec<f32>,
    overlap: Vec<f32>,
    error: Spectrum,
    echo: Spectrum,
    power: Vec<f32>,
    /// Power let through in the last frame.
    kept: Vec<f32>,
    gain: Vec<f32>,
    noise: Noise,
    residual: Residual,
}

impl Suppressor {
    pub fn new(sample_rate: u32, hop: usize) -> Self {
        let bands = Bands::new(sample_rate, hop);
        let angle = std::f32::consts::PI / (2 * hop) as f32;
        Self {
            hop,
            window: (0..2 * hop).map(|n| (angle * (n as f32 + 0.5)).sin()).collect(),
            last_error: vec![0.0; hop],
            last_echo: vec![0.0; hop],
            overlap: vec![0.0; hop],
            error: Spectrum::new(hop + 1),
            echo: Spectrum::new(hop + 1),
            power: vec![0.0; hop + 1],
            kept: vec![0.0; hop + 1],
            gain: vec![1.0; hop + 1],
            noise: Noise::new(hop),
            residual: Residual::new(&bands, hop),
            bands,
        }
    }

    /// What was found out about the residual echo of the last frame.
    pub fn residual(&mut self) -> &mut Residual {
        &mut self.residual
    }

    /// Suppress what is left of `echo` in `error`; `out` is a frame behind.
    pub fn process(&mut self, error: &[f32], echo: &[f32], misfit: &[f32], fourier: &mut Fourier, out: &mut [f32]) {
        analyse(&self.window, &mut self.last_error, error, fourier, &mut self.error);
        analyse(&self.window, &mut self.last_echo, echo, fourier, &mut self.echo);
        self.error.power(&mut self.power);
        self.noise.update(&self.power);
        self.residual.update(&self.bands, &self.error, &self.echo, misfit, &self.noise);
        self.decide();
        self.noise.fill(&mut self.error, &self.gain);
        let time = fourier.inverse(&self.error);
        for n in 0..self.hop {
            out[n] = self.overlap[n] + self.window[n] * time[n];
            self.overlap[n] = self.window[self.hop + n] * time[self.hop + n];
        }
    }

    /// Wiener gains, from what was let through in the last frame and what there is now.
    fn decide(&mut self) {
        let near = self.residual.near_talks();
        let over = if near { OVER_NEAR } else { OVER_FAR };
        let bins = self.gain.iter_mut().zip(&self.kept).zip(self.power.iter().zip(self.residual.power()));
        for ((gain, kept), (power, residual)) in bins {
            let echo = over * residual + 1e-12;
            let ratio = MEMORY * kept / echo + (1.0 - MEMORY) * (power / echo - 1.0).max(0.0);
            *gain = (ratio / (1.0 + ratio)).max(LEAST_GAIN);
        }
        if !near {
            let speech = &self.gain[self.bands.speech_bins.clone()];
            let cap = CAP * speech.iter().sum::<f32>() / speech.len() as f32;
            self.gain.iter_mut().for_each(|gain| *gain = gain.min(cap));
        }
        for ((kept, gain), power) in self.kept.iter_mut().zip(&self.gain).zip(&self.power) {
            *kept = gain * gain * power;
        }
    }
}

/// The spectrum of the last frame and this one under `window`.
fn analyse(window: &[f32], last: &mut [f32], frame: &[f32], fourier: &mut Fourier, out: &mut Spectrum) {
    let hop = frame.len();
    let (first, second) = fourier.input().split_at_mut(hop);
    for n in 0..hop {
        first[n] = window[n] * last[n];
        second[n] = window[hop + n] * frame[n];
    }
    last.copy_from_slice(frame);
    fourier.forward(out);
}
