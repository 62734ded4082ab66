//! Voice activity: how likely each 16 ms of a stream hold speech, and a flag that neither flickers nor cuts words off.
//!
//! `earshot`, a small recurrent network over 40 mel bands, judges; docs/benchmarks/signal.md has it beside WebRTC's
//! detector. It hears 16 kHz. Higher rates are resampled; lower ones are interpolated linearly, whose images fill the band
//! above: a band that is empty, as no microphone leaves it, makes the network take noise for speech.

use earshot::Detector;

use crate::resample::Resampler;
use crate::{Error, Result};

/// Hz at which the network hears.
pub const DETECTOR_RATE: u32 = 16_000;
/// Samples at [`DETECTOR_RATE`] for which there is one probability.
pub const FRAME_SAMPLES: usize = 256;

const FRAME_SECONDS: f64 = FRAME_SAMPLES as f64 / DETECTOR_RATE as f64;
const LONGEST_TIME: f64 = 60.0;

/// Settings of a [`VoiceActivityDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadConfig {
    /// Hz of what is pushed.
    pub sample_rate: u32,
    /// Probability from which a frame counts as speech while there is silence.
    pub threshold: f32,
    /// Probability from which a frame still counts as speech while there is speech; at most `threshold`.
    pub release_threshold: f32,
    /// Seconds of speech without a pause before the flag rises.
    pub onset: f64,
    /// Seconds of silence before the flag falls.
    pub hangover: f64,
}

impl Default for VadConfig {
    /// Rises after three frames of speech, falls after 0.3 s of silence. Noise alone, even as loud as speech, stays below
    /// these thresholds; other voices do not.
    fn default() -> Self {
        Self { sample_rate: DETECTOR_RATE, threshold: 0.6, release_threshold: 0.55, onset: 0.048, hangover: 0.3 }
    }
}

/// What a detector says of the last whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VoiceActivity {
    /// 0.0 to 1.0.
    pub probability: f32,
    /// Whether somebody is speaking.
    pub active: bool,
}

/// Detects speech in a stream of one channel, in pieces of any size.
pub struct VoiceActivityDetector {
    sample_rate: u32,
    source: Source,
    judge: Judge,
}

/// Brings the stream to the detector's rate.
enum Source {
    Resampled(Box<Resampler>),
    Stretched(Stretch),
}

/// Linear interpolation from a lower rate.
struct Stretch {
    rate: u32,
    /// Where the next sample out lies behind `last`, in units of 1 / [`DETECTOR_RATE`] of the distance to the next one.
    phase: u32,
    last: f32,
    out: Vec<f32>,
}

/// All behind the source.
struct Judge {
    detector: Box<Detector>,
    frame: [f32; FRAME_SAMPLES],
    filled: usize,
    threshold: f32,
    release_threshold: f32,
    onset: u32,
    hangover: u32,
    /// Frames in a row that speak against the flag.
    against: u32,
    now: VoiceActivity,
}

impl VoiceActivityDetector {
    /// A detector at the start of a stream.
    ///
    /// # Errors
    /// [`Error::Unsupported`]: a sample rate that cannot be resampled, thresholds outside of 0 to 1 or the wrong way
    /// round, or times outside of 0 to 60 seconds.
    pub fn new(config: &VadConfig) -> Result<Self> {
        let VadConfig { threshold, release_threshold, .. } = *config;
        if !(0.0 <= release_threshold && release_threshold <= threshold && threshold <= 1.0) {
            return Err(Error::unsupported(format!(
                "thresholds must be 0 <= release threshold <= threshold <= 1, not {release_threshold} and {threshold}"
            )));
        }
        for (name, seconds) in [("onset", config.onset), ("hangover", config.hangover)] {
            if !(0.0..=LONGEST_TIME).contains(&seconds) {
                return Err(Error::unsupported(format!("{name} must be 0 to {LONGEST_TIME} seconds, not {seconds}")));
            }
        }
        // One frame of evidence at least; float fuzz must not ask for one more than that.
        let frames = |seconds: f64| ((seconds / FRAME_SECONDS - 1e-6).ceil() as u32).max(1);
        let resampler = Resampler::new(config.sample_rate, DETECTOR_RATE, 1)?;
        let source = if config.sample_rate < DETECTOR_RATE {
            Source::Stretched(Stretch::new(config.sample_rate))
        } else {
            Source::Resampled(Box::new(resampler))
        };
        Ok(Self {
            sample_rate: config.sample_rate,
            source,
            judge: Judge {
                detector: Box::default(),
                frame: [0.0; FRAME_SAMPLES],
                filled: 0,
                threshold,
                release_threshold,
                onset: frames(config.onset),
                hangover: frames(config.hangover),
                against: 0,
                now: VoiceActivity::default(),
            },
        })
    }

    /// Hz of what is pushed.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// What it says of the last whole frame; before the first, probability 0.
    pub fn activity(&self) -> VoiceActivity {
        self.judge.now
    }

    /// Hear the next samples, in −1.0 to 1.0; `each` is told of every frame that they complete.
    pub fn push(&mut self, samples: &[f32], each: impl FnMut(VoiceActivity)) -> VoiceActivity {
        self.hear(samples, |x| if x.is_nan() { 0.0 } else { x.clamp(-1.0, 1.0) }, each)
    }

    /// As [`push`](Self::push), with 16-bit samples.
    pub fn push_i16(&mut self, samples: &[i16], each: impl FnMut(VoiceActivity)) -> VoiceActivity {
        self.hear(samples, |x| f32::from(x) * (1.0 / 32_768.0), each)
    }

    fn hear<T: Copy>(
        &mut self,
        samples: &[T],
        value: impl Fn(T) -> f32,
        mut each: impl FnMut(VoiceActivity),
    ) -> VoiceActivity {
        let Self { source, judge, .. } = self;
        match source {
            Source::Resampled(resampler) => resampler.run(
                samples.len(),
                |at, block| {
                    for (place, sample) in block.iter_mut().zip(&samples[at..]) {
                        *place = value(*sample);
                    }
                },
                |ready| judge.hear(ready, &mut each),
            ),
            Source::Stretched(stretch) => {
                for piece in samples.chunks(Stretch::PIECE) {
                    judge.hear(stretch.push(piece.iter().map(|sample| value(*sample))), &mut each);
                }
            }
        }
        self.judge.now
    }

    /// Back to the start of a stream.
    pub fn reset(&mut self) {
        match &mut self.source {
            Source::Resampled(resampler) => resampler.reset(),
            Source::Stretched(stretch) => *stretch = Stretch::new(self.sample_rate),
        }
        self.judge.detector.reset();
        self.judge.filled = 0;
        self.judge.against = 0;
        self.judge.now = VoiceActivity::default();
    }
}

impl Stretch {
    const PIECE: usize = 512;

    fn new(rate: u32) -> Self {
        Self { rate, phase: DETECTOR_RATE, last: 0.0, out: Vec::new() }
    }

    fn push(&mut self, samples: impl Iterator<Item = f32>) -> &[f32] {
        const STEP: f32 = 1.0 / DETECTOR_RATE as f32;
        self.out.clear();
        for sample in samples {
            while self.phase < DETECTOR_RATE {
                self.out.push(self.last + (sample - self.last) * (self.phase as f32 * STEP));
                self.phase += self.rate;
            }
            self.phase -= DETECTOR_RATE;
            self.last = sample;
        }
        &self.out
    }
}

impl Judge {
    fn hear(&mut self, samples: &[f32], each: &mut impl FnMut(VoiceActivity)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let some = rest.len().min(FRAME_SAMPLES - self.filled);
            for (place, sample) in self.frame[self.filled..].iter_mut().zip(&rest[..some]) {
                // The resampler may overshoot by a little.
                *place = sample.clamp(-1.0, 1.0);
            }
            rest = &rest[some..];
            self.filled += some;
            if self.filled == FRAME_SAMPLES {
                self.filled = 0;
                self.decide();
                each(self.now);
            }
        }
    }

    fn decide(&mut self) {
        let probability = self.detector.predict_f32(&self.frame).clamp(0.0, 1.0);
        let active = self.now.active;
        let speech = probability >= if active { self.release_threshold } else { self.threshold };
        self.against = if speech == active { 0 } else { self.against + 1 };
        let needed = if active { self.hangover } else { self.onset };
        let turned = self.against >= needed;
        if turned {
            self.against = 0;
        }
        self.now = VoiceActivity { probability, active: active != turned };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// The samples of a WAV of the tests: 16 kHz, mono, a header of 44 bytes.
    fn speech(name: &str) -> Vec<i16> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/speech");
        let bytes = std::fs::read(folder.join(name)).unwrap();
        bytes[44..].as_chunks::<2>().0.iter().map(|x| i16::from_le_bytes(*x)).collect()
    }

    fn flags(detector: &mut VoiceActivityDetector, samples: &[i16]) -> Vec<bool> {
        let mut flags = Vec::new();
        detector.push_i16(samples, |activity| flags.push(activity.active));
        flags
    }

    fn detector(sample_rate: u32) -> VoiceActivityDetector {
        VoiceActivityDetector::new(&VadConfig { sample_rate, ..VadConfig::default() }).unwrap()
    }

    fn runs(flags: &[bool]) -> Vec<(f64, f64)> {
        let mut runs = Vec::new();
        let mut start = None;
        for (n, flag) in flags.iter().copied().chain([false]).enumerate() {
            match (flag, start) {
                (true, None) => start = Some(n),
                (false, Some(from)) => {
                    runs.push((from as f64 * FRAME_SECONDS, n as f64 * FRAME_SECONDS));
                    start = None;
                }
                _ => {}
            }
        }
        runs
    }

    #[test]
    fn two_utterances_are_two_stretches_of_speech() {
        // 0.5 s of silence, words, 1.5 s of silence, words, 1 s of silence.
        let samples = speech("two-utterances.wav");
        let found = runs(&flags(&mut detector(16_000), &samples));
        assert_eq!(found.len(), 2, "{found:?}");
        let seconds = samples.len() as f64 / 16_000.0;
        assert!((found[0].0 - 0.55).abs() < 0.2, "{found:?}");
        assert!(found[1].0 - found[0].1 > 0.7, "{found:?}");
        assert!(seconds - found[1].1 > 0.3, "{found:?}");
    }

    #[test]
    fn every_rate_hears_the_same_stretches() {
        let samples = speech("two-utterances.wav");
        let expected = runs(&flags(&mut detector(16_000), &samples));
        for rate in [8_000, 11_025, 12_000, 24_000, 44_100, 48_000] {
            let mut resampler = Resampler::new(16_000, rate, 1).unwrap();
            let mut other = Vec::new();
            resampler.push_i16(&samples, &mut other).unwrap();
            resampler.flush_i16(&mut other);
            let found = runs(&flags(&mut detector(rate), &other));
            assert_eq!(found.len(), expected.len(), "{rate} Hz: {found:?}");
            for (a, b) in found.iter().zip(&expected) {
                assert!((a.0 - b.0).abs() < 0.15 && (a.1 - b.1).abs() < 0.15, "{rate} Hz: {found:?}, {expected:?}");
            }
        }
    }

    #[test]
    fn the_flag_falls_after_the_hangover_and_rises_after_the_onset() {
        let samples = speech("go-forward.wav");
        let mut probabilities = Vec::new();
        detector(16_000).push_i16(&samples, |activity| probabilities.push(activity.probability));
        let plain = |onset, hangover| VadConfig {
            threshold: 0.5,
            release_threshold: 0.5,
            onset,
            hangover,
            ..VadConfig::default()
        };
        // Without either, the flag is the comparison.
        let bare = flags(&mut VoiceActivityDetector::new(&plain(0.0, 0.0)).unwrap(), &samples);
        let expected: Vec<bool> = probabilities.iter().map(|p| *p >= 0.5).collect();
        assert_eq!(bare, expected);
        let slow = flags(&mut VoiceActivityDetector::new(&plain(0.08, 0.16)).unwrap(), &samples);
        let first = bare.windows(5).position(|five| five.iter().all(|flag| *flag)).unwrap();
        assert_eq!(slow.iter().position(|flag| *flag), Some(first + 4));
        let last = bare.iter().rposition(|flag| *flag).unwrap();
        assert_eq!(slow.iter().rposition(|flag| *flag), Some(last + 9));
    }

    #[test]
    fn silence_and_nonsense_are_no_speech() {
        let mut detector = detector(48_000);
        assert_eq!(detector.activity(), VoiceActivity::default());
        let mut most: f32 = 0.0;
        detector.push(&[0.0; 48_000], |activity| most = most.max(activity.probability));
        assert!(most < 0.5, "{most}");
        let activity = detector.push(&[f32::NAN, f32::INFINITY, -1e30, 2.0].repeat(12_000), |_| {});
        assert!((0.0..=1.0).contains(&activity.probability));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refused = |config: VadConfig| VoiceActivityDetector::new(&config).err().unwrap().to_string();
        assert!(refused(VadConfig { sample_rate: 10, ..VadConfig::default() }).contains("1000"));
        assert!(refused(VadConfig { threshold: 1.5, ..VadConfig::default() }).contains("threshold"));
        assert!(refused(VadConfig { release_threshold: 0.61, ..VadConfig::default() }).contains("0.61"));
        assert!(refused(VadConfig { threshold: f32::NAN, ..VadConfig::default() }).contains("NaN"));
        assert!(refused(VadConfig { onset: -1.0, ..VadConfig::default() }).contains("onset"));
        assert!(refused(VadConfig { hangover: f64::INFINITY, ..VadConfig::default() }).contains("hangover"));
    }

    #[test]
    fn noise_alone_is_no_speech_at_any_rate() {
        for rate in [8_000, 16_000, 48_000] {
            for scale in [0.003, 0.03, 0.1] {
                let mut state = 1_u32;
                let noise: Vec<f32> = (0..4 * rate)
                    .map(|_| {
                        state ^= state << 13;
                        state ^= state >> 17;
                        state ^= state << 5;
                        (state as f32 / u32::MAX as f32 - 0.5) * scale
                    })
                    .collect();
                let mut flags = Vec::new();
                detector(rate).push(&noise, |activity| flags.push(activity.active));
                // Its sudden begin may pass for speech.
                assert!(!flags[62..].contains(&true), "{rate} Hz, {scale}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_cutting_of_the_stream_changes_nothing(pieces in proptest::collection::vec(1_usize..5000, 1..10)) {
            let samples = speech("go-forward.wav");
            let expected = flags(&mut detector(8_000), &samples);
            let mut detector = detector(8_000);
            let (mut found, mut at) = (Vec::new(), 0);
            for piece in pieces.iter().cycle() {
                let end = (at + piece).min(samples.len());
                found.extend(flags(&mut detector, &samples[at..end]));
                at = end;
                if at == samples.len() {
                    break;
                }
            }
            prop_assert_eq!(&found, &expected);
            detector.reset();
            prop_assert_eq!(flags(&mut detector, &samples), expected);
        }
    }
}
