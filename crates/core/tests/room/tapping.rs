//! One speaker apart: every tick, whatever comes.

use antiphon_core::{mixer::InputFormat, opus::EncoderConfig, room::Input};

use crate::support::{Run, config, network, opus, send, speech, tone};

const OPUS: Option<Input> = Some(Input::Rtp(InputFormat::Opus));

fn loudness(pcm: &[i16]) -> f32 {
    let sum: f32 = pcm.iter().map(|x| (f32::from(*x) / 32_768.0).powi(2)).sum();
    10.0 * (sum / pcm.len().max(1) as f32 + 1e-12).log10()
}

#[test]
fn a_tap_counts_the_time_whatever_comes() {
    for (rate, tick_ms) in [(16_000, 20), (8_000, 10), (48_000, 20), (24_000, 10)] {
        let mut run = Run::new(config(tick_ms), 2_000);
        run.room.add(1, OPUS, None).expect("room");
        run.room.add(2, None, None).expect("room");
        assert!(!run.room.needs_ticks());
        run.room.tap(1, Some(rate)).expect("a rate");
        run.room.tap(2, Some(rate)).expect("a rate");
        assert!(run.room.needs_ticks());
        // Half a second of nothing, speech with pauses in which nothing is sent and with losses, and nothing again.
        let dtx = EncoderConfig { dtx: true, ..opus() };
        let mut voice = speech("go-forward.wav");
        voice.resize(voice.len() + 96_000, 0.0);
        let spoken = voice.len() / 48;
        let mut sent = network(send(1, &dtx, &voice, 500_000, true), 5, 10, 5);
        let end = 500 + spoken + 2_000;
        run.play(&mut sent, end as i64 * 1_000);
        let ticks = (end as i64 * 1_000 - 2_000 + i64::from(tick_ms) * 1_000 - 1) / (i64::from(tick_ms) * 1_000);
        let samples = ticks as usize * (rate / 1_000 * tick_ms) as usize;
        assert_eq!((run.tapped[&1].len(), run.tapped[&2].len()), (samples, samples));
        assert!(run.tapped[&2].iter().all(|x| *x == 0));
        let at = |ms: usize| ms * rate as usize / 1_000;
        assert!(loudness(&run.tapped[&1][..at(450)]) < -90.0);
        assert!(loudness(&run.tapped[&1][at(900)..at(1_900)]) > -40.0);
        assert!(loudness(&run.tapped[&1][at(end - 800)..]) < -90.0);
        run.room.tap(1, None).expect("there");
        run.room.tap(2, None).expect("there");
        run.tick();
        assert!(run.room.tapped().next().is_none() && !run.room.needs_ticks());
    }
}

#[test]
fn who_is_muted_is_not_tapped_and_time_goes_on() {
    let mut run = Run::new(config(20), 2_000);
    run.room.add(1, OPUS, None).expect("room");
    run.room.tap(1, Some(16_000)).expect("a rate");
    let mut sent = send(1, &opus(), &tone(500.0, 0.3, 144_000), 0, true);
    run.play(&mut sent, 1_000_000);
    run.room.set_muted(1, true).expect("there");
    run.play(&mut sent, 2_000_000);
    run.room.set_muted(1, false).expect("there");
    run.play(&mut sent, 2_900_000);
    let heard = &run.tapped[&1];
    assert!(loudness(&heard[4_000..15_000]) > -20.0);
    assert!(loudness(&heard[16_400..31_000]) < -90.0, "{}", loudness(&heard[16_400..31_000]));
    assert!(loudness(&heard[33_000..45_000]) > -20.0);
}

#[test]
fn a_wrong_rate_is_answered_with_the_right_ones() {
    let mut run = Run::new(config(20), 0);
    run.room.add(1, OPUS, None).expect("room");
    let error = run.room.tap(1, Some(44_100)).expect_err("no such rate").to_string();
    assert_eq!(error, "sample_rate 44100: a tap gives one of [8000, 12000, 16000, 24000, 48000]");
    let error = run.room.tap(5, Some(16_000)).expect_err("nobody").to_string();
    assert_eq!(error, "participant 5 is not in the room");
}
