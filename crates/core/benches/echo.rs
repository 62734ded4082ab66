//! What a frame of 10 ms costs, with an echo and near-end speech over it.

use antiphon_core::echo::{EchoCanceller, EchoConfig, EchoMode, NlmsConfig, SAMPLE_RATES};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;

/// Ten seconds of noise and its echo 100 ms later, the near end being silent half of the time.
fn signals(rate: usize) -> (Vec<f32>, Vec<f32>) {
    let mut state = 1u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state as i32) as f32 / 2_147_483_648.0
    };
    let far: Vec<f32> = (0..10 * rate).map(|_| 0.1 * uniform()).collect();
    let near = (0..far.len())
        .map(|at| {
            let echo = if at < rate / 10 { 0.0 } else { 0.3 * far[at - rate / 10] };
            let speech = if at / rate % 2 == 1 { 0.1 * uniform() } else { 0.0 };
            echo + speech + 1e-4 * uniform()
        })
        .collect();
    (far, near)
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo, 10 ms");
    for (name, mode) in [("partitioned", EchoMode::Partitioned), ("nlms", EchoMode::Nlms(NlmsConfig::default()))] {
        for sample_rate in SAMPLE_RATES {
            let (far, near) = signals(sample_rate as usize);
            let config = EchoConfig { sample_rate, mode: mode.clone(), ..EchoConfig::default() };
            let Ok(mut canceller) = EchoCanceller::new(&config) else { continue };
            let (frame, mut at) = (canceller.frame(), 0);
            let mut out = vec![0.0; frame];
            group.bench_function(BenchmarkId::new(name, sample_rate), |bencher| {
                bencher.iter(|| {
                    at = (at + frame) % far.len();
                    let done = canceller.process(&far[at..at + frame], &near[at..at + frame], &mut out);
                    black_box(done.is_ok())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
