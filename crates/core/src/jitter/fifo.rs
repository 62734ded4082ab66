//! Decoded samples on their way out, each known by where it came from.

use std::collections::VecDeque;

use crate::timescale::TimeScale;

/// Where samples came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A packet.
    Decoded,
    /// Extrapolation.
    Concealed,
    /// Error correction in the packet behind.
    Recovered,
    /// Nothing, or comfort noise.
    Silence,
    /// Nobody hears it: only its length counts.
    Skipped,
}

/// Samples of each origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Makeup {
    /// From packets.
    pub decoded: usize,
    /// Extrapolated.
    pub concealed: usize,
    /// From error correction.
    pub recovered: usize,
    /// Silent.
    pub silence: usize,
    /// Not heard.
    pub skipped: usize,
}

/// Interleaved samples in order, with room before the first for stretching.
#[derive(Debug)]
pub struct Fifo {
    samples: Vec<f32>,
    head: usize,
    reserve: usize,
    runs: VecDeque<(Origin, usize)>,
    channels: usize,
}

impl Fifo {
    /// With `reserve` samples of each channel kept free before the first.
    pub fn new(channels: usize, reserve: usize) -> Self {
        let reserve = reserve * channels;
        Self { samples: vec![0.0; reserve], head: reserve, reserve, runs: VecDeque::with_capacity(8), channels }
    }

    /// Samples of each channel held.
    pub fn len(&self) -> usize {
        (self.samples.len() - self.head) / self.channels
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The last `count` samples of each channel.
    pub fn last(&mut self, count: usize) -> &mut [f32] {
        let from = self.samples.len() - count * self.channels;
        &mut self.samples[from..]
    }

    /// Everything held, interleaved.
    pub fn samples(&self) -> &[f32] {
        &self.samples[self.head..]
    }

    /// Whether every sample held came from there.
    pub fn all_of(&self, origin: Origin) -> bool {
        self.runs.len() == 1 && self.runs[0].0 == origin
    }

    /// Samples at the end that nobody was to hear.
    pub fn skipped(&self) -> usize {
        self.runs.back().map_or(0, |(origin, length)| if *origin == Origin::Skipped { *length } else { 0 })
    }

    /// What nobody was to hear has been decoded after all.
    pub fn take_for_decoded(&mut self) {
        let Some(last) = self.runs.back_mut().filter(|last| last.0 == Origin::Skipped) else { return };
        last.0 = Origin::Decoded;
        if let [.., (Origin::Decoded, before), (_, length)] = self.runs.make_contiguous() {
            *before += *length;
            self.runs.pop_back();
        }
    }

    /// Adds `count` samples of each channel that nobody is to hear.
    pub fn append_skipped(&mut self, count: usize) {
        // The closure has no error to give.
        let _ = self.append(Origin::Skipped, count, |_| Ok::<_, ()>(count));
    }

    /// Removes the first `count` samples of each channel and says what they were; what is missing is silence.
    pub fn drop_front(&mut self, count: usize) -> Makeup {
        let held = self.len().min(count);
        self.head += held * self.channels;
        self.pass(held, count - held)
    }

    /// Room for `count` samples of each channel at the end, to be written by `write`, which says how many it wrote.
    pub fn append<E>(
        &mut self,
        origin: Origin,
        count: usize,
        write: impl FnOnce(&mut [f32]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.compact();
        let end = self.samples.len();
        // As much as is ever held, and not up to twice that for every stream.
        self.samples.reserve_exact(count * self.channels);
        self.samples.resize(end + count * self.channels, 0.0);
        let written = write(&mut self.samples[end..]);
        let kept = written.as_ref().map_or(0, |&written| written.min(count));
        self.samples.truncate(end + kept * self.channels);
        if kept > 0 {
            match self.runs.back_mut() {
                Some((last, length)) if *last == origin => *length += kept,
                _ => self.runs.push_back((origin, kept)),
            }
        }
        written.map(|_| kept)
    }

    /// Moves the first samples into `out` and says what they were; what is missing is silence.
    pub fn take(&mut self, out: &mut [f32]) -> Makeup {
        let held = (self.samples.len() - self.head).min(out.len());
        out[..held].copy_from_slice(&self.samples[self.head..self.head + held]);
        out[held..].fill(0.0);
        self.head += held;
        self.pass(held / self.channels, (out.len() - held) / self.channels)
    }

    fn pass(&mut self, mut left: usize, silence: usize) -> Makeup {
        let mut makeup = Makeup { silence, ..Makeup::default() };
        while left > 0 {
            let Some((origin, length)) = self.runs.front_mut() else { break };
            let count = left.min(*length);
            match origin {
                Origin::Decoded => makeup.decoded += count,
                Origin::Concealed => makeup.concealed += count,
                Origin::Recovered => makeup.recovered += count,
                Origin::Silence => makeup.silence += count,
                Origin::Skipped => makeup.skipped += count,
            }
            left -= count;
            *length -= count;
            if *length == 0 {
                self.runs.pop_front();
            }
        }
        makeup
    }

    /// Removes `lag` samples at the front by fading over.
    pub fn compress(&mut self, scale: &TimeScale, lag: usize) {
        scale.compress(&mut self.samples[self.head..], lag);
        self.head += lag * self.channels;
        if let Some((_, length)) = self.runs.front_mut() {
            *length -= lag;
        }
    }

    /// Adds `lag` samples at the front by repeating; `lag` is at most the reserve.
    pub fn stretch(&mut self, scale: &TimeScale, lag: usize) {
        if self.head < lag * self.channels {
            let (head, held) = (self.head, self.samples.len() - self.head);
            self.samples.resize(self.reserve + held, 0.0);
            self.samples.copy_within(head..head + held, self.reserve);
            self.head = self.reserve;
        }
        self.head -= lag * self.channels;
        scale.stretch(&mut self.samples[self.head..], lag);
        if let Some((_, length)) = self.runs.front_mut() {
            *length += lag;
        }
    }

    fn compact(&mut self) {
        if self.head > self.reserve {
            self.samples.copy_within(self.head.., self.reserve);
            self.samples.truncate(self.samples.len() - (self.head - self.reserve));
            self.head = self.reserve;
        }
    }
}
