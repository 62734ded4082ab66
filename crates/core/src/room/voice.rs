//! What one participant sends, tick by tick.

use super::{
    config::{Input, MixRoomConfig},
    decoding::{self, Buffer},
    feed::{Cutter, Numbers},
    levels::{Arrived, Known, Levels},
};
use crate::{
    Error, Result,
    jitter::Packet,
    mixer::{Hint, InputFormat, level, rate::Converter},
    opus::packet_samples,
    scratch,
};

/// Who has sent nothing for so long, with nothing left to play, is silent.
const PATIENCE_MS: u32 = 200;
/// Quiet by the word of their own encoder: these are looked at so many times more rarely.
const QUIET_PROBES: u64 = 4;

/// What is done with a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Decode,
    Look,
    Skip,
}

/// A jitter buffer and what is around it.
pub(super) struct Voice {
    input: Input,
    format: InputFormat,
    /// Made when the first packet comes: most who listen never speak.
    buffer: Option<Box<Buffer>>,
    converter: Option<Converter>,
    numbers: Numbers,
    cutter: Option<Cutter>,
    levels: Levels,
    pcm: Vec<f32>,
    /// What was done in this tick.
    done: Option<Deed>,
    /// Level of what was decoded in this tick.
    measured: Option<f32>,
    dry: u32,
    patience: u32,
}

impl Voice {
    pub(super) fn new(input: Input, config: &MixRoomConfig) -> Result<Self> {
        decoding::check(input, config)?;
        let format = decoding::format(input);
        let shape = decoding::shape(format, &config.room);
        let cutter = match input {
            Input::Pcm { sample_rate, channels } => {
                Some(Cutter::new(sample_rate, channels, shape.rate, shape.channels)?)
            }
            Input::Rtp(_) | Input::Packets(_) => None,
        };
        Ok(Self {
            input,
            format,
            buffer: None,
            converter: decoding::converter(format, &config.room),
            numbers: Numbers::new(shape.clock_rate),
            cutter,
            levels: Levels::default(),
            pcm: Vec::new(),
            done: None,
            measured: None,
            dry: 0,
            patience: PATIENCE_MS / config.room.tick_ms,
        })
    }

    pub(super) fn buffer(&self) -> Option<&Buffer> {
        self.buffer.as_deref()
    }

    pub(super) fn push(&mut self, packet: &Arrived<'_>, now: i64, config: &MixRoomConfig) -> Result<()> {
        if !matches!(self.input, Input::Rtp(_)) {
            return Err(Error::unsupported(
                "this participant sends no RTP: push_pcm or push_packet takes what it sends",
            ));
        }
        self.insert(packet, now, config)
    }

    pub(super) fn push_packet(&mut self, payload: &[u8], now: i64, config: &MixRoomConfig) -> Result<()> {
        if !matches!(self.input, Input::Packets(_)) {
            return Err(Error::unsupported("this participant sends no packets without RTP: take push or push_pcm"));
        }
        let ticks = match self.format {
            InputFormat::Opus => packet_samples(payload, 48_000)?,
            InputFormat::Pcmu | InputFormat::Pcma => payload.len(),
            InputFormat::Pcm16 { channels, .. } => payload.len() / 2 / usize::from(channels),
        };
        self.numbers.begin(now);
        self.number(payload, ticks as u32, now, config)
    }

    pub(super) fn push_pcm(&mut self, pcm: &[u8], now: i64, config: &MixRoomConfig) -> Result<()> {
        let Some(mut cutter) = self.cutter.take() else {
            return Err(Error::unsupported("this participant sends packets: push or push_packet takes them"));
        };
        self.numbers.begin(now);
        let channels = decoding::shape(self.format, &config.room).channels;
        let result = cutter.push(pcm).and_then(|mut pieces| {
            pieces.try_for_each(|packet| {
                let ticks = packet.len() / 2 / usize::from(channels);
                self.number(packet, ticks as u32, now, config)
            })
        });
        self.cutter = Some(cutter);
        result
    }

    fn number(&mut self, payload: &[u8], ticks: u32, now: i64, config: &MixRoomConfig) -> Result<()> {
        let (sequence_number, timestamp) = self.numbers.next(ticks);
        let packet = Arrived { ssrc: 0, sequence_number, timestamp, payload, level: None, voice: None };
        self.insert(&packet, now, config)
    }

    fn insert(&mut self, packet: &Arrived<'_>, now: i64, config: &MixRoomConfig) -> Result<()> {
        if self.buffer.is_none() {
            self.buffer = Some(Box::new(decoding::buffer(self.input, config)?));
        }
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        let &Arrived { ssrc, sequence_number, timestamp, payload, .. } = packet;
        buffer.push(&Packet { ssrc, sequence_number, timestamp, payload }, now)?;
        self.levels.note(self.format, packet);
        Ok(())
    }

    /// Begins a tick: what is known of its level without decoding.
    pub(super) fn begin(&mut self) -> Known {
        self.done = None;
        self.measured = None;
        let Some(buffer) = &self.buffer else { return Known::SILENCE };
        self.dry = if buffer.waiting() == 0 { self.dry.saturating_add(1) } else { 0 };
        if self.dry >= self.patience {
            return Known::SILENCE;
        }
        self.levels.around(buffer.next_sequence_number())
    }

    /// What has to be done before it is known who is heard, where no level is.
    pub(super) fn early(&self, known: Known, heard: bool, speaking: bool, turn: u64, probe: u64) -> Deed {
        if self.buffer.is_none() || known.level.is_some() || self.dry > 0 && !heard {
            return Deed::Skip;
        }
        match known.hint {
            _ if heard => Deed::Decode,
            Hint::Silent => Deed::Skip,
            Hint::Voice if !speaking => Deed::Decode,
            Hint::Quiet if turn.is_multiple_of(probe * QUIET_PROBES) => Deed::Look,
            Hint::Voice | Hint::Unknown if turn.is_multiple_of(probe) => Deed::Look,
            _ => Deed::Skip,
        }
    }

    /// Lets the tick's time pass, once.
    pub(super) fn pass(&mut self, deed: Deed, now: i64) -> Result<()> {
        if self.done.is_some() {
            return Ok(());
        }
        self.done = Some(deed);
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        if deed != Deed::Decode {
            self.measured = buffer.skip(now, deed == Deed::Look).map(level::of_power);
            return Ok(());
        }
        let Some(converter) = &mut self.converter else {
            self.pcm.resize(buffer.frame_len(), 0.0);
            buffer.pull(now, &mut self.pcm)?;
            self.measured = Some(level::dbov(&self.pcm));
            return Ok(());
        };
        let mut native = scratch::take();
        native.resize(buffer.frame_len(), 0.0);
        let pulled = buffer.pull(now, &mut native);
        self.pcm.clear();
        converter.convert(&native, &mut self.pcm);
        scratch::give(native);
        pulled?;
        self.measured = Some(level::dbov(&self.pcm));
        Ok(())
    }

    pub(super) fn done(&self) -> Option<Deed> {
        self.done
    }

    /// The level of what was decoded in this tick.
    pub(super) fn measured(&self) -> Option<f32> {
        self.measured
    }

    /// The tick's samples, where it was decoded.
    pub(super) fn pcm(&self) -> Option<&[f32]> {
        (self.done == Some(Deed::Decode) && self.buffer.is_some()).then_some(self.pcm.as_slice())
    }
}
