//! Who hears whom, what is decoded for that, and how late it is.

use antiphon_core::{mixer::InputFormat, opus::EncoderConfig, room::Input};

use crate::support::{Run, config, db, low_delay, opus, power, send, speech, tone, tone_level};

const OPUS: Option<Input> = Some(Input::Rtp(InputFormat::Opus));

#[test]
fn everybody_hears_the_others_and_not_themselves() {
    for (tick_ms, opus) in [(20, opus()), (10, low_delay())] {
        let mut run = Run::new(config(tick_ms), 3_000);
        let tones = [400.0, 700.0, 1_100.0];
        let mut sent = Vec::new();
        for (id, hz) in (0..).zip(tones) {
            run.room.add(id, OPUS, Run::listen(opus)).expect("room");
            sent.extend(send(id, &opus, &tone(hz, 0.2, 96_000), 0, true));
        }
        run.room.add(9, None, Run::listen(opus)).expect("room");
        run.play(&mut sent, 2_000_000);
        for listener in [0, 1, 2, 9] {
            let heard = &run.heard[&listener];
            for (speaker, hz) in (0..).zip(tones) {
                let level = tone_level(&heard[48_000..86_400], hz, 48_000);
                if speaker == listener {
                    assert!(level < -55.0, "{listener} hears themselves at {level} dB");
                } else {
                    assert!((level + 14.0).abs() < 3.0, "{listener} hears {speaker} at {level} dB");
                }
            }
        }
    }
}

#[test]
fn who_is_silent_is_not_decoded() {
    for levels in [true, false] {
        let mut run = Run::new(config(20), 3_000);
        let voice = speech("go-forward.wav");
        let mut sent = Vec::new();
        for id in 0..20 {
            run.room.add(id, OPUS, Run::listen(opus())).expect("room");
            let silence = vec![0.0; voice.len()];
            sent.extend(send(id, &opus(), if id == 7 { &voice } else { &silence }, id as i64 * 700, levels));
        }
        run.play(&mut sent, voice.len() as i64 * 1_000 / 48);
        for id in 0..20 {
            let stats = run.room.stats(id).expect("there");
            assert_eq!(stats.jitter.expect("packets came").lost, 0);
            if id == 7 {
                assert!(stats.decoded_ticks > 50, "{stats:?}");
            } else {
                // Without levels the first packets are looked at: the encoder takes a while to call them quiet.
                assert!(
                    stats.decoded_ticks == 0 && stats.looked_ticks <= if levels { 0 } else { 14 },
                    "{levels} {stats:?}"
                );
            }
        }
        assert!(run.heard[&3].iter().any(|x| x.abs() > 0.1));
        assert!(run.changes.iter().all(|(_, id, _)| *id == 7) && run.changes.len() >= 2, "{:?}", run.changes);
    }
}

/// The delay from the capture of a click to where it is in what a listener can play, in milliseconds.
fn click_delay(tick_ms: u32, opus: EncoderConfig, phase: i64, follows: bool) -> f64 {
    let mut run = Run::new(config(tick_ms), phase);
    run.follows = follows;
    run.room.add(1, OPUS, None).expect("room");
    run.room.add(2, None, Run::listen(opus)).expect("room");
    let mut pcm = tone(300.0, 0.05, 144_000);
    // A burst of 2 ms.
    for (n, x) in pcm[100_000..100_096].iter_mut().enumerate() {
        *x += 0.7 * (std::f32::consts::TAU * 2_000.0 * n as f32 / 48_000.0).sin();
    }
    run.play(&mut send(1, &opus, &pcm, 0, true), 3_000_000);
    let burst = |pcm: &[f32]| {
        let loudest = pcm.windows(96).map(power).enumerate().fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        assert!(db(loudest.1) > -20.0, "no click: {} dB", db(loudest.1));
        loudest.0
    };
    let heard = burst(&run.heard[&2]);
    // A packet can be played from when it comes.
    let (first, came) = run.came[&2].iter().rev().find(|(first, _)| *first <= heard).expect("a packet");
    *came as f64 / 1_000.0 + (heard - first) as f64 / 48.0 - burst(&pcm) as f64 / 48.0
}

/// A frame, and the look-ahead of an encoder, the limiter and an encoder; the rest is the wait for the tick.
const CASES: [(u32, f64, f64); 2] = [(20, 20.0 + 6.5 + 2.5 + 6.5, 46.0), (10, 10.0 + 2.5 + 2.5 + 2.5, 26.0)];

#[test]
fn a_click_comes_through_with_no_more_than_its_wait_for_the_tick() {
    for (tick_ms, fixed, _) in CASES {
        let opus = if tick_ms == 20 { opus() } else { low_delay() };
        for phase in 0..tick_ms {
            let delay = click_delay(tick_ms, opus, i64::from(phase) * 1_000 + 500, false);
            // Packets come at the beginning of a millisecond.
            let wait = f64::from(phase) + 0.5;
            let wait = if wait < 2.0 { wait + f64::from(tick_ms) } else { wait };
            assert!((delay - fixed - wait).abs() < 0.6, "{tick_ms} ms, ticks {wait} ms after packets: {delay}");
        }
    }
}

#[test]
fn ticks_that_go_where_the_room_would_have_them_meet_the_packets() {
    for (tick_ms, _, most) in CASES {
        let opus = if tick_ms == 20 { opus() } else { low_delay() };
        for phase in 0..tick_ms {
            let delay = click_delay(tick_ms, opus, i64::from(phase) * 1_000 + 500, true);
            assert!(delay <= most, "{tick_ms} ms, phase {phase}: {delay}");
        }
    }
}
