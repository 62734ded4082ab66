//! Participants that don't come by RTP.

use antiphon_core::{
    g711::Law,
    mixer::{InputFormat, OutputFormat},
    room::Input,
};

use crate::support::{Dice, Run, Sent, config, opus, send, tone, tone_level};

fn bytes(pcm: &[f32]) -> Vec<u8> {
    pcm.iter().flat_map(|x| ((x * 32_767.0) as i16).to_le_bytes()).collect()
}

/// Seconds of a tone at any rate.
fn tone_at(rate: u32, hz: f32, seconds: u32) -> Vec<f32> {
    (0..rate * seconds).map(|n| 0.3 * (std::f32::consts::TAU * hz * n as f32 / rate as f32).sin()).collect()
}

/// Pushes chunks when their time has come, each `jitter_ms` late at most, from a clock that is `ppm` too fast.
fn push_all(run: &mut Run, rate: u32, pcm: &[f32], chunk_ms: u32, jitter_ms: u64, ppm: i64) {
    let mut dice = Dice(u64::from(chunk_ms) + 1);
    let samples = (rate * chunk_ms / 1_000) as usize;
    for (number, chunk) in (1..).zip(pcm.chunks(samples)) {
        let at = number * i64::from(chunk_ms) * (1_000_000 - ppm) / 1_000 + dice.below(jitter_ms * 1_000 + 1) as i64;
        run.play(&mut Vec::new(), at);
        run.room.push_pcm(1, &bytes(chunk), at).expect("samples");
    }
}

#[test]
fn samples_of_any_rate_and_chunk_are_heard_without_a_gap_and_without_growing_delay() {
    for (rate, chunk_ms, jitter_ms, ppm) in [
        (16_000, 200, 0, 0),
        (16_000, 100, 20, 0),
        (48_000, 20, 10, 200),
        (44_100, 100, 10, -200),
        (8_000, 200, 40, 200),
        (22_050, 40, 0, 0),
        (16_000, 5, 3, 0),
    ] {
        let mut run = Run::new(config(20), 1_000);
        run.room.add(1, Some(Input::Pcm { sample_rate: rate, channels: 1 }), None).expect("room");
        run.room.add(2, None, Run::listen(opus())).expect("room");
        push_all(&mut run, rate, &tone_at(rate, 500.0, 20), chunk_ms, jitter_ms, ppm);
        let stats = run.room.stats(1).expect("there").jitter.expect("samples came");
        let concealed = stats.concealed_samples as f64 / stats.played_samples as f64;
        println!(
            "{rate} Hz, {chunk_ms} ms, {jitter_ms} ms late, {ppm} ppm: {:.2} % concealed, {:.0} ms",
            100.0 * concealed,
            stats.mean_delay_ms
        );
        assert!(concealed < 0.01, "{rate} {chunk_ms} {jitter_ms}: {stats:?}");
        assert_eq!((stats.late, stats.overflowed, stats.resets, stats.corrupt), (0, 0, 0, 0));
        let most = f64::from(chunk_ms) + jitter_ms as f64 + 50.0;
        assert!(stats.delay_ms < most && stats.mean_delay_ms < most, "{rate} {chunk_ms} {jitter_ms}: {stats:?}");
        let heard = &run.heard[&2];
        let level = tone_level(&heard[heard.len() - 96_000..heard.len() - 48_000], 500.0, 48_000);
        assert!((level + 10.5).abs() < 2.0, "{rate} {chunk_ms}: {level} dB");
    }
}

#[test]
fn a_pause_is_not_made_up_for_and_a_flood_is_bounded() {
    let mut run = Run::new(config(20), 1_000);
    run.room.add(1, Some(Input::Pcm { sample_rate: 16_000, channels: 1 }), None).expect("room");
    run.room.tap(1, Some(16_000)).expect("a rate");
    let pcm = bytes(&tone_at(16_000, 500.0, 1));
    for said in 0..4 {
        // Each a tenth of a second after the tick, after three seconds of nothing.
        let begin = said * 4_000_000;
        for chunk in 0..10 {
            let now = begin + chunk * 100_000;
            run.play(&mut Vec::new(), now);
            run.room.push_pcm(1, &pcm[chunk as usize * 3_200..][..3_200], now).expect("samples");
        }
    }
    run.play(&mut Vec::new(), 14_000_000);
    let stats = run.room.stats(1).expect("there").jitter.expect("samples came");
    assert_eq!((stats.late, stats.overflowed, stats.resets), (0, 0, 0), "{stats:?}");
    let said = stats.played_samples as f64 / 64_000.0;
    assert!((0.98..=1.02).contains(&said), "{stats:?}");
    // Ten seconds at once: no more than about a second is left.
    for _ in 0..10 {
        run.room.push_pcm(1, &pcm, 14_000_000).expect("samples");
    }
    let before = run.room.stats(1).and_then(|stats| stats.jitter).expect("there").played_samples;
    run.play(&mut Vec::new(), 20_000_000);
    let stats = run.room.stats(1).expect("there").jitter.expect("there");
    let played = stats.played_samples - before;
    assert!((14_000..=18_500).contains(&played), "{played} samples played");
    assert!(stats.late + stats.overflowed > 850, "{stats:?}");
}

#[test]
fn packets_without_rtp_are_heard_and_replies_are_made_in_any_format() {
    let mut run = Run::new(config(20), 1_000);
    run.room.add(1, Some(Input::Packets(InputFormat::Opus)), None).expect("room");
    run.room.add(2, Some(Input::Packets(InputFormat::Pcma)), None).expect("room");
    let reply = OutputFormat::Pcm16 { sample_rate: 16_000, channels: 1 };
    run.room.add(3, None, Some(reply)).expect("room");
    let mut ears = Vec::new();
    let first = send(1, &opus(), &tone(400.0, 0.2, 144_000), 0, false);
    let second: Vec<f32> = tone(900.0 * 6.0, 0.2, 24_000);
    for (Sent { at, payload, .. }, pcm) in first.iter().zip(second.chunks_exact(160)) {
        let mut law = vec![0; 160];
        Law::A.encode_float(pcm, &mut law).expect("encoded");
        run.room.push_packet(1, payload, *at).expect("a packet");
        run.room.push_packet(2, &law, *at + 300).expect("a packet");
        run.room.tick(at + 5_000).expect("a tick");
        for packet in run.room.packets() {
            ears.extend(
                packet.payload.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0),
            );
        }
    }
    assert_eq!(ears.len(), 150 * 320);
    for hz in [400.0, 900.0] {
        let level = tone_level(&ears[16_000..], hz, 16_000);
        assert!((level + 14.0).abs() < 3.0, "{hz} Hz at {level} dB");
    }
}

#[test]
fn what_does_not_fit_the_participant_is_refused() {
    let mut run = Run::new(config(20), 0);
    run.room.add(1, Some(Input::Pcm { sample_rate: 16_000, channels: 1 }), None).expect("room");
    run.room.add(2, Some(Input::Packets(InputFormat::Opus)), None).expect("room");
    run.room.add(3, None, None).expect("room");
    assert!(run.room.push_packet(1, &[0; 4], 0).is_err());
    assert!(run.room.push_pcm(2, &[0; 4], 0).is_err());
    assert!(run.room.push_pcm(3, &[0; 4], 0).is_err());
    assert!(run.room.push_packet(2, &[], 0).is_err());
    assert!(run.room.add(4, Some(Input::Pcm { sample_rate: 100, channels: 1 }), None).is_err());
    assert!(run.room.add(4, Some(Input::Pcm { sample_rate: 16_000, channels: 0 }), None).is_err());
    assert!(run.room.add(3, None, None).is_err());
    assert!(!run.room.contains(4) && run.room.len() == 3);
}
