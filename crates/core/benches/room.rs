//! What a mixed room costs for a participant and a tick of 20 ms, with jitter buffers: 60 of whom 3 speak, and 40 who all
//! speak and of whom 3 are heard. Everybody sends a packet for every tick and hears the room.

use std::hint::black_box;

use antiphon_core::{
    mixer::{InputFormat, OutputFormat},
    opus::{Application, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES},
    room::{Arrived, Input, MixRoom, MixRoomConfig},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TICK: usize = 960;
const TICKS: usize = 500;

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
fn voice(pitch: f32, gain: f32) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..TICKS * TICK)
        .map(|n| {
            let t = n as f32 / 48_000.0;
            phase += pitch * (1.0 + 0.2 * (5.0 * t).sin()) / 48_000.0;
            let harmonics: f32 = (1..16).map(|k| (std::f32::consts::TAU * phase * k as f32).sin() / k as f32).sum();
            gain * harmonics * (0.5 + 0.5 * (9.0 * t + pitch).sin())
        })
        .collect()
}

fn packets(pcm: &[f32]) -> Vec<(Vec<u8>, u8)> {
    let mut encoder = Encoder::new(&opus()).expect("configuration");
    let mut packet = [0; MAX_PACKET_BYTES];
    pcm.chunks_exact(TICK)
        .map(|frame| {
            let length = encoder.encode_float(frame, &mut packet).expect("encoded");
            (packet[..length].to_vec(), (-antiphon_core::mixer::level::dbov(frame)).round() as u8)
        })
        .collect()
}

fn rooms(criterion: &mut Criterion) {
    let voices: Vec<_> =
        (0..8_u8).map(|n| packets(&voice(100.0 + 23.0 * f32::from(n), 0.1 + 0.02 * f32::from(n)))).collect();
    let silence = packets(&vec![0.0; TICKS * TICK]);
    let mut group = criterion.benchmark_group("participant and tick");
    for (people, speaking) in [(60, 0), (60, 3), (40, 40)] {
        for (name, levels) in [("levels", true), ("no levels", false)] {
            group.throughput(Throughput::Elements(people));
            let mut room = MixRoom::new(MixRoomConfig::default()).expect("configuration");
            for id in 0..people {
                let input = Input::Rtp(InputFormat::Opus);
                room.add(id, Some(input), Some(OutputFormat::Opus(opus()))).expect("room");
            }
            let mut tick = 0_usize;
            let mut turn = |room: &mut MixRoom| {
                let now = tick as i64 * 20_000;
                for id in 0..people {
                    let sent = if id < speaking { &voices[id as usize % voices.len()] } else { &silence };
                    // Not all say the same at once.
                    let (payload, level) = &sent[(tick + 37 * id as usize) % TICKS];
                    let packet = Arrived {
                        ssrc: id as u32,
                        sequence_number: tick as u16,
                        timestamp: (tick * TICK) as u32,
                        payload,
                        level: levels.then_some(*level),
                        voice: None,
                    };
                    room.push(id, &packet, now).expect("a packet");
                }
                room.tick(now + 5_000).expect("a tick");
                tick += 1;
                black_box(room.packets().count())
            };
            (0..200).for_each(|_| {
                turn(&mut room);
            });
            group.bench_function(format!("{people}, {speaking} speaking, {name}"), |bench| {
                bench.iter(|| turn(&mut room))
            });
            println!("{:?}", room.counters());
        }
    }
    group.finish();
}

criterion_group!(benches, rooms);
criterion_main!(benches);
