//! Packets on their way through a room, and what a room does as time goes by.

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, Instant},
};

use antiphon_core::{
    room::{Arrived, SHIFT_US},
    rtp::red::Blocks,
};
use str0m::rtp::RtpPacket;

use super::Shard;
use crate::{
    MemberId, RoomId,
    config::RoomMode,
    event::Event,
    peer::{QUIET_AFTER, Sent, Source, Written},
    room::{UplinkPacket, level},
};

/// Ticks of Opus' clock in a millisecond (RFC 7587).
const TICKS_A_MS: u32 = 48;
/// A room that is behind by more than this goes on from the present.
const PATIENCE: Duration = Duration::from_millis(200);
/// A level, in −dBov, that is not a quiet room's.
const LOUD: u8 = 40;
/// Listeners whose memory is asked for at once: as many as a processor waits for side by side.
const AHEAD: usize = 16;
/// Seconds of decoded speech that are handed over at once.
const TAPPED: f64 = 0.1;

/// Somebody's packet, as a room takes it.
struct Spoken<'a> {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    level: Option<u8>,
    voice: Option<bool>,
    /// As it came.
    payload: &'a Arc<[u8]>,
    /// It is redundant audio.
    redundant: bool,
    /// When it came to this machine: how late this thread is says nothing of the network, and adds no delay.
    arrived: Instant,
}

impl Shard {
    /// A WebRTC peer's packet.
    pub(super) fn relay(&mut self, id: MemberId, packet: &RtpPacket, now: Instant) {
        let Some(peer) = self.peers.get(&id) else { return };
        let room = peer.room;
        let header = &packet.header;
        let level = header.ext_vals.audio_level.map(i8::unsigned_abs);
        let spoken = Spoken {
            ssrc: *header.ssrc,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            level,
            // That there is no voice is not believed where it is loud: some senders never say that there is.
            voice: header.ext_vals.voice_activity.filter(|voice| *voice || level.is_none_or(|level| level > LOUD)),
            payload: &packet.payload,
            redundant: peer.is_redundant(header.payload_type),
            arrived: peer.arrived_at,
        };
        self.hear(room, id, &spoken, now);
    }

    fn hear(&mut self, room_id: RoomId, id: MemberId, spoken: &Spoken<'_>, now: Instant) {
        let micros = self.micros(spoken.arrived);
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        if room.muted.contains(&id) {
            return;
        }
        let blocks = if spoken.redundant {
            let Some(blocks) = Blocks::parse(spoken.payload) else { return };
            Some(blocks)
        } else {
            None
        };
        let primary = match &blocks {
            Some(blocks) => blocks.primary().map_or(&[][..], |block| block.payload),
            None => spoken.payload,
        };
        room.speakers.hear(id, spoken.level, spoken.voice, primary, micros);
        if let Some(mix) = &mut room.mix
            && room.seats.contains_key(&id)
        {
            let arrived = |payload, sequence_number, timestamp| Arrived {
                ssrc: spoken.ssrc,
                sequence_number,
                timestamp,
                payload,
                level: spoken.level,
                voice: spoken.voice,
            };
            if let Some(blocks) = &blocks {
                let count = blocks.redundant().count() as u16;
                for (at, block) in (0_u16..).zip(blocks.redundant()) {
                    let sequence = spoken.sequence.wrapping_sub(count - at);
                    let timestamp = spoken.timestamp.wrapping_sub(block.offset.into());
                    let _ = mix.push(id, &arrived(block.payload, sequence, timestamp), micros);
                }
            }
            // One that can't be read is counted there.
            let _ = mix.push(id, &arrived(primary, spoken.sequence, spoken.timestamp), micros);
        }
        self.forward(room_id, id, spoken, primary, now);
    }

    /// Sends a packet on to those who have a stream for it.
    fn forward(&mut self, room: RoomId, id: MemberId, spoken: &Spoken<'_>, primary: &[u8], now: Instant) {
        let Some(routes) = self.rooms.get_mut(&room).and_then(|room| room.routes.get_mut(&id)) else { return };
        let routes = std::mem::take(routes);
        let micros = self.micros(now);
        let mut bare = None;
        for (at, &(listener, slot)) in routes.iter().enumerate() {
            if at.is_multiple_of(AHEAD) {
                self.fetch(routes[at..].iter().take(AHEAD).copied());
            }
            let Some(peer) = self.peers.get_mut(&listener).filter(|peer| peer.connected) else { continue };
            let redundant = spoken.redundant && peer.takes_redundancy();
            let payload = if spoken.redundant && !redundant {
                bare.get_or_insert_with(|| Arc::from(primary))
            } else {
                spoken.payload
            };
            let source =
                Source::Forwarded { id, ssrc: spoken.ssrc, sequence: spoken.sequence, timestamp: spoken.timestamp };
            let voice = spoken.voice.unwrap_or(false);
            let packet = Written { source, payload, redundant, level: spoken.level, voice };
            let sent = peer.send(slot, packet, now, micros, &mut self.udp, &mut self.turn);
            if sent == Sent::Turn {
                self.settle(listener, now);
            }
        }
        if let Some(room) = self.rooms.get_mut(&room)
            && let Some(place) = room.routes.get_mut(&id)
            && place.is_empty()
        {
            *place = routes;
        }
    }

    /// Reads what sending to these listeners needs, which lies far apart and was last used a frame ago. Each of the loops
    /// waits for all of its memory at once; a listener at a time would wait for each place in turn.
    fn fetch(&self, listeners: impl Iterator<Item = (MemberId, usize)> + Clone) {
        let peers = || listeners.clone().filter_map(|(id, slot)| Some((self.peers.get(&id)?, slot)));
        let mut read = peers().map(|(peer, _)| peer.touch()).fold(0, u64::wrapping_add);
        read = peers().map(|(peer, slot)| peer.touch_slot(slot)).fold(read, u64::wrapping_add);
        read = peers().map(|(peer, slot)| peer.touch_key(slot)).fold(read, u64::wrapping_add);
        // The reads are all there is to it.
        std::hint::black_box(read);
    }

    /// Audio of somebody who does not speak WebRTC.
    pub(super) fn push(&mut self, id: MemberId, audio: &[u8], arrived: Instant, now: Instant) {
        let micros = self.micros(arrived);
        let Some(&room_id) = self.locals.get(&id) else { return };
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let Some(local) = room.locals.get_mut(&id) else { return };
        let Some(input) = local.input else { return };
        let packet = local.uplink.as_mut().and_then(|uplink| uplink.push(audio));
        if let Some(mix) = &mut room.mix {
            let _ = match input {
                crate::LocalInput::Pcm { .. } => mix.push_pcm(id, audio, micros),
                crate::LocalInput::Packets(_) => mix.push_packet(id, audio, micros),
            };
        }
        if room.options.mode == RoomMode::Mix {
            // Nobody else looks who speaks here.
            room.speakers.hear(id, level(input, audio), None, audio, micros);
        }
        if let Some(packet) = packet {
            self.uplinked(room_id, id, &packet, arrived, now);
        }
    }

    fn uplinked(&mut self, room: RoomId, id: MemberId, packet: &UplinkPacket, arrived: Instant, now: Instant) {
        let spoken = Spoken {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            level: packet.level,
            voice: None,
            payload: &packet.payload,
            redundant: false,
            arrived,
        };
        self.hear(room, id, &spoken, now);
    }

    /// Does what each room has to do by now.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.sweep(now);
            self.expire(now);
        }
        while let Some(&Reverse((at, id))) = self.room_ticks.peek() {
            if at > now {
                break;
            }
            self.room_ticks.pop();
            self.tick_room(id, at, now);
        }
    }

    /// Sees to it that a room ticks that somebody has come into.
    pub(super) fn wake_room(&mut self, id: RoomId, now: Instant) {
        if let Some(room) = self.rooms.get_mut(&id)
            && !std::mem::replace(&mut room.ticking, true)
        {
            self.room_ticks.push(Reverse((now, id)));
        }
    }

    fn tick_room(&mut self, id: RoomId, at: Instant, now: Instant) {
        // What is decoded follows the clock, not the moment at which this thread gets its turn.
        let micros = self.micros(at);
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if room.len() == 0 {
            room.ticking = false;
            return;
        }
        let mut uplinked = Vec::new();
        for (&id, local) in &mut room.locals {
            if let Some(packet) = local.uplink.as_mut().and_then(crate::room::Uplink::tick) {
                uplinked.push((id, packet));
            }
        }
        for (speaker, packet) in &uplinked {
            self.uplinked(id, *speaker, packet, at, now);
        }
        self.look(id, micros);
        self.mix(id, micros, now);
        let Some(room) = self.rooms.get(&id) else { return };
        let mut next = at + room.tick_every();
        // A mixed frame leaves right after those that it is made of.
        if let (RoomMode::Mix, Some(mix)) = (room.options.mode, &room.mix) {
            let shift = mix.best_shift().clamp(-SHIFT_US, SHIFT_US);
            let step = Duration::from_micros(shift.unsigned_abs());
            next = if shift < 0 { next - step } else { next + step };
        }
        if now.saturating_duration_since(next) > PATIENCE {
            next = now + room.tick_every();
        }
        self.room_ticks.push(Reverse((next, id)));
    }

    fn look(&mut self, id: RoomId, micros: i64) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let mut changed = Vec::new();
        let batch = &mut self.batch;
        room.look(micros, |id, active| batch.push(Event::Speaking { id, active }), |id| changed.push(id));
        for id in changed {
            let (Some(peer), Some(seat)) = (self.peers.get(&id), room.seats.get(&id)) else { continue };
            let slots = peer.slots.iter().zip(&seat.slots).map(|(slot, speaker)| (slot.mid.to_string(), *speaker));
            self.batch.push(Event::Slots { id, slots: slots.collect() });
        }
    }

    fn mix(&mut self, id: RoomId, micros: i64, now: Instant) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let ticks = room.options.tick_ms * TICKS_A_MS;
        let Some(mix) = &mut room.mix else { return };
        if mix.tick(micros).is_err() {
            return;
        }
        for (speaker, pcm) in mix.tapped() {
            let Some(tap) = room.taps.get_mut(&speaker) else { continue };
            tap.pcm.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
            if tap.pcm.len() >= (f64::from(tap.sample_rate) * 2.0 * TAPPED) as usize {
                self.batch.push(Event::Tap { id: speaker, pcm: std::mem::take(&mut tap.pcm) });
            }
        }
        // What many hear alike is one piece of memory.
        let mut shared: Vec<Option<Arc<[u8]>>> = Vec::new();
        let mut written = Vec::new();
        for packet in mix.packets() {
            if room.locals.contains_key(&packet.id) {
                self.batch.push(Event::Audio { id: packet.id, payload: packet.payload.to_vec() });
                continue;
            }
            let payload = match packet.shared {
                None => Arc::from(packet.payload),
                Some(group) => {
                    if shared.len() <= group {
                        shared.resize(group + 1, None);
                    }
                    Arc::clone(shared[group].get_or_insert_with(|| Arc::from(packet.payload)))
                }
            };
            written.push((packet.id, payload));
        }
        for (at, (listener, payload)) in written.iter().enumerate() {
            if at.is_multiple_of(AHEAD) {
                self.fetch(written[at..].iter().take(AHEAD).map(|(id, _)| (*id, 0)));
            }
            let Some(peer) = self.peers.get_mut(listener).filter(|peer| peer.connected) else { continue };
            let source = Source::Made { ticks };
            let packet = Written { source, payload, redundant: false, level: None, voice: false };
            let sent = peer.send(0, packet, now, micros, &mut self.udp, &mut self.turn);
            if sent == Sent::Turn {
                self.settle(*listener, now);
            }
        }
    }

    /// Tells of peers of whom nothing comes, and lets those go who don't come back.
    fn expire(&mut self, now: Instant) {
        let mut gone: Vec<(MemberId, &str)> = Vec::new();
        for (&id, peer) in &mut self.peers {
            let silence = now.saturating_duration_since(peer.heard_at);
            if silence > self.peer_timeout {
                gone.push((id, "nothing came from the peer for too long"));
            } else if !peer.connected && now.saturating_duration_since(peer.joined_at) > self.peer_timeout {
                gone.push((
                    id,
                    "no connection came about in time: see whether UDP, TCP or a TURN server can be reached",
                ));
            } else if silence > QUIET_AFTER && peer.connected && !peer.quiet {
                peer.quiet = true;
                self.batch.push(Event::Disconnected(id));
            }
        }
        for (&id, peer) in &self.peers {
            if let (Some(loss), Some(room)) = (peer.stats.remote_loss, self.rooms.get_mut(&peer.room)) {
                room.set_loss(id, loss);
            }
        }
        for (id, reason) in gone {
            self.remove(id, reason, now);
        }
    }
}
