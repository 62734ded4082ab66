//! The echo canceller from outside: what comes through, what does not, and what odd input does to it.

use std::path::Path;

use antiphon_core::Error;
use antiphon_core::echo::{EchoCanceller, EchoConfig, EchoMetrics, EchoMode, NlmsConfig, SAMPLE_RATES};
use proptest::prelude::*;

const RATE: usize = 16_000;

fn canceller(sample_rate: u32, mode: EchoMode) -> EchoCanceller {
    EchoCanceller::new(&EchoConfig { sample_rate, channels: 1, mode }).expect("an offered configuration")
}

fn nlms() -> EchoMode {
    EchoMode::Nlms(NlmsConfig::default())
}

/// A speech file of the tests, 16 kHz, repeated to `seconds`.
fn speech(name: &str, seconds: usize) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/speech").join(name);
    let bytes = std::fs::read(path).expect("a file of the tests");
    let samples = bytes[44..].chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0);
    let file: Vec<f32> = samples.collect();
    file.iter().copied().cycle().take(seconds * RATE).collect()
}

/// What a microphone hears of `far` in a small room, `delay` samples later.
fn echo(far: &[f32], delay: usize) -> Vec<f32> {
    let taps = [(0, 0.3), (37, -0.12), (91, 0.1), (240, -0.07), (571, 0.04), (1203, 0.02)];
    let heard = |at: usize| {
        taps.iter().filter(|(lag, _)| at >= delay + lag).map(|(lag, gain)| gain * far[at - delay - lag]).sum()
    };
    (0..far.len()).map(heard).collect()
}

fn run(canceller: &mut EchoCanceller, far: &[f32], near: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; near.len()];
    canceller.process(far, near, &mut out).expect("whole frames");
    out
}

fn decibels(above: &[f32], below: &[f32]) -> f32 {
    let energy = |samples: &[f32]| samples.iter().map(|sample| f64::from(sample * sample)).sum::<f64>();
    (10.0 * (energy(above) / (energy(below) + 1e-12)).log10()) as f32
}

#[test]
fn the_echo_of_speech_is_gone_within_seconds_at_every_delay() {
    let far = speech("quick-brown-fox.wav", 8);
    for milliseconds in [20, 100, 200, 400, 500] {
        let near = echo(&far, 16 * milliseconds);
        let mut canceller = canceller(16_000, EchoMode::Partitioned);
        let out = run(&mut canceller, &far, &near);
        let enhancement = decibels(&near[4 * RATE..], &out[4 * RATE..]);
        assert!(enhancement > 30.0, "{milliseconds} ms: {enhancement} dB");
        let delay = canceller.metrics().delay_ms.expect("an estimate");
        assert!((delay - milliseconds as f32).abs() < 1.0, "{milliseconds} ms: estimated {delay}");
    }
}

#[test]
fn near_end_speech_comes_through_alone_and_over_an_echo() {
    let (far, speech) = (speech("quick-brown-fox.wav", 12), speech("tomorrow-morning.wav", 12));
    let echo = echo(&far, 1600);
    let talks = |at: usize| at >= 6 * RATE;
    let near: Vec<f32> = (0..far.len()).map(|at| echo[at] + if talks(at) { speech[at] } else { 0.0 }).collect();
    let part = 7 * RATE..11 * RATE;
    let alone = run(&mut canceller(16_000, EchoMode::Partitioned), &vec![0.0; far.len()], &speech);
    let kept = decibels(&alone[part.clone()], &speech[part.clone()]);
    assert!(kept.abs() < 0.5, "alone: {kept} dB");

    let out = run(&mut canceller(16_000, EchoMode::Partitioned), &far, &near);
    let wrong: Vec<f32> = alone[part.clone()].iter().zip(&out[part.clone()]).map(|(alone, out)| alone - out).collect();
    let distortion = decibels(&alone[part], &wrong);
    assert!(distortion > 15.0, "over an echo: {distortion} dB of speech to distortion");
}

#[test]
fn metrics_say_what_the_signals_are() {
    let (far, speech) = (speech("quick-brown-fox.wav", 10), speech("tomorrow-morning.wav", 10));
    let echo = echo(&far, 1600);
    let mut canceller = canceller(16_000, EchoMode::Partitioned);
    assert_eq!(canceller.metrics(), EchoMetrics { double_talk: Some(false), ..EchoMetrics::default() });
    run(&mut canceller, &far[..6 * RATE], &echo[..6 * RATE]);
    let metrics = canceller.metrics();
    let loss = decibels(&far[2 * RATE..6 * RATE], &echo[2 * RATE..6 * RATE]);
    assert!((metrics.erl_db.expect("a loss") - loss).abs() < 4.0, "{metrics:?}, {loss} dB");
    assert!(metrics.erle_db.expect("an enhancement") > 20.0, "{metrics:?}");

    let (mut heard, mut frames) = (0, 0);
    for at in (6 * RATE..10 * RATE).step_by(160) {
        let near: Vec<f32> = (at..at + 160).map(|at| echo[at] + speech[at]).collect();
        run(&mut canceller, &far[at..at + 160], &near);
        let both =
            decibels(&speech[at..at + 160], &[0.01; 160]) > 0.0 && decibels(&echo[at..at + 160], &[0.003; 160]) > 0.0;
        frames += usize::from(both);
        heard += usize::from(both && canceller.metrics().double_talk == Some(true));
    }
    assert!(frames > 50 && heard * 10 > frames * 8, "double talk seen in {heard} of {frames} frames");
}

#[test]
fn every_rate_cancels() {
    for rate in SAMPLE_RATES {
        let mut state = 5u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            0.1 * (state as i32) as f32 / 2_147_483_648.0
        };
        let far: Vec<f32> = (0..4 * rate).map(|_| noise()).collect();
        let delay = rate as usize / 20;
        let near: Vec<f32> = (0..far.len()).map(|at| if at < delay { 0.0 } else { 0.3 * far[at - delay] }).collect();
        let out = run(&mut canceller(rate, EchoMode::Partitioned), &far, &near);
        let enhancement = decibels(&near[3 * rate as usize..], &out[3 * rate as usize..]);
        assert!(enhancement > 25.0, "{rate} Hz: {enhancement} dB");
    }
}

#[test]
fn the_plain_canceller_does_what_its_parameters_say() {
    let far = speech("quick-brown-fox.wav", 6);
    let near = echo(&far, 3200);
    let without = run(&mut canceller(16_000, nlms()), &far, &near);
    let mut hinted = canceller(16_000, nlms());
    hinted.set_delay_hint(200).expect("a delay in range");
    let with = run(&mut hinted, &far, &near);
    let (without, with) = (decibels(&near[RATE..], &without[RATE..]), decibels(&near[RATE..], &with[RATE..]));
    assert!(with > without + 2.0, "{with} dB with the delay known, {without} dB without");

    let bare = NlmsConfig { suppression_gain: 1.0, comfort_noise: 0.0, ..NlmsConfig::default() };
    let silence = vec![0.0; far.len()];
    assert_eq!(run(&mut canceller(16_000, EchoMode::Nlms(bare)), &silence, &near), near);
    let gated = run(&mut canceller(16_000, nlms()), &silence, &vec![0.005; RATE * 6]);
    assert!(gated.iter().all(|sample| (sample - 0.0005).abs() <= 0.001));
    assert!(gated.iter().any(|sample| (sample - 0.0005).abs() > 0.0005));
}

#[test]
fn giving_both_ends_apart_is_the_same_as_together() {
    let far = speech("quick-brown-fox.wav", 3);
    let near = echo(&far, 800);
    let together = run(&mut canceller(16_000, EchoMode::Partitioned), &far, &near);
    let mut apart = canceller(16_000, EchoMode::Partitioned);
    let mut out = vec![0.0; near.len()];
    for ((far, near), out) in far.chunks(320).zip(near.chunks(320)).zip(out.chunks_mut(320)) {
        apart.analyse_render(far).expect("whole frames");
        apart.process_capture(near, out).expect("whole frames");
    }
    assert_eq!(out, together);
    assert_eq!((apart.metrics().missing, apart.metrics().dropped), (0, 0));
}

#[test]
fn integers_are_the_same_as_floats() {
    let far = speech("quick-brown-fox.wav", 3);
    let near = echo(&far, 800);
    let integers = |samples: &[f32]| samples.iter().map(|sample| (sample * 32768.0).round() as i16).collect::<Vec<_>>();
    let (far, near) = (integers(&far), integers(&near));
    let floats = |samples: &[i16]| samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect::<Vec<_>>();
    let wanted = integers(&run(&mut canceller(16_000, EchoMode::Partitioned), &floats(&far), &floats(&near)));
    let mut out = vec![0; near.len()];
    canceller(16_000, EchoMode::Partitioned).process_i16(&far, &near, &mut out).expect("whole frames");
    assert_eq!(out, wanted);
}

#[test]
fn a_far_end_that_runs_ahead_is_cut_and_still_cancelled() {
    let far = speech("quick-brown-fox.wav", 12);
    let near = echo(&far, 3200);
    let mut canceller = canceller(16_000, EchoMode::Partitioned);
    canceller.analyse_render(&far[..1600]).expect("whole frames");
    let mut out = vec![0.0; near.len()];
    for at in (0..near.len() - 1600).step_by(160) {
        canceller.analyse_render(&far[at + 1600..at + 1760]).expect("whole frames");
        canceller.process_capture(&near[at..at + 160], &mut out[at..at + 160]).expect("whole frames");
    }
    assert_eq!(canceller.metrics().dropped, 10);
    let enhancement = decibels(&near[6 * RATE..11 * RATE], &out[6 * RATE..11 * RATE]);
    assert!(enhancement > 25.0, "{enhancement} dB");
}

#[test]
fn what_waits_is_bounded_and_what_is_missing_is_silence() {
    let mut canceller = canceller(8_000, EchoMode::Partitioned);
    canceller.analyse_render(&vec![0.1; 80 * 250]).expect("whole frames");
    assert_eq!(canceller.metrics().dropped, 150);
    let mut out = vec![0.0; 80 * 130];
    canceller.process_capture(&vec![0.0; 80 * 130], &mut out).expect("whole frames");
    assert_eq!(canceller.metrics().missing, 30);
}

#[test]
fn bad_samples_do_no_lasting_harm() {
    let far = speech("quick-brown-fox.wav", 8);
    let near = echo(&far, 1600);
    for mode in [EchoMode::Partitioned, nlms()] {
        let mut canceller = canceller(16_000, mode.clone());
        let odd: Vec<f32> =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-40, -0.0]
                .iter()
                .copied()
                .cycle()
                .take(RATE)
                .collect();
        assert!(run(&mut canceller, &odd, &odd).iter().all(|sample| sample.is_finite()));
        let out = run(&mut canceller, &far, &near);
        assert!(out.iter().all(|sample| sample.is_finite()));
        if mode == EchoMode::Partitioned {
            let enhancement = decibels(&near[5 * RATE..], &out[5 * RATE..]);
            assert!(enhancement > 20.0, "{enhancement} dB");
        }
    }
}

#[test]
fn what_is_not_offered_is_refused_with_what_is() {
    let refused = |config: EchoConfig| match EchoCanceller::new(&config) {
        Err(Error::Unsupported(message)) => message,
        other => panic!("{:?}", other.map(|_| ())),
    };
    let with = |nlms: NlmsConfig| EchoConfig { mode: EchoMode::Nlms(nlms), ..EchoConfig::default() };
    let rate = EchoConfig { sample_rate: 44_100, ..EchoConfig::default() };
    assert_eq!(refused(rate), "sample rate 44100; use one of 8000, 16000, 32000, 48000");
    assert_eq!(refused(EchoConfig { channels: 2, ..EchoConfig::default() }), "2 channels; use 1");
    assert_eq!(refused(with(NlmsConfig { taps: 0, ..NlmsConfig::default() })), "taps is 0; use 1 to 8192");
    let nan = NlmsConfig { step: f32::NAN, ..NlmsConfig::default() };
    assert_eq!(refused(with(nan)), "step is NaN; use a value over 0 and under 2");

    let mut canceller = canceller(16_000, EchoMode::Partitioned);
    let lengths = canceller.process(&[0.0; 160], &[0.0; 320], &mut [0.0; 320]);
    assert_eq!(lengths, Err(Error::unsupported("far has 160 samples and near 320; use one length")));
    let frame = canceller.analyse_render(&[0.0; 100]);
    assert_eq!(frame, Err(Error::unsupported("far has 100 samples; use a multiple of 160 (10 ms at 16000 Hz)")));
    assert_eq!(canceller.set_delay_hint(501), Err(Error::unsupported("a delay of 501 ms; use 0 to 500")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_of_calls_and_any_samples_give_numbers(
        rate in prop::sample::select(SAMPLE_RATES.to_vec()),
        plain in any::<bool>(),
        calls in prop::collection::vec((0..4u8, 0..4usize, any::<u32>()), 1..60),
    ) {
        let mut canceller = canceller(rate, if plain { nlms() } else { EchoMode::Partitioned });
        for (call, frames, seed) in calls {
            let length = frames * canceller.frame();
            let samples: Vec<f32> =
                (0..length as u32).map(|n| f32::from_bits(seed.wrapping_mul(n.wrapping_mul(2_654_435_761) | 1))).collect();
            let mut out = vec![0.0; length];
            match call {
                0 => canceller.process(&samples, &samples, &mut out)?,
                1 => canceller.analyse_render(&samples)?,
                2 => canceller.process_capture(&samples, &mut out)?,
                _ => canceller.set_delay_hint(seed % 501)?,
            }
            prop_assert!(out.iter().all(|sample| sample.is_finite()));
        }
        canceller.metrics();
    }
}
