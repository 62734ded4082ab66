//! Sample-rate conversion of a stream: pieces of any size in, what is ready out.
//!
//! The low-pass filter is a windowed sinc (4-term Blackman-Harris, 160 periods of the lower rate): linear phase, flat to
//! 92 % of the lower Nyquist frequency, 104 dB down from that frequency on. `rubato` does the arithmetic: blocks in the
//! frequency domain where the two rates have a short common period, a polyphase sinc with cubic interpolation otherwise.

mod engine;
mod pcm;

pub use pcm::PcmConverter;

use crate::{Error, Result};
use engine::Engine;

/// Lowest sample rate taken, Hz.
pub const MIN_SAMPLE_RATE: u32 = 1_000;
/// Highest sample rate taken, Hz.
pub const MAX_SAMPLE_RATE: u32 = 768_000;
/// Most channels taken.
pub const MAX_CHANNELS: u8 = 32;

const FULL_SCALE: f32 = 32_768.0;
/// What is louder, or no number, counts as silence: it would overflow within the filter.
const LOUDEST: f32 = 1e9;

/// A stream of interleaved samples at one rate in, the same at another out.
///
/// The delay of the filter is taken out again: the first sample out stands for the first one in (to within half a
/// sample out), and over a whole stream [`flush`](Self::flush) brings the length to `frames * to / from`, rounded to the
/// nearest. What comes out does not depend on how the input is cut into pieces.
pub struct Resampler {
    from: u32,
    to: u32,
    channels: usize,
    engine: Engine,
    /// Interleaved frames that wait for the block to be full.
    block: Vec<f32>,
    filled: usize,
    resampled: Vec<f32>,
    /// Frames out that stand for what was before the first one in.
    to_skip: usize,
    consumed: u64,
    produced: u64,
}

impl Resampler {
    /// A stream from `from` Hz to `to` Hz with so many interleaved channels.
    ///
    /// # Errors
    /// [`Error::Unsupported`] outside of [`MIN_SAMPLE_RATE`] to [`MAX_SAMPLE_RATE`] and 1 to [`MAX_CHANNELS`].
    pub fn new(from: u32, to: u32, channels: u8) -> Result<Self> {
        for rate in [from, to] {
            if !(MIN_SAMPLE_RATE..=MAX_SAMPLE_RATE).contains(&rate) {
                return Err(Error::unsupported(format!(
                    "a sample rate of {rate} Hz is not taken: {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} are"
                )));
            }
        }
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(Error::unsupported(format!("{channels} channels are not taken: 1 to {MAX_CHANNELS} are")));
        }
        let channels = usize::from(channels);
        let engine = Engine::new(from, to, channels)?;
        Ok(Self {
            from,
            to,
            channels,
            block: vec![0.0; engine.block() * channels],
            filled: 0,
            resampled: vec![0.0; engine.most_out() * channels],
            to_skip: engine.delay_out(),
            engine,
            consumed: 0,
            produced: 0,
        })
    }

    /// Hz of what goes in.
    pub fn from_rate(&self) -> u32 {
        self.from
    }

    /// Hz of what comes out.
    pub fn to_rate(&self) -> u32 {
        self.to
    }

    /// Interleaved channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The most samples (per channel, at the rate of the output) by which what has come out may lag behind what has
    /// gone in, whatever the pieces: half the filter's length, and a block less one sample.
    pub fn latency_samples(&self) -> usize {
        if matches!(self.engine, Engine::Copy) {
            return 0;
        }
        // A block less one sample, and two that the sinc looks ahead; and the ticks of the two clocks do not coincide.
        self.engine.delay_out() + self.out_for(self.engine.block() as u64 + 1) as usize + 1
    }

    /// Convert the next samples, whole frames in −1.0 to 1.0, and append what is ready to `out`. Louder values keep their
    /// scale; what is no finite number counts as silence.
    ///
    /// # Errors
    /// [`Error::Malformed`] where `samples` end within a frame: nothing was taken.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let frames = self.whole_frames(samples.len(), size_of::<f32>())?;
        let channels = self.channels;
        self.run(
            frames,
            |at, block| {
                for (sample, value) in block.iter_mut().zip(&samples[at * channels..]) {
                    *sample = if value.abs() <= LOUDEST { *value } else { 0.0 };
                }
            },
            |ready| out.extend_from_slice(ready),
        );
        Ok(())
    }

    /// As [`push`](Self::push), with 16-bit samples, rounded to the nearest and clipped.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_i16(&mut self, samples: &[i16], out: &mut Vec<i16>) -> Result<()> {
        let frames = self.whole_frames(samples.len(), size_of::<i16>())?;
        let channels = self.channels;
        self.run(
            frames,
            |at, block| {
                for (sample, value) in block.iter_mut().zip(&samples[at * channels..]) {
                    *sample = f32::from(*value) * (1.0 / FULL_SCALE);
                }
            },
            |ready| out.extend(ready.iter().map(|sample| quantise(sample * FULL_SCALE))),
        );
        Ok(())
    }

    /// End the stream: append what the filter still holds. The next samples begin a new stream.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        self.finish(|ready| out.extend_from_slice(ready));
    }

    /// As [`flush`](Self::flush), for a stream of 16-bit samples.
    pub fn flush_i16(&mut self, out: &mut Vec<i16>) {
        self.finish(|ready| out.extend(ready.iter().map(|sample| quantise(sample * FULL_SCALE))));
    }

    /// Forget the stream; the next samples begin a new one.
    pub fn reset(&mut self) {
        self.engine.reset();
        self.filled = 0;
        self.to_skip = self.engine.delay_out();
        self.consumed = 0;
        self.produced = 0;
    }

    /// Frames out for so many in, rounded to the nearest.
    fn out_for(&self, frames: u64) -> u64 {
        let (from, to) = (u128::from(self.from), u128::from(self.to));
        ((2 * u128::from(frames) * to + from) / (2 * from)) as u64
    }

    fn whole_frames(&self, samples: usize, bytes: usize) -> Result<usize> {
        if samples.is_multiple_of(self.channels) {
            return Ok(samples / self.channels);
        }
        Err(Error::malformed(
            (samples * bytes) as u64,
            format!("{samples} samples are not whole frames of {} channels", self.channels),
        ))
    }

    /// Take `frames` frames, which `read(first frame, place)` writes where they belong, and hand on what is ready.
    pub(crate) fn run(
        &mut self,
        frames: usize,
        mut read: impl FnMut(usize, &mut [f32]),
        mut write: impl FnMut(&[f32]),
    ) {
        let size = self.engine.block();
        let mut at = 0;
        while at < frames {
            let some = (size - self.filled).min(frames - at);
            let place = self.filled * self.channels..(self.filled + some) * self.channels;
            read(at, &mut self.block[place.clone()]);
            at += some;
            self.consumed += some as u64;
            if matches!(self.engine, Engine::Copy) {
                self.produced += some as u64;
                write(&self.block[place]);
                continue;
            }
            self.filled += some;
            if self.filled == size {
                self.filled = 0;
                self.convert(u64::MAX, &mut write);
            }
        }
    }

    /// Convert one full block and hand on at most so many frames of it.
    fn convert(&mut self, most: u64, write: &mut impl FnMut(&[f32])) {
        let frames = self.engine.process(&self.block, &mut self.resampled, self.channels);
        let skipped = frames.min(self.to_skip);
        self.to_skip -= skipped;
        let kept = ((frames - skipped) as u64).min(most) as usize;
        self.produced += kept as u64;
        write(&self.resampled[skipped * self.channels..(skipped + kept) * self.channels]);
    }

    fn finish(&mut self, mut write: impl FnMut(&[f32])) {
        let length = self.out_for(self.consumed);
        // Each turn gives frames: the delay is bounded, and so is the number of turns.
        while self.produced < length {
            self.block[self.filled * self.channels..].fill(0.0);
            self.filled = 0;
            self.convert(length - self.produced, &mut write);
        }
        self.reset();
    }
}

/// To the nearest 16-bit value, ties to even, clipped; NaN becomes 0.
#[inline]
pub(crate) fn quantise(sample: f32) -> i16 {
    // Adding 1.5 * 2^23 leaves no bits for a fraction, so that the addition itself rounds; unlike round_ties_even() it
    // needs no instruction beyond SSE2.
    const ROUND: f32 = 12_582_912.0;
    let bounded = sample.clamp(-32_768.0, 32_767.0);
    ((bounded + ROUND) - ROUND) as i16
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
