//! Listeners who begin and cease to speak change between streams, and do not hear it.

use antiphon_core::{
    mixer::{OutputFormat, RoomConfig},
    opus::{Application, EncoderConfig},
};

use super::support::{Listeners, TICK, Voice, noise, opus, room, speech, tone, worst_difference};

/// One talks without end, the second from one tick to another, the third only listens. Gives what was heard and the
/// ticks in which the second had a stream of their own.
fn talk(config: EncoderConfig, pcm: &[f32], interruption: std::ops::Range<usize>) -> (Listeners, Vec<bool>) {
    let rate = config.sample_rate;
    let tick = rate as usize / 50;
    let sender = EncoderConfig { sample_rate: rate, ..opus(96_000) };
    let voice = Voice::new(sender, pcm);
    let other = Voice::new(sender, &noise(3, 0.2, 40 * tick));
    let mut room = room(RoomConfig { sample_rate: rate, ..RoomConfig::default() }, 3, config);
    let (mut listeners, mut own) = (Listeners::default(), Vec::new());
    for tick in 0..pcm.len() / tick {
        let mut inputs = vec![(1, voice.input(tick))];
        if interruption.contains(&tick) {
            inputs.push((2, other.input(tick)));
        }
        room.tick(&inputs).expect("tick");
        listeners.listen(&room, rate);
        own.push(room.packets().any(|packet| packet.id == 2 && packet.shared.is_none()));
    }
    (listeners, own)
}

fn configurations() -> Vec<EncoderConfig> {
    let mut all = vec![opus(24_000), opus(32_000), opus(64_000)];
    all.push(EncoderConfig { application: Application::Audio, ..opus(96_000) });
    all.push(EncoderConfig { application: Application::RestrictedLowDelay, ..opus(48_000) });
    all.push(EncoderConfig { vbr: false, ..opus(32_000) });
    all
}

#[test]
fn beginning_to_speak_changes_not_one_byte_of_what_is_heard_of_others() {
    for config in configurations() {
        let pcm = tone(440.0, 0.3, 120 * TICK);
        let (silent, never) = talk(config, &pcm, 0..0);
        let (speaking, own) = talk(config, &pcm, 40..60);
        assert!(never.iter().all(|own| !own));
        let back = (40..own.len()).find(|tick| !own[*tick]).unwrap_or(own.len());
        assert!(own[40] && back > 60);
        // A sum of others has nothing of one's own voice in it, so up to the return all packets are the very same.
        assert_eq!(speaking.packets[&2][..back], silent.packets[&2][..back], "{config:?}");
        assert_ne!(speaking.packets[&3][41..60], silent.packets[&3][41..60]);
    }
}

#[test]
fn returning_to_the_shared_stream_is_no_louder_than_the_codecs_own_noise() {
    let speech: Vec<f32> = ["two-utterances.wav", "quick-brown-fox.wav"].into_iter().flat_map(speech).collect();
    let wide = |config: EncoderConfig| EncoderConfig { sample_rate: 16_000, ..config };
    let cases = configurations()
        .into_iter()
        .flat_map(|config| [(config, tone(440.0, 0.3, 250 * TICK)), (wide(config), speech.clone())]);
    for (config, pcm) in cases {
        let tick = config.sample_rate as usize / 50;
        let mut returned = 0;
        // What those hear who never change: another encoder's stream of the same sound.
        let (control, _) = talk(config, &pcm, 0..0);
        for start in [20, 61, 102, 133] {
            let (listeners, own) = talk(config, &pcm, start..start + 15);
            let Some(back) = (start..own.len() - 5).find(|tick| !own[*tick]) else { continue };
            returned += 1;
            // The third has heard the shared stream all the time.
            let spliced = &listeners.heard[&2][back * tick..(back + 5) * tick];
            let right = &listeners.heard[&3][back * tick..(back + 5) * tick];
            let difference = worst_difference(spliced, right, config.sample_rate);
            let other = &control.heard[&3][back * tick..(back + 5) * tick];
            let noise = worst_difference(other, right, config.sample_rate);
            let EncoderConfig { application, bitrate, sample_rate, .. } = config;
            let what = format!("{} at {sample_rate} Hz, {bitrate} b/s, tick {back}", application.name());
            println!("{what}: changed {difference:.1} dB, control {noise:.1} dB");
            assert!(difference < (noise + 3.0).max(-25.0), "{what}: {difference} dB, {noise} dB");
            assert_eq!(listeners.packets[&2][back..], listeners.packets[&3][back..]);
        }
        assert!(returned >= 3, "{config:?} returned {returned} times");
    }
}

#[test]
fn a_tone_keeps_its_spectrum_over_both_changes() {
    // The power outside of the tone, in every window of 20 ms with and without changes.
    let splatter = |pcm: &[f32]| -> Vec<f32> {
        pcm.windows(TICK)
            .step_by(TICK / 4)
            .map(|window| {
                let (mut a, mut b) = (0.0_f64, 0.0_f64);
                let turn = |n: usize| std::f64::consts::TAU * 500.0 * n as f64 / 48_000.0;
                for (n, x) in window.iter().enumerate() {
                    a += f64::from(*x) * turn(n).cos() / 480.0;
                    b += f64::from(*x) * turn(n).sin() / 480.0;
                }
                let rest = window
                    .iter()
                    .enumerate()
                    .map(|(n, x)| (f64::from(*x) - a * turn(n).cos() - b * turn(n).sin()).powi(2));
                (10.0 * (rest.sum::<f64>() / TICK as f64 + 1e-12).log10()) as f32
            })
            .collect()
    };
    let pcm = tone(500.0, 0.3, 200 * TICK);
    for config in configurations() {
        let (control, _) = talk(config, &pcm, 0..0);
        let (changed, own) = talk(config, &pcm, 40..60);
        assert!(own[40] && !own[199]);
        let from = 30 * TICK;
        let worst = |heard: &[f32]| splatter(&heard[from..]).into_iter().fold(f32::MIN, f32::max);
        let (with, without) = (worst(&changed.heard[&2]), worst(&control.heard[&2]));
        assert!(with < (without + 6.0).max(-45.0), "{config:?}: {with} dB with changes, {without} dB without");
    }
}

#[test]
fn another_bitrate_goes_on_without_a_seam() {
    let voice = Voice::new(opus(96_000), &tone(500.0, 0.3, 100 * TICK));
    let mut room = room(RoomConfig::default(), 3, opus(32_000));
    let mut listeners = Listeners::default();
    for tick in 0..100 {
        if tick == 50 {
            room.set_output(2, Some(OutputFormat::Opus(opus(64_000)))).expect("in the room");
        }
        if tick == 70 {
            room.set_output(1, Some(OutputFormat::Opus(opus(64_000)))).expect("in the room");
        }
        room.tick(&[(1, voice.input(tick))]).expect("tick");
        listeners.listen(&room, 48_000);
    }
    assert_eq!(room.shared_streams(), 2);
    assert_eq!(listeners.packets[&2][..50], listeners.packets[&3][..50]);
    let bytes = |id, ticks: std::ops::Range<usize>| listeners.packets[&id][ticks].iter().map(Vec::len).sum::<usize>();
    assert!(bytes(2, 60..100) * 2 > bytes(3, 60..100) * 3);
    let steps = listeners.heard[&2][20 * TICK..].windows(2).map(|pair| (pair[1] - pair[0]).abs());
    assert!(steps.fold(0.0, f32::max) < 0.025);
}
