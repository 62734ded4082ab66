//! Acoustic echo cancellation: what the loudspeaker plays is taken out of what the microphone hears.
//!
//! The default canceller finds the delay between the two (up to 500 ms), models the room with a frequency-domain Kalman
//! filter of 250 ms, which itself slows down while the near end talks, takes out what the model leaves in the frequency
//! domain, and fills the gaps with noise like the room's. The other, [`EchoMode::Nlms`], is a short adaptive filter in
//! the time domain with a gate and constant noise.
//!
//! Far end is what is played, near end what is recorded; both mono, in frames of 10 ms.

mod bands;
mod delay;
mod kalman;
mod meter;
mod nlms;
mod noise;
mod partitioned;
mod residual;
mod signals;
mod spectrum;
mod suppress;

use std::collections::VecDeque;

use crate::{Error, Result};
use nlms::Nlms;
pub use nlms::NlmsConfig;
use partitioned::Partitioned;

/// Sample rates that are offered.
pub const SAMPLE_RATES: [u32; 4] = [8_000, 16_000, 32_000, 48_000];
/// The longest delay that can be hinted at, in milliseconds.
pub const MAX_DELAY_MS: u32 = 500;
/// Frames of the far end that may wait for the near end; the oldest are dropped.
const MAX_WAITING: usize = 100;
/// If so many frames have been waiting all the time, they are too many.
const SURPLUS: usize = 4;
/// Frames after which that is judged.
const SURPLUS_PERIOD: usize = 100;
/// Far beyond full scale, and far from overflow.
const LOUDEST: f32 = 16.0;

/// Which canceller.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum EchoMode {
    /// Delay estimation, frequency-domain Kalman filter, residual echo suppression, comfort noise. Delays what it gives
    /// out by 10 ms.
    #[default]
    Partitioned,
    /// Time-domain adaptive filter, gate and comfort noise. Delays nothing.
    Nlms(NlmsConfig),
}

/// How an [`EchoCanceller`] is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct EchoConfig {
    /// Samples a second: one of [`SAMPLE_RATES`].
    pub sample_rate: u32,
    /// 1: echo is cancelled before anything is mixed or spread.
    pub channels: u8,
    /// Which canceller.
    pub mode: EchoMode,
}

impl Default for EchoConfig {
    fn default() -> Self {
        Self { sample_rate: 16_000, channels: 1, mode: EchoMode::default() }
    }
}

/// What a canceller knows about the echo; `None` where it does not know (yet).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EchoMetrics {
    /// Echo return loss in dB: far end against its echo, over about the last second of echo without near-end speech.
    pub erl_db: Option<f32>,
    /// Echo return loss enhancement in dB: microphone against output, over the same time.
    pub erle_db: Option<f32>,
    /// From a sample's being given as far end until its echo is in the near end.
    pub delay_ms: Option<f32>,
    /// Whether near-end speech was over an echo in the last frame.
    pub double_talk: Option<bool>,
    /// Frames of the far end that were dropped because they came faster than those of the near end.
    pub dropped: u64,
    /// Frames of the near end for which there was none of the far end; silence was taken.
    pub missing: u64,
}

enum Engine {
    Partitioned(Box<Partitioned>),
    Nlms(Box<Nlms>),
}

/// Takes the echo of a far end out of a near end, both mono.
///
/// Give both at once to [`Self::process`], or each when it is there to [`Self::analyse_render`] and
/// [`Self::process_capture`]. Samples that are not numbers count as silence. Nothing is allocated for a frame.
pub struct EchoCanceller {
    sample_rate: u32,
    frame: usize,
    engine: Engine,
    waiting: VecDeque<f32>,
    /// The fewest frames that waited, and over how many frames of the near end.
    fewest: usize,
    watched: usize,
    dropped: u64,
    missing: u64,
    far: Vec<f32>,
    near: Vec<f32>,
    out: Vec<f32>,
}

impl EchoCanceller {
    /// # Errors
    ///
    /// `Unsupported` for a sample rate, a number of channels or a parameter that is not offered; it lists those that are.
    pub fn new(config: &EchoConfig) -> Result<Self> {
        if !SAMPLE_RATES.contains(&config.sample_rate) {
            let rates = SAMPLE_RATES.map(|rate| rate.to_string()).join(", ");
            return Err(Error::unsupported(format!("sample rate {}; use one of {rates}", config.sample_rate)));
        }
        if config.channels != 1 {
            return Err(Error::unsupported(format!("{} channels; use 1", config.channels)));
        }
        let frame = config.sample_rate as usize / 100;
        Ok(Self {
            sample_rate: config.sample_rate,
            frame,
            engine: match &config.mode {
                EchoMode::Partitioned => Engine::Partitioned(Box::new(Partitioned::new(config.sample_rate))),
                EchoMode::Nlms(nlms) => Engine::Nlms(Box::new(Nlms::new(nlms, frame)?)),
            },
            waiting: VecDeque::with_capacity((MAX_WAITING + 1) * frame),
            fewest: usize::MAX,
            watched: 0,
            dropped: 0,
            missing: 0,
            far: vec![0.0; frame],
            near: vec![0.0; frame],
            out: vec![0.0; frame],
        })
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples in a frame of 10 ms: what is given must be a multiple.
    pub fn frame(&self) -> usize {
        self.frame
    }

    /// By how many samples the output is behind the near end.
    pub fn latency(&self) -> usize {
        match self.engine {
            Engine::Partitioned(_) => self.frame,
            Engine::Nlms(_) => 0,
        }
    }

    /// Cancel the echo of `far` in `near`; all three are of one length, a multiple of 10 ms.
    ///
    /// # Errors
    ///
    /// `Unsupported` for other lengths; nothing has been processed then.
    pub fn process(&mut self, far: &[f32], near: &[f32], out: &mut [f32]) -> Result<()> {
        self.check(&[("far", far.len()), ("near", near.len()), ("out", out.len())])?;
        let frames = near.chunks_exact(self.frame).zip(out.chunks_exact_mut(self.frame));
        for (far, (near, out)) in far.chunks_exact(self.frame).zip(frames) {
            self.render(far.iter().copied());
            self.capture(near.iter().copied());
            out.copy_from_slice(&self.out);
        }
        Ok(())
    }

    /// [`Self::process`] on 16-bit samples.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn process_i16(&mut self, far: &[i16], near: &[i16], out: &mut [i16]) -> Result<()> {
        self.check(&[("far", far.len()), ("near", near.len()), ("out", out.len())])?;
        let frames = near.chunks_exact(self.frame).zip(out.chunks_exact_mut(self.frame));
        for (far, (near, out)) in far.chunks_exact(self.frame).zip(frames) {
            self.render(far.iter().copied().map(to_float));
            self.capture(near.iter().copied().map(to_float));
            out.iter_mut().zip(&self.out).for_each(|(out, sample)| *out = to_int(*sample));
        }
        Ok(())
    }

    /// Take in what is about to be played: a multiple of 10 ms. At most a second of it waits; the oldest is dropped.
    ///
    /// # Errors
    ///
    /// `Unsupported` for another length.
    pub fn analyse_render(&mut self, far: &[f32]) -> Result<()> {
        self.check(&[("far", far.len())])?;
        far.chunks_exact(self.frame).for_each(|far| self.render(far.iter().copied()));
        Ok(())
    }

    /// [`Self::analyse_render`] for 16-bit samples.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn analyse_render_i16(&mut self, far: &[i16]) -> Result<()> {
        self.check(&[("far", far.len())])?;
        far.chunks_exact(self.frame).for_each(|far| self.render(far.iter().copied().map(to_float)));
        Ok(())
    }

    /// Cancel the echo in what was recorded: a multiple of 10 ms, `out` of the same length.
    ///
    /// # Errors
    ///
    /// `Unsupported` for other lengths.
    pub fn process_capture(&mut self, near: &[f32], out: &mut [f32]) -> Result<()> {
        self.check(&[("near", near.len()), ("out", out.len())])?;
        for (near, out) in near.chunks_exact(self.frame).zip(out.chunks_exact_mut(self.frame)) {
            self.capture(near.iter().copied());
            out.copy_from_slice(&self.out);
        }
        Ok(())
    }

    /// [`Self::process_capture`] on 16-bit samples.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn process_capture_i16(&mut self, near: &[i16], out: &mut [i16]) -> Result<()> {
        self.check(&[("near", near.len()), ("out", out.len())])?;
        for (near, out) in near.chunks_exact(self.frame).zip(out.chunks_exact_mut(self.frame)) {
            self.capture(near.iter().copied().map(to_float));
            out.iter_mut().zip(&self.out).for_each(|(out, sample)| *out = to_int(*sample));
        }
        Ok(())
    }

    /// Say how long it takes from giving a far-end sample until its echo is in the near end.
    ///
    /// The default canceller begins to look there and goes by its own estimate once it has one; the plain one has no
    /// other way to know.
    ///
    /// # Errors
    ///
    /// `Unsupported` over [`MAX_DELAY_MS`].
    pub fn set_delay_hint(&mut self, milliseconds: u32) -> Result<()> {
        if milliseconds > MAX_DELAY_MS {
            return Err(Error::unsupported(format!("a delay of {milliseconds} ms; use 0 to {MAX_DELAY_MS}")));
        }
        match &mut self.engine {
            Engine::Partitioned(engine) => engine.hint(milliseconds),
            Engine::Nlms(engine) => engine.hint(milliseconds as usize * self.sample_rate as usize / 1000),
        }
        Ok(())
    }

    /// What is known about the echo.
    pub fn metrics(&self) -> EchoMetrics {
        let known = match &self.engine {
            Engine::Partitioned(engine) => engine.metrics(),
            Engine::Nlms(engine) => engine.metrics(),
        };
        EchoMetrics { dropped: self.dropped, missing: self.missing, ..known }
    }

    fn check(&self, lengths: &[(&str, usize)]) -> Result<()> {
        let (first, length) = lengths[0];
        let differs = lengths.iter().find(|(_, other)| *other != length);
        if let Some((name, other)) = differs {
            return Err(Error::unsupported(format!("{first} has {length} samples and {name} {other}; use one length")));
        }
        if length % self.frame != 0 {
            let (frame, rate) = (self.frame, self.sample_rate);
            let what = format!("{first} has {length} samples; use a multiple of {frame} (10 ms at {rate} Hz)");
            return Err(Error::unsupported(what));
        }
        Ok(())
    }

    fn render(&mut self, far: impl Iterator<Item = f32>) {
        if self.waiting.len() >= MAX_WAITING * self.frame {
            self.drop_waiting(1);
        }
        self.waiting.extend(far.map(sound));
    }

    /// Leave out the oldest frames of the far end.
    fn drop_waiting(&mut self, frames: usize) {
        self.waiting.drain(..frames * self.frame);
        self.dropped += frames as u64;
        self.watched = 0;
        self.fewest = usize::MAX;
        if let Engine::Partitioned(engine) = &mut self.engine {
            engine.skip(frames);
        }
    }

    fn capture(&mut self, near: impl Iterator<Item = f32>) {
        self.near.iter_mut().zip(near).for_each(|(kept, sample)| *kept = sound(sample));
        if self.waiting.is_empty() {
            self.far.fill(0.0);
            self.missing += 1;
        } else {
            self.far.iter_mut().zip(self.waiting.drain(..self.frame)).for_each(|(kept, sample)| *kept = sample);
        }
        match &mut self.engine {
            Engine::Partitioned(engine) => engine.process(&self.far, &self.near, &mut self.out),
            Engine::Nlms(engine) => engine.process(&self.far, &self.near, &mut self.out),
        }
        self.watch();
    }

    /// Frames that wait all the time make the far end late, up to where its echo comes before it.
    fn watch(&mut self) {
        self.fewest = self.fewest.min(self.waiting.len() / self.frame);
        self.watched += 1;
        if self.watched == SURPLUS_PERIOD {
            let fewest = std::mem::replace(&mut self.fewest, usize::MAX);
            self.watched = 0;
            if fewest > SURPLUS {
                self.drop_waiting(fewest);
            }
        }
    }
}

/// A sample that cannot spoil what is learnt from it.
fn sound(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-LOUDEST, LOUDEST) } else { 0.0 }
}

fn to_float(sample: i16) -> f32 {
    f32::from(sample) / 32768.0
}

fn to_int(sample: f32) -> i16 {
    // The cast saturates.
    (sample * 32768.0).round() as i16
}
