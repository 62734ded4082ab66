//! A look-ahead limiter: what is under the ceiling passes bit by bit, nothing ever leaves above it.
//!
//! The gain each sample needs is held by a sliding minimum over the look-ahead, released slowly, and smoothed by a
//! moving average of the same length. Every value in that average is at most what the sample now leaving needs, so the
//! product cannot exceed the ceiling, and the gain bends in a straight line instead of jumping.

use crate::scratch;

/// Gains closer to one than this become one, so that a release ends and the limiter is transparent again.
const SNAP: f32 = 1e-3;

/// Milliseconds in which the gain recovers by 63 %.
const RELEASE_MS: f32 = 80.0;

/// Bits of the smallest `f32` that is not finite, with the sign cleared.
const NOT_FINITE: i32 = 0x7f80_0000;

/// A look-ahead limiter for one interleaved stream. `Clone` copies its delay line and gain, so that two streams that
/// part go on from the same sound.
#[derive(Debug, Clone)]
pub struct Limiter {
    ceiling: f32,
    channels: usize,
    window: usize,
    release: f32,
    /// The last `window − 1` frames, oldest first.
    delay: Vec<f32>,
    /// Rising gains of the window with the number of the frame that asked: a monotonic queue.
    needs: Needs,
    /// The released gains under the average, a ring.
    held: Vec<f32>,
    sum: f64,
    gain: f32,
    /// Frames since the released gain was last under one.
    calm: usize,
    frame: u64,
}

impl Limiter {
    /// A limiter for `channels` interleaved channels that looks `lookahead_ms` ahead and lets nothing above `ceiling`
    /// (a linear amplitude) pass.
    pub fn new(sample_rate: u32, channels: u8, lookahead_ms: f32, ceiling: f32) -> Self {
        let rate = sample_rate as f32;
        let window = ((rate * lookahead_ms.clamp(0.0, 20.0) / 1000.0) as usize).max(1);
        let channels = usize::from(channels.max(1));
        Self {
            ceiling: ceiling.clamp(1e-3, 1.0),
            channels,
            window,
            release: 1.0 - (-1000.0 / (RELEASE_MS * rate)).exp(),
            delay: vec![0.0; (window - 1) * channels],
            needs: Needs::new(window),
            held: vec![1.0; window],
            sum: window as f64,
            gain: 1.0,
            calm: window,
            frame: 0,
        }
    }

    /// How many samples a channel leaves later than it came.
    pub fn delay(&self) -> usize {
        self.window - 1
    }

    /// The gain that is now released towards one; one where nothing was limited of late.
    pub fn gain(&self) -> f32 {
        self.gain
    }

    /// Limit in place. Samples that are not finite count as silence.
    pub fn process(&mut self, pcm: &mut [f32]) {
        let peak = peak_bits(pcm);
        if peak >= NOT_FINITE {
            pcm.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        }
        if self.calm >= self.window && peak <= self.ceiling.to_bits() as i32 {
            self.pass(pcm);
        } else {
            self.limit(pcm);
        }
    }

    /// Nothing to limit, now or in the delay line: only the delay is left.
    fn pass(&mut self, pcm: &mut [f32]) {
        let held = self.delay.len();
        self.frame += (pcm.len() / self.channels) as u64;
        if held <= pcm.len() {
            pcm.rotate_right(held);
            return pcm[..held].swap_with_slice(&mut self.delay);
        }
        let line = self.line(pcm);
        pcm.copy_from_slice(&line[..pcm.len()]);
        self.delay.copy_from_slice(&line[pcm.len()..pcm.len() + held]);
        scratch::give(line);
    }

    /// What is delayed and what comes behind it.
    fn line(&self, pcm: &[f32]) -> Vec<f32> {
        let mut line = scratch::take();
        line.extend_from_slice(&self.delay);
        line.extend_from_slice(pcm);
        line
    }

    fn limit(&mut self, pcm: &mut [f32]) {
        let line = self.line(pcm);
        let ahead = self.delay.len();
        for (at, out) in pcm.chunks_mut(self.channels).enumerate() {
            let start = at * self.channels;
            let arriving = &line[start + ahead..start + ahead + out.len()];
            let peak = arriving.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
            let gain = self.next_gain(peak);
            for (out, x) in out.iter_mut().zip(&line[start..]) {
                *out = (x * gain).clamp(-self.ceiling, self.ceiling);
            }
        }
        self.delay.copy_from_slice(&line[pcm.len()..pcm.len() + ahead]);
        scratch::give(line);
    }

    fn next_gain(&mut self, peak: f32) -> f32 {
        let need = if peak > self.ceiling { self.ceiling / peak } else { 1.0 };
        let least = self.needs.push(self.frame, need);
        self.gain = if least < self.gain { least } else { self.gain + (least - self.gain) * self.release };
        if least == 1.0 && self.gain > 1.0 - SNAP {
            self.gain = 1.0;
        }
        let slot = (self.frame % self.window as u64) as usize;
        self.sum += f64::from(self.gain) - f64::from(self.held[slot]);
        self.held[slot] = self.gain;
        self.calm = if self.gain == 1.0 { (self.calm + 1).min(self.window) } else { 0 };
        if self.calm == self.window {
            self.sum = self.window as f64;
        }
        self.frame += 1;
        (self.sum / self.window as f64).clamp(0.0, 1.0) as f32
    }
}

/// The smallest of the last `window` gains, in constant time on average.
#[derive(Debug, Clone)]
struct Needs {
    queue: std::collections::VecDeque<(u64, f32)>,
    window: u64,
}

impl Needs {
    fn new(window: usize) -> Self {
        Self { queue: std::collections::VecDeque::with_capacity(window + 1), window: window as u64 }
    }

    fn push(&mut self, frame: u64, need: f32) -> f32 {
        while self.queue.back().is_some_and(|&(_, last)| last >= need) {
            self.queue.pop_back();
        }
        self.queue.push_back((frame, need));
        while self.queue.front().is_some_and(|&(at, _)| at + self.window <= frame) {
            self.queue.pop_front();
        }
        self.queue.front().map_or(1.0, |&(_, least)| least)
    }
}

/// The largest magnitude as bits of an `f32`: those order as the magnitudes do, with everything that is not finite on
/// top, and integers compare many at a time.
fn peak_bits(pcm: &[f32]) -> i32 {
    pcm.iter().fold(0, |peak, x| peak.max((x.to_bits() & 0x7fff_ffff) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f32::consts::TAU;

    fn sine(hz: f32, amplitude: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| amplitude * (TAU * hz * n as f32 / 48_000.0).sin()).collect()
    }

    fn run(limiter: &mut Limiter, pcm: &[f32], frame: usize) -> Vec<f32> {
        let mut out = pcm.to_vec();
        out.chunks_mut(frame).for_each(|chunk| limiter.process(chunk));
        out
    }

    #[test]
    fn below_the_ceiling_only_the_delay_is_left() {
        let mut limiter = Limiter::new(48_000, 1, 2.5, 0.9);
        let delay = limiter.delay();
        let pcm = sine(440.0, 0.89, 48_000);
        let out = run(&mut limiter, &pcm, 960);
        assert_eq!(delay, 119);
        assert!(out[..delay].iter().all(|x| *x == 0.0));
        assert_eq!(out[delay..], pcm[..pcm.len() - delay]);
    }

    #[test]
    fn it_is_transparent_again_after_a_loud_passage() {
        let mut limiter = Limiter::new(48_000, 1, 2.5, 0.9);
        run(&mut limiter, &sine(440.0, 4.0, 4_800), 960);
        run(&mut limiter, &sine(440.0, 0.5, 48_000), 960);
        let pcm = sine(300.0, 0.9, 9_600);
        let out = run(&mut limiter, &pcm, 960);
        let delay = limiter.delay();
        assert_eq!(limiter.gain(), 1.0);
        assert_eq!(out[delay..], pcm[..pcm.len() - delay]);
    }

    #[test]
    fn a_loud_tone_keeps_its_shape() {
        let mut limiter = Limiter::new(48_000, 1, 2.5, 0.9);
        let out = run(&mut limiter, &sine(200.0, 2.0, 96_000), 960);
        let tail = &out[48_000..];
        // Least squares fit of the tone; what is left is distortion and pumping.
        let (mut a, mut b, mut power) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (n, x) in tail.iter().enumerate() {
            let phase = std::f64::consts::TAU * 200.0 * n as f64 / 48_000.0;
            a += f64::from(*x) * phase.cos();
            b += f64::from(*x) * phase.sin();
            power += f64::from(*x).powi(2);
        }
        let n = tail.len() as f64;
        let tone = (a * a + b * b) * 2.0 / n;
        assert!(10.0 * ((power - tone) / tone).log10() < -35.0, "{}", 10.0 * ((power - tone) / tone).log10());
        assert!(tail.iter().fold(0.0_f32, |peak, x| peak.max(x.abs())) > 0.85);
    }

    #[test]
    fn both_channels_get_the_same_gain() {
        let mut limiter = Limiter::new(48_000, 2, 2.5, 0.9);
        let mut pcm: Vec<f32> = sine(440.0, 3.0, 4_800).into_iter().flat_map(|x| [x, x / 10.0]).collect();
        limiter.process(&mut pcm);
        assert!(pcm.chunks(2).all(|pair| (pair[0] / 10.0 - pair[1]).abs() < 1e-6));
    }

    #[test]
    fn a_copy_goes_on_alike() {
        let mut limiter = Limiter::new(48_000, 1, 2.5, 0.9);
        run(&mut limiter, &sine(440.0, 2.0, 5_000), 960);
        let mut copy = limiter.clone();
        let pcm = sine(700.0, 1.5, 4_800);
        assert_eq!(run(&mut limiter, &pcm, 960), run(&mut copy, &pcm, 960));
    }

    proptest! {
        #[test]
        fn nothing_leaves_above_the_ceiling(
            pieces in prop::collection::vec((prop_oneof![0.0_f32..1.2, 0.0_f32..1e4, Just(f32::NAN), Just(f32::INFINITY), Just(f32::MAX)], 1_usize..700), 1..40),
            channels in 1_u8..3,
            lookahead in 0.0_f32..6.0,
            ceiling in 0.1_f32..1.0,
        ) {
            let mut limiter = Limiter::new(48_000, channels, lookahead, ceiling);
            for (seed, (amplitude, frames)) in pieces.into_iter().enumerate() {
                let mut pcm: Vec<f32> = (0..frames * usize::from(channels))
                    .map(|n| amplitude * (((n * 7919 + seed * 104_729) % 2001) as f32 / 1000.0 - 1.0))
                    .collect();
                limiter.process(&mut pcm);
                prop_assert!(pcm.iter().all(|x| x.abs() <= ceiling));
            }
        }
    }
}
