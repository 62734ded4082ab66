//! What the jitter buffer costs for a packet and a frame of 20 ms at 48 kHz, without the codec's own work: the decoder here
//! only fills its output.

use antiphon_core::Result;
use antiphon_core::jitter::{Config, FrameDecoder, JitterBuffer, Packet};
use antiphon_core::timescale::TimeScale;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const SAMPLES: usize = 960;
const TICK: i64 = 20_000;
const SEED: u64 = 20_261_120;

/// Writes one wave, with a period of 5 ms, so that the time scale can be changed.
struct Wave([f32; SAMPLES]);

impl Wave {
    fn new() -> Self {
        Self(std::array::from_fn(|at| 0.3 * (std::f32::consts::TAU * (at % 240) as f32 / 240.0).sin()))
    }
}

impl FrameDecoder for Wave {
    fn sample_rate(&self) -> u32 {
        48_000
    }
    fn channels(&self) -> usize {
        1
    }
    fn samples(&self, _packet: &[u8]) -> Result<usize> {
        Ok(SAMPLES)
    }
    fn decode(&mut self, _packet: &[u8], out: &mut [f32]) -> Result<usize> {
        out.copy_from_slice(&self.0);
        Ok(SAMPLES)
    }
    fn conceal(&mut self, out: &mut [f32]) -> Result<()> {
        out.fill(0.0);
        Ok(())
    }
    fn reset(&mut self) {}
}

/// Arrivals of an hour of packets: late by up to `jitter_ms`, in order of arrival, with `loss` of a hundred lost.
fn arrivals(jitter_ms: u64, loss: u64) -> Vec<(i64, u32)> {
    let mut state = SEED;
    let mut below = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let mut all = Vec::new();
    for number in 0..180_000u32 {
        let late = below(jitter_ms * 1_000 + 1) as i64;
        if below(100) >= loss {
            all.push((i64::from(number) * TICK + late, number));
        }
    }
    all.sort_unstable();
    all
}

/// One packet and one frame, on and on.
fn slot(criterion: &mut Criterion) {
    let networks =
        [("clean", 1, 0), ("jitter 40 ms", 40, 0), ("jitter 40 ms, loss 5 %", 40, 5), ("jitter 120 ms", 120, 0)];
    for (name, jitter_ms, loss) in networks {
        let arrivals = arrivals(jitter_ms, loss);
        let payload = [7u8; 120];
        criterion.bench_function(&format!("push and pull, {name}"), |bencher| {
            let mut buffer = JitterBuffer::new(Config::default(), Wave::new()).expect("the default is good");
            let (mut out, mut now, mut next) = ([0.0; SAMPLES], 0, 0);
            bencher.iter(|| {
                while let Some(&(arrival, number)) = arrivals.get(next)
                    && arrival <= now
                {
                    let (sequence_number, timestamp) = (number as u16, number.wrapping_mul(960));
                    let packet = Packet { ssrc: 1, sequence_number, timestamp, payload: black_box(&payload) };
                    let _ = black_box(buffer.push(&packet, arrival));
                    next += 1;
                }
                let _ = black_box(buffer.pull(now, &mut out));
                now += TICK;
                if next == arrivals.len() {
                    (next, now) = (0, 0);
                    buffer.reset();
                }
            });
        });
    }
}

/// The dearest part, which a tick needs only while the delay is being changed: the search for a pitch period.
fn search(criterion: &mut Criterion) {
    let wave: Vec<f32> = Wave::new().0.iter().copied().cycle().take(1_440).collect();
    let mut scale = TimeScale::new(48_000, 1);
    criterion.bench_function("search for a period", |bencher| {
        bencher.iter(|| scale.find(black_box(&wave), 720, Some(0.9)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(40).warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2));
    targets = slot, search
}
criterion_main!(benches);
