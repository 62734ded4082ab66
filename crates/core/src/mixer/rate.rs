//! Rates and channels of a whole tick at a time, in a filter whose memory can be copied.

use std::sync::Arc;

/// Zero crossings of the filter to either side, in samples of the lower rate: its delay.
const HALF: usize = 16;

/// Where the pass band ends, as a share of the lower rate's half.
const CUTOFF: f64 = 0.92;

/// Converts ticks of 10 ms or multiples between rates that are multiples of 4000 a second, and between mono and stereo.
///
/// A polyphase filter with a Kaiser window, β = 8. Each tick gives exactly a tick, and a copy goes on alike: a listener
/// who parts from a shared mix takes its memory along.
#[derive(Debug, Clone)]
pub(crate) struct Converter {
    up: usize,
    down: usize,
    taps: usize,
    inner: usize,
    channels_in: usize,
    channels_out: usize,
    filter: Arc<[f32]>,
    /// `taps − 1` frames before the tick, then the tick.
    line: Vec<f32>,
}

impl Converter {
    pub(crate) fn new(from: u32, channels_in: u8, to: u32, channels_out: u8) -> Self {
        let divisor = gcd(from, to);
        let (up, down) = ((to / divisor) as usize, (from / divisor) as usize);
        let taps = if from == to { 1 } else { 2 * HALF * down.max(up) / up };
        let inner = usize::from(channels_in.min(channels_out));
        Self {
            up,
            down,
            taps,
            inner,
            channels_in: channels_in.into(),
            channels_out: channels_out.into(),
            filter: filter(up, down, taps),
            line: vec![0.0; (taps - 1) * inner],
        }
    }

    /// Forget what went before.
    pub(crate) fn reset(&mut self) {
        self.line.fill(0.0);
    }

    /// Append the tick `pcm`, converted, to `out`.
    pub(crate) fn convert(&mut self, pcm: &[f32], out: &mut Vec<f32>) {
        if self.up == self.down {
            return self.spread(pcm, out);
        }
        let before = self.line.len();
        if self.inner < self.channels_in {
            self.line.extend(pcm.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1])));
        } else {
            self.line.extend_from_slice(pcm);
        }
        let frames = (self.line.len() - before) / self.inner;
        for n in 0..frames * self.up / self.down {
            let (phase, base) = (n * self.down % self.up, n * self.down / self.up);
            let filter = &self.filter[phase * self.taps..][..self.taps];
            for channel in 0..self.inner {
                let line = &self.line[base * self.inner..][..self.taps * self.inner];
                let y = if self.inner == 1 { dot(filter, line) } else { strided(filter, line, channel) };
                out.extend(std::iter::repeat_n(y, self.channels_out / self.inner));
            }
        }
        self.line.drain(..frames * self.inner);
    }

    fn spread(&self, pcm: &[f32], out: &mut Vec<f32>) {
        match (self.channels_in, self.channels_out) {
            (2, 1) => out.extend(pcm.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1]))),
            (1, 2) => out.extend(pcm.iter().flat_map(|x| [*x, *x])),
            _ => out.extend_from_slice(pcm),
        }
    }
}

fn dot(filter: &[f32], line: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    // The number of taps is a multiple of 32 wherever there is a filter.
    for (h, x) in filter.chunks_exact(LANES).zip(line.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += h[lane] * x[lane];
        }
    }
    let whole = filter.len() - filter.len() % LANES;
    sums.iter().sum::<f32>() + filter[whole..].iter().zip(&line[whole..]).map(|(h, x)| h * x).sum::<f32>()
}

fn strided(filter: &[f32], line: &[f32], channel: usize) -> f32 {
    filter.iter().zip(line.iter().skip(channel).step_by(2)).map(|(h, x)| h * x).sum()
}

/// The taps of each phase, in the order of the samples they meet.
fn filter(up: usize, down: usize, taps: usize) -> Arc<[f32]> {
    if up == down {
        return Arc::new([1.0]);
    }
    let length = (up * taps) as f64;
    let cutoff = CUTOFF / up.max(down) as f64;
    let centre = (length - 1.0) / 2.0;
    let prototype = |n: usize| {
        let t = n as f64 - centre;
        let x = std::f64::consts::PI * cutoff * t;
        let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
        sinc * bessel(8.0 * (1.0 - (t / (length / 2.0)).powi(2)).max(0.0).sqrt()) / bessel(8.0)
    };
    let mut phases = Vec::with_capacity(up * taps);
    for phase in 0..up {
        let at = phases.len();
        phases.extend((0..taps).map(|tap| prototype((taps - 1 - tap) * up + phase)));
        // Each phase passes a constant as it is, so that none of them can be heard at the rate at which they change.
        let gain: f64 = phases[at..].iter().sum();
        phases[at..].iter_mut().for_each(|h| *h /= gain);
    }
    phases.into_iter().map(|h| h as f32).collect()
}

/// The modified Bessel function of the first kind and order zero.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, rate: u32, seconds: f32) -> Vec<f32> {
        (0..(rate as f32 * seconds) as usize)
            .map(|n| 0.5 * (std::f32::consts::TAU * hz * n as f32 / rate as f32).sin())
            .collect()
    }

    fn run(converter: &mut Converter, pcm: &[f32], tick: usize) -> Vec<f32> {
        let mut out = Vec::new();
        pcm.chunks_exact(tick).for_each(|pcm| converter.convert(pcm, &mut out));
        out
    }

    fn power(pcm: &[f32]) -> f32 {
        10.0 * (pcm.iter().map(|x| x * x).sum::<f32>() / pcm.len() as f32).log10()
    }

    #[test]
    fn a_tone_comes_through_every_pair_of_rates_as_it_was() {
        let rates = [8_000, 12_000, 16_000, 24_000, 48_000];
        for (from, to) in rates.into_iter().flat_map(|from| rates.map(|to| (from, to))) {
            let out = run(&mut Converter::new(from, 1, to, 1), &tone(1_000.0, from, 0.5), from as usize / 50);
            assert_eq!(out.len(), to as usize / 2);
            let tail = &out[out.len() / 2..];
            // Least squares fit: what is no tone of 1 kHz is distortion.
            let (mut a, mut b) = (0.0_f64, 0.0_f64);
            for (n, x) in tail.iter().enumerate() {
                let phase = std::f64::consts::TAU * 1_000.0 * n as f64 / f64::from(to);
                a += f64::from(*x) * phase.cos();
                b += f64::from(*x) * phase.sin();
            }
            let size = tail.len() as f64;
            let (a, b) = (2.0 * a / size, 2.0 * b / size);
            let rest: Vec<f32> = tail
                .iter()
                .enumerate()
                .map(|(n, x)| {
                    let phase = std::f64::consts::TAU * 1_000.0 * n as f64 / f64::from(to);
                    (f64::from(*x) - a * phase.cos() - b * phase.sin()) as f32
                })
                .collect();
            assert!((power(tail) - power(&tone(1_000.0, from, 0.5))).abs() < 0.1, "{from} to {to}: {}", power(tail));
            assert!(power(&rest) < -75.0, "{from} to {to}: {}", power(&rest));
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        let out = run(&mut Converter::new(48_000, 1, 8_000, 1), &tone(5_000.0, 48_000, 0.5), 960);
        assert!(power(&out[out.len() / 2..]) < -70.0, "{}", power(&out[out.len() / 2..]));
    }

    #[test]
    fn channels_are_spread_and_averaged() {
        let mut out = Vec::new();
        Converter::new(8_000, 1, 8_000, 2).convert(&[0.1, 0.2], &mut out);
        Converter::new(8_000, 2, 8_000, 1).convert(&[0.5, 0.1], &mut out);
        assert_eq!(out, [0.1, 0.1, 0.2, 0.2, 0.3]);
        let mono = tone(440.0, 48_000, 0.1);
        let stereo: Vec<f32> = mono.iter().flat_map(|x| [*x, -0.5 * *x]).collect();
        let alone = run(&mut Converter::new(48_000, 1, 16_000, 1), &mono, 480);
        let both = run(&mut Converter::new(48_000, 2, 16_000, 2), &stereo, 960);
        for (mono, pair) in alone.iter().zip(both.chunks(2)) {
            assert!((mono - pair[0]).abs() < 1e-6 && (mono * 0.5 + pair[1]).abs() < 1e-6);
        }
        let averaged = run(&mut Converter::new(48_000, 2, 16_000, 1), &stereo, 960);
        assert!(alone.iter().zip(&averaged).all(|(mono, average)| (mono * 0.25 - average).abs() < 1e-6));
    }
}
