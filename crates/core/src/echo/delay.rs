//! Where in the far end's past the echo lies: coherence of the microphone with every frame of the last 600 ms.

use super::spectrum::{History, Spectrum};

/// Frames over which coherence is averaged: 1 / (1 - this).
const SMOOTHING: f32 = 0.98;
/// Telephone band: speech is strong there, and hum and hiss are not.
const BAND_HZ: (f32, f32) = (300.0, 3400.0);
/// What it takes for an answer: the first, and another one after it, which near-end speech must not feign.
const FIRST: Evidence = Evidence { coherence: 0.08, contrast: 2.5, frames: 10 };
const CHANGE: Evidence = Evidence { coherence: 0.15, contrast: 4.0, frames: 35 };
/// A frame is where the echo begins if it has this much of the best frame's coherence.
const ONSET: f32 = 0.5;
/// Frames before which the averages say nothing: of n frames with nothing in common the coherence is about 1/n.
const SETTLED: u32 = 25;
/// Keeps decaying averages away from denormal numbers.
const TINY: f32 = 1e-20;

struct Evidence {
    /// Mean squared coherence of the best frame, of which chance makes some hundredths.
    coherence: f32,
    /// How far it stands out from the mean of all: after few frames, or a long vowel, all are coherent.
    contrast: f32,
    /// For how many frames the answer has been the same.
    frames: u32,
}

pub(super) struct DelayEstimator {
    first: usize,
    bins: usize,
    cross_re: Vec<f32>,
    cross_im: Vec<f32>,
    far_power: Vec<f32>,
    near_power: Vec<f32>,
    scores: Vec<f32>,
    candidate: usize,
    seen: u32,
    /// Frames in the averages.
    averaged: u32,
    found: Option<usize>,
}

impl DelayEstimator {
    /// `frames` is how far back to look.
    pub fn new(sample_rate: u32, hop: usize, frames: usize) -> Self {
        let per_bin = sample_rate as f32 / (2 * hop) as f32;
        let first = (BAND_HZ.0 / per_bin) as usize;
        let bins = (BAND_HZ.1 / per_bin) as usize - first;
        Self {
            first,
            bins,
            cross_re: vec![0.0; frames * bins],
            cross_im: vec![0.0; frames * bins],
            far_power: vec![0.0; frames * bins],
            near_power: vec![0.0; bins],
            scores: vec![0.0; frames],
            candidate: 0,
            seen: 0,
            averaged: 0,
            found: None,
        }
    }

    /// Frames by which the echo's beginning is behind the far end, once there is evidence.
    pub fn found(&self) -> Option<usize> {
        self.found
    }

    /// The echo is `frames` farther behind from now on.
    pub fn skip(&mut self, frames: usize) {
        let last = self.scores.len() - 1;
        self.found = self.found.map(|found| (found + frames).min(last));
        self.seen = 0;
        self.averaged = 0;
        for averages in [&mut self.cross_re, &mut self.cross_im, &mut self.far_power, &mut self.near_power] {
            averages.fill(0.0);
        }
    }

    /// Take in one frame: `near` is the spectrum of this and the last frame of the microphone.
    pub fn update(&mut self, far: &History, near: &Spectrum) {
        let band = self.first..self.first + self.bins;
        let (near_re, near_im) = (&near.re[band.clone()], &near.im[band.clone()]);
        for k in 0..self.bins {
            let power = near_re[k] * near_re[k] + near_im[k] * near_im[k];
            self.near_power[k] = SMOOTHING * self.near_power[k] + power + TINY;
        }
        for (age, score) in self.scores.iter_mut().enumerate() {
            let x = far.get(age);
            let (x_re, x_im) = (&x.re[band.clone()], &x.im[band.clone()]);
            let range = age * self.bins..(age + 1) * self.bins;
            let cross_re = &mut self.cross_re[range.clone()];
            let cross_im = &mut self.cross_im[range.clone()];
            let far_power = &mut self.far_power[range];
            let near_power = &self.near_power[..self.bins];
            let mut sum = 0.0;
            for k in 0..self.bins {
                cross_re[k] = SMOOTHING * cross_re[k] + x_re[k] * near_re[k] + x_im[k] * near_im[k] + TINY;
                cross_im[k] = SMOOTHING * cross_im[k] + x_re[k] * near_im[k] - x_im[k] * near_re[k] + TINY;
                far_power[k] = SMOOTHING * far_power[k] + x_re[k] * x_re[k] + x_im[k] * x_im[k] + TINY;
                let cross = cross_re[k] * cross_re[k] + cross_im[k] * cross_im[k];
                sum += cross / (far_power[k] * near_power[k] + 1e-12);
            }
            *score = sum / self.bins as f32;
        }
        self.averaged = self.averaged.saturating_add(1);
        if self.averaged >= SETTLED {
            self.decide();
        }
    }

    fn decide(&mut self) {
        let best = self.scores.iter().copied().fold(0.0, f32::max);
        let mean = self.scores.iter().sum::<f32>() / self.scores.len() as f32;
        let needed = if self.found.is_some() { CHANGE } else { FIRST };
        if best < needed.coherence.max(needed.contrast * mean) {
            self.seen = 0;
            return;
        }
        let onset = self.scores.iter().position(|score| *score >= ONSET * best).unwrap_or(0);
        if onset == self.candidate {
            self.seen += 1;
        } else {
            self.candidate = onset;
            self.seen = 1;
        }
        if self.seen >= needed.frames {
            self.found = Some(onset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::signals::Random;
    use crate::echo::spectrum::Fourier;

    const HOP: usize = 160;

    fn estimate(delay: usize, echo: f32, seed: u32) -> Option<usize> {
        let (mut random, mut other) = (Random::new(seed), Random::new(seed + 1));
        let mut fourier = Fourier::new(HOP);
        let mut history = History::new(HOP, 60);
        let mut estimator = DelayEstimator::new(16_000, HOP, 60);
        let mut near = Spectrum::new(HOP + 1);
        let mut played = vec![0.0f32; delay];
        let mut last = vec![0.0f32; HOP];
        for _ in 0..150 {
            let far: Vec<f32> = (0..HOP).map(|_| 0.1 * random.uniform()).collect();
            played.extend(&far);
            let heard: Vec<f32> = played.drain(..HOP).map(|sample| echo * sample + 0.02 * other.uniform()).collect();
            history.push(&far, &mut fourier);
            fourier.input()[..HOP].copy_from_slice(&last);
            fourier.input()[HOP..].copy_from_slice(&heard);
            last = heard;
            fourier.forward(&mut near);
            estimator.update(&history, &near);
        }
        estimator.found()
    }

    #[test]
    fn the_frame_with_the_echo_is_found_up_to_half_a_second() {
        for milliseconds in [0, 20, 105, 200, 400, 500] {
            let delay = 16 * milliseconds;
            let found = estimate(delay, 0.3, 7).unwrap_or(usize::MAX);
            assert!(found == delay / HOP || found == delay.div_ceil(HOP), "{milliseconds} ms: frame {found}");
        }
    }

    #[test]
    fn nothing_is_found_where_there_is_no_echo() {
        assert_eq!(estimate(1600, 0.0, 9), None);
    }
}
