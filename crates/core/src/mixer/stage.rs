//! The sums of a tick, and the limiters through which they leave.

use super::{config::RoomConfig, limiter::Limiter};
use crate::scratch;

/// Limiter gains closer than this sound alike.
const SAME_GAIN: f32 = 1e-3;

/// Adds up the voices of a tick: all of them for the shared mix, and for each the others.
#[derive(Debug)]
pub(super) struct Stage {
    len: usize,
    channels: usize,
    fade: usize,
    /// Only held within a tick, as the next.
    parts: Vec<f32>,
    others: Vec<f32>,
    count: usize,
    limiter: Limiter,
    shared: Vec<f32>,
}

impl Stage {
    pub(super) fn new(config: &RoomConfig) -> Self {
        let len = config.tick_len();
        let ceiling = config.ceiling_amplitude();
        Self {
            len,
            channels: usize::from(config.channels),
            fade: config.fade_samples(),
            parts: Vec::new(),
            others: Vec::new(),
            count: 0,
            limiter: Limiter::new(config.sample_rate, config.channels, config.lookahead_ms, ceiling),
            shared: vec![0.0; len],
        }
    }

    /// Begin a tick.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        (self.parts, self.others) = (scratch::take(), scratch::take());
    }

    /// Add a voice whose gain goes from one value to another; returns its place in the sum.
    pub(super) fn add(&mut self, pcm: &[f32], from: f32, to: f32) -> usize {
        let place = self.count;
        self.count += 1;
        let start = place * self.len;
        if self.parts.len() < start + self.len {
            self.parts.resize(start + self.len, 0.0);
        }
        fade(&pcm[..self.len], from, to, self.fade, self.channels, &mut self.parts[start..start + self.len]);
        place
    }

    /// Everybody who has been added, and for each of them everybody else. Nothing is subtracted: a sum of others holds
    /// nothing of one's own voice, not even its rounding.
    pub(super) fn sum(&mut self) {
        let (len, count) = (self.len, self.count);
        self.shared.fill(0.0);
        self.others.resize(self.others.len().max(count * len), 0.0);
        for place in (0..count).rev() {
            // Those behind …
            self.others[place * len..][..len].copy_from_slice(&self.shared);
            accumulate(&mut self.shared, &self.parts[place * len..][..len]);
        }
        // … and those before, in a running sum that borrows the first one's place, which has nobody before it.
        let (first, rest) = self.parts.split_at_mut(len.min(count * len));
        for place in 1..count {
            accumulate(&mut self.others[place * len..][..len], first);
            accumulate(first, &rest[(place - 1) * len..][..len]);
        }
    }

    /// A lane for somebody who has heard the shared mix up to the tick before.
    pub(super) fn fork(&self) -> Lane {
        Lane { limiter: self.limiter.clone(), pcm: Vec::new(), quiet: 0 }
    }

    /// Send the shared mix through its limiter, when all lanes have run. Those who part from it must have forked before.
    pub(super) fn run(&mut self) {
        scratch::give(std::mem::take(&mut self.parts));
        scratch::give(std::mem::take(&mut self.others));
        self.limiter.process(&mut self.shared);
    }

    /// Send the sum of the others through a lane's limiter; `place` is the lane's own voice, if it has one in this tick.
    /// Call it before [`run`](Self::run): without a voice of its own, the others are the shared mix before its limiter.
    pub(super) fn run_lane(&self, lane: &mut Lane, place: Option<usize>) {
        let mix = match place {
            Some(place) => &self.others[place * self.len..][..self.len],
            None => &self.shared,
        };
        lane.quiet = if place.is_some() { 0 } else { lane.quiet.saturating_add(1) };
        if lane.pcm.capacity() == 0 {
            lane.pcm = scratch::take();
        }
        lane.pcm.clear();
        lane.pcm.extend_from_slice(mix);
        lane.limiter.process(&mut lane.pcm);
    }

    /// The shared mix.
    pub(super) fn shared(&self) -> &[f32] {
        &self.shared
    }

    /// How many samples of a channel the mix is late.
    pub(super) fn delay(&self) -> usize {
        self.limiter.delay()
    }

    /// Whether a lane now gives the same sound as the shared mix: its own voice has left both limiters, and both have
    /// the same gain.
    pub(super) fn same(&self, lane: &Lane) -> bool {
        lane.quiet > 1 && (lane.limiter.gain() - self.limiter.gain()).abs() < SAME_GAIN
    }
}

/// The way of a mix that only one listener hears.
#[derive(Debug)]
pub(super) struct Lane {
    limiter: Limiter,
    pcm: Vec<f32>,
    /// Ticks since the listener's own voice was last in the shared mix.
    quiet: u32,
}

impl Lane {
    /// This tick's sound; nothing once it was given back.
    pub(super) fn pcm(&self) -> &[f32] {
        &self.pcm
    }

    /// Give the samples' memory back until the next tick, where nobody reads them any more.
    pub(super) fn rest(&mut self) {
        scratch::give(std::mem::take(&mut self.pcm));
    }
}

fn accumulate(sum: &mut [f32], part: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(part) {
        *sum += x;
    }
}

/// Copy with a gain that goes in a straight line over the first `frames` and then stays.
fn fade(pcm: &[f32], from: f32, to: f32, frames: usize, channels: usize, out: &mut [f32]) {
    let mut at = 0;
    if from != to {
        let step = (to - from) / frames as f32;
        at = (frames * channels).min(pcm.len());
        for (n, (out, x)) in out[..at].chunks_mut(channels).zip(pcm[..at].chunks(channels)).enumerate() {
            let gain = from + step * n as f32;
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x * gain);
        }
    }
    if to == 1.0 {
        out[at..].copy_from_slice(&pcm[at..]);
    } else {
        out[at..].iter_mut().zip(&pcm[at..]).for_each(|(out, x)| *out = x * to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(seed: usize, len: usize) -> Vec<f32> {
        // Whole numbers of 16 bits: sums of them are exact in f32, whatever their order.
        (0..len).map(|n| (((n * 7919 + seed * 104_729) % 4001) as f32 - 2000.0) / 32_768.0).collect()
    }

    #[test]
    fn each_sum_holds_all_but_one() {
        let mut stage = Stage::new(&RoomConfig::default());
        for count in [0, 1, 2, 3, 7] {
            stage.clear();
            let voices: Vec<_> = (0..count).map(|seed| voice(seed, 960)).collect();
            for pcm in &voices {
                stage.add(pcm, 1.0, 1.0);
            }
            stage.sum();
            let all: Vec<f32> = (0..960).map(|n| voices.iter().map(|v| v[n]).sum()).collect();
            assert_eq!(stage.shared(), all);
            for (place, own) in voices.iter().enumerate() {
                let others: Vec<f32> = all.iter().zip(own).map(|(all, own)| all - own).collect();
                assert_eq!(stage.others[place * 960..][..960], others);
            }
        }
    }

    #[test]
    fn a_gain_goes_in_a_straight_line() {
        let mut out = [0.0; 8];
        fade(&[1.0; 8], 0.0, 1.0, 2, 2, &mut out);
        assert_eq!(out, [0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]);
    }
}
