//! Senders, a seeded network, and ears around a room.

use std::collections::BTreeMap;

use antiphon_core::{
    mixer::{Id, OutputFormat, RoomConfig, level},
    opus::{Application, Decoder, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES},
    room::{Arrived, MixRoom, MixRoomConfig, SHIFT_US},
};

/// Opus as conferences use it.
pub fn opus() -> EncoderConfig {
    EncoderConfig {
        bitrate: 32_000,
        complexity: 5,
        dtx: false,
        fec: false,
        expected_loss: 0,
        ..EncoderConfig::voice_high_quality()
    }
}

/// Opus with the least delay.
pub fn low_delay() -> EncoderConfig {
    EncoderConfig { application: Application::RestrictedLowDelay, frame: FrameSize::Ms10, bitrate: 64_000, ..opus() }
}

pub fn config(tick_ms: u32) -> MixRoomConfig {
    let config = MixRoomConfig::default();
    MixRoomConfig { room: RoomConfig { tick_ms, ..config.room }, ..config }
}

/// A recording of tests/data/speech, 16 000 samples a second, brought to 48 000.
pub fn speech(name: &str) -> Vec<f32> {
    let path = format!("{}/../../tests/data/speech/{name}", env!("CARGO_MANIFEST_DIR"));
    let wav = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let pcm: Vec<f32> =
        wav[44..].chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect();
    let mut resampler = antiphon_core::resample::Resampler::new(16_000, 48_000, 1).expect("rates");
    let mut out = Vec::new();
    resampler.push(&pcm, &mut out).expect("mono");
    resampler.flush(&mut out);
    out
}

pub fn tone(hz: f32, amplitude: f32, samples: usize) -> Vec<f32> {
    (0..samples).map(|n| amplitude * (std::f32::consts::TAU * hz * n as f32 / 48_000.0).sin()).collect()
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

pub fn db(power: f32) -> f32 {
    10.0 * (power + 1e-12).log10()
}

/// Numbers below a limit, from a seed.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What goes over the network.
#[derive(Debug, Clone)]
pub struct Sent {
    pub at: i64,
    pub id: Id,
    pub sequence_number: u16,
    pub timestamp: u32,
    pub payload: Vec<u8>,
    pub level: Option<u8>,
}

/// A sender's packets, each sent when its frame is complete; the first frame begins at `begin` microseconds.
pub fn send(id: Id, config: &EncoderConfig, pcm: &[f32], begin: i64, levels: bool) -> Vec<Sent> {
    let mut encoder = Encoder::new(config).expect("configuration");
    let mut packet = vec![0; MAX_PACKET_BYTES];
    let frame = i64::from(config.frame.micros());
    let frames = pcm.chunks_exact(config.frame_samples() * usize::from(config.channels));
    (0..)
        .zip(frames)
        .map(|(number, pcm)| {
            let length = encoder.encode_float(pcm, &mut packet).expect("encoded");
            Sent {
                at: begin + (number + 1) * frame,
                id,
                sequence_number: (id * 1_000 + number as u64) as u16,
                timestamp: (number * frame * 48 / 1_000) as u32,
                payload: packet[..length].to_vec(),
                level: levels.then(|| (-level::dbov(pcm)).round() as u8),
            }
        })
        .collect()
}

/// Loses so many of a hundred packets and delays the others by up to `jitter_ms`.
pub fn network(mut sent: Vec<Sent>, loss: u64, jitter_ms: u64, seed: u64) -> Vec<Sent> {
    let mut dice = Dice(seed);
    sent.retain_mut(|packet| {
        packet.at += dice.below(jitter_ms * 1_000 + 1) as i64;
        dice.below(100) >= loss
    });
    sent
}

/// A room, its clock, and what its listeners' decoders make of the packets.
pub struct Run {
    pub room: MixRoom,
    pub now: i64,
    tick_us: i64,
    /// Ticks go where the room would have them.
    pub follows: bool,
    decoders: BTreeMap<Id, Decoder>,
    /// Each listener's sound.
    pub heard: BTreeMap<Id, Vec<f32>>,
    /// For each packet that a listener heard, the sample it begins with and when it came.
    pub came: BTreeMap<Id, Vec<(usize, i64)>>,
    pub tapped: BTreeMap<Id, Vec<i16>>,
    pub changes: Vec<(i64, Id, bool)>,
}

impl Run {
    /// A room whose first tick is at `phase` microseconds.
    pub fn new(config: MixRoomConfig, phase: i64) -> Self {
        let tick_us = i64::from(config.room.tick_ms) * 1_000;
        Self {
            room: MixRoom::new(config).expect("configuration"),
            now: phase,
            tick_us,
            decoders: BTreeMap::new(),
            heard: BTreeMap::new(),
            came: BTreeMap::new(),
            follows: false,
            tapped: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// Lets packets arrive and ticks pass until `until` microseconds.
    pub fn play(&mut self, sent: &mut Vec<Sent>, until: i64) {
        sent.sort_by_key(|packet| packet.at);
        let mut coming = std::mem::take(sent).into_iter().peekable();
        while self.now < until {
            while let Some(packet) = coming.next_if(|packet| packet.at <= self.now) {
                self.push(&packet);
            }
            self.tick();
        }
        sent.extend(coming);
    }

    pub fn push(&mut self, packet: &Sent) {
        let Sent { at, id, sequence_number, timestamp, payload, level } = packet;
        let arrived = Arrived {
            ssrc: *id as u32,
            sequence_number: *sequence_number,
            timestamp: *timestamp,
            payload,
            level: *level,
            voice: None,
        };
        self.room.push(*id, &arrived, *at).expect("a good packet");
    }

    pub fn tick(&mut self) {
        self.room.tick(self.now).expect("a tick");
        for packet in self.room.packets() {
            let decoder = self.decoders.entry(packet.id).or_insert_with(|| Decoder::new(48_000, 1).expect("decoder"));
            let samples = antiphon_core::opus::packet_samples(packet.payload, 48_000).expect("a packet");
            let mut pcm = vec![0.0; samples];
            decoder.decode_float(packet.payload, &mut pcm).expect("decoded");
            let heard = self.heard.entry(packet.id).or_default();
            self.came.entry(packet.id).or_default().push((heard.len(), self.now));
            heard.extend(pcm);
        }
        for (id, pcm) in self.room.tapped() {
            self.tapped.entry(id).or_default().extend(pcm);
        }
        self.changes.extend(self.room.changes().iter().map(|(id, speaks)| (self.now, *id, *speaks)));
        self.now += self.tick_us;
        if self.follows {
            self.now += self.room.best_shift().clamp(-SHIFT_US, SHIFT_US);
        }
    }

    pub fn listen(config: EncoderConfig) -> Option<OutputFormat> {
        Some(OutputFormat::Opus(config))
    }
}
