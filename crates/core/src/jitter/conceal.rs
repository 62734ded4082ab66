//! Concealment for codecs that bring none: the last pitch period goes on, and fades.
//!
//! The idea is that of ITU-T G.711 Appendix I; this needs no look-ahead.

use crate::timescale::{TimeScale, dot, energy, fade};

/// The signal goes on at full strength for so long,
const STEADY_MS: f32 = 10.0;
/// and is gone after so long.
const GONE_MS: f32 = 80.0;
/// Over which real audio takes over again.
const MERGE_MS: f32 = 4.0;
/// A step where a period begins again is spread over so long.
const JOINT_MS: f32 = 1.0;
/// What is less like itself than this has no pitch; the longest lag makes its repetition least audible.
const VOICED: f32 = 0.5;

/// Extrapolates a signal of interleaved samples.
#[derive(Debug)]
pub struct Concealer {
    channels: usize,
    min_lag: usize,
    max_lag: usize,
    steady: usize,
    gone: usize,
    merge: usize,
    joint: usize,
    /// The newest samples last; at least twice the longest lag once there are so many.
    history: Vec<f32>,
    mono: Vec<f32>,
    /// One period, made to follow itself.
    cycle: Vec<f32>,
    /// How far the last real sample lies from where the cycle expects it, for each channel.
    step: Vec<f32>,
    /// Samples extrapolated since the last real one.
    lost: usize,
    scratch: Vec<f32>,
}

impl Concealer {
    /// For interleaved audio of `channels` at `sample_rate` hertz.
    pub fn new(sample_rate: u32, channels: usize) -> Self {
        let scale = TimeScale::new(sample_rate, channels);
        let samples = |ms: f32| (ms * sample_rate as f32 / 1000.0).round().max(1.0) as usize;
        Self {
            channels,
            min_lag: scale.min_lag(),
            max_lag: scale.max_lag(),
            steady: samples(STEADY_MS),
            gone: samples(GONE_MS),
            merge: samples(MERGE_MS),
            joint: samples(JOINT_MS),
            history: Vec::new(),
            mono: Vec::new(),
            cycle: Vec::new(),
            step: vec![0.0; channels],
            lost: 0,
            scratch: Vec::new(),
        }
    }

    /// Takes note of real audio, and fades it in if it follows extrapolated audio.
    pub fn good(&mut self, pcm: &mut [f32]) {
        if self.lost > 0 {
            let length = self.merge.min(pcm.len() / self.channels);
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.resize(length * self.channels, 0.0);
            self.extend(&mut scratch);
            let frames = pcm.chunks_exact_mut(self.channels).zip(scratch.chunks_exact(self.channels));
            for (at, (real, guess)) in frames.enumerate() {
                let weight = fade(at, length);
                for (real, guess) in real.iter_mut().zip(guess) {
                    *real = guess + weight * (*real - guess);
                }
            }
            self.scratch = scratch;
            self.lost = 0;
        }
        let keep = 2 * self.max_lag * self.channels;
        if pcm.len() >= keep {
            self.history.clear();
            self.history.extend_from_slice(&pcm[pcm.len() - keep..]);
            return;
        }
        if self.history.len() + pcm.len() > 4 * keep {
            let from = self.history.len().saturating_sub(keep);
            self.history.drain(..from);
        }
        self.history.extend_from_slice(pcm);
    }

    /// Fills `out` with what might have followed.
    pub fn conceal(&mut self, out: &mut [f32]) {
        if self.lost == 0 {
            self.begin();
        }
        self.extend(out);
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.history.clear();
        self.lost = 0;
    }

    fn begin(&mut self) {
        let held = self.history.len() / self.channels;
        self.cycle.clear();
        self.step.fill(0.0);
        let Some(lag) = self.pitch(held) else { return };
        let from = (held - lag) * self.channels;
        self.cycle.extend_from_slice(&self.history[from..]);
        for channel in 0..self.channels {
            let last = self.history[self.history.len() - self.channels + channel];
            self.step[channel] = last - self.history[from - self.channels + channel];
        }
        // The end of the cycle leads into its beginning as the samples before it did.
        let blend = self.joint.min(lag).min(held - lag);
        for at in 0..blend {
            let weight = fade(at, blend);
            for channel in 0..self.channels {
                let before = self.history[from - (blend - at) * self.channels + channel];
                let here = &mut self.cycle[(lag - blend + at) * self.channels + channel];
                *here += weight * (before - *here);
            }
        }
    }

    /// The lag at which the end of the history is most like what came before it.
    fn pitch(&mut self, held: usize) -> Option<usize> {
        let most = self.max_lag.min((held / 2).saturating_sub(1));
        if most < self.min_lag {
            return None;
        }
        self.mono.clear();
        let recent = &self.history[self.history.len() - 2 * most * self.channels..];
        self.mono.extend(recent.chunks_exact(self.channels).map(|frame| frame.iter().sum::<f32>()));
        let window = (most * 2 / 3).max(1);
        let end = self.mono.len();
        let head = &self.mono[end - window..];
        let head_energy = energy(head);
        let mut best = (most, VOICED);
        for lag in self.min_lag..=most {
            let tail = &self.mono[end - window - lag..end - lag];
            let norm = (head_energy * energy(tail)).sqrt();
            let similarity = if norm > 0.0 { dot(head, tail) / norm } else { 0.0 };
            if similarity > best.1 {
                best = (lag, similarity);
            }
        }
        Some(best.0)
    }

    fn extend(&mut self, out: &mut [f32]) {
        let cycle = self.cycle.len() / self.channels;
        for frame in out.chunks_exact_mut(self.channels) {
            let gain = self.gain();
            if cycle == 0 || gain == 0.0 {
                frame.fill(0.0);
                // Counting on would be of no use, and stops before it could run over.
                self.lost = self.lost.max(1).min(self.gone);
                self.lost += usize::from(self.lost < self.gone);
                continue;
            }
            let from = (self.lost % cycle) * self.channels;
            frame.copy_from_slice(&self.cycle[from..from + self.channels]);
            if self.lost < self.joint {
                let weight = 1.0 - fade(self.lost, self.joint);
                frame.iter_mut().zip(&self.step).for_each(|(sample, step)| *sample += weight * step);
            }
            frame.iter_mut().for_each(|sample| *sample *= gain);
            self.lost += 1;
        }
    }

    fn gain(&self) -> f32 {
        if self.lost <= self.steady {
            return 1.0;
        }
        let fading = (self.gone - self.steady) as f32;
        (1.0 - (self.lost - self.steady) as f32 / fading).max(0.0)
    }
}
