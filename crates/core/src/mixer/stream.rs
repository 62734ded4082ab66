//! An outgoing stream: what a mix goes through until it is a packet.

use super::{config::RoomConfig, format::OutputFormat, rate::Converter};
use crate::{
    Result,
    g711::Law,
    opus::{Encoder, EncoderConfig, MAX_PACKET_BYTES},
    scratch,
};

/// Packets begin with room for as much: most of speech.
const LEAST_BYTES: usize = 256;

#[derive(Debug, Clone)]
enum Coder {
    Opus(Box<Encoder>),
    Law(Law),
    Pcm16,
}

/// One encoder and what is before it. A clone goes on exactly alike: whoever hears one can change over to the other
/// without noticing, as long as both are given the same sound.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    format: OutputFormat,
    converter: Converter,
    coder: Coder,
    /// What is too short for a packet.
    pending: Vec<f32>,
    frame: usize,
    packet: Vec<u8>,
    ready: bool,
}

impl Stream {
    /// A stream in a room that has mixed `ticks` so far: those of one format begin their packets in the same ticks.
    pub(super) fn new(format: OutputFormat, room: &RoomConfig, ticks: u64) -> Result<Self> {
        let (rate, channels) = format.shape();
        let coder = match format {
            OutputFormat::Opus(config) if config.dred_ms == 0 => Coder::Opus(Box::new(Encoder::light(&config)?)),
            OutputFormat::Opus(config) => Coder::Opus(Box::new(Encoder::new(&config)?)),
            OutputFormat::Pcmu => Coder::Law(Law::Mu),
            OutputFormat::Pcma => Coder::Law(Law::A),
            OutputFormat::Pcm16 { .. } => Coder::Pcm16,
        };
        let tick = (rate / 1000 * room.tick_ms) as usize * usize::from(channels);
        let in_packet = u64::from(format.ticks(room));
        let mut pending = Vec::new();
        pending.resize(tick * (ticks % in_packet) as usize, 0.0);
        Ok(Self {
            format,
            converter: Converter::new(room.sample_rate, room.channels, rate, channels),
            coder,
            pending,
            frame: tick * in_packet as usize,
            packet: Vec::new(),
            ready: false,
        })
    }

    pub(super) fn format(&self) -> OutputFormat {
        self.format
    }

    /// Go on in another format, where the encoder can change to it in the middle: not to deep redundancy, if it began
    /// without.
    pub(super) fn retuned(&self, format: OutputFormat) -> Option<Self> {
        let (OutputFormat::Opus(from), OutputFormat::Opus(to)) = (self.format, format) else { return None };
        let EncoderConfig { bitrate, complexity, dtx, fec, expected_loss, dred_ms, .. } = to;
        if to != (EncoderConfig { bitrate, complexity, dtx, fec, expected_loss, dred_ms, ..from }) {
            return None;
        }
        let mut stream = self.clone();
        let Coder::Opus(encoder) = &mut stream.coder else { return None };
        encoder.set_bitrate(bitrate).ok()?;
        encoder.set_complexity(complexity).ok()?;
        encoder.set_dtx(dtx).ok()?;
        encoder.set_fec(fec).ok()?;
        encoder.set_expected_loss(expected_loss).ok()?;
        encoder.set_dred_ms(dred_ms).ok()?;
        stream.format = format;
        Some(stream)
    }

    /// Take a tick of the mix; whether an encoder was run.
    pub(super) fn push(&mut self, mix: &[f32]) -> Result<bool> {
        if self.pending.is_empty() {
            self.pending = scratch::take();
        }
        self.converter.convert(mix, &mut self.pending);
        self.ready = self.pending.len() >= self.frame;
        if !self.ready {
            return Ok(false);
        }
        let pending = std::mem::take(&mut self.pending);
        let made = self.make(&pending[..self.frame]);
        scratch::give(pending);
        made.map(|()| true)
    }

    fn make(&mut self, pcm: &[f32]) -> Result<()> {
        match &mut self.coder {
            Coder::Opus(encoder) => {
                let mut room = [0; MAX_PACKET_BYTES];
                let length = encoder.encode_float(pcm, &mut room)?;
                self.packet.clear();
                // Not for each packet that is a little longer than those before.
                self.packet.reserve(length.max(LEAST_BYTES));
                self.packet.extend_from_slice(&room[..length]);
            }
            Coder::Law(law) => {
                self.packet.resize(self.frame, 0);
                law.encode_float(pcm, &mut self.packet)?;
            }
            Coder::Pcm16 => {
                self.packet.clear();
                self.packet.extend(pcm.iter().flat_map(|x| to_i16(*x).to_le_bytes()));
            }
        }
        Ok(())
    }

    /// The packet that the last tick completed.
    pub(super) fn packet(&self) -> Option<&[u8]> {
        self.ready.then_some(self.packet.as_slice())
    }
}

fn to_i16(x: f32) -> i16 {
    // `as` saturates.
    (x * 32_768.0).round_ties_even() as i16
}
