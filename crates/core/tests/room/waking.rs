//! A stream that becomes heard sounds as if it had been decoded all the time.

use antiphon_core::{mixer::InputFormat, room::Input};

use crate::support::{Dice, Run, Sent, config, db, low_delay, network, opus, power, send, speech, tone};

/// The shared mix while one who was not heard becomes heard after `asleep_ms`; decoded all the time or not.
fn mix(mut sent: Vec<Sent>, tick_ms: u32, input: InputFormat, asleep_ms: i64, decoded: bool) -> Vec<f32> {
    let mut run = Run::new(config(tick_ms), 5_300);
    run.room.add(1, Some(Input::Rtp(input)), None).expect("room");
    run.room.add(2, None, Run::listen(if tick_ms == 20 { opus() } else { low_delay() })).expect("room");
    run.room.set_gain(1, 0.0).expect("there");
    if decoded {
        run.room.tap(1, Some(48_000)).expect("a rate");
    }
    run.play(&mut sent, asleep_ms * 1_000);
    assert_eq!(run.room.stats(1).expect("there").decoded_ticks > 0, decoded);
    run.room.set_gain(1, 1.0).expect("there");
    let mut shared = Vec::new();
    let end = run.now + 400_000;
    while run.now < end {
        let next = run.now + 1;
        run.play(&mut sent, next);
        shared.extend_from_slice(run.room.shared());
    }
    shared
}

fn difference(pcm: &[f32], right: &[f32]) -> f32 {
    let step = 120;
    let difference: Vec<f32> = pcm.iter().zip(right).map(|(a, b)| a - b).collect();
    let worst = |pcm: &[f32]| pcm.chunks(step).map(power).fold(1e-12, f32::max);
    db(worst(&difference)) - db(worst(right))
}

#[test]
fn who_becomes_heard_in_the_middle_of_a_word_begins_as_if_never_skipped() {
    for (tick_ms, opus) in [(20, opus()), (10, low_delay())] {
        let sent = send(1, &opus, &speech("go-forward.wav"), 0, true);
        for asleep_ms in [300, 620, 700, 810, 1_130] {
            let woken = mix(sent.clone(), tick_ms, InputFormat::Opus, asleep_ms, false);
            let right = mix(sent.clone(), tick_ms, InputFormat::Opus, asleep_ms, true);
            assert_eq!(woken.len(), right.len());
            let worst = difference(&woken, &right);
            assert!(worst < -30.0, "{tick_ms} ms, after {asleep_ms} ms: {worst} dB");
        }
    }
}

#[test]
fn so_does_one_on_a_network_that_loses_and_delays() {
    let voice = speech("go-forward.wav");
    for seed in 0..6 {
        let sent = network(send(1, &opus(), &voice, 0, true), 5, 15, seed);
        // The delay comes down at once where nobody hears it, so that the two need not be at the same place: the sound must
        // be about as loud, with no step in it.
        let woken = mix(sent.clone(), 20, InputFormat::Opus, 700, false);
        let right = mix(sent, 20, InputFormat::Opus, 700, true);
        let (a, b) = (db(power(&woken)), db(power(&right)));
        assert!((a - b).abs() < 3.0, "{seed}: {a} and {b} dB");
        let step = |pcm: &[f32]| pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step(&woken) < 1.5 * step(&right).max(0.02), "{seed}: {} and {}", step(&woken), step(&right));
    }
}

#[test]
fn a_tone_in_g711_goes_on_where_it_would_be() {
    let law = antiphon_core::g711::Law::Mu;
    let mut dice = Dice(9);
    let pcm: Vec<f32> = tone(437.0, 0.3, 6 * 96_000).into_iter().step_by(6).collect();
    let mut sent = Vec::new();
    for (number, pcm) in (0..).zip(pcm.chunks_exact(160)) {
        let mut payload = vec![0; 160];
        law.encode_float(pcm, &mut payload).expect("encoded");
        let at = (number + 1) * 20_000 + dice.below(300) as i64;
        let (sequence_number, timestamp) = (number as u16, 160 * number as u32);
        sent.push(Sent { at, id: 1, sequence_number, timestamp, payload, level: None });
    }
    let woken = mix(sent.clone(), 20, InputFormat::Pcmu, 1_000, false);
    let right = mix(sent, 20, InputFormat::Pcmu, 1_000, true);
    // The filter that brings 8 to 48 kHz begins at zero: 2 ms of it are under the fade.
    let worst = difference(&woken[960..], &right[960..]);
    assert!(worst < -40.0, "{worst} dB");
}
