//! The packets of somebody who does not speak WebRTC, for those who do.

use std::{collections::VecDeque, sync::Arc};

use antiphon_core::{
    Result,
    g711::Law,
    level::{Measure, audio_level},
    mixer::InputFormat,
    opus::{Encoder, EncoderConfig, packet_samples},
};

use crate::{MemberId, config::LocalInput};

/// Ticks of Opus' clock in a second (RFC 7587).
const CLOCK: u32 = 48_000;
/// Longest packet that an encoder makes (RFC 6716, section 3.4).
const LONGEST: usize = 1275;
/// What a speaker may send ahead, in seconds; the oldest goes first.
const MOST_SECONDS: usize = 1;

/// A packet on its way to a room's listeners.
pub(crate) struct UplinkPacket {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) level: Option<u8>,
    pub(crate) payload: Arc<[u8]>,
}

enum Kind {
    /// Samples to be encoded, a frame a tick.
    Samples { encoder: Box<Encoder>, queue: VecDeque<i16>, law: Option<Law>, frame: usize, most: usize },
    /// Packets that go on as they are.
    Packets,
}

/// How loud audio is, in −dBov (RFC 6464); of Opus that is not seen without decoding it.
pub(crate) fn level(input: LocalInput, audio: &[u8]) -> Option<u8> {
    let law = match input {
        LocalInput::Packets(InputFormat::Opus) => return None,
        LocalInput::Pcm { .. } | LocalInput::Packets(InputFormat::Pcm16 { .. }) => {
            return Measure::of_s16le(audio).ok().map(|measure| audio_level(measure.rms_dbfs()));
        }
        LocalInput::Packets(InputFormat::Pcmu) => Law::Mu,
        LocalInput::Packets(InputFormat::Pcma) => Law::A,
    };
    let samples: Vec<i16> = audio.iter().map(|byte| law.decode_sample(*byte)).collect();
    Some(audio_level(Measure::of_i16(&samples).rms_dbfs()))
}

pub(crate) struct Uplink {
    kind: Kind,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    scratch: Vec<i16>,
}

impl Uplink {
    pub(crate) fn new(id: MemberId, input: LocalInput, encoder: EncoderConfig) -> Result<Self> {
        let samples = |sample_rate: u32, channels: u8, law: Option<Law>| -> Result<Kind> {
            let config = EncoderConfig { sample_rate, channels, ..encoder };
            let frame = config.frame.samples(sample_rate) * usize::from(channels);
            let most = sample_rate as usize * usize::from(channels) * MOST_SECONDS;
            let encoder = Box::new(Encoder::new(&config)?);
            Ok(Kind::Samples { encoder, queue: VecDeque::new(), law, frame, most })
        };
        let kind = match input {
            LocalInput::Pcm { sample_rate, channels }
            | LocalInput::Packets(InputFormat::Pcm16 { sample_rate, channels }) => {
                samples(sample_rate, channels, None)?
            }
            LocalInput::Packets(InputFormat::Pcmu) => samples(8_000, 1, Some(Law::Mu))?,
            LocalInput::Packets(InputFormat::Pcma) => samples(8_000, 1, Some(Law::A))?,
            LocalInput::Packets(InputFormat::Opus) => Kind::Packets,
        };
        // Sources need only differ within one room.
        Ok(Self { kind, ssrc: id as u32, sequence: 0, timestamp: 0, scratch: Vec::new() })
    }

    /// Takes audio in; a packet that goes on at once is returned.
    pub(crate) fn push(&mut self, audio: &[u8]) -> Option<UplinkPacket> {
        match &mut self.kind {
            Kind::Packets => {
                let ticks = packet_samples(audio, CLOCK).ok()? as u32;
                Some(self.packet(Arc::from(audio), ticks, None))
            }
            Kind::Samples { queue, law, most, .. } => {
                match law {
                    Some(law) => queue.extend(audio.iter().map(|byte| law.decode_sample(*byte))),
                    None => {
                        queue.extend(audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
                    }
                }
                let over = queue.len().saturating_sub(*most);
                queue.drain(..over);
                None
            }
        }
    }

    /// The packet of this tick, if there is one.
    pub(crate) fn tick(&mut self) -> Option<UplinkPacket> {
        let Kind::Samples { encoder, queue, frame, .. } = &mut self.kind else { return None };
        let ticks = encoder.config().frame.samples(CLOCK) as u32;
        if queue.len() < *frame {
            self.timestamp = self.timestamp.wrapping_add(ticks);
            return None;
        }
        self.scratch.clear();
        self.scratch.extend(queue.drain(..*frame));
        let mut out = [0; LONGEST];
        let length = encoder.encode(&self.scratch, &mut out).ok()?;
        let level = audio_level(Measure::of_i16(&self.scratch).rms_dbfs());
        Some(self.packet(Arc::from(&out[..length]), ticks, Some(level)))
    }

    fn packet(&mut self, payload: Arc<[u8]>, ticks: u32, level: Option<u8>) -> UplinkPacket {
        let (ssrc, sequence, timestamp) = (self.ssrc, self.sequence, self.timestamp);
        self.sequence = sequence.wrapping_add(1);
        self.timestamp = timestamp.wrapping_add(ticks);
        UplinkPacket { ssrc, sequence, timestamp, level, payload }
    }
}
