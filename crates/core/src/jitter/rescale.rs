//! Bringing the delay to its target by pitch periods.

use super::decoder::FrameDecoder;
use super::fifo::Origin;
use super::playout::{Playout, Tick};
use super::stats::Tag;
use crate::timescale::Match;

/// The delay may lie so far under the target before it is stretched, and so far over a whole tick before it is
/// compressed.
const SLACK_MS: f64 = 5.0;
/// The same where nothing is waited for that need not be: the whole tick between the two is hysteresis enough.
const PROMPT_SLACK_MS: (f64, f64) = (2.0, 1.0);
/// Audio that waits for its tick for longer than this is worth compressing.
const IDLE_PHASE_MS: f64 = 8.0;
/// Similarity that a pitch period must have while there is time,
const PATIENT: f32 = 0.92;
/// and when the delay is [`URGENT_MS`] from where it should be.
const HURRIED: f32 = 0.55;
const URGENT_MS: f64 = 200.0;
/// Mean square of what is so quiet that any lag will do: −50 dBFS.
const QUIET: f32 = 1e-5;
/// The same for what lies at the noise floor: −40 dBFS.
const NOISE: f32 = 1e-4;
/// What counts as the noise floor: four times (6 dB over) the least power of late.
const NOISE_FACTOR: f32 = 4.0;

/// Lengths in samples.
#[derive(Debug)]
pub struct Thresholds {
    under: i64,
    over: i64,
    idle_phase: i64,
    urgent: f32,
}

impl Thresholds {
    pub(super) fn new(rate: u32, prompt: bool) -> Self {
        let samples = |ms: f64| ms * f64::from(rate) / 1000.0;
        let (under, over) = if prompt { PROMPT_SLACK_MS } else { (SLACK_MS, SLACK_MS) };
        let idle_phase = samples(IDLE_PHASE_MS) as i64;
        Self { under: samples(under) as i64, over: samples(over) as i64, idle_phase, urgent: samples(URGENT_MS) as f32 }
    }
}

impl<D: FrameDecoder> Playout<D> {
    /// Takes out or puts in a pitch period if the delay is not what it should be.
    pub(super) fn rescale(&mut self, phase: usize, tick: &mut Tick<'_>) -> Option<Tag> {
        let first = self.next_at + self.ahead - self.fifo.len() as i64;
        let delay = (tick.now - first - tick.delay.base()) as f64;
        let off = delay - self.level;
        self.level += if off.abs() > self.lengths.frame as f64 { off } else { off / 4.0 };
        // A packet is taken when a tick needs its first sample: what is decoded already lies before it.
        let (frame, phase) = (self.lengths.frame as i64, phase as i64);
        let margin = self.level as i64 - phase - self.target(tick.delay);
        self.slack = margin;
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        if self.pausing || self.ahead > 0 {
            return None;
        }
        if margin >= frame + self.lengths.rescale.over {
            self.compress(margin / frame * frame + phase, margin, tick)
        } else if margin >= 0 && phase >= self.lengths.rescale.idle_phase {
            self.compress(phase, 0, tick)
        } else if margin < -self.lengths.rescale.under.min(self.target(tick.delay) / 2) {
            self.stretch(-margin, tick)
        } else {
            None
        }
    }

    fn compress(&mut self, room: i64, margin: i64, tick: &mut Tick<'_>) -> Option<Tag> {
        let frame = self.lengths.frame;
        let limit = (room as usize).min(self.scale.max_lag());
        self.decode_ahead((2 * limit).max(frame + limit), tick);
        let limit = limit.min(self.fifo.len() - frame);
        let found = self.period(limit, margin);
        let Some(found) = found else {
            self.rest = if margin > 0 { 1 } else { 4 };
            return None;
        };
        self.fifo.compress(&self.scale, found.lag);
        self.level -= found.lag as f64;
        tick.stats.compressed_samples += if self.asleep.is_asleep() { 0 } else { found.lag as u64 };
        let frame = frame as i64;
        self.rest = if margin > 3 * frame {
            1
        } else if margin > frame * 3 / 2 {
            3
        } else {
            9
        };
        Some(Tag::Compressed)
    }

    fn stretch(&mut self, deficit: i64, tick: &mut Tick<'_>) -> Option<Tag> {
        self.decode_ahead(self.scale.needed(), tick);
        let found = self.period(self.scale.max_lag(), deficit)?;
        self.fifo.stretch(&self.scale, found.lag);
        self.level += found.lag as f64;
        tick.stats.stretched_samples += if self.asleep.is_asleep() { 0 } else { found.lag as u64 };
        self.rest = u32::from(deficit <= self.lengths.frame as i64);
        Some(Tag::Stretched)
    }

    /// A lag of at most `limit` that can be taken out or put in where the next frame begins, the delay being off by
    /// `off`.
    fn period(&mut self, limit: usize, off: i64) -> Option<Match> {
        if self.asleep.is_asleep() {
            // Nobody hears where it is cut.
            let lag = limit.min(self.fifo.len() / 2);
            let fits = self.fifo.all_of(Origin::Skipped) && lag >= self.scale.min_lag();
            return fits.then_some(Match { lag, similarity: 1.0, power: 0.0 });
        }
        if !self.fifo.all_of(Origin::Decoded) {
            return None;
        }
        let urgency = (off as f32 / self.lengths.rescale.urgent).clamp(0.0, 1.0);
        let enough = PATIENT + urgency * (HURRIED - PATIENT);
        let found = self.scale.find(self.fifo.samples(), limit, Some(enough))?;
        let quiet = QUIET.max((NOISE_FACTOR * self.noise).min(NOISE));
        (found.similarity >= enough || found.power < quiet).then_some(found)
    }

    /// Decodes packets that follow on each other until so many samples are there.
    fn decode_ahead(&mut self, wanted: usize, tick: &mut Tick<'_>) {
        while self.fifo.len() < wanted {
            let Some(front) = tick.queue.front() else { return };
            let follows =
                Some(front.sequence) == self.next_sequence && (front.at - self.next_at) < self.lengths.unit as i64;
            if !follows || self.ahead > 0 {
                return;
            }
            self.accept(tick);
        }
    }
}
