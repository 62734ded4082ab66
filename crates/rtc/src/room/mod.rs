//! Rooms: who is in them, whose packets go where.

mod forward;
mod speakers;
mod uplink;

use std::time::Duration;

use antiphon_core::{
    mixer::{InputFormat, OutputFormat, RoomConfig},
    opus::{Application, EncoderConfig, FrameSize},
    room::{Input, MixRoom, MixRoomConfig},
};
use rustc_hash::{FxHashMap, FxHashSet};

pub use forward::{Forward, Place};
pub(crate) use speakers::{Speakers, assign};
pub(crate) use uplink::{Uplink, UplinkPacket, level};

use crate::{
    MemberId,
    config::{LocalInput, LocalOutput, RoomMode, RoomOptions},
};

/// A participant who does not speak WebRTC.
pub(crate) struct Local {
    pub(crate) input: Option<LocalInput>,
    pub(crate) output: Option<LocalOutput>,
    /// Makes packets of the input where the room relays.
    pub(crate) uplink: Option<Uplink>,
}

/// What a WebRTC peer does in its room.
pub(crate) struct Seat {
    pub(crate) publish: bool,
    pub(crate) listen: bool,
    /// Who is on each of its streams.
    pub(crate) slots: Vec<Option<MemberId>>,
    /// Bits a second of what is encoded for it.
    pub(crate) bitrate: u32,
    /// Percent of packets for whose loss its encoder provides.
    pub(crate) expected_loss: u8,
    /// Looks in a row at which it lost nearly nothing.
    pub(crate) calm: u32,
}

/// From this share of lost packets on, error correction is sent, for so many percent.
const LOSSY: [(f64, u8); 2] = [(0.1, 20), (0.02, 10)];
/// Under this share of lost packets, for so many looks in a row, it is sent no longer: it costs bits and time.
const CALM: (f64, u32) = (0.005, 15);
/// Percent that an encoder provides for of whose listeners nothing is known.
const UNKNOWN_LOSS: u8 = 5;

/// Somebody's words on their way to a recogniser.
pub(crate) struct Tap {
    pub(crate) sample_rate: u32,
    pub(crate) pcm: Vec<u8>,
}

pub(crate) struct Room {
    pub(crate) options: RoomOptions,
    pub(crate) seats: FxHashMap<MemberId, Seat>,
    pub(crate) locals: FxHashMap<MemberId, Local>,
    pub(crate) taps: FxHashMap<MemberId, Tap>,
    pub(crate) muted: FxHashSet<MemberId>,
    pub(crate) speakers: Speakers,
    /// Whose packets go to whom, and on which of their streams.
    pub(crate) routes: FxHashMap<MemberId, Vec<(MemberId, usize)>>,
    pub(crate) mix: Option<MixRoom>,
    /// Its next tick is in the owner's heap.
    pub(crate) ticking: bool,
    chosen: Vec<MemberId>,
    before: Vec<MemberId>,
    dirty: bool,
}

impl Room {
    pub(crate) fn new(options: RoomOptions) -> antiphon_core::Result<Self> {
        let mut room = Self {
            speakers: Speakers::new(options.loudest.max(1), options.tick_ms),
            seats: FxHashMap::default(),
            locals: FxHashMap::default(),
            taps: FxHashMap::default(),
            muted: FxHashSet::default(),
            routes: FxHashMap::default(),
            mix: None,
            ticking: false,
            chosen: Vec::new(),
            before: Vec::new(),
            dirty: false,
            options,
        };
        // Says at once what is wrong with the options.
        room.new_mix()?;
        if room.options.mode == RoomMode::Mix {
            room.mix = Some(room.new_mix()?);
        }
        Ok(room)
    }

    fn new_mix(&self) -> antiphon_core::Result<MixRoom> {
        let room = RoomConfig {
            tick_ms: self.options.tick_ms,
            loudest: Some(self.options.loudest),
            max_participants: self.options.max_participants,
            ..RoomConfig::default()
        };
        encoder(&self.options, self.options.bitrate, 0).check()?;
        MixRoom::new(MixRoomConfig { room, ..MixRoomConfig::default() })
    }

    pub(crate) fn tick_every(&self) -> Duration {
        Duration::from_millis(self.options.tick_ms.into())
    }

    pub(crate) fn len(&self) -> usize {
        self.seats.len() + self.locals.len()
    }

    /// Lets a WebRTC peer in.
    pub(crate) fn sit(&mut self, id: MemberId, seat: Seat) -> antiphon_core::Result<()> {
        if let Some(mix) = &mut self.mix {
            add_seat(mix, &self.options, id, &seat)?;
        }
        if seat.publish {
            self.speakers.add(id);
        }
        self.seats.insert(id, seat);
        self.dirty = true;
        Ok(())
    }

    /// Lets somebody in who does not speak WebRTC.
    pub(crate) fn sit_local(&mut self, id: MemberId, mut local: Local) -> antiphon_core::Result<()> {
        if let (Some(input), RoomMode::Relay) = (local.input, self.options.mode) {
            local.uplink = Some(Uplink::new(id, input, encoder(&self.options, self.options.bitrate, UNKNOWN_LOSS))?);
        }
        if local.output.is_some() {
            self.need_mix()?;
        }
        if let Some(mix) = &mut self.mix {
            add_local(mix, id, &local)?;
        }
        if local.input.is_some() {
            self.speakers.add(id);
        }
        self.locals.insert(id, local);
        self.dirty = true;
        Ok(())
    }

    /// Lets somebody go.
    pub(crate) fn leave(&mut self, id: MemberId) {
        self.seats.remove(&id);
        self.locals.remove(&id);
        self.taps.remove(&id);
        self.muted.remove(&id);
        self.speakers.remove(id);
        if let Some(mix) = &mut self.mix {
            mix.remove(id);
        }
        self.rest();
        self.dirty = true;
    }

    /// Decodes somebody from now on.
    pub(crate) fn tap(&mut self, id: MemberId, sample_rate: u32) -> antiphon_core::Result<()> {
        self.need_mix()?;
        if let Some(mix) = &mut self.mix {
            mix.tap(id, Some(sample_rate))?;
        }
        self.taps.insert(id, Tap { sample_rate, pcm: Vec::new() });
        Ok(())
    }

    pub(crate) fn untap(&mut self, id: MemberId) {
        if self.taps.remove(&id).is_some()
            && let Some(mix) = &mut self.mix
        {
            let _ = mix.tap(id, None);
        }
        self.rest();
    }

    pub(crate) fn mute(&mut self, id: MemberId, muted: bool) {
        if muted {
            self.muted.insert(id)
        } else {
            self.muted.remove(&id)
        };
        self.speakers.mute(id, muted);
        if let Some(mix) = &mut self.mix {
            let _ = mix.set_muted(id, muted);
        }
        self.dirty = true;
    }

    pub(crate) fn set_bitrate(&mut self, id: MemberId, bitrate: u32) {
        let bitrate = ladder(bitrate);
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.bitrate = bitrate;
            self.retune(id);
        } else if let (Some(local), Some(mix)) = (self.locals.get_mut(&id), &mut self.mix)
            && let Some(OutputFormat::Opus(config)) = &mut local.output
        {
            config.bitrate = bitrate;
            let _ = mix.set_output(id, local.output);
        }
    }

    /// Takes what a peer tells of the packets it lost, 0 to 1: error correction is sent to those who need it.
    pub(crate) fn set_loss(&mut self, id: MemberId, loss: f64) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let needed = LOSSY.into_iter().find(|(from, _)| loss >= *from).map_or(0, |(_, percent)| percent);
        seat.calm = if loss < CALM.0 { seat.calm + 1 } else { 0 };
        let expected = if seat.calm >= CALM.1 { 0 } else { needed.max(seat.expected_loss) };
        if std::mem::replace(&mut seat.expected_loss, expected) != expected {
            self.retune(id);
        }
    }

    fn retune(&mut self, id: MemberId) {
        let Some(seat) = self.seats.get(&id) else { return };
        let output = output(&self.options, seat);
        if let (Some(mix), RoomMode::Mix) = (&mut self.mix, self.options.mode) {
            let _ = mix.set_output(id, output);
        }
    }

    /// A mixer for those in a relaying room who can't take packets, with everybody in it.
    fn need_mix(&mut self) -> antiphon_core::Result<()> {
        if self.mix.is_some() {
            return Ok(());
        }
        let mut mix = self.new_mix()?;
        for (&id, seat) in &self.seats {
            add_seat(&mut mix, &self.options, id, seat)?;
        }
        for (&id, local) in &self.locals {
            add_local(&mut mix, id, local)?;
        }
        for &id in &self.muted {
            mix.set_muted(id, true)?;
        }
        self.mix = Some(mix);
        Ok(())
    }

    /// Lets the mixer go where nobody needs it.
    fn rest(&mut self) {
        let needed = self.options.mode == RoomMode::Mix
            || !self.taps.is_empty()
            || self.locals.values().any(|local| local.output.is_some());
        if !needed {
            self.mix = None;
        }
    }

    /// Looks who speaks, and puts the speakers on the listeners' streams; whose changed goes to `changed`.
    pub(crate) fn look(&mut self, now: i64, spoke: impl FnMut(MemberId, bool), mut changed: impl FnMut(MemberId)) {
        self.speakers.tick(now, spoke);
        if self.options.mode != RoomMode::Relay {
            return;
        }
        std::mem::swap(&mut self.chosen, &mut self.before);
        self.speakers.chosen(&mut self.chosen);
        if !self.dirty && self.chosen == self.before {
            return;
        }
        self.dirty = false;
        let mut any = false;
        for (&id, seat) in self.seats.iter_mut().filter(|(_, seat)| seat.listen) {
            if assign(&mut seat.slots, id, self.speakers.ids(), &self.chosen) {
                any = true;
                changed(id);
            }
        }
        if any {
            self.route();
        }
    }

    /// A peer's streams have become more or fewer.
    pub(crate) fn resize(&mut self, id: MemberId, streams: usize) {
        if let Some(seat) = self.seats.get_mut(&id)
            && seat.slots.len() != streams
        {
            seat.slots.resize(streams, None);
            self.dirty = true;
            self.route();
        }
    }

    fn route(&mut self) {
        self.routes.values_mut().for_each(Vec::clear);
        for (&listener, seat) in &self.seats {
            for (slot, speaker) in seat.slots.iter().enumerate() {
                if let Some(speaker) = speaker {
                    self.routes.entry(*speaker).or_default().push((listener, slot));
                }
            }
        }
        self.routes.retain(|_, routes| !routes.is_empty());
    }
}

/// The nearest of the rates for which encoders are shared, in bits a second.
fn ladder(bitrate: u32) -> u32 {
    const RATES: [u32; 8] = [12_000, 16_000, 24_000, 32_000, 48_000, 64_000, 96_000, 128_000];
    RATES.into_iter().rev().find(|rate| *rate <= bitrate).unwrap_or(RATES[0])
}

/// How a room encodes for somebody who loses so many percent of the packets.
fn encoder(options: &RoomOptions, bitrate: u32, expected_loss: u8) -> EncoderConfig {
    let low_delay = options.tick_ms < 20;
    EncoderConfig {
        sample_rate: 48_000,
        channels: 1,
        application: if low_delay { Application::RestrictedLowDelay } else { Application::Voip },
        bitrate,
        complexity: options.complexity,
        dtx: false,
        fec: !low_delay && expected_loss > 0,
        expected_loss: if low_delay { 0 } else { expected_loss },
        vbr: true,
        constrained_vbr: false,
        frame: if low_delay { FrameSize::Ms10 } else { FrameSize::Ms20 },
        dred_ms: 0,
    }
}

fn output(options: &RoomOptions, seat: &Seat) -> Option<OutputFormat> {
    (options.mode == RoomMode::Mix && seat.listen)
        .then(|| OutputFormat::Opus(encoder(options, seat.bitrate, seat.expected_loss)))
}

fn add_seat(mix: &mut MixRoom, options: &RoomOptions, id: MemberId, seat: &Seat) -> antiphon_core::Result<()> {
    mix.add(id, seat.publish.then_some(Input::Rtp(InputFormat::Opus)), output(options, seat))
}

fn add_local(mix: &mut MixRoom, id: MemberId, local: &Local) -> antiphon_core::Result<()> {
    let input = local.input.map(|input| match input {
        LocalInput::Pcm { sample_rate, channels } => Input::Pcm { sample_rate, channels },
        LocalInput::Packets(format) => Input::Packets(format),
    });
    mix.add(id, input, local.output)
}
