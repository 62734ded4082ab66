//! What a peer is sent: its streams, and the two ways that a packet of one takes.

use std::{sync::Arc, time::Instant};

use str0m::{
    media::{Mid, Pt},
    net::Protocol,
    rtp::{ExtensionValues, RtpWrite},
};

use super::{Peer, Turn};
use crate::{
    MemberId,
    net::udp::UdpDoor,
    room::{Forward, Place},
    seal::{self, Head},
};

/// A stream to a peer.
pub(crate) struct Slot {
    pub(crate) mid: Mid,
    pub(crate) forward: Forward,
    /// Number of the extension of RFC 6464.
    pub(super) level: Option<u8>,
    /// Highest number given to a packet.
    pub(super) newest: u64,
    /// Seals the next packets without a turn of the session.
    pub(super) apart: Option<seal::Stream>,
}

/// How a packet goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// By itself: all there is to do.
    Apart,
    /// By a turn of the session.
    Turn,
    /// Not at all: it is of before its turn, or nothing was negotiated.
    Not,
}

/// A packet for one of a peer's streams.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) source: Source,
    pub(crate) payload: &'a Arc<[u8]>,
    pub(crate) redundant: bool,
    /// In −dBov (RFC 6464).
    pub(crate) level: Option<u8>,
    pub(crate) voice: bool,
}

/// Where a packet's number and time come from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// Somebody's stream.
    Forwarded { id: MemberId, ssrc: u32, sequence: u16, timestamp: u32 },
    /// This end, so many ticks after the one before.
    Made { ticks: u32 },
}

impl Peer {
    /// Whether this peer takes redundant audio.
    pub(crate) fn takes_redundancy(&self) -> bool {
        self.opus.is_some_and(|(_, red)| red.is_some())
    }

    /// Sends a packet on one of the peer's streams: by the door, or by a turn of the session, of which all is in `turn`.
    pub(crate) fn send(
        &mut self,
        slot: usize,
        packet: Written<'_>,
        now: Instant,
        micros: i64,
        door: &mut UdpDoor,
        turn: &mut Turn,
    ) -> Sent {
        let Some((opus, red)) = self.opus else { return Sent::Not };
        let payload_type = if packet.redundant { red.unwrap_or(opus) } else { opus };
        let Some(at) = self.slots.get_mut(slot) else { return Sent::Not };
        let place = match packet.source {
            Source::Forwarded { id, ssrc, sequence, timestamp } => {
                at.forward.place(id, ssrc, sequence, timestamp, micros)
            }
            Source::Made { ticks } => Some(at.forward.next(ticks, micros)),
        };
        let Some(place) = place else { return Sent::Not };
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += packet.payload.len() as u64;
        let level = packet.level.map(|level| level.min(127) | u8::from(packet.voice) << 7);
        let head = Head { payload_type: *payload_type, place, level: at.level.zip(level) };
        if let Some(stream) = &mut at.apart
            && let Some(()) = door.push_with(stream.to(), |out| stream.seal(&head, packet.payload, out))
        {
            at.newest = place.sequence;
            self.stats.sealed_apart += 1;
            seal::count(&mut self.apart, stream.ssrc(), packet.payload.len());
            return Sent::Apart;
        }
        at.apart = None;
        seal::forget();
        self.write(slot, payload_type, place, packet, now);
        self.drive(now, turn);
        if let Some(at) = self.slots.get_mut(slot) {
            at.newest = at.newest.max(place.sequence);
            at.apart = seal::learn(&head, packet.payload, at.newest, |header| {
                let mut sent = turn.datagrams.iter().filter(|datagram| datagram.protocol == Protocol::Udp);
                sent.find(|datagram| datagram.contents.starts_with(header)).map(|found| (found.to, &found.contents[..]))
            });
        }
        Sent::Turn
    }

    /// Reads a part of each line of memory that [`Self::send`] needs, and lies here.
    pub(crate) fn touch(&self) -> u64 {
        let opus = self.opus.map_or(0, |(opus, _)| u64::from(*opus));
        opus + u64::from(self.connected) + self.stats.packets_sent + self.stats.sealed_apart + self.slots.len() as u64
    }

    /// Of what lies where this points to.
    pub(crate) fn touch_slot(&self, slot: usize) -> u64 {
        let slot =
            self.slots.get(slot).map_or(0, |slot| slot.newest + slot.apart.as_ref().map_or(0, seal::Stream::left));
        slot + self.apart.first().map_or(0, seal::Apart::counted)
    }

    /// Of what lies where that points to.
    pub(crate) fn touch_key(&self, slot: usize) -> u64 {
        self.slots.get(slot).and_then(|slot| slot.apart.as_ref()).map_or(0, seal::Stream::touch_key)
    }

    fn write(&mut self, slot: usize, payload_type: Pt, place: Place, packet: Written<'_>, now: Instant) {
        let Some(slot) = self.slots.get(slot) else { return };
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(slot.mid, None) else { return };
        let levels = ExtensionValues {
            audio_level: packet.level.map(|level| -(level.min(127) as i8)),
            voice_activity: packet.level.map(|_| packet.voice),
            ..ExtensionValues::default()
        };
        stream.write_rtp(
            RtpWrite::new(payload_type, place.sequence.into(), place.timestamp, now, Arc::clone(packet.payload))
                .marker(place.first)
                .ext_vals(levels),
        );
    }
}
