//! Levels of a signal: RMS, peak, clipping, and the audio level of RFC 6464.
//!
//! Levels are in dBFS with the **RMS of a full-scale square wave as 0 dB**, so that a full-scale sine is −3.01 dBFS. It
//! is the scale of dBov in ITU-T G.100.1 and RFC 6464. AES17 and IEC 61606 put a full-scale sine at 0 dB: add
//! [`AES17_OFFSET_DB`]. Peak is the largest magnitude over full scale, the same on both scales but for that name.
//! Silence is −∞.

use crate::{Error, Result};

/// What to add to a level here for the scale of AES17, on which a full-scale sine has 0 dBFS RMS.
pub const AES17_OFFSET_DB: f64 = 3.010_299_956_639_812;
/// The quietest that RFC 6464 tells apart from nothing; digital silence has this value too.
pub const QUIETEST_AUDIO_LEVEL: u8 = 127;

const FULL_SCALE_I16: f32 = 32_768.0;
/// Magnitude from which a sample counts as clipped: the highest positive value of 16 bits.
const CLIPPED: f32 = 32_767.0 / 32_768.0;

const LOUDEST: f32 = 1e9;

/// What a run of samples measures.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure {
    /// Sum of the squared samples.
    pub energy: f64,
    /// Largest magnitude, 1.0 at full scale.
    pub peak: f32,
    /// Samples at full scale or beyond.
    pub clipped: u64,
    /// How many there were.
    pub samples: u64,
}

impl Measure {
    /// Measure samples in −1.0 to 1.0. What is no number, or beyond 10^9, counts as silence.
    pub fn of(samples: &[f32]) -> Self {
        measure(samples, |x| if x.abs() <= LOUDEST { x } else { 0.0 })
    }

    /// Measure 16-bit samples.
    pub fn of_i16(samples: &[i16]) -> Self {
        measure(samples, |x| f32::from(x) * (1.0 / FULL_SCALE_I16))
    }

    /// Measure 16-bit little-endian samples.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an odd number of bytes.
    pub fn of_s16le(bytes: &[u8]) -> Result<Self> {
        let (samples, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            let at = (bytes.len() - 1) as u64;
            return Err(Error::malformed(at, format!("{} bytes are not a multiple of 2", bytes.len())));
        }
        Ok(measure(samples, |x| f32::from(i16::from_le_bytes(x)) * (1.0 / FULL_SCALE_I16)))
    }

    /// Root mean square in dBFS; −∞ for silence and for nothing.
    pub fn rms_dbfs(&self) -> f64 {
        if self.samples == 0 { f64::NEG_INFINITY } else { power_db(self.energy / self.samples as f64) }
    }

    /// Largest magnitude in dBFS; −∞ for silence and for nothing.
    pub fn peak_dbfs(&self) -> f64 {
        power_db(f64::from(self.peak).powi(2))
    }

    fn add(&mut self, other: &Self) {
        self.energy += other.energy;
        self.peak = self.peak.max(other.peak);
        self.clipped += other.clipped;
        self.samples += other.samples;
    }
}

/// The level that RFC 6464 puts into a header, −dBov as 0 (loudest) to 127, for an RMS in dBFS.
pub fn audio_level(rms_dbfs: f64) -> u8 {
    // NaN and −∞ are silence.
    if rms_dbfs > -f64::from(QUIETEST_AUDIO_LEVEL) { (-rms_dbfs).round().max(0.0) as u8 } else { QUIETEST_AUDIO_LEVEL }
}

/// The RMS in dBFS of an RFC 6464 level; 127, which stands for silence as well, is −127.
///
/// # Errors
/// [`Error::Unsupported`] above 127: the header has seven bits.
pub fn audio_level_dbfs(level: u8) -> Result<f64> {
    if level > QUIETEST_AUDIO_LEVEL {
        return Err(Error::unsupported(format!("{level} is no audio level of RFC 6464: 0 to 127 are")));
    }
    Ok(-f64::from(level))
}

/// Follows the level of one channel: exact over each piece, and smoothed over time.
///
/// Smoothing works on the mean square of frames of 10 ms, first order, with one time constant for rising and one for
/// falling; the peak is held and falls by a number of dB a second. Both are the same however the stream is cut.
#[derive(Debug, Clone)]
pub struct LevelMeter {
    frame: u64,
    attack: f64,
    release: f64,
    peak_fall: f32,
    waiting: Measure,
    power: f64,
    held_peak: f32,
    clipped: u64,
}

/// Settings of a [`LevelMeter`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeterConfig {
    /// Hz.
    pub sample_rate: u32,
    /// Seconds in which a step upwards comes to 63 % of its power.
    pub attack: f64,
    /// Seconds in which a step downwards has fallen to 37 % of its power.
    pub release: f64,
    /// dB a second by which the held peak falls.
    pub peak_fall: f64,
}

impl Default for MeterConfig {
    /// 10 ms up, 300 ms down, the peak falling by 20 dB in 1.7 s, as IEC 60268-10 has it for meters of type I.
    fn default() -> Self {
        Self { sample_rate: 16_000, attack: 0.01, release: 0.3, peak_fall: 11.76 }
    }
}

const FRAMES_A_SECOND: u32 = 100;

impl LevelMeter {
    /// A meter at silence.
    ///
    /// # Errors
    /// [`Error::Unsupported`]: a sample rate outside of 1000 to 768000 Hz, or a time or fall that is negative or not
    /// finite.
    pub fn new(config: &MeterConfig) -> Result<Self> {
        let rate = config.sample_rate;
        if !(1_000..=768_000).contains(&rate) {
            return Err(Error::unsupported(format!("a sample rate of {rate} Hz is not taken: 1000 to 768000 are")));
        }
        for (name, value) in [("attack", config.attack), ("release", config.release), ("peak fall", config.peak_fall)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::unsupported(format!(
                    "{name} must be zero or a finite positive number, not {value}"
                )));
            }
        }
        let frame = rate.div_ceil(FRAMES_A_SECOND);
        let seconds = f64::from(frame) / f64::from(rate);
        Ok(Self {
            frame: u64::from(frame),
            attack: (-seconds / config.attack).exp(),
            release: (-seconds / config.release).exp(),
            peak_fall: 10_f64.powf(-config.peak_fall * seconds / 20.0) as f32,
            waiting: Measure::default(),
            power: 0.0,
            held_peak: 0.0,
            clipped: 0,
        })
    }

    /// Take the next samples of the channel; returns what they measure alone.
    pub fn push(&mut self, samples: &[f32]) -> Measure {
        self.follow(samples, Measure::of)
    }

    /// As [`push`](Self::push), with 16-bit samples.
    pub fn push_i16(&mut self, samples: &[i16]) -> Measure {
        self.follow(samples, Measure::of_i16)
    }

    /// The smoothed RMS in dBFS.
    pub fn rms_dbfs(&self) -> f64 {
        power_db(self.power)
    }

    /// The held peak in dBFS.
    pub fn peak_dbfs(&self) -> f64 {
        power_db(f64::from(self.held_peak.max(self.waiting.peak)).powi(2))
    }

    /// The smoothed RMS as a level of RFC 6464.
    pub fn audio_level(&self) -> u8 {
        audio_level(self.rms_dbfs())
    }

    /// Samples at full scale since the start.
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Back to silence, and the count of clipped samples to zero.
    pub fn reset(&mut self) {
        self.waiting = Measure::default();
        self.power = 0.0;
        self.held_peak = 0.0;
        self.clipped = 0;
    }

    fn follow<T>(&mut self, samples: &[T], of: impl Fn(&[T]) -> Measure) -> Measure {
        let mut total = Measure::default();
        let mut rest = samples;
        while !rest.is_empty() {
            let some = rest.len().min((self.frame - self.waiting.samples) as usize);
            let measure = of(&rest[..some]);
            rest = &rest[some..];
            total.add(&measure);
            self.waiting.add(&measure);
            if self.waiting.samples == self.frame {
                self.step();
            }
        }
        self.clipped += total.clipped;
        total
    }

    fn step(&mut self) {
        let frame = std::mem::take(&mut self.waiting);
        let power = frame.energy / frame.samples as f64;
        let keep = if power > self.power { self.attack } else { self.release };
        self.power = power + keep * (self.power - power);
        self.held_peak = frame.peak.max(self.held_peak * self.peak_fall);
    }
}

/// Several sums at a time, which the compiler turns into vectors: it may not reorder floating-point additions by itself.
fn measure<T: Copy>(samples: &[T], value: impl Fn(T) -> f32) -> Measure {
    const LANES: usize = 16;
    // 32-bit sums of no more than this.
    const BLOCK: usize = 32 * LANES;
    let mut total = Measure { samples: samples.len() as u64, ..Measure::default() };
    let mut peaks = [0.0_f32; LANES];
    for block in samples.chunks(BLOCK) {
        let mut sums = [0.0_f32; LANES];
        let mut clips = [0_u32; LANES];
        let mut take = |lane: usize, sample: T| {
            let magnitude = value(sample).abs();
            sums[lane] += magnitude * magnitude;
            peaks[lane] = if magnitude > peaks[lane] { magnitude } else { peaks[lane] };
            clips[lane] += u32::from(magnitude >= CLIPPED);
        };
        let (whole, rest) = block.as_chunks::<LANES>();
        for samples in whole {
            for (lane, sample) in samples.iter().enumerate() {
                take(lane, *sample);
            }
        }
        for (lane, sample) in rest.iter().enumerate() {
            take(lane, *sample);
        }
        total.energy += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        total.clipped += clips.iter().map(|count| u64::from(*count)).sum::<u64>();
    }
    total.peak = peaks.iter().fold(0.0, |most, peak| most.max(*peak));
    total
}

fn power_db(power: f64) -> f64 {
    10.0 * power.log10()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sine(peak: f64, frames: usize) -> Vec<f32> {
        (0..frames).map(|n| (peak * (std::f64::consts::TAU * n as f64 / 16.0).sin()) as f32).collect()
    }

    #[test]
    fn a_full_scale_sine_is_three_decibels_under_a_full_scale_square() {
        assert!((Measure::of(&sine(1.0, 16_000)).rms_dbfs() + AES17_OFFSET_DB).abs() < 1e-3);
        assert_eq!(Measure::of_i16(&[-32_768; 999]).rms_dbfs(), 0.0);
        assert!((Measure::of(&sine(0.1, 16_000)).peak_dbfs() + 20.0).abs() < 1e-3);
    }

    #[test]
    fn silence_and_nothing_are_minus_infinity() {
        for measure in [Measure::of(&[]), Measure::of(&[0.0; 100]), Measure::of(&[f32::NAN, f32::INFINITY])] {
            assert_eq!(measure.rms_dbfs(), f64::NEG_INFINITY);
            assert_eq!(measure.peak_dbfs(), f64::NEG_INFINITY);
        }
    }

    #[test]
    fn clipped_samples_are_those_at_full_scale() {
        assert_eq!(Measure::of_i16(&[32_767, 32_766, -32_768, -32_767, -32_766, 0]).clipped, 3);
        assert_eq!(Measure::of(&[1.0, -1.5, 0.999, f32::NAN]).clipped, 2);
    }

    #[test]
    fn an_odd_number_of_bytes_is_refused_at_the_last_one() {
        assert!(matches!(Measure::of_s16le(&[0; 5]), Err(Error::Malformed { at: 4, .. })));
    }

    #[test]
    fn audio_levels_are_rounded_and_bounded() {
        for (dbfs, level) in [(0.0, 0), (6.0, 0), (-3.01, 3), (-29.5, 30), (-126.4, 126), (-127.0, 127), (-500.0, 127)]
        {
            assert_eq!(audio_level(dbfs), level, "{dbfs}");
        }
        assert_eq!(audio_level(f64::NEG_INFINITY), 127);
        assert_eq!(audio_level(f64::NAN), 127);
        assert!(audio_level_dbfs(128).is_err());
        for level in 0..=127 {
            assert_eq!(audio_level(audio_level_dbfs(level).unwrap()), level);
        }
    }

    #[test]
    fn the_meter_rises_in_its_attack_and_falls_in_its_release() {
        let config = MeterConfig { sample_rate: 16_000, attack: 0.05, release: 0.5, ..MeterConfig::default() };
        let mut meter = LevelMeter::new(&config).unwrap();
        // 63 % of the power is 2 dB under it; 37 % is 4.3 dB.
        meter.push(&sine(1.0, 800));
        assert!((meter.rms_dbfs() - (-3.01 - 1.99)).abs() < 0.02, "{}", meter.rms_dbfs());
        meter.push(&sine(1.0, 16_000));
        assert!((meter.rms_dbfs() + 3.01).abs() < 0.01);
        meter.push(&[0.0; 8_000]);
        assert!((meter.rms_dbfs() - (-3.01 - 4.34)).abs() < 0.02, "{}", meter.rms_dbfs());
    }

    #[test]
    fn the_peak_is_held_and_falls_twenty_decibels_in_1700_ms() {
        let mut meter = LevelMeter::new(&MeterConfig::default()).unwrap();
        meter.push(&[1.0]);
        assert_eq!(meter.peak_dbfs(), 0.0);
        meter.push(&[0.0; 27_360 - 1]);
        assert!((meter.peak_dbfs() + 20.0).abs() < 0.1, "{}", meter.peak_dbfs());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refused = |config: MeterConfig| LevelMeter::new(&config).unwrap_err().to_string();
        assert!(refused(MeterConfig { sample_rate: 0, ..MeterConfig::default() }).contains("1000"));
        assert!(refused(MeterConfig { attack: -1.0, ..MeterConfig::default() }).contains("attack"));
        assert!(refused(MeterConfig { release: f64::NAN, ..MeterConfig::default() }).contains("release"));
        assert!(refused(MeterConfig { peak_fall: f64::INFINITY, ..MeterConfig::default() }).contains("peak fall"));
    }

    proptest! {
        #[test]
        fn the_cutting_of_the_stream_changes_nothing(
            samples in proptest::collection::vec(any::<i16>(), 0..2000),
            cuts in proptest::collection::vec(0_usize..2000, 0..6),
        ) {
            let mut whole = LevelMeter::new(&MeterConfig { sample_rate: 8_000, ..MeterConfig::default() }).unwrap();
            let mut pieces = whole.clone();
            let total = whole.push_i16(&samples);
            let mut edges: Vec<usize> = cuts.iter().map(|cut| (*cut).min(samples.len())).collect();
            edges.extend([0, samples.len()]);
            edges.sort_unstable();
            let clipped: u64 =
                edges.windows(2).map(|edge| pieces.push_i16(&samples[edge[0]..edge[1]]).clipped).sum();
            prop_assert_eq!(clipped, total.clipped);
            prop_assert!(whole.rms_dbfs() == pieces.rms_dbfs() || (whole.rms_dbfs() - pieces.rms_dbfs()).abs() < 1e-3);
            prop_assert_eq!(whole.peak_dbfs(), pieces.peak_dbfs());
            let energy: f64 = samples.iter().map(|x| (f64::from(*x) / 32_768.0).powi(2)).sum();
            prop_assert!((total.energy - energy).abs() <= 1e-5 * energy);
        }
    }
}
