use proptest::prelude::*;

use super::*;

const RATES: [u32; 12] =
    [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000, 7_919];

fn tone(hertz: f64, rate: u32, frames: usize) -> Vec<f32> {
    let step = std::f64::consts::TAU * hertz / f64::from(rate);
    (0..frames).map(|n| (0.5 * (step * n as f64).sin()) as f32).collect()
}

fn whole(from: u32, to: u32, channels: u8, samples: &[f32]) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to, channels).unwrap();
    let mut out = Vec::new();
    resampler.push(samples, &mut out).unwrap();
    resampler.flush(&mut out);
    out
}

fn power_db(samples: &[f32]) -> f64 {
    let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64;
    10.0 * power.max(1e-30).log10()
}

/// Level of what remains of `samples` when the best sine of that frequency is taken out, relative to that sine, and the
/// sine's phase at the first sample, in samples.
fn residue(samples: &[f32], hertz: f64, rate: u32) -> (f64, f64, f64) {
    let step = std::f64::consts::TAU * hertz / f64::from(rate);
    let (mut ss, mut cc, mut sc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * n as f64).sin_cos();
        let x = f64::from(*sample);
        (ss, cc, sc, xs, xc) = (ss + sin * sin, cc + cos * cos, sc + sin * cos, xs + x * sin, xc + x * cos);
    }
    let determinant = ss * cc - sc * sc;
    let a = (xs * cc - xc * sc) / determinant;
    let b = (xc * ss - xs * sc) / determinant;
    let rest: f64 = samples
        .iter()
        .enumerate()
        .map(|(n, sample)| {
            let (sin, cos) = (step * n as f64).sin_cos();
            (f64::from(*sample) - a * sin - b * cos).powi(2)
        })
        .sum();
    let level = (a * a + b * b) / 2.0;
    let noise = rest / samples.len() as f64;
    (10.0 * (noise / level).log10(), 10.0 * level.log10(), b.atan2(a) / step)
}

#[test]
fn a_tone_in_the_pass_band_comes_out_clean_level_and_in_time() {
    for from in RATES {
        for to in RATES {
            let hertz = 0.45 * 0.9 * f64::from(from.min(to));
            let out = whole(from, to, 1, &tone(hertz, from, from as usize));
            // Away from the ends, where the filter reaches past the signal.
            let edge = to as usize / 20;
            let middle = &out[edge..out.len() - edge];
            let (noise, level, _) = residue(middle, hertz, to);
            assert!(noise < -95.0, "{from} to {to} Hz: residue {noise:.1} dB");
            assert!((level + 9.03).abs() < 0.05, "{from} to {to} Hz: level {level:.2} dB");
        }
    }
}

#[test]
fn the_first_sample_out_stands_for_the_first_one_in() {
    for from in RATES {
        for to in RATES {
            let hertz = 0.05 * f64::from(from.min(to));
            let out = whole(from, to, 1, &tone(hertz, from, from as usize));
            // A whole number of periods later the phase is that of the start.
            let exact = 20.0 * f64::from(to) / hertz;
            let skip = exact.round() as usize;
            let (_, _, lead) = residue(&out[skip..skip + 400 * to.div_ceil(from) as usize], hertz, to);
            let offset = lead - (skip as f64 - exact);
            assert!(offset.abs() <= 0.501, "{from} to {to} Hz: off by {offset:.3} samples");
        }
    }
}

#[test]
fn what_lies_above_the_lower_nyquist_frequency_is_gone() {
    for (from, to) in [(48_000, 16_000), (44_100, 16_000), (48_000, 8_000), (44_100, 7_919), (11_025, 8_000)] {
        for share in [0.5, 0.55, 0.7, 0.9] {
            let hertz = (share * f64::from(to)).min(0.49 * f64::from(from));
            let out = whole(from, to, 1, &tone(hertz, from, from as usize));
            let edge = to as usize / 20;
            let left = power_db(&out[edge..out.len() - edge]) + 9.03;
            assert!(left < -100.0, "{from} to {to} Hz: {hertz} Hz is only {left:.1} dB down");
        }
    }
}

#[test]
fn a_higher_rate_gets_no_images() {
    for (from, to) in [(8_000, 16_000), (8_000, 48_000), (16_000, 44_100), (11_025, 48_000), (7_919, 16_000)] {
        let hertz = 0.4 * f64::from(from);
        let out = whole(from, to, 1, &tone(hertz, from, from as usize));
        let edge = to as usize / 20;
        let (noise, _, _) = residue(&out[edge..out.len() - edge], hertz, to);
        assert!(noise < -95.0, "{from} to {to} Hz: images and noise at {noise:.1} dB");
    }
}

#[test]
fn what_has_gone_in_comes_out_within_the_latency() {
    for from in RATES {
        for to in RATES {
            let mut resampler = Resampler::new(from, to, 1).unwrap();
            let most = resampler.latency_samples();
            let mut out = Vec::new();
            let (mut pushed, mut worst) = (0_u64, 0);
            for piece in [1_usize, 7, 160, 441, 1000, 3, 20_000, 11, 5].iter().cycle().take(200) {
                resampler.push(&vec![0.1; *piece], &mut out).unwrap();
                pushed += *piece as u64;
                let expected = (pushed * u64::from(to) / u64::from(from)) as usize;
                worst = worst.max(expected.saturating_sub(out.len()));
            }
            assert!(worst <= most, "{from} to {to} Hz: lags by {worst}, said at most {most}");
        }
    }
}

#[test]
fn live_rates_lag_by_less_than_a_frame_of_twenty_milliseconds() {
    for (from, to) in [(48_000, 16_000), (44_100, 16_000), (32_000, 16_000), (24_000, 16_000), (16_000, 48_000)] {
        let resampler = Resampler::new(from, to, 1).unwrap();
        assert!(resampler.latency_samples() < to as usize / 50, "{from} to {to}: {}", resampler.latency_samples());
    }
}

#[test]
fn equal_rates_go_through_untouched_and_at_once() {
    let mut resampler = Resampler::new(16_000, 16_000, 2).unwrap();
    let samples: Vec<f32> = tone(440.0, 16_000, 5000);
    let mut out = Vec::new();
    resampler.push(&samples, &mut out).unwrap();
    assert_eq!(out, samples);
    resampler.flush(&mut out);
    assert_eq!(out.len(), samples.len());
    assert_eq!(resampler.latency_samples(), 0);
}

#[test]
fn channels_do_not_touch_each_other() {
    for (from, to) in [(48_000, 16_000), (7_919, 16_000)] {
        let left = tone(300.0, from, 9000);
        let right = tone(2000.0, from, 9000);
        let both: Vec<f32> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
        let out = whole(from, to, 2, &both);
        for (channel, alone) in [whole(from, to, 1, &left), whole(from, to, 1, &right)].iter().enumerate() {
            let got: Vec<f32> = out.iter().skip(channel).step_by(2).copied().collect();
            assert_eq!(got.len(), alone.len());
            let apart = got.iter().zip(alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "channel {channel} differs by {apart}");
        }
    }
}

#[test]
fn sixteen_bits_are_the_floats_rounded() {
    let samples: Vec<i16> = tone(700.0, 48_000, 9600).iter().map(|x| (x * 32_000.0) as i16).collect();
    let floats: Vec<f32> = samples.iter().map(|x| f32::from(*x) / 32_768.0).collect();
    let mut resampler = Resampler::new(48_000, 16_000, 1).unwrap();
    let mut out = Vec::new();
    resampler.push_i16(&samples, &mut out).unwrap();
    resampler.flush_i16(&mut out);
    let expected: Vec<i16> =
        whole(48_000, 16_000, 1, &floats).iter().map(|x| (x * 32_768.0).round_ties_even() as i16).collect();
    assert_eq!(out, expected);
}

#[test]
fn quantising_rounds_to_the_nearest_and_clips() {
    for (value, expected) in [
        (0.5, 0),
        (1.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (2.4999, 2),
        (32_767.4, 32_767),
        (40_000.0, 32_767),
        (-40_000.0, -32_768),
        (f32::INFINITY, 32_767),
        (f32::NEG_INFINITY, -32_768),
        (f32::NAN, 0),
    ] {
        assert_eq!(quantise(value), expected, "{value}");
    }
}

#[test]
fn a_value_that_is_no_number_is_forgotten() {
    for (from, to) in [(48_000, 16_000), (8_000, 16_000), (7_919, 16_000)] {
        let mut resampler = Resampler::new(from, to, 1).unwrap();
        let mut out = Vec::new();
        let mut samples = tone(440.0, from, from as usize);
        samples[1000] = f32::NAN;
        samples[1001] = f32::INFINITY;
        resampler.push(&samples, &mut out).unwrap();
        resampler.flush(&mut out);
        assert!(out[out.len() / 2..].iter().all(|x| x.is_finite()), "{from} to {to}");
        assert!(out[out.len() / 2..].iter().any(|x| x.abs() > 0.4));
    }
}

#[test]
fn a_piece_that_ends_within_a_frame_is_refused_and_changes_nothing() {
    let mut resampler = Resampler::new(48_000, 16_000, 3).unwrap();
    let mut out = Vec::new();
    let error = resampler.push(&[0.0; 10], &mut out).unwrap_err();
    assert!(error.to_string().contains("3 channels"), "{error}");
    resampler.flush(&mut out);
    assert!(out.is_empty());
}

#[test]
fn rates_and_channels_that_are_not_taken_are_refused_with_those_that_are() {
    for (from, to, channels, word) in
        [(999, 16_000, 1, "1000"), (16_000, 768_001, 1, "768000"), (0, 0, 1, "1000"), (8_000, 16_000, 0, "1 to 32")]
    {
        let error = Resampler::new(from, to, channels).err().unwrap();
        assert!(matches!(error, Error::Unsupported(_)));
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(PcmConverter::new(48_000, 33, 16_000).is_err());
}

#[test]
fn the_extremes_of_what_is_taken_work() {
    for (from, to) in [(1_000, 768_000), (768_000, 1_000), (767_999, 1_001), (1_001, 767_999), (99_999, 1_000)] {
        let frames = from as usize / 2;
        let out = whole(from, to, 1, &tone(100.0, from, frames));
        assert_eq!(out.len() as u64, (2 * frames as u64 * u64::from(to) + u64::from(from)) / (2 * u64::from(from)));
        assert!((power_db(&out[out.len() / 3..out.len() * 2 / 3]) + 9.03).abs() < 0.3, "{from} to {to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_length_is_exact_and_the_cutting_changes_nothing(
        from in prop_oneof![proptest::sample::select(RATES.to_vec()), 8_000_u32..192_000],
        to in proptest::sample::select(vec![8_000_u32, 16_000, 44_100, 48_000]),
        channels in 1_u8..4,
        pieces in proptest::collection::vec(0_usize..3000, 0..8),
        seed in any::<u32>(),
    ) {
        let frames: usize = pieces.iter().sum();
        let mut state = seed | 1;
        let samples: Vec<f32> = (0..frames * usize::from(channels))
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state as f32 / u32::MAX as f32 - 0.5
            })
            .collect();
        let expected = whole(from, to, channels, &samples);
        let length = (2 * frames as u64 * u64::from(to) + u64::from(from)) / (2 * u64::from(from));
        prop_assert_eq!(expected.len() as u64, length * u64::from(channels));
        let mut resampler = Resampler::new(from, to, channels).unwrap();
        // A second stream through the same resampler is like the first.
        for _ in 0..2 {
            let (mut out, mut at) = (Vec::new(), 0);
            for piece in &pieces {
                let size = piece * usize::from(channels);
                resampler.push(&samples[at..at + size], &mut out).unwrap();
                at += size;
            }
            resampler.flush(&mut out);
            prop_assert_eq!(&out, &expected);
        }
    }

    #[test]
    fn pcm_is_the_mean_of_its_channels(
        channels in 1_u8..=8,
        frames in proptest::collection::vec(proptest::array::uniform8(any::<i16>()), 0..200),
    ) {
        let width = usize::from(channels);
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame[..width].iter().flat_map(|x| x.to_le_bytes())).collect();
        let mut converter = PcmConverter::new(16_000, channels, 16_000).unwrap();
        let mut out = Vec::new();
        converter.push(&bytes, &mut out).unwrap();
        prop_assert!(out.len() <= converter.most_out(bytes.len()));
        converter.flush(&mut out);
        let expected: Vec<u8> = frames
            .iter()
            .flat_map(|frame| {
                let sum: i32 = frame[..width].iter().map(|x| i32::from(*x)).sum();
                ((sum as f32 / f32::from(channels)).round_ties_even() as i16).to_le_bytes()
            })
            .collect();
        prop_assert_eq!(out, expected);
    }
}
