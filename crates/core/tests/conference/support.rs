//! Voices, listeners and a few measurements.

use std::collections::BTreeMap;

use antiphon_core::{
    mixer::{Conference, Id, Input, InputFormat, OutputFormat, RoomConfig, level},
    opus::{Application, Decoder, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES},
};

pub const TICK: usize = 960;

/// Opus as conferences use it.
pub fn opus(bitrate: u32) -> EncoderConfig {
    EncoderConfig {
        sample_rate: 48_000,
        channels: 1,
        application: Application::Voip,
        bitrate,
        complexity: 5,
        dtx: false,
        fec: false,
        expected_loss: 0,
        vbr: true,
        constrained_vbr: false,
        frame: FrameSize::Ms20,
        dred_ms: 0,
    }
}

pub fn room(config: RoomConfig, participants: Id, output: EncoderConfig) -> Conference {
    let mut room = Conference::new(config).expect("configuration");
    for id in 1..=participants {
        room.add(id, InputFormat::Opus, Some(OutputFormat::Opus(output))).expect("room");
    }
    room
}

pub fn tone(hz: f32, amplitude: f32, samples: usize) -> Vec<f32> {
    (0..samples).map(|n| amplitude * (std::f32::consts::TAU * hz * n as f32 / 48_000.0).sin()).collect()
}

/// A recording of tests/data/speech, at 16 000 samples a second.
pub fn speech(name: &str) -> Vec<f32> {
    let path = format!("{}/../../tests/data/speech/{name}", env!("CARGO_MANIFEST_DIR"));
    let wav = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    wav[44..].chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect()
}

/// Noise of a seed, at an amplitude.
pub fn noise(seed: u64, amplitude: f32, samples: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..samples)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * amplitude
        })
        .collect()
}

/// A sender's packets with the level of each, as RFC 6464 has it.
pub struct Voice(pub Vec<(Vec<u8>, u8)>);

impl Voice {
    pub fn new(config: EncoderConfig, pcm: &[f32]) -> Self {
        let mut encoder = Encoder::new(&config).expect("configuration");
        let mut packet = vec![0; MAX_PACKET_BYTES];
        let frames = pcm.chunks_exact(config.frame_samples() * usize::from(config.channels));
        Self(
            frames
                .map(|frame| {
                    let length = encoder.encode_float(frame, &mut packet).expect("encoded");
                    (packet[..length].to_vec(), (-level::dbov(frame)).round() as u8)
                })
                .collect(),
        )
    }

    pub fn input(&self, tick: usize) -> Input<'_> {
        let (payload, level) = &self.0[tick % self.0.len()];
        Input::Packet { payload, level: Some(*level), voice: None }
    }

    pub fn without_level(&self, tick: usize) -> Input<'_> {
        Input::packet(&self.0[tick % self.0.len()].0)
    }
}

/// What each listener's decoder makes of the packets.
#[derive(Default)]
pub struct Listeners {
    decoders: BTreeMap<Id, Decoder>,
    pub heard: BTreeMap<Id, Vec<f32>>,
    pub packets: BTreeMap<Id, Vec<Vec<u8>>>,
}

impl Listeners {
    /// Decode the tick's packets; every one of them must be an Opus packet of `TICK` samples.
    pub fn listen(&mut self, room: &Conference, sample_rate: u32) {
        let tick = sample_rate as usize / 50;
        for packet in room.packets() {
            let decoder =
                self.decoders.entry(packet.id).or_insert_with(|| Decoder::new(sample_rate, 1).expect("decoder"));
            let mut pcm = vec![0.0; tick];
            assert_eq!(decoder.decode_float(packet.payload, &mut pcm), Ok(tick));
            self.heard.entry(packet.id).or_default().extend(pcm);
            self.packets.entry(packet.id).or_default().push(packet.payload.to_vec());
        }
    }
}

/// The level of one frequency in dB below full scale (Goertzel).
pub fn tone_level(pcm: &[f32], hz: f32, sample_rate: u32) -> f64 {
    let (mut a, mut b, n) = (0.0_f64, 0.0_f64, pcm.len() as f64);
    for (at, x) in pcm.iter().enumerate() {
        let phase = std::f64::consts::TAU * f64::from(hz) * at as f64 / f64::from(sample_rate);
        let window = 0.5 - 0.5 * (std::f64::consts::TAU * at as f64 / n).cos();
        a += f64::from(*x) * phase.cos() * window;
        b += f64::from(*x) * phase.sin() * window;
    }
    20.0 * (4.0 * (a * a + b * b).sqrt() / n + 1e-9).log10()
}

pub fn power(pcm: &[f32]) -> f32 {
    pcm.iter().map(|x| x * x).sum::<f32>() / pcm.len().max(1) as f32
}

/// The difference of two pieces in dB: its worst 2.5 ms over the loudest 2.5 ms of the second.
pub fn worst_difference(pcm: &[f32], right: &[f32], sample_rate: u32) -> f32 {
    let step = sample_rate as usize / 400;
    let difference: Vec<f32> = pcm.iter().zip(right).map(|(a, b)| a - b).collect();
    let worst = |pcm: &[f32]| pcm.chunks(step).map(power).fold(1e-12, f32::max);
    10.0 * (worst(&difference) / worst(right)).log10()
}
