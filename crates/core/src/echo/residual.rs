//! How much echo the linear filter leaves, whether the filter is wrong, and whether the near end talks.

use std::ops::RangeInclusive;

use super::bands::Bands;
use super::noise::Noise;
use super::spectrum::Spectrum;

/// Smoothing of powers for the leakage.
const SMOOTHING: f32 = 0.4;
/// The leakage follows its lowest values: part of the way down in a frame, and up by 2.6 dB a second.
const LEAK_FALL: f32 = 0.1;
const LEAK_RISE: f32 = 1.006;
const LEAK_RANGE: (f32, f32) = (1e-5, 1.0);
/// Memory of the coherence, and how much of it chance makes at that memory.
const COHERENCE_SMOOTHING: f32 = 0.9;
const CHANCE: f32 = 0.1;
/// A band holds near-end speech if it has this much more power than the residual echo and than the noise.
const OVER_RESIDUAL: f32 = 30.0;
const OVER_NOISE: f32 = 5.0;
/// The near end talks if this share of the bands says so, averaged over some frames, and together they have this share
/// of the echo's power; kept up for some frames.
const NEAR_BANDS: f32 = 0.25;
const NEAR_SMOOTHING: f32 = 0.5;
const NEAR_ENERGY: f32 = 0.2;
const NEAR_FRAMES: u32 = 20;
/// The filter is wrong if this share of the error is coherent with the estimated echo and has such a share of its power;
/// more than that is the near end's.
const WRONG_COHERENCE: f32 = 0.4;
const WRONG_SHARE: RangeInclusive<f32> = 0.02..=10.0;
const WRONG_FRAMES: u32 = 15;
/// Keeps decaying averages away from denormal numbers.
const TINY: f32 = 1e-20;

/// One bin's averages: long ones for the coherence, short ones for the leakage.
#[derive(Clone, Copy, Default)]
struct Averages {
    cross_re: f32,
    cross_im: f32,
    error_long: f32,
    echo_long: f32,
    error: f32,
    echo: f32,
}

pub(super) struct Residual {
    averages: Vec<Averages>,
    /// Residual echo against estimated echo, a band.
    leak: Vec<f32>,
    power: Vec<f32>,
    near_share: f32,
    near_frames: u32,
    wrong_frames: u32,
    echo_heard: bool,
}

impl Residual {
    pub fn new(bands: &Bands, hop: usize) -> Self {
        Self {
            averages: vec![Averages::default(); hop + 1],
            leak: vec![LEAK_RANGE.1; bands.bins.len()],
            power: vec![0.0; hop + 1],
            near_share: 0.0,
            near_frames: 0,
            wrong_frames: 0,
            echo_heard: false,
        }
    }

    /// Power of the residual echo, a bin.
    pub fn power(&self) -> &[f32] {
        &self.power
    }

    /// Whether the near end talks.
    pub fn near_talks(&self) -> bool {
        self.near_frames > 0
    }

    /// Whether there is an echo to be removed just now.
    pub fn echo_heard(&self) -> bool {
        self.echo_heard
    }

    /// Whether the linear filter has been seen to be wrong; asking clears it.
    pub fn take_wrong(&mut self) -> bool {
        let wrong = self.wrong_frames >= WRONG_FRAMES;
        if wrong {
            self.wrong_frames = 0;
        }
        wrong
    }

    /// Take in a frame: what is left, what was taken away, and what the filter expects to have left.
    pub fn update(&mut self, bands: &Bands, error: &Spectrum, echo: &Spectrum, misfit: &[f32], noise: &Noise) {
        self.average(error, echo);
        let mut all = Sums::default();
        let (mut near_bands, mut near_energy, mut speech_echo, mut speech_noise) = (0.0, 0.0, 0.0, 0.0);
        for (band, bins) in bands.bins.iter().enumerate() {
            let mut sums = Sums::default();
            for k in bins.clone() {
                sums.add(&self.averages[k], noise.floor()[k]);
            }
            all.coherent += sums.coherent;
            all.error_long += sums.error_long;
            all.echo_long += sums.echo_long;
            self.follow(band, &sums);
            let coherence = sums.coherent / (sums.error_long + TINY);
            let coherent = ((coherence - CHANCE) / (1.0 - CHANCE)).max(0.0);
            let (mut left, mut residual, mut taken) = (0.0, 0.0, 0.0);
            for k in bins.clone() {
                let now = error.re[k] * error.re[k] + error.im[k] * error.im[k];
                let echo_now = echo.re[k] * echo.re[k] + echo.im[k] * echo.im[k];
                let average = &self.averages[k];
                let loudest = average.echo.max(echo_now);
                self.power[k] = (self.leak[band] * loudest).max(misfit[k]) + coherent * now.min(average.echo);
                left += now;
                residual += self.power[k];
                taken += loudest;
            }
            if bands.speech.contains(&band) {
                speech_echo += taken;
                speech_noise += sums.noise;
                if left > OVER_RESIDUAL * residual && left > OVER_NOISE * sums.noise {
                    near_bands += 1.0;
                    near_energy += left;
                }
            }
        }
        let share = if near_energy < NEAR_ENERGY * speech_echo { 0.0 } else { near_bands / bands.speech.len() as f32 };
        self.near_share += NEAR_SMOOTHING * (share - self.near_share);
        self.near_frames = if self.near_share > NEAR_BANDS { NEAR_FRAMES } else { self.near_frames.saturating_sub(1) };
        self.echo_heard = speech_echo > speech_noise;
        let share = all.coherent / (all.echo_long + TINY);
        let wrong = all.coherent > WRONG_COHERENCE * all.error_long && WRONG_SHARE.contains(&share);
        self.wrong_frames = if wrong { self.wrong_frames + 1 } else { self.wrong_frames.saturating_sub(1) };
    }

    fn average(&mut self, error: &Spectrum, echo: &Spectrum) {
        const KEPT: f32 = COHERENCE_SMOOTHING;
        let spectra = error.re.iter().zip(&error.im).zip(echo.re.iter().zip(&echo.im));
        for (average, ((e_re, e_im), (f_re, f_im))) in self.averages.iter_mut().zip(spectra) {
            let (e, f) = (e_re * e_re + e_im * e_im, f_re * f_re + f_im * f_im);
            average.cross_re = KEPT * average.cross_re + (1.0 - KEPT) * (e_re * f_re + e_im * f_im) + TINY;
            average.cross_im = KEPT * average.cross_im + (1.0 - KEPT) * (e_im * f_re - e_re * f_im) + TINY;
            average.error_long = KEPT * average.error_long + (1.0 - KEPT) * e + TINY;
            average.echo_long = KEPT * average.echo_long + (1.0 - KEPT) * f + TINY;
            average.error += SMOOTHING * (e - average.error) + TINY;
            average.echo += SMOOTHING * (f - average.echo) + TINY;
        }
    }

    /// The leakage of a band, where there is echo enough to see it.
    fn follow(&mut self, band: usize, sums: &Sums) {
        if sums.echo > 4.0 * sums.noise {
            let (ratio, leak) = (sums.error / sums.echo, &mut self.leak[band]);
            *leak = if ratio < *leak { *leak + LEAK_FALL * (ratio - *leak) } else { *leak * LEAK_RISE };
            *leak = leak.clamp(LEAK_RANGE.0, LEAK_RANGE.1);
        }
    }
}

/// A band's averages together.
#[derive(Default)]
struct Sums {
    coherent: f32,
    error_long: f32,
    echo_long: f32,
    error: f32,
    echo: f32,
    noise: f32,
}

impl Sums {
    fn add(&mut self, bin: &Averages, noise: f32) {
        let cross = bin.cross_re * bin.cross_re + bin.cross_im * bin.cross_im;
        self.coherent += cross / (bin.echo_long + 1e-12);
        self.error_long += bin.error_long;
        self.echo_long += bin.echo_long;
        self.error += bin.error;
        self.echo += bin.echo;
        self.noise += noise;
    }
}
