//! What is left of words where packets are lost.

use std::collections::BTreeSet;

use antiphon_core::{
    mixer::InputFormat,
    opus::{EncoderConfig, has_fec},
    room::Input,
};

use crate::support::{Run, Sent, config, db, network, opus, power, send, speech};

struct Outcome {
    heard: Vec<f32>,
    stats: antiphon_core::jitter::Stats,
    /// Packets that were lost before one that came and carries what was in them.
    recoverable: u64,
}

fn talk(fec: bool, loss: u64, jitter_ms: u64, seed: u64) -> Outcome {
    let sender = EncoderConfig { bitrate: 24_000, fec, expected_loss: 20, ..opus() };
    let mut voice = speech("go-forward.wav");
    voice = voice.repeat(10);
    let mut run = Run::new(config(20), 4_000);
    run.room.add(1, Some(Input::Rtp(InputFormat::Opus)), None).expect("room");
    run.room.add(2, None, Run::listen(opus())).expect("room");
    let sent = send(1, &sender, &voice, 0, true);
    let all = sent.clone();
    let carrying = sent.iter().filter(|packet| has_fec(&packet.payload)).count();
    assert!(if fec { carrying > sent.len() / 2 } else { carrying == 0 }, "{carrying} of {}", sent.len());
    let mut sent = network(sent, loss, jitter_ms, seed);
    let came: BTreeSet<u16> = sent.iter().map(|packet| packet.sequence_number).collect();
    let recoverable = all.windows(2).filter(|pair| {
        let came = |packet: &Sent| came.contains(&packet.sequence_number);
        !came(&pair[0]) && came(&pair[1]) && has_fec(&pair[1].payload)
    });
    let recoverable = recoverable.count() as u64;
    run.play(&mut sent, voice.len() as i64 * 1_000 / 48 + 200_000);
    let stats = run.room.stats(1).expect("there").jitter.expect("packets came");
    Outcome { heard: run.heard.remove(&2).expect("packets"), stats, recoverable }
}

/// How alike two envelopes are, as the correlation of their levels in steps of 20 ms, at the best of some shifts.
fn likeness(a: &[f32], b: &[f32]) -> f32 {
    let levels = |pcm: &[f32]| pcm.chunks_exact(960).map(|pcm| db(power(pcm)).max(-60.0)).collect::<Vec<_>>();
    let (a, b) = (levels(a), levels(b));
    (0..15)
        .map(|shift| {
            let pairs: Vec<_> = a.iter().skip(shift).zip(&b).collect();
            let n = pairs.len() as f32;
            let (x, y) = (pairs.iter().map(|p| p.0).sum::<f32>() / n, pairs.iter().map(|p| p.1).sum::<f32>() / n);
            let product: f32 = pairs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
            let squares = |f: fn(&(&f32, &f32)) -> f32, m: f32| pairs.iter().map(|p| (f(p) - m).powi(2)).sum::<f32>();
            product / (squares(|p| *p.0, x) * squares(|p| *p.1, y)).sqrt()
        })
        .fold(-1.0, f32::max)
}

#[test]
fn words_survive_loss() {
    let clean = talk(false, 0, 0, 1);
    assert_eq!((clean.stats.lost, clean.stats.concealed_samples), (0, 0));
    for (loss, fec, jitter_ms, least, most_concealed) in [
        (1, false, 5, 0.97, 2.0),
        (5, false, 5, 0.9, 7.0),
        (5, true, 5, 0.95, 3.5),
        (5, true, 0, 0.95, 3.5),
        (20, false, 5, 0.7, 25.0),
        (20, true, 5, 0.85, 12.0),
        (20, true, 0, 0.85, 12.0),
    ] {
        let Outcome { heard, stats, recoverable } = talk(fec, loss, jitter_ms, 7);
        let filled = stats.concealed_samples as f64
            / (stats.played_samples + stats.concealed_samples + stats.recovered_samples) as f64
            * 100.0;
        let recovered = stats.recovered_samples as f64 / 960.0;
        let alike = likeness(&heard, &clean.heard);
        println!(
            "{loss} % lost, FEC {fec}, jitter {jitter_ms} ms: {} lost, {recovered:.0} of {recoverable} recovered, {filled:.1} % concealed, likeness {alike:.3}, delay {:.0} ms",
            stats.lost, stats.mean_delay_ms
        );
        assert!(stats.lost > 0 && filled < most_concealed, "{loss} {fec}: {filled} % concealed");
        assert!(alike > least, "{loss} {fec}: {alike}");
        if fec {
            assert!(recovered > 0.7 * recoverable as f64, "{loss}: {recovered} of {recoverable} recovered");
        }
    }
}

#[test]
fn jitter_costs_delay_and_little_else() {
    for jitter_ms in [0, 10, 40] {
        let Outcome { stats, .. } = talk(false, 0, jitter_ms, 3);
        let share = stats.concealed_samples as f64 / stats.played_samples as f64;
        println!("jitter of {jitter_ms} ms: {:.1} % concealed, delay {:.0} ms", 100.0 * share, stats.mean_delay_ms);
        assert!(share < 0.03, "{jitter_ms} ms: {share}");
        assert!(stats.mean_delay_ms < jitter_ms as f64 + 30.0, "{jitter_ms} ms: {}", stats.mean_delay_ms);
    }
}
