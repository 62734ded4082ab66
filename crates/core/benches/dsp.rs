//! What 20 ms of one stream cost: resampling, PCM conversion, levels, voice activity; and a bitrate decision.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use antiphon_core::bitrate::{BitrateConfig, BitrateController, Observation};
use antiphon_core::level::{LevelMeter, MeterConfig};
use antiphon_core::resample::{PcmConverter, Resampler};
use antiphon_core::vad::{VadConfig, VoiceActivityDetector};
use criterion::{Criterion, criterion_group, criterion_main};

fn noise(frames: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..frames)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as f32 / u32::MAX as f32 - 0.5) * 0.2
        })
        .collect()
}

fn resampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample 20 ms");
    for (from, to) in
        [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000), (16_000, 48_000), (24_000, 48_000), (44_101, 16_000)]
    {
        let samples = noise(from as usize / 50);
        let mut resampler = Resampler::new(from, to, 1).unwrap();
        let mut out = Vec::new();
        group.bench_function(format!("{from} to {to} Hz"), |bencher| {
            bencher.iter(|| {
                out.clear();
                resampler.push(black_box(&samples), &mut out).unwrap();
                out.len()
            });
        });
    }
    for (from, channels) in [(48_000, 2), (16_000, 2)] {
        let bytes: Vec<u8> = noise(from as usize / 50 * channels)
            .iter()
            .flat_map(|sample| ((sample * 32_768.0) as i16).to_le_bytes())
            .collect();
        let mut converter = PcmConverter::new(from, channels as u8, 16_000).unwrap();
        let mut out = Vec::new();
        group.bench_function(format!("s16le of {channels} channels at {from} Hz to mono at 16000 Hz"), |bencher| {
            bencher.iter(|| {
                out.clear();
                converter.push(black_box(&bytes), &mut out).unwrap();
                out.len()
            });
        });
    }
    group.finish();
}

fn levels(criterion: &mut Criterion) {
    let samples = noise(960);
    let mut meter = LevelMeter::new(&MeterConfig { sample_rate: 48_000, ..MeterConfig::default() }).unwrap();
    criterion.bench_function("level of 20 ms at 48000 Hz", |bencher| bencher.iter(|| meter.push(black_box(&samples))));
}

fn voice_activity(criterion: &mut Criterion) {
    for sample_rate in [8_000, 16_000, 48_000] {
        let samples = noise(sample_rate as usize / 50);
        let mut detector = VoiceActivityDetector::new(&VadConfig { sample_rate, ..VadConfig::default() }).unwrap();
        criterion.bench_function(&format!("voice activity of 20 ms at {sample_rate} Hz"), |bencher| {
            bencher.iter(|| detector.push(black_box(&samples), |_| {}));
        });
    }
}

fn bitrate(criterion: &mut Criterion) {
    let mut controller = BitrateController::new(&BitrateConfig::default()).unwrap();
    let mut now = 0.0;
    criterion.bench_function("bitrate decision", |bencher| {
        bencher.iter(|| {
            now += 0.1;
            controller.update(now, black_box(&Observation { round_trip: 0.08, loss: 0.01, sent: None }))
        });
    });
}

criterion_group!(benches, resampling, levels, voice_activity, bitrate);
criterion_main!(benches);
