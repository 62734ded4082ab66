//! What a participant sends, decoded only when it is wanted.

use std::collections::VecDeque;

use super::{
    conference::Counters,
    config::RoomConfig,
    format::InputFormat,
    hint::{Hint, opus_hint},
    level,
    rate::Converter,
};
use crate::{
    Error, Result,
    g711::Law,
    opus::{Decoder, packet_samples},
};

/// Packets before the present one from which a decoder that has not heard any for a while takes up the sound.
///
/// An Opus decoder that starts in the middle of a stream needs about 100 ms before it gives what one gives that heard
/// everything.
const WARM_UP: usize = 8;

/// Most packets kept: those to warm up with, and those of a tick.
const KEPT: usize = WARM_UP + 8;

/// Longest that is waited for somebody who sends nothing, and most that is kept of somebody who sends too much.
const PATIENCE_MS: u32 = 120;

/// Quiet by the word of their own encoder: these are looked at so many times more rarely.
const QUIET_PROBES: u64 = 4;

/// Most bytes of a packet that is worth looking at: the most that UDP carries.
const MAX_BYTES: usize = 65_507;

/// What arrived of a participant.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A packet in the participant's format.
    Packet {
        /// Without RTP header and padding.
        payload: &'a [u8],
        /// Level in −dBov, 0 (loudest) to 127, of the header extension of RFC 6464.
        level: Option<u8>,
        /// That extension's flag: whether the sender takes it for voice.
        voice: Option<bool>,
    },
    /// A packet that will not come, to be concealed.
    Lost,
    /// A packet that will not come, while the one after it is here and may carry it once more (in-band FEC).
    Recover {
        /// The packet after it, which arrives as such in its own turn.
        next: &'a [u8],
    },
    /// Samples of the room's rate and channels that have been decoded already.
    Pcm(&'a [f32]),
}

impl<'a> Input<'a> {
    /// A packet of which nothing more is known.
    pub fn packet(payload: &'a [u8]) -> Self {
        Self::Packet { payload, level: None, voice: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Packet,
    Lost,
    Recover,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Codec {
    /// Made when it is first needed: most who listen never speak.
    Opus(Option<Box<Decoder>>),
    Plain(Converter),
}

/// One participant's packets and their decoder.
#[derive(Debug)]
pub(super) struct Source {
    format: InputFormat,
    sample_rate: u32,
    channels: u8,
    tick: usize,
    patience: u32,
    codec: Codec,
    recent: VecDeque<Entry>,
    /// How many of `recent`, at its end, arrived in this tick.
    fresh: usize,
    /// How many of `recent`, at its end, have not been decoded.
    behind: usize,
    /// The decoder has been told of everything but those.
    continuous: bool,
    /// Decoded and not yet played.
    queue: Vec<f32>,
    frame: Vec<f32>,
    native: Vec<f32>,
    level: Option<f32>,
    voice: Option<bool>,
    hint: Hint,
    /// Ticks since anything came that can be heard.
    dry: u32,
    /// Ticks concealed in a row because nothing came; `None` where there is nothing to go on from.
    concealed: Option<u32>,
}

impl Source {
    pub(super) fn new(format: InputFormat, room: &RoomConfig) -> Result<Self> {
        let (rate, channels) = format.checked()?.shape();
        let codec = match format {
            InputFormat::Opus => Codec::Opus(None),
            _ => Codec::Plain(Converter::new(rate, channels, room.sample_rate, room.channels)),
        };
        Ok(Self {
            format,
            sample_rate: room.sample_rate,
            channels: room.channels,
            tick: room.tick_len(),
            patience: PATIENCE_MS / room.tick_ms,
            codec,
            recent: VecDeque::new(),
            fresh: 0,
            behind: 0,
            continuous: true,
            queue: Vec::new(),
            frame: Vec::new(),
            native: Vec::new(),
            level: None,
            voice: None,
            hint: Hint::Silent,
            dry: 0,
            concealed: None,
        })
    }

    /// Begin a tick.
    pub(super) fn begin(&mut self) {
        self.fresh = 0;
        self.level = None;
        self.voice = None;
        self.dry = self.dry.saturating_add(1);
    }

    /// Take what arrived. A packet that cannot be decoded is a lost one.
    pub(super) fn arrive(&mut self, input: Input<'_>, counters: &mut Counters) {
        match input {
            Input::Packet { payload, level, voice } => {
                if self.check(payload).is_err() {
                    counters.malformed += 1;
                    return self.keep(Kind::Lost, &[]);
                }
                self.keep(Kind::Packet, payload);
                self.dry = 0;
                self.voice = voice;
                self.level = level.map(|level| -f32::from(level.min(127)));
                match self.codec {
                    Codec::Opus(_) if self.level.is_none() => self.hint = opus_hint(payload),
                    Codec::Plain(_) if self.level.is_none() => {
                        read_plain(self.format, payload, &mut self.native);
                        self.level = Some(level::dbov(&self.native));
                    }
                    _ => {}
                }
            }
            Input::Lost => self.keep(Kind::Lost, &[]),
            Input::Recover { next } => match self.check(next) {
                Ok(()) => self.keep(Kind::Recover, next),
                Err(_) => self.keep(Kind::Lost, &[]),
            },
            Input::Pcm(pcm) => {
                self.queue.extend_from_slice(pcm);
                self.dry = 0;
                self.level = Some(level::dbov(pcm));
            }
        }
    }

    fn check(&self, payload: &[u8]) -> Result<()> {
        if payload.len() > MAX_BYTES {
            return Err(Error::TooLarge(format!("{} bytes in one packet", payload.len())));
        }
        if self.format == InputFormat::Opus {
            return packet_samples(payload, self.sample_rate).map(|_| ());
        }
        let (rate, channels) = self.format.shape();
        let sample = if matches!(self.format, InputFormat::Pcm16 { .. }) { 2 } else { 1 };
        // 2.5 ms: what converts into a whole number of samples of any rate.
        let step = rate as usize / 400 * usize::from(channels) * sample;
        if payload.is_empty() || !payload.len().is_multiple_of(step) || payload.len() / step > 48 {
            let what = format!("{} bytes: a packet has 2.5 to 120 ms in steps of {step} bytes", payload.len());
            return Err(Error::malformed(payload.len() as u64, what));
        }
        Ok(())
    }

    fn keep(&mut self, kind: Kind, bytes: &[u8]) {
        let mut entry = match self.recent.len() {
            KEPT => self.recent.pop_front(),
            _ => None,
        }
        .unwrap_or(Entry { kind, bytes: Vec::new() });
        entry.kind = kind;
        entry.bytes.clear();
        entry.bytes.extend_from_slice(bytes);
        self.recent.push_back(entry);
        self.fresh = (self.fresh + 1).min(KEPT);
        self.behind += 1;
        if self.behind > self.recent.len() {
            self.behind = self.recent.len();
            self.continuous = false;
        }
    }

    /// The level of this tick and what the sender says of voice, as far as either is known. Decodes only where no level
    /// came and the participant may be about to be heard; `turn` counts ticks, apart for each participant.
    pub(super) fn level(
        &mut self,
        heard: bool,
        speaking: bool,
        turn: u64,
        probe: u64,
        counters: &mut Counters,
    ) -> Result<(Option<f32>, Option<bool>)> {
        if self.level.is_none() && self.dry == 0 {
            let wanted = match self.hint {
                Hint::Silent => false,
                _ if heard => true,
                Hint::Voice if !speaking => true,
                Hint::Quiet => turn.is_multiple_of(probe * QUIET_PROBES),
                _ => turn.is_multiple_of(probe),
            };
            if wanted {
                let before = self.queue.len();
                if heard {
                    self.catch_up(counters)?;
                } else {
                    self.look(counters)?;
                }
                self.level = Some(level::dbov(&self.queue[before..]));
            } else if self.hint == Hint::Silent {
                self.level = Some(level::SILENCE);
            }
        }
        if self.dry >= self.patience {
            self.level = Some(level::SILENCE);
        }
        Ok((self.level, self.voice))
    }

    /// Decode what came in this tick, whatever the decoder heard last: good enough for a level.
    fn look(&mut self, counters: &mut Counters) -> Result<()> {
        self.continuous &= self.behind <= self.fresh;
        self.behind = self.fresh;
        self.decode(self.fresh, counters)
    }

    /// Decode what has not been decoded; what came before this tick is only for the decoder to hear.
    fn catch_up(&mut self, counters: &mut Counters) -> Result<()> {
        if !self.continuous {
            match &mut self.codec {
                Codec::Opus(Some(decoder)) => decoder.reset(),
                Codec::Opus(None) => {}
                Codec::Plain(converter) => converter.reset(),
            }
            self.behind = self.recent.len().min(WARM_UP + self.fresh);
            self.continuous = true;
        }
        self.decode(self.fresh, counters)
    }

    /// Decode all that is behind, and queue the last `audible` of it.
    fn decode(&mut self, audible: usize, counters: &mut Counters) -> Result<()> {
        let start = self.recent.len() - self.behind;
        for index in start..self.recent.len() {
            let before = self.queue.len();
            self.decode_one(index, counters)?;
            if self.recent.len() - index > audible {
                self.queue.truncate(before);
            }
        }
        self.behind = 0;
        Ok(())
    }

    fn decode_one(&mut self, index: usize, counters: &mut Counters) -> Result<()> {
        let entry = &self.recent[index];
        let before = self.queue.len();
        match &mut self.codec {
            Codec::Plain(converter) => {
                if entry.kind == Kind::Packet {
                    read_plain(self.format, &entry.bytes, &mut self.native);
                    converter.convert(&self.native, &mut self.queue);
                    counters.decoded += 1;
                }
            }
            Codec::Opus(decoder) => {
                if decoder.is_none() {
                    *decoder = Some(Box::new(Decoder::light(self.sample_rate, self.channels)?));
                }
                let Some(decoder) = decoder else { return Ok(()) };
                let len = match entry.kind {
                    Kind::Packet => packet_samples(&entry.bytes, self.sample_rate)? * usize::from(self.channels),
                    _ => self.tick,
                };
                self.queue.resize(before + len, 0.0);
                let out = &mut self.queue[before..];
                match entry.kind {
                    Kind::Packet => {
                        counters.decoded += 1;
                        if decoder.decode_float(&entry.bytes, out).is_err() {
                            counters.malformed += 1;
                            decoder.conceal_float(out)?;
                        }
                    }
                    Kind::Recover => {
                        counters.concealed += 1;
                        decoder.recover_float(&entry.bytes, out)?;
                    }
                    Kind::Lost => {
                        counters.concealed += 1;
                        decoder.conceal_float(out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// This tick's samples, and whether they are the last for now; `None` where there is nothing to hear.
    pub(super) fn produce(&mut self, counters: &mut Counters) -> Result<Option<(&[f32], bool)>> {
        if !self.continuous {
            // What a look at the level decoded is not good enough to be heard.
            self.queue.clear();
        }
        self.catch_up(counters)?;
        let most = self.tick * (1 + self.patience as usize);
        if self.queue.len() > most {
            counters.dropped += (self.queue.len() - most) as u64;
            self.queue.drain(..self.queue.len() - most);
        }
        let mut last = false;
        if self.queue.len() >= self.tick {
            self.concealed = Some(0);
        } else {
            let Some(concealed) = self.concealed else { return Ok(None) };
            counters.concealed += 1;
            last = self.conceal(concealed)?;
            self.concealed = if last { None } else { Some(concealed + 1) };
        }
        self.frame.clear();
        self.frame.extend(self.queue.drain(..self.tick));
        Ok(Some((&self.frame, last)))
    }

    /// Fill the queue up to a tick; whether that was all that can be done.
    fn conceal(&mut self, concealed: u32) -> Result<bool> {
        let before = self.queue.len();
        if let (Codec::Opus(Some(decoder)), false) = (&mut self.codec, self.recent.is_empty()) {
            self.queue.resize(self.tick, 0.0);
            decoder.conceal_float(&mut self.queue[before..])?;
            return Ok(concealed + 1 >= self.patience);
        }
        // Backwards from where the sound broke off, so that there is no step, and out.
        let channels = usize::from(self.channels);
        let missing = self.tick - before;
        self.queue.extend(self.frame.rchunks_exact(channels).flatten().take(missing));
        self.queue.resize(self.tick, 0.0);
        Ok(true)
    }

    /// Nobody hears this participant in this tick.
    pub(super) fn skip(&mut self) {
        self.queue.clear();
        self.concealed = None;
    }
}

fn read_plain(format: InputFormat, payload: &[u8], out: &mut Vec<f32>) {
    out.clear();
    match format {
        InputFormat::Pcmu => out.extend(payload.iter().map(|byte| scale(Law::Mu.decode_sample(*byte)))),
        InputFormat::Pcma => out.extend(payload.iter().map(|byte| scale(Law::A.decode_sample(*byte)))),
        InputFormat::Pcm16 { .. } => {
            out.extend(payload.chunks_exact(2).map(|pair| scale(i16::from_le_bytes([pair[0], pair[1]]))));
        }
        InputFormat::Opus => {}
    }
}

fn scale(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}
