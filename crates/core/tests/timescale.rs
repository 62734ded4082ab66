//! What time-scale modification does to a signal: the right length, the same pitch, and no click.

use antiphon_core::jitter::{Config, JitterBuffer, Packet, PcmDecoder, PcmFormat};
use antiphon_core::timescale::{TimeScale, energy};
use realfft::RealFftPlanner;

const SPEECH: [&[u8]; 2] = [
    include_bytes!("../../../tests/data/speech/quick-brown-fox.wav"),
    include_bytes!("../../../tests/data/speech/tomorrow-morning.wav"),
];

fn speech(file: &[u8]) -> Vec<f32> {
    file[44..].chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect()
}

fn tone(hertz: f64, rate: u32, seconds: f64) -> Vec<f32> {
    let count = (seconds * f64::from(rate)) as usize;
    (0..count).map(|at| (0.5 * (std::f64::consts::TAU * hertz * at as f64 / f64::from(rate)).sin()) as f32).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Compress,
    Stretch,
    /// What a buffer without time-scale modification does.
    Drop,
}

/// Changes the length once every `every` samples where the likeness allows; says where, in output and input.
fn rescaled(input: &[f32], rate: u32, every: usize, way: Way, enough: f32) -> (Vec<f32>, Vec<(usize, usize)>) {
    let mut scale = TimeScale::new(rate, 1);
    let (mut output, mut joints, mut at) = (Vec::new(), Vec::new(), 0);
    while at + every + 2 * scale.needed() < input.len() {
        let found = scale.find(&input[at..], scale.max_lag(), Some(enough)).expect("long enough");
        if found.similarity >= enough {
            joints.push((output.len(), at));
            let mut piece = vec![0.0; found.lag];
            piece.extend_from_slice(&input[at..at + every + scale.needed()]);
            match way {
                Way::Compress => {
                    scale.compress(&mut piece[found.lag..], found.lag);
                    output.extend_from_slice(&piece[2 * found.lag..found.lag + every]);
                }
                Way::Stretch => {
                    scale.stretch(&mut piece, found.lag);
                    output.extend_from_slice(&piece[..found.lag + every]);
                }
                Way::Drop => output.extend_from_slice(&piece[found.lag + scale.max_lag() * 2 / 3..found.lag + every]),
            }
        } else {
            output.extend_from_slice(&input[at..at + every]);
        }
        at += every;
    }
    (output, joints)
}

/// The greatest second difference, which a click makes large.
fn roughest(samples: &[f32]) -> f32 {
    samples.windows(3).map(|three| (three[2] - 2.0 * three[1] + three[0]).abs()).fold(0.0, f32::max)
}

/// Power further than `near` hertz from a tone, in decibels of the whole.
fn splatter(samples: &[f32], hertz: f64, rate: u32, near: f64) -> f64 {
    let length = 1 << samples.len().ilog2();
    let mut planner = RealFftPlanner::<f64>::new();
    let transform = planner.plan_fft_forward(length);
    let window = |at: usize| {
        let x = std::f64::consts::TAU * at as f64 / length as f64;
        0.358_75 - 0.488_29 * x.cos() + 0.141_28 * (2.0 * x).cos() - 0.011_68 * (3.0 * x).cos()
    };
    let mut input: Vec<f64> = (0..length).map(|at| f64::from(samples[at]) * window(at)).collect();
    let mut spectrum = transform.make_output_vec();
    transform.process(&mut input, &mut spectrum).expect("the lengths fit");
    let bin = f64::from(rate) / length as f64;
    let (mut far, mut all) = (0.0, 0.0);
    for (at, value) in spectrum.iter().enumerate() {
        all += value.norm_sqr();
        if (at as f64 * bin - hertz).abs() > near {
            far += value.norm_sqr();
        }
    }
    10.0 * (far / all).log10()
}

#[test]
fn a_tone_stays_pure_where_dropping_would_splatter() {
    for rate in [8_000, 16_000, 48_000] {
        for hertz in [97.0, 217.3, 440.0, 997.0] {
            let input = tone(hertz, rate, 6.0);
            let every = rate as usize / 10;
            for way in [Way::Compress, Way::Stretch] {
                let (output, joints) = rescaled(&input, rate, every, way, 0.9);
                assert!(joints.len() > 40, "{hertz} Hz at {rate}");
                let pure = splatter(&output, hertz, rate, 60.0);
                assert!(pure < -40.0, "{hertz} Hz at {rate}: {pure} dB");
                assert!(roughest(&output) < 1.1 * roughest(&input) + 1e-6, "{hertz} Hz at {rate}");
            }
        }
        let input = tone(217.3, rate, 6.0);
        let (dropped, _) = rescaled(&input, rate, rate as usize / 10, Way::Drop, 0.9);
        let (kept, _) = rescaled(&input, rate, rate as usize / 10, Way::Compress, 0.9);
        let (dropped, kept) = (splatter(&dropped, 217.3, rate, 60.0), splatter(&kept, 217.3, rate, 60.0));
        assert!(dropped > kept + 20.0, "{dropped} dB against {kept} dB at {rate}");
    }
}

#[test]
fn speech_gets_no_joint_rougher_than_itself() {
    let worst = |way: Way| {
        let mut worst: f32 = 0.0;
        let mut count = 0;
        for file in SPEECH {
            let input = speech(file);
            let (output, joints) = rescaled(&input, 16_000, 800, way, 0.8);
            count += joints.len();
            for &(joint, from) in &joints {
                // Against what the speech itself does around there, and against hiss that nobody hears.
                let calm = roughest(&input[from.saturating_sub(320)..from + 1_280]);
                let joint = roughest(&output[joint.saturating_sub(320)..(joint + 640).min(output.len())]);
                worst = worst.max(joint / calm.max(1e-3));
            }
        }
        assert!(count > 20, "{count} joints");
        worst
    };
    let (compressed, stretched, dropped) = (worst(Way::Compress), worst(Way::Stretch), worst(Way::Drop));
    assert!(compressed < 1.3 && stretched < 1.3, "{compressed} {stretched}");
    assert!(dropped > 1.5, "the measure sees a click: {dropped}");
}

#[test]
fn lengths_change_by_the_lag_and_the_rest_is_untouched() {
    let input: Vec<f32> = speech(SPEECH[0])[8_000..9_000].to_vec();
    let mut scale = TimeScale::new(16_000, 1);
    let lag = scale.find(&input, scale.max_lag(), None).expect("long enough").lag;
    let mut shorter = input.clone();
    scale.compress(&mut shorter, lag);
    assert_eq!(shorter[2 * lag..], input[2 * lag..]);
    let mut longer = vec![0.0; lag];
    longer.extend_from_slice(&input);
    scale.stretch(&mut longer, lag);
    assert_eq!(longer[..lag], input[..lag]);
    assert_eq!(longer[2 * lag..], input[lag..]);
}

#[test]
fn the_lag_is_the_pitch_and_channels_move_together() {
    let left = tone(200.0, 48_000, 0.1);
    let mut scale = TimeScale::new(48_000, 1);
    let found = scale.find(&left, scale.max_lag(), None).expect("long enough");
    assert_eq!(found.lag % 240, 0);
    assert!(found.similarity > 0.99);
    let stereo: Vec<f32> = left.iter().flat_map(|&sample| [sample, -0.5 * sample]).collect();
    let mut both = TimeScale::new(48_000, 2);
    let lag = both.find(&stereo, both.max_lag(), None).expect("long enough").lag;
    let mut shorter = stereo;
    both.compress(&mut shorter, lag);
    let kept = &shorter[2 * lag..];
    assert!(kept.chunks_exact(2).all(|pair| (pair[1] + 0.5 * pair[0]).abs() < 1e-6));
}

#[test]
fn noise_is_not_taken_for_pitch() {
    let mut state = 1u32;
    let noise: Vec<f32> = (0..2_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect();
    let mut scale = TimeScale::new(16_000, 1);
    let found = scale.find(&noise, scale.max_lag(), None).expect("long enough");
    assert!(found.similarity < 0.5, "{found:?}");
    assert!(found.power > 0.05);
}

#[test]
fn too_little_is_left_alone() {
    let mut scale = TimeScale::new(16_000, 1);
    assert_eq!(scale.find(&[0.1; 30], 240, None), None);
    assert_eq!(scale.find(&[], 240, None), None);
    assert_eq!(scale.find(&[0.1; 480], 10, None), None);
    let mut few = [1.0, 2.0, 3.0];
    scale.compress(&mut few, 2);
    scale.stretch(&mut few, 2);
    assert_eq!(few, [1.0, 2.0, 3.0]);
    let silence = scale.find(&[0.0; 480], 100, None).expect("long enough");
    assert_eq!((silence.lag, silence.similarity), (100, 1.0));
}

/// A buffer that grows by a spike and shrinks again, heard by its output.
fn through_a_spike(input: &[f32]) -> (Vec<f32>, u64) {
    let config = Config { clock_rate: 16_000, ..Config::default() };
    let decoder = PcmDecoder::new(PcmFormat::F32Le, 16_000, 1).expect("good");
    let mut buffer = JitterBuffer::new(config, decoder).expect("good");
    let (mut all, mut out) = (Vec::new(), [0.0; 320]);
    let frames: Vec<Vec<u8>> =
        input.chunks_exact(320).map(|frame| frame.iter().flat_map(|sample| sample.to_le_bytes()).collect()).collect();
    let mut next = 0;
    for tick in 0..frames.len() as i64 + 5 {
        let now = tick * 20_000 + 11_000;
        let held = (50..65).contains(&tick);
        while !held && next < frames.len() && next as i64 * 20_000 <= now {
            let (sequence_number, timestamp) = (next as u16, next as u32 * 320);
            let packet = Packet { ssrc: 0, sequence_number, timestamp, payload: &frames[next] };
            buffer.push(&packet, now).expect("good");
            next += 1;
        }
        buffer.pull(now, &mut out).expect("good");
        all.extend_from_slice(&out);
    }
    (all, buffer.stats().compressed_samples)
}

#[test]
fn growing_and_shrinking_by_a_spike_makes_no_click() {
    for hertz in [110.0, 217.3, 440.0] {
        let input = tone(hertz, 16_000, 8.0);
        let (output, compressed) = through_a_spike(&input);
        assert!(compressed > 2_000, "{compressed}");
        // Where the tone is faded in again over 4 ms (64 samples) the fade itself bends so much.
        let fade = 0.5 * 6.0 / (64.0 * 64.0);
        let (output, input) = (roughest(&output), roughest(&input));
        assert!(output < 1.25 * input + fade, "{hertz} Hz: {output} {input}");
    }
    for file in SPEECH {
        let input: Vec<f32> = speech(file).into_iter().cycle().take(16_000 * 8).collect();
        let (output, compressed) = through_a_spike(&input);
        assert!(compressed > 2_000, "{compressed}");
        assert!(roughest(&output) <= 1.05 * roughest(&input));
        let (before, after) = (energy(&input) / input.len() as f32, energy(&output) / output.len() as f32);
        assert!((after / before - 1.0).abs() < 0.25, "{before} {after}");
    }
}
