//! The light build of libopus gives what the whole one gives, bit for bit, in a fraction of the memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    path::Path,
};

use antiphon_core::{
    Error,
    opus::{Application, Decoder, Dred, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES, has_fec},
};

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts the bytes that this thread asked for.
struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get() + layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn bytes_of<T>(make: impl FnOnce() -> T) -> usize {
    let before = HELD.with(Cell::get);
    let _made = make();
    HELD.with(Cell::get) - before
}

/// Speech, mono at 16 kHz.
fn speech() -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/speech/go-forward.wav");
    let bytes = std::fs::read(path).expect("the speech of the tests is there");
    bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn configs() -> Vec<EncoderConfig> {
    // What DTX leaves out is concealed, as what is lost.
    let base = EncoderConfig {
        sample_rate: 16_000,
        bitrate: 24_000,
        dtx: false,
        expected_loss: 20,
        ..EncoderConfig::default()
    };
    let mut configs = vec![
        EncoderConfig { complexity: 2, fec: false, ..base },
        EncoderConfig { complexity: 4, fec: false, ..base },
        EncoderConfig { complexity: 7, ..base },
        EncoderConfig { complexity: 10, bitrate: 20_000, ..base },
        EncoderConfig { frame: FrameSize::Ms60, bitrate: 9_000, ..base },
        EncoderConfig { frame: FrameSize::Ms10, bitrate: 64_000, channels: 2, ..base },
        EncoderConfig { sample_rate: 48_000, bitrate: 32_000, complexity: 5, ..base },
        EncoderConfig { sample_rate: 8_000, bitrate: 12_000, vbr: false, ..base },
    ];
    configs.extend(Application::ALL.map(|application| EncoderConfig { application, ..base }));
    configs
}

fn encode(mut encoder: Encoder, pcm: &[i16]) -> Vec<Vec<u8>> {
    let frame = encoder.frame_samples() * usize::from(encoder.config().channels);
    let mut out = [0; MAX_PACKET_BYTES];
    pcm.chunks_exact(frame)
        .map(|frame| {
            let length = encoder.encode(frame, &mut out).expect("a whole frame");
            out[..length].to_vec()
        })
        .collect()
}

/// Decodes what comes through, conceals and recovers the rest; the samples' bits, frame by frame.
fn hear(mut decoder: Decoder, packets: &[Vec<u8>], frame: usize, losing: bool) -> Vec<Vec<u32>> {
    let mut out = vec![0.0; frame];
    let one = |(at, packet): (usize, &Vec<u8>)| {
        match at % 7 {
            // Three in a row are lost; the last of them is in the next packet, if that has error correction.
            2 | 3 if losing => decoder.conceal_float(&mut out).expect("concealed"),
            4 if losing => match packets.get(at + 1).filter(|next| has_fec(next)) {
                Some(next) => decoder.recover_float(next, &mut out).expect("recovered"),
                None => decoder.conceal_float(&mut out).expect("concealed"),
            },
            _ => assert_eq!(decoder.decode_float(packet, &mut out), Ok(frame)),
        }
        out.iter().map(|sample| sample.to_bits()).collect()
    };
    packets.iter().enumerate().map(one).collect()
}

#[test]
fn both_builds_give_the_same_packets() {
    let pcm = speech();
    for config in configs() {
        let whole = encode(Encoder::new(&config).expect("a good configuration"), &pcm);
        let light = encode(Encoder::light(&config).expect("a good configuration"), &pcm);
        assert!(whole.len() > 10 && whole == light, "{config:?}");
    }
}

#[test]
fn both_builds_give_the_same_samples_and_conceal_alike() {
    let pcm = speech();
    for config in configs() {
        let packets = encode(Encoder::new(&config).expect("a good configuration"), &pcm);
        for rate in [16_000, 48_000] {
            for complexity in [0, 4] {
                let frame = config.frame.samples(rate);
                let mut whole = Decoder::new(rate, 1).expect("a good rate");
                let mut light = Decoder::light(rate, 1).expect("a good rate");
                whole.set_complexity(complexity).expect("a complexity");
                light.set_complexity(complexity).expect("a complexity");
                for losing in [false, true] {
                    let (mut one, mut other) =
                        (hear(whole.clone(), &packets, frame, losing), hear(light.clone(), &packets, frame, losing));
                    if losing {
                        // The frame after a loss: without networks it is faded in, with them never, though none runs here.
                        let after = |frames: &mut Vec<Vec<u32>>| {
                            let mut at = 0..;
                            frames.retain(|_| !at.next().is_some_and(|at| (4..=6).contains(&(at % 7))));
                        };
                        after(&mut one);
                        after(&mut other);
                    }
                    assert!(one == other, "{config:?} at {rate} Hz, complexity {complexity}, losing: {losing}");
                }
            }
        }
    }
}

#[test]
fn a_copy_of_either_build_is_of_that_build() {
    let config = EncoderConfig { sample_rate: 16_000, ..EncoderConfig::default() };
    let packets = encode(Encoder::light(&config).expect("a good configuration"), &speech());
    let frame = config.frame_samples();
    let wanted = hear(Decoder::light(16_000, 1).expect("a good rate"), &packets, frame, true);
    // Copied over a larger state, and over a smaller one.
    let mut copy = Decoder::new(16_000, 1).expect("a good rate");
    copy.copy_from(&Decoder::light(16_000, 1).expect("a good rate"));
    assert!(copy.set_complexity(10).is_err());
    assert_eq!(hear(copy, &packets, frame, true), wanted);
    let mut copy = Decoder::light(16_000, 1).expect("a good rate");
    copy.copy_from(&Decoder::new(16_000, 1).expect("a good rate"));
    assert!(copy.set_complexity(10).is_ok());
    let mut encoder = Encoder::new(&config).expect("a good configuration");
    encoder.clone_from(&Encoder::light(&config).expect("a good configuration"));
    assert!(encoder.set_dred_ms(100).is_err());
    assert_eq!(encode(encoder, &speech()), packets);
}

#[test]
fn a_light_state_is_small() {
    let config = EncoderConfig::default();
    let encoder = bytes_of(|| Encoder::light(&config).expect("a good configuration"));
    let decoder = bytes_of(|| Decoder::light(48_000, 1).expect("a good rate"));
    assert!(encoder <= 36_000 && decoder <= 20_000, "{encoder} bytes an encoder, {decoder} a decoder");
    let (whole, deep) = (bytes_of(|| Encoder::new(&config)), bytes_of(|| Decoder::new(48_000, 1)));
    assert!(whole >= 3 * encoder && deep >= 8 * decoder, "{whole} bytes an encoder, {deep} a decoder");
}

#[test]
fn what_needs_networks_is_refused() {
    let config = EncoderConfig { dred_ms: 100, ..EncoderConfig::default() };
    assert!(matches!(Encoder::light(&config), Err(Error::Unsupported(message)) if message.contains("dred_ms")));
    let mut decoder = Decoder::light(48_000, 1).expect("a good rate");
    assert!(matches!(decoder.set_complexity(5), Err(Error::Unsupported(message)) if message.contains("complexity")));
    assert!(decoder.set_complexity(4).is_ok() && decoder.complexity() == 4);
    assert!(decoder.set_bandwidth_extension(false).is_ok() && decoder.set_bandwidth_extension(true).is_err());
    let dred = Dred::new().expect("deep redundancy");
    assert!(decoder.recover_dred_float(&dred, 960, &mut [0.0; 960]).is_err());
    assert!(decoder.recover_dred(&dred, 960, &mut [0; 960]).is_err());
    decoder.reset();
    assert_eq!(decoder.complexity(), 4);
}
