//! A room's tick: 60 participants, 3 of them speaking, and what it is made of.

use std::hint::black_box;

use antiphon_core::{
    mixer::{Conference, Input, InputFormat, Limiter, Mixer, OutputFormat, RoomConfig},
    opus::{Application, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES},
};
use criterion::{Criterion, criterion_group, criterion_main};

const TICK: usize = 960;
const TICKS: usize = 250;

/// As Janus' AudioBridge encodes by default, at complexity 4.
fn opus() -> EncoderConfig {
    EncoderConfig {
        sample_rate: 48_000,
        channels: 1,
        application: Application::Voip,
        bitrate: 32_000,
        complexity: 4,
        dtx: false,
        fec: false,
        expected_loss: 0,
        vbr: true,
        constrained_vbr: true,
        frame: FrameSize::Ms20,
        dred_ms: 0,
    }
}

/// Harmonics of a voice that rises, falls and pauses.
fn voice(pitch: f32) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..TICKS * TICK)
        .map(|n| {
            let t = n as f32 / 48_000.0;
            phase += pitch * (1.0 + 0.2 * (5.0 * t).sin()) / 48_000.0;
            let harmonics: f32 = (1..16).map(|k| (std::f32::consts::TAU * phase * k as f32).sin() / k as f32).sum();
            0.2 * harmonics * (0.5 + 0.5 * (9.0 * t).sin())
        })
        .collect()
}

fn packets(pcm: &[f32]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(&opus()).expect("configuration");
    let mut packet = [0; MAX_PACKET_BYTES];
    pcm.chunks_exact(TICK)
        .map(|frame| {
            let length = encoder.encode_float(frame, &mut packet).expect("encoded");
            packet[..length].to_vec()
        })
        .collect()
}

fn conference(criterion: &mut Criterion) {
    let voices: Vec<_> = [110.0, 150.0, 210.0].map(|pitch| packets(&voice(pitch))).into();
    let silence = packets(&vec![0.0; TICKS * TICK]);
    for (name, levels) in [("levels", true), ("no levels", false)] {
        for speaking in [0, 1, 3] {
            let mut room = Conference::new(RoomConfig::default()).expect("configuration");
            for id in 0..60 {
                room.add(id, InputFormat::Opus, Some(OutputFormat::Opus(opus()))).expect("room");
            }
            let mut tick = 0;
            let mut inputs = Vec::new();
            criterion.bench_function(&format!("tick of 60, {speaking} speaking, {name}"), |bench| {
                bench.iter(|| {
                    inputs.clear();
                    inputs.extend((0..60_u64).map(|id| {
                        let speaks = id < speaking;
                        let payload = if speaks { &voices[id as usize] } else { &silence };
                        let level = levels.then_some(if speaks { 20 } else { 127 });
                        (id, Input::Packet { payload: &payload[tick % TICKS], level, voice: None })
                    }));
                    room.tick(&inputs).expect("tick");
                    tick += 1;
                    black_box(room.packets().count())
                });
            });
        }
    }
}

fn parts(criterion: &mut Criterion) {
    let mut limiter = Limiter::new(48_000, 1, 2.5, 0.9);
    let quiet = voice(150.0);
    let loud: Vec<f32> = quiet.iter().map(|x| x * 4.0).collect();
    let mut frame = vec![0.0; TICK];
    for (name, pcm) in [("nothing to limit", &quiet), ("limiting", &loud)] {
        let mut at = 0;
        criterion.bench_function(&format!("limiter, 20 ms, {name}"), |bench| {
            bench.iter(|| {
                frame.copy_from_slice(&pcm[at * TICK..][..TICK]);
                at = (at + 1) % TICKS;
                limiter.process(black_box(&mut frame));
            });
        });
    }
    for speaking in [3, 60] {
        let mut mixer = Mixer::new(RoomConfig { loudest: None, ..RoomConfig::default() }).expect("configuration");
        (0..60).for_each(|id| mixer.add(id).expect("room"));
        let inputs: Vec<_> = (0..speaking).map(|id| (id, &quiet[id as usize * TICK..][..TICK])).collect();
        criterion.bench_function(&format!("samples of 60, {speaking} speaking"), |bench| {
            bench.iter(|| mixer.tick(black_box(&inputs)).expect("tick"));
        });
    }
}

criterion_group!(benches, conference, parts);
criterion_main!(benches);
