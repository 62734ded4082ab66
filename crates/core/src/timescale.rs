//! Time-scale modification: speech made shorter or longer by whole pitch periods, without a change of pitch.
//!
//! Waveform similarity overlap-add (W. Verhelst and M. Roelands, “An overlap-add technique based on waveform similarity
//! (WSOLA) for high quality time-scale modification of speech”, ICASSP 1993): the lag at which the signal is most like
//! itself is found by normalised correlation, and the signal is faded over into itself by that lag. The mean of two
//! alike signals is like both, so that neither joint is heard.
//!
//! Samples are interleaved; lengths and lags count samples of one channel ("frames" of all channels).

use crate::scratch;

/// Shortest lag taken: 400 Hz.
const MIN_LAG_MS: f32 = 2.5;
/// Longest lag taken: 66 Hz.
const MAX_LAG_MS: f32 = 15.0;
/// Length over which a lag's likeness is measured.
const WINDOW_MS: f32 = 10.0;
/// The coarse search works at about this rate.
const COARSE_RATE: u32 = 8_000;
/// Mean square under which a signal has no shape worth comparing: −80 dBFS.
const NOTHING: f32 = 1e-8;

/// Where a signal is most like itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Samples between the two alike pieces.
    pub lag: usize,
    /// Normalised correlation of the two, −1 to 1; 1 where there is nothing to hear.
    pub similarity: f32,
    /// Mean square of the piece looked at.
    pub power: f32,
}

/// Finds pitch periods and removes or repeats them. No call allocates once its thread is warmed up.
#[derive(Debug, Clone)]
pub struct TimeScale {
    channels: usize,
    min_lag: usize,
    max_lag: usize,
    window: usize,
    step: usize,
    /// Only held while a lag is looked for, as the next.
    mono: Vec<f32>,
    coarse: Vec<f32>,
}

impl TimeScale {
    /// For interleaved audio of `channels` at `sample_rate` hertz.
    pub fn new(sample_rate: u32, channels: usize) -> Self {
        let samples = |ms: f32| (ms * sample_rate as f32 / 1000.0).round().max(1.0) as usize;
        let max_lag = samples(MAX_LAG_MS);
        Self {
            channels: channels.max(1),
            min_lag: samples(MIN_LAG_MS),
            max_lag,
            window: samples(WINDOW_MS),
            step: (sample_rate / COARSE_RATE).max(1) as usize,
            mono: Vec::new(),
            coarse: Vec::new(),
        }
    }

    /// The longest lag looked for.
    pub fn max_lag(&self) -> usize {
        self.max_lag
    }

    /// The shortest lag looked for.
    pub fn min_lag(&self) -> usize {
        self.min_lag
    }

    /// Samples that let every lag up to `max_lag` be used.
    pub fn needed(&self) -> usize {
        2 * self.max_lag
    }

    /// The best lag of at most `limit` for the start of `input`, which must hold twice the lag. With `enough`, the
    /// largest multiple of it that is still as like as `enough` is taken instead.
    ///
    /// None where `limit` or `input` is too short for any lag.
    pub fn find(&mut self, input: &[f32], limit: usize, enough: Option<f32>) -> Option<Match> {
        (self.mono, self.coarse) = (scratch::take(), scratch::take());
        let found = self.search(input, limit, enough);
        scratch::give(std::mem::take(&mut self.mono));
        scratch::give(std::mem::take(&mut self.coarse));
        found
    }

    fn search(&mut self, input: &[f32], limit: usize, enough: Option<f32>) -> Option<Match> {
        let length = (input.len() / self.channels).min(self.needed());
        let limit = limit.min(self.max_lag).min(length / 2);
        if limit < self.min_lag {
            return None;
        }
        let window = self.window.min(length - limit);
        self.load(input, limit + window);
        let power = energy(&self.mono[..window]) / window as f32;
        if power < NOTHING {
            return Some(Match { lag: limit, similarity: 1.0, power });
        }
        let coarse = self.coarse_lag(limit, window);
        let (lag, similarity) = self.refine(coarse * self.step, self.step, limit, window);
        let mut best = Match { lag, similarity, power };
        if let Some(enough) = enough {
            for multiple in (2..=limit / lag.max(1)).rev() {
                let (lag, similarity) = self.refine(multiple * lag, 2, limit, window);
                if similarity >= enough {
                    best = Match { lag, similarity, power };
                    break;
                }
            }
        }
        Some(best)
    }

    /// Mean-free mono, whole and decimated.
    fn load(&mut self, input: &[f32], length: usize) {
        self.mono.clear();
        match self.channels {
            1 => self.mono.extend_from_slice(&input[..length]),
            n => self.mono.extend(input.chunks_exact(n).take(length).map(|frame| frame.iter().sum::<f32>())),
        }
        let mean = sum(&self.mono) / length as f32;
        self.mono.iter_mut().for_each(|sample| *sample -= mean);
        self.coarse.clear();
        if self.step > 1 {
            self.coarse.extend(self.mono.chunks_exact(self.step).map(|chunk| chunk.iter().sum::<f32>()));
        }
    }

    /// The best lag of the decimated signal, in its samples.
    fn coarse_lag(&self, limit: usize, window: usize) -> usize {
        let signal = if self.step > 1 { &self.coarse } else { &self.mono };
        let least = (self.min_lag / self.step).max(1);
        let window = (window / self.step).min(signal.len().saturating_sub(least)).max(1);
        let most = (limit / self.step).min(signal.len() - window);
        let head = &signal[..window];
        let mut tail_energy = energy(&signal[least..least + window]);
        let (mut best, mut best_score) = (least, f32::NEG_INFINITY);
        for lag in least..=most {
            let product = dot(head, &signal[lag..lag + window]);
            // Of one sign and without a root: the order is the same as that of the normalised correlation.
            let score = product * product.abs() / tail_energy.max(f32::MIN_POSITIVE);
            if score > best_score {
                (best, best_score) = (lag, score);
            }
            if lag < most {
                tail_energy += signal[lag + window] * signal[lag + window] - signal[lag] * signal[lag];
                tail_energy = tail_energy.max(0.0);
            }
        }
        best
    }

    /// The best lag within `reach` of `near` at the full rate, with its normalised correlation.
    fn refine(&self, near: usize, reach: usize, limit: usize, window: usize) -> (usize, f32) {
        let head = &self.mono[..window];
        let head_energy = energy(head);
        let least = near.saturating_sub(reach).clamp(self.min_lag, limit);
        let most = (near + reach).clamp(least, limit);
        let mut tail_energy = energy(&self.mono[least..least + window]);
        let mut best = (least, -1.0);
        for lag in least..=most {
            let norm = (head_energy * tail_energy).sqrt();
            let similarity = if norm > 0.0 { dot(head, &self.mono[lag..lag + window]) / norm } else { 0.0 };
            if similarity > best.1 {
                best = (lag, similarity);
            }
            if lag < most {
                let (gone, come) = (self.mono[lag], self.mono[lag + window]);
                tail_energy = (tail_energy + come * come - gone * gone).max(0.0);
            }
        }
        best
    }

    /// Shortens `samples` by `lag`: its first `lag` samples become void, and what follows goes on from what came before
    /// them. Takes twice the lag; does nothing where there is less.
    pub fn compress(&self, samples: &mut [f32], lag: usize) {
        let shift = lag * self.channels;
        if samples.len() < 2 * shift {
            return;
        }
        let (first, second) = samples[..2 * shift].split_at_mut(shift);
        let faded = first.chunks_exact(self.channels).zip(second.chunks_exact_mut(self.channels));
        for (at, (old, new)) in faded.enumerate() {
            let weight = fade(at, lag);
            for (old, new) in old.iter().zip(new) {
                *new = old + weight * (*new - old);
            }
        }
    }

    /// Lengthens what stands behind the first `lag` samples of `samples`, which are void, into them: afterwards all of
    /// it is audio. Takes three times the lag; does nothing where there is less.
    pub fn stretch(&self, samples: &mut [f32], lag: usize) {
        let shift = lag * self.channels;
        if samples.len() < 3 * shift {
            return;
        }
        samples.copy_within(shift..2 * shift, 0);
        let (again, ahead) = samples[shift..3 * shift].split_at_mut(shift);
        let faded = again.chunks_exact_mut(self.channels).zip(ahead.chunks_exact(self.channels));
        for (at, (again, ahead)) in faded.enumerate() {
            let weight = fade(at, lag);
            for (again, ahead) in again.iter_mut().zip(ahead) {
                *again = ahead + weight * (*again - ahead);
            }
        }
    }
}

/// Weight of the new at sample `at` of a fade over `length`: rises from 0 to 1 with no bend at either end.
#[inline]
pub fn fade(at: usize, length: usize) -> f32 {
    let x = (at as f32 + 0.5) / length as f32;
    x * x * (3.0 - 2.0 * x)
}

/// Sum of squares.
#[inline]
pub fn energy(samples: &[f32]) -> f32 {
    dot(samples, samples)
}

const LANES: usize = 16;

/// Sum of products, in lanes that the compiler can put into vector registers.
#[inline]
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (left_chunks, right_chunks) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest: f32 = left_chunks.remainder().iter().zip(right_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left_chunks.zip(right_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

fn sum(samples: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let chunks = samples.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}
