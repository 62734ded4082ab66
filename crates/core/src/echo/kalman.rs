//! A partitioned-block frequency-domain Kalman filter: the linear model of the echo path.
//!
//! After Enzner and Vary, "Frequency-domain adaptive Kalman filter for acoustic echo control in hands-free telephones"
//! (2006), with partitions as in Kuech, Mabande and Enzner, "State-space architecture of the partitioned-block-based
//! acoustic echo controller" (2014). The filter carries the variance of its own error for every coefficient: its step is
//! large while it knows little and small while the near end talks, without a detector that stops it.

use std::ops::Range;

use super::spectrum::{Fourier, History, Spectrum};

/// How much of the echo path is the same a frame later; the rest is what it may have changed by.
const TRANSITION: f32 = 0.9998;
/// Error variance of a coefficient of which nothing is known.
const PRIOR: f32 = 0.05;
/// No variance is ever less: the path may always change, and denormal numbers are slow.
const LEAST_VARIANCE: f32 = 1e-9;
/// Share of the optimal step. The partitions' errors are taken to be independent and are not quite.
const STEP: f32 = 0.5;
/// Smoothing of the near end's power over frames.
const NEAR_SMOOTHING: f32 = 0.6;
/// The near end is taken to have at least this share of an error's power.
const NEAR_SHARE: f32 = 0.5;
/// Partitions whose response is cut to its frame each frame, in turn.
const CONSTRAINTS: usize = 5;

pub(super) struct KalmanFilter {
    hop: usize,
    partitions: usize,
    /// Coefficients and the variances of their errors, partition by partition.
    re: Vec<f32>,
    im: Vec<f32>,
    variance: Vec<f32>,
    /// Power of all that is not echo, a bin.
    near: Vec<f32>,
    misfit: Vec<f32>,
    scale: Vec<f32>,
    response: Spectrum,
    /// The largest sample of each partition's response: its magnitude and where it is.
    peaks: Vec<(f32, usize)>,
    constrained: usize,
    floor: f32,
}

impl KalmanFilter {
    pub fn new(hop: usize, partitions: usize) -> Self {
        let bins = hop + 1;
        Self {
            hop,
            partitions,
            re: vec![0.0; partitions * bins],
            im: vec![0.0; partitions * bins],
            variance: vec![PRIOR; partitions * bins],
            near: vec![0.0; bins],
            misfit: vec![0.0; bins],
            scale: vec![0.0; bins],
            response: Spectrum::new(bins),
            peaks: vec![(0.0, 0); partitions],
            constrained: 0,
            // the power of -96 dBFS in a frame
            floor: hop as f32 * 2.5e-10,
        }
    }

    fn range(&self, partition: usize) -> Range<usize> {
        partition * (self.hop + 1)..(partition + 1) * (self.hop + 1)
    }

    /// The echo's spectrum, for a far end whose newest frame of interest is `start` frames old.
    pub fn estimate(&self, far: &History, start: usize, out: &mut Spectrum) {
        let bins = self.hop + 1;
        out.re.fill(0.0);
        out.im.fill(0.0);
        let (out_re, out_im) = (&mut out.re[..bins], &mut out.im[..bins]);
        for partition in 0..self.partitions {
            let x = far.get(start + partition);
            let (x_re, x_im) = (&x.re[..bins], &x.im[..bins]);
            let (w_re, w_im) = (&self.re[self.range(partition)][..bins], &self.im[self.range(partition)][..bins]);
            for k in 0..bins {
                out_re[k] += w_re[k] * x_re[k] - w_im[k] * x_im[k];
                out_im[k] += w_re[k] * x_im[k] + w_im[k] * x_re[k];
            }
        }
    }

    /// Learn from what the last estimate left over: `error` is the spectrum of a frame of zeros and that frame.
    pub fn update(&mut self, far: &History, start: usize, error: &Spectrum, fourier: &mut Fourier) {
        self.predict(far, start);
        self.weigh(error);
        self.correct(far, start, error);
        for _ in 0..CONSTRAINTS {
            self.constrain(self.constrained, fourier);
            self.constrained = (self.constrained + 1) % self.partitions;
        }
    }

    /// The path may have changed since the last frame: variances grow, and with them the echo they leave.
    fn predict(&mut self, far: &History, start: usize) {
        const KEPT: f32 = TRANSITION * TRANSITION;
        let bins = self.hop + 1;
        self.misfit.fill(self.floor);
        for partition in 0..self.partitions {
            let x = far.get(start + partition);
            let range = self.range(partition);
            let (x_re, x_im) = (&x.re[..bins], &x.im[..bins]);
            let (w_re, w_im) = (&self.re[range.clone()][..bins], &self.im[range.clone()][..bins]);
            let variance = &mut self.variance[range][..bins];
            let misfit = &mut self.misfit[..bins];
            for k in 0..bins {
                let grown = KEPT * variance[k] + (1.0 - KEPT) * (w_re[k] * w_re[k] + w_im[k] * w_im[k]);
                variance[k] = grown.max(LEAST_VARIANCE);
                // Half of the samples that the error's spectrum is of are zeros.
                misfit[k] += 0.5 * variance[k] * (x_re[k] * x_re[k] + x_im[k] * x_im[k]);
            }
        }
    }

    /// How far an error can be trusted to be echo.
    fn weigh(&mut self, error: &Spectrum) {
        for k in 0..=self.hop {
            let power = error.re[k] * error.re[k] + error.im[k] * error.im[k];
            let near = (power - self.misfit[k]).max(NEAR_SHARE * power);
            self.near[k] += (1.0 - NEAR_SMOOTHING) * (near - self.near[k]);
            self.scale[k] = STEP / (self.misfit[k] + self.near[k] + self.floor);
        }
    }

    fn correct(&mut self, far: &History, start: usize, error: &Spectrum) {
        let bins = self.hop + 1;
        let (e_re, e_im, scale) = (&error.re[..bins], &error.im[..bins], &self.scale[..bins]);
        for partition in 0..self.partitions {
            let x = far.get(start + partition);
            let range = self.range(partition);
            let (x_re, x_im) = (&x.re[..bins], &x.im[..bins]);
            let variance = &mut self.variance[range.clone()][..bins];
            let w_re = &mut self.re[range.clone()][..bins];
            let w_im = &mut self.im[range][..bins];
            for k in 0..bins {
                let gain = variance[k] * scale[k];
                w_re[k] += gain * (x_re[k] * e_re[k] + x_im[k] * e_im[k]);
                w_im[k] += gain * (x_re[k] * e_im[k] - x_im[k] * e_re[k]);
                variance[k] *= 1.0 - 0.5 * gain * (x_re[k] * x_re[k] + x_im[k] * x_im[k]);
            }
        }
    }

    /// Keep a partition's response within its frame; else the convolution would be a circular one.
    fn constrain(&mut self, partition: usize, fourier: &mut Fourier) {
        let range = self.range(partition);
        self.response.re.copy_from_slice(&self.re[range.clone()]);
        self.response.im.copy_from_slice(&self.im[range.clone()]);
        let time = fourier.inverse(&self.response);
        time[self.hop..].fill(0.0);
        let largest = |best: (f32, usize), (at, value): (usize, &f32)| {
            if value.abs() > best.0 { (value.abs(), at) } else { best }
        };
        self.peaks[partition] = time[..self.hop].iter().enumerate().fold((0.0, 0), largest);
        fourier.forward(&mut self.response);
        self.re[range.clone()].copy_from_slice(&self.response.re);
        self.im[range].copy_from_slice(&self.response.im);
    }

    /// Power of the echo that the filter itself expects to leave, a bin, as of the last update.
    pub fn misfit(&self) -> &[f32] {
        &self.misfit
    }

    /// Where the response is strongest, in samples from its beginning.
    pub fn peak(&self) -> usize {
        let largest = |best: (f32, usize), (partition, peak): (usize, &(f32, usize))| {
            if peak.0 > best.0 { (peak.0, partition * self.hop + peak.1) } else { best }
        };
        self.peaks.iter().enumerate().fold((0.0, 0), largest).1
    }

    /// The filter is seen to be wrong: raise every variance to what the response could be wrong by.
    pub fn doubt(&mut self) {
        let bins = self.hop + 1;
        for k in 0..bins {
            let least = self.level(k);
            for at in (k..self.partitions * bins).step_by(bins) {
                self.variance[at] = self.variance[at].max(least);
            }
        }
    }

    /// Mean power of a bin's coefficients.
    fn level(&self, k: usize) -> f32 {
        let bin = (k..self.partitions * (self.hop + 1)).step_by(self.hop + 1);
        bin.map(|at| self.re[at] * self.re[at] + self.im[at] * self.im[at]).sum::<f32>() / self.partitions as f32
    }

    /// The response now begins `by` frames later in the far end's past: move it the other way.
    ///
    /// `learnt` says that the level of the old response can be relied on for what comes into it.
    pub fn shift(&mut self, by: isize, learnt: bool) {
        for k in 0..=self.hop {
            self.scale[k] = if learnt { 4.0 * self.level(k) } else { PRIOR };
        }
        let moved = by.unsigned_abs().min(self.partitions);
        let (kept, bins) = (self.partitions - moved, self.hop + 1);
        for values in [&mut self.re, &mut self.im, &mut self.variance] {
            if by > 0 {
                values.copy_within(moved * bins.., 0);
            } else {
                values.copy_within(..kept * bins, moved * bins);
            }
        }
        let fresh = if by > 0 { kept * bins..self.partitions * bins } else { 0..moved * bins };
        self.re[fresh.clone()].fill(0.0);
        self.im[fresh.clone()].fill(0.0);
        self.variance[fresh].chunks_exact_mut(bins).for_each(|bin| bin.copy_from_slice(&self.scale));
        self.peaks.fill((0.0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::signals::Random;

    const HOP: usize = 160;

    /// Feed noise through a response and return the error of the last second against the echo, in decibels.
    fn learn(filter: &mut KalmanFilter, response: &[f32], start: usize, seconds: usize, random: &mut Random) -> f32 {
        let mut fourier = Fourier::new(HOP);
        let mut history = History::new(HOP, start + filter.partitions);
        let mut spectrum = Spectrum::new(HOP + 1);
        let mut past = vec![0.0f32; response.len() + HOP];
        let (mut left, mut all) = (0.0f32, 0.0f32);
        for frame in 0..100 * seconds {
            let far: Vec<f32> = (0..HOP).map(|_| 0.1 * random.uniform()).collect();
            past.drain(..HOP);
            past.extend(&far);
            history.push(&far, &mut fourier);
            filter.estimate(&history, start, &mut spectrum);
            let estimate = fourier.inverse(&spectrum)[HOP..].to_vec();
            let input = fourier.input();
            input[..HOP].fill(0.0);
            for n in 0..HOP {
                let at = response.len() + n;
                let echo: f32 = response.iter().enumerate().map(|(lag, tap)| tap * past[at - lag]).sum();
                input[HOP + n] = echo - estimate[n];
                if frame >= 100 * (seconds - 1) {
                    left += input[HOP + n] * input[HOP + n];
                    all += echo * echo;
                }
            }
            fourier.forward(&mut spectrum);
            filter.update(&history, start, &spectrum, &mut fourier);
        }
        10.0 * (left / all).log10()
    }

    fn response(at: usize, random: &mut Random) -> Vec<f32> {
        let mut taps = vec![0.0; at + 400];
        for (n, tap) in taps[at..].iter_mut().enumerate() {
            *tap = 0.3 * random.uniform() * (-(n as f32) / 80.0).exp();
        }
        taps[at] = 0.5;
        taps
    }

    #[test]
    fn an_echo_path_is_learnt_and_its_peak_found() {
        let random = &mut Random::new(1);
        let path = response(205, random);
        let mut filter = KalmanFilter::new(HOP, 8);
        assert!(learn(&mut filter, &path, 0, 4, random) < -30.0);
        assert_eq!(filter.peak(), 205);
    }

    #[test]
    fn a_moved_window_keeps_what_was_learnt() {
        let random = &mut Random::new(2);
        let path = response(3 * HOP + 40, random);
        let mut filter = KalmanFilter::new(HOP, 10);
        learn(&mut filter, &path, 0, 4, random);
        filter.shift(2, true);
        let afterwards = learn(&mut filter, &path, 2, 1, random);
        let anew = learn(&mut KalmanFilter::new(HOP, 10), &path, 2, 1, random);
        assert!(afterwards < anew - 6.0, "{afterwards} dB, and {anew} dB for a new filter");
    }

    #[test]
    fn doubt_makes_it_learn_a_changed_path_sooner() {
        let random = &mut Random::new(3);
        let (before, after) = (response(100, random), response(300, random));
        let mut sure = KalmanFilter::new(HOP, 8);
        learn(&mut sure, &before, 0, 6, random);
        let mut doubting = KalmanFilter::new(HOP, 8);
        learn(&mut doubting, &before, 0, 6, random);
        doubting.doubt();
        let (slow, fast) = (learn(&mut sure, &after, 0, 1, random), learn(&mut doubting, &after, 0, 1, random));
        assert!(fast < slow - 3.0, "{fast} dB, and {slow} dB without doubt");
    }
}
