//! What the safe interface adds to libopus, and what the build that rooms use saves: all encode or decode the same second
//! of speech.
//!
//! `cargo bench -p antiphon-core --bench opus` takes about four minutes; the time divided by 50 is that of a frame.

use std::ffi::c_int;
use std::hint::black_box;
use std::path::Path;

use antiphon_core::g711::Law;
use antiphon_core::opus::{Application, Decoder, Encoder, EncoderConfig, MAX_PACKET_BYTES};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use opusic_sys as sys;

const RATE: u32 = 48_000;
const FRAME: usize = 960;

/// A second of speech, each sample three times over: libopus doesn't mind, and nothing need be resampled.
fn speech() -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/speech/quick-brown-fox.wav");
    let bytes = std::fs::read(path).expect("the speech of the tests is there");
    let start = 44 + 2 * 16_000;
    bytes[start..start + 2 * 16_000]
        .chunks_exact(2)
        .flat_map(|pair| [i16::from_le_bytes([pair[0], pair[1]]); 3])
        .collect()
}

fn configurations() -> [(&'static str, EncoderConfig); 5] {
    let voice = EncoderConfig { bitrate: 24_000, dtx: false, fec: false, ..EncoderConfig::default() };
    let audio = EncoderConfig { application: Application::Audio, bitrate: 64_000, ..voice };
    [
        ("voip 24k complexity 0", EncoderConfig { complexity: 0, ..voice }),
        ("voip 32k complexity 4, as in bench.rtc", EncoderConfig { bitrate: 32_000, complexity: 4, ..voice }),
        ("voip 24k complexity 5", EncoderConfig { complexity: 5, ..voice }),
        ("voip 24k complexity 10", voice),
        ("audio 64k complexity 5", EncoderConfig { complexity: 5, ..audio }),
    ]
}

/// libopus as a C program uses it.
struct Bare {
    encoder: *mut sys::OpusEncoder,
    decoder: *mut sys::OpusDecoder,
}

impl Bare {
    fn new(config: &EncoderConfig) -> Self {
        let application = match config.application {
            Application::Voip => sys::OPUS_APPLICATION_VOIP,
            _ => sys::OPUS_APPLICATION_AUDIO,
        };
        let mut error = 0;
        // SAFETY: all arguments are such as libopus takes; that it made both states is checked before they are used.
        unsafe {
            let encoder = sys::opus_encoder_create(RATE as c_int, 1, application, &raw mut error);
            let decoder = sys::opus_decoder_create(RATE as c_int, 1, &raw mut error);
            assert!(!encoder.is_null() && !decoder.is_null());
            for (request, value) in [
                (sys::OPUS_SET_BITRATE_REQUEST, config.bitrate as c_int),
                (sys::OPUS_SET_COMPLEXITY_REQUEST, config.complexity.into()),
                (sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, config.expected_loss.into()),
                (sys::OPUS_SET_VBR_CONSTRAINT_REQUEST, config.constrained_vbr.into()),
            ] {
                assert_eq!(sys::opus_encoder_ctl(encoder, request, value), 0);
            }
            Self { encoder, decoder }
        }
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> c_int {
        // SAFETY: the state is libopus' own; `pcm` is one frame, and as much of `out` is written as its length allows.
        unsafe { sys::opus_encode(self.encoder, pcm.as_ptr(), FRAME as c_int, out.as_mut_ptr(), out.len() as c_int) }
    }

    fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> c_int {
        let room = out.len() as c_int;
        // SAFETY: the state is libopus' own; the packet is readable, and at most `room` samples are written.
        unsafe { sys::opus_decode(self.decoder, packet.as_ptr(), packet.len() as c_int, out.as_mut_ptr(), room, 0) }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: both were made by libopus and are not used any more.
        unsafe {
            sys::opus_encoder_destroy(self.encoder);
            sys::opus_decoder_destroy(self.decoder);
        }
    }
}

fn opus(criterion: &mut Criterion) {
    let pcm = speech();
    for (name, config) in configurations() {
        let mut group = criterion.benchmark_group(format!("opus/{name}"));
        group.throughput(Throughput::Elements((pcm.len() / FRAME) as u64));
        encode(&mut group, &config, &pcm);
        decode(&mut group, &config, &pcm);
        group.finish();
    }
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, config: &EncoderConfig, pcm: &[i16]) {
    let mut out = [0; MAX_PACKET_BYTES];
    let mut bare = Bare::new(config);
    group.bench_function("encode, libopus", |bencher| {
        bencher.iter(|| pcm.chunks_exact(FRAME).map(|frame| bare.encode(black_box(frame), &mut out)).sum::<c_int>());
    });
    for (name, make) in [("encode, ours", Encoder::new as fn(&_) -> _), ("encode, as rooms do", Encoder::light)] {
        let mut ours: Encoder = make(config).expect("a good configuration");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let length = |frame| ours.encode(black_box(frame), &mut out).expect("a whole frame");
                pcm.chunks_exact(FRAME).map(length).sum::<usize>()
            });
        });
    }
}

fn decode(group: &mut BenchmarkGroup<'_, WallTime>, config: &EncoderConfig, pcm: &[i16]) {
    let mut packet = [0; MAX_PACKET_BYTES];
    let mut encoder = Encoder::new(config).expect("a good configuration");
    let packets: Vec<Vec<u8>> = pcm
        .chunks_exact(FRAME)
        .map(|frame| {
            let length = encoder.encode(frame, &mut packet).expect("a whole frame");
            packet[..length].to_vec()
        })
        .collect();
    let mut out = [0; FRAME];
    let mut bare = Bare::new(config);
    group.bench_function("decode, libopus", |bencher| {
        bencher.iter(|| packets.iter().map(|packet| bare.decode(black_box(packet), &mut out)).sum::<c_int>());
    });
    for (name, make) in [("decode, ours", Decoder::new as fn(_, _) -> _), ("decode, as rooms do", Decoder::light)] {
        let mut ours: Decoder = make(RATE, 1).expect("a good rate");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let samples = |packet: &Vec<u8>| ours.decode(black_box(packet), &mut out).expect("a good packet");
                packets.iter().map(samples).sum::<usize>()
            });
        });
    }
}

fn copy(criterion: &mut Criterion) {
    let encoder = Encoder::new(&EncoderConfig::default()).expect("the default");
    let mut other = encoder.clone();
    criterion.bench_function("opus/copy an encoder's state", |bencher| bencher.iter(|| other.clone_from(&encoder)));
}

fn g711(criterion: &mut Criterion) {
    let pcm = speech();
    let (mut bytes, mut back) = (vec![0; pcm.len()], vec![0; pcm.len()]);
    let mut group = criterion.benchmark_group("g711");
    group.throughput(Throughput::Elements(pcm.len() as u64));
    for (name, law) in [("mulaw", Law::Mu), ("alaw", Law::A)] {
        group.bench_function(format!("encode {name}"), |bencher| bencher.iter(|| law.encode(&pcm, &mut bytes)));
        group.bench_function(format!("decode {name}"), |bencher| bencher.iter(|| law.decode(&bytes, &mut back)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = opus, copy, g711
}
criterion_main!(benches);
