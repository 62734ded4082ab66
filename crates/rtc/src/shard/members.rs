//! Participants come, go, and are told of.

use std::{sync::atomic::Ordering, time::Instant};

use str0m::{Candidate, net::Protocol};

use super::{Shard, command::Command};
use crate::{
    MemberId, RoomId,
    config::{LocalInput, LocalOutput, RoomMode},
    event::{Event, Refusal},
    net::batch::Received,
    peer::{Peer, Turn},
    room::{Local, Room, Seat},
};

/// Longest offer that is read; those of browsers have a tenth of it.
const LONGEST_OFFER: usize = 64 << 10;
/// Longest candidate that is read.
const LONGEST_CANDIDATE: usize = 2 << 10;

impl Shard {
    pub(super) fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::OpenRoom { room, options } => {
                // The options were looked at before.
                if let Ok(opened) = Room::new(options) {
                    self.rooms.insert(room, opened);
                }
            }
            Command::CloseRoom { room } => self.close_room(room, now),
            Command::Join { room, id, offer, publish, listen } => {
                if let Err((code, message)) = self.join(room, id, &offer, publish, listen, now) {
                    self.routes.peers.fetch_sub(1, Ordering::AcqRel);
                    self.batch.push(Event::Refused { id, code, message });
                }
            }
            Command::Offer { id, offer } => self.offer(id, &offer, now),
            Command::Candidate { id, candidate } => self.candidate(id, &candidate),
            Command::JoinLocal { room, id, input, output } => self.join_local(room, id, input, output, now),
            Command::Push { id, audio, arrived } => self.push(id, &audio, arrived, now),
            Command::Leave { id } => self.remove(id, "left", now),
            Command::Mute { id, muted } => self.with_room(id, |room| room.mute(id, muted)),
            Command::Tap { id, sample_rate } => self.with_room(id, |room| {
                let _ = room.tap(id, sample_rate);
            }),
            Command::Untap { id } => self.with_room(id, |room| room.untap(id)),
            Command::Send { id, text } => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.say(&text);
                    peer.drive(now, &mut self.turn);
                    self.settle(id, now);
                }
            }
            Command::SetBitrate { id, bitrate } => self.with_room(id, |room| room.set_bitrate(id, bitrate)),
            Command::Stats { id } => self.stats(id),
            Command::Datagram { from, arrived, bytes } => {
                self.datagram(Protocol::Udp, Received { from, arrived, bytes: &bytes }, now);
            }
            Command::Connection { stream, from, incoming } => self.take_over(stream, from, incoming, now),
            Command::Stop => self.stopped = true,
        }
    }

    fn room_of(&self, id: MemberId) -> Option<RoomId> {
        self.peers.get(&id).map(|peer| peer.room).or_else(|| self.locals.get(&id).copied())
    }

    fn with_room(&mut self, id: MemberId, act: impl FnOnce(&mut Room)) {
        if let Some(room) = self.room_of(id).and_then(|room| self.rooms.get_mut(&room)) {
            act(room);
        }
    }

    fn join(
        &mut self,
        room_id: RoomId,
        id: MemberId,
        offer: &str,
        publish: bool,
        listen: bool,
        now: Instant,
    ) -> Result<(), (Refusal, String)> {
        let room = self.rooms.get(&room_id).ok_or((Refusal::NotFound, "there is no such room".to_owned()))?;
        if room.len() >= room.options.max_participants {
            let message = format!("the room is full: it takes {} participants", room.options.max_participants);
            return Err((Refusal::SessionLimit, message));
        }
        if self.routes.peers.load(Ordering::Acquire) > self.max_peers {
            let message = format!("the server is full: it takes {} peers; try again later", self.max_peers);
            return Err((Refusal::SessionLimit, message));
        }
        check_offer(offer)?;
        let mut turn = std::mem::take(&mut self.turn);
        let accepted = Peer::accept(id, room_id, offer, &self.config, now, &mut turn);
        self.turn = turn;
        let (mut peer, sdp) = match accepted {
            Ok(accepted) => accepted,
            Err(refusal) => {
                self.turn.clear();
                return Err(refusal);
            }
        };
        (peer.publish, peer.listen) = (publish, listen);
        let Some(room) = self.rooms.get_mut(&room_id) else { return Ok(()) };
        let streams = if listen { peer.slots.len() } else { 0 };
        let bitrate = room.options.bitrate;
        let seat = Seat { publish, listen, slots: vec![None; streams], bitrate, expected_loss: 0, calm: 0 };
        room.sit(id, seat).map_err(|error| (Refusal::SessionLimit, error.to_string()))?;
        self.enrol(&peer);
        self.peers.insert(id, peer);
        self.batch.push(Event::Answer { id, sdp });
        self.settle(id, now);
        self.wake_room(room_id, now);
        Ok(())
    }

    /// Lets datagrams find a peer by its credentials.
    fn enrol(&mut self, peer: &Peer) {
        for credentials in &peer.credentials {
            self.by_credentials.insert(credentials.clone(), peer.id);
            self.routes.learn_credentials(credentials, self.index);
        }
    }

    fn strike_off(&mut self, credentials: &str) {
        self.by_credentials.remove(credentials);
        self.routes.forget_credentials(credentials);
    }

    fn offer(&mut self, id: MemberId, offer: &str, now: Instant) {
        let Some(mut peer) = self.peers.remove(&id) else {
            let message = "the connection that this offer is for has gone: join again".into();
            self.batch.push(Event::Refused { id, code: Refusal::NotFound, message });
            return;
        };
        let answered = check_offer(offer).and_then(|()| peer.offer(offer, now, &mut self.turn));
        self.enrol(&peer);
        for credentials in peer.outdated() {
            self.strike_off(&credentials);
        }
        let (room, streams) = (peer.room, if peer.listen { peer.slots.len() } else { 0 });
        self.peers.insert(id, peer);
        match answered {
            Ok(sdp) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.resize(id, streams);
                }
                self.batch.push(Event::Answer { id, sdp });
            }
            Err((code, message)) => self.batch.push(Event::Refused { id, code, message }),
        }
        self.settle(id, now);
    }

    /// An ICE-lite agent answers checks and makes none, so that it only looks whether a candidate is one.
    fn candidate(&mut self, id: MemberId, candidate: &str) {
        let line = candidate.trim().trim_start_matches("a=");
        // The end of candidates, and names that only the peer's own network knows (mDNS).
        if line.is_empty() || line.contains("end-of-candidates") || line.contains(".local ") {
            return;
        }
        let fault = if line.len() > LONGEST_CANDIDATE {
            Some(format!("a candidate has at most {LONGEST_CANDIDATE} bytes"))
        } else {
            Candidate::from_sdp_string(line).err().map(|error| format!("the candidate can't be read: {error}"))
        };
        if let Some(message) = fault {
            self.batch.push(Event::BadCandidate { id, message });
        }
    }

    fn join_local(
        &mut self,
        room_id: RoomId,
        id: MemberId,
        input: Option<LocalInput>,
        output: Option<LocalOutput>,
        now: Instant,
    ) {
        let seated = match self.rooms.get_mut(&room_id) {
            None => Err((Refusal::NotFound, "there is no such room".to_owned())),
            Some(room) if room.len() >= room.options.max_participants => {
                let most = room.options.max_participants;
                Err((Refusal::SessionLimit, format!("the room is full: it takes {most} participants")))
            }
            Some(room) => room
                .sit_local(id, Local { input, output, uplink: None })
                .map_err(|error| (Refusal::UnsupportedFormat, error.to_string())),
        };
        match seated {
            Ok(()) => {
                self.locals.insert(id, room_id);
                self.batch.push(Event::Connected(id));
                self.wake_room(room_id, now);
            }
            Err((code, message)) => self.batch.push(Event::Refused { id, code, message }),
        }
    }

    /// Takes what a peer's turn brought, sends what it is to send, and lets others hear what it said.
    pub(super) fn settle(&mut self, id: MemberId, now: Instant) {
        let mut turn = std::mem::take(&mut self.turn);
        self.told(id, &mut turn);
        for datagram in turn.datagrams.drain(..) {
            self.send(datagram);
        }
        let mut packets = std::mem::take(&mut turn.packets);
        let closed = turn.closed.take();
        turn.clear();
        self.turn = turn;
        self.schedule(id);
        for packet in packets.drain(..) {
            self.relay(id, &packet, now);
        }
        if self.turn.packets.capacity() == 0 {
            self.turn.packets = packets;
        }
        if let Some(reason) = closed {
            self.remove(id, &reason, now);
        }
    }

    fn told(&mut self, id: MemberId, turn: &mut Turn) {
        if turn.connected {
            self.batch.push(Event::Connected(id));
        }
        if turn.channel {
            self.batch.push(Event::Channel(id));
        }
        self.batch.extend(turn.messages.drain(..).map(|text| Event::Message { id, text }));
    }

    /// Lets somebody go.
    pub(super) fn remove(&mut self, id: MemberId, reason: &str, now: Instant) {
        let Some(room) = self.room_of(id) else { return };
        if let Some(mut peer) = self.peers.remove(&id) {
            self.turn.clear();
            peer.close();
            peer.drive(now, &mut self.turn);
            for datagram in std::mem::take(&mut self.turn.datagrams) {
                self.send(datagram);
            }
            self.turn.clear();
            peer.paths.iter().for_each(|path| self.forget(*path));
            peer.credentials.iter().for_each(|credentials| self.strike_off(credentials));
            self.routes.peers.fetch_sub(1, Ordering::AcqRel);
        }
        self.locals.remove(&id);
        if let Some(room) = self.rooms.get_mut(&room) {
            room.leave(id);
        }
        self.batch.push(Event::Closed { id, reason: reason.to_owned() });
    }

    fn close_room(&mut self, room: RoomId, now: Instant) {
        let Some(closed) = self.rooms.get(&room) else { return };
        let ids: Vec<MemberId> = closed.seats.keys().chain(closed.locals.keys()).copied().collect();
        for id in ids {
            self.remove(id, "the room was closed", now);
        }
        self.rooms.remove(&room);
    }

    fn stats(&mut self, id: MemberId) {
        let Some(room) = self.room_of(id).and_then(|room| self.rooms.get(&room)) else { return };
        let mut stats = self.peers.get(&id).map(|peer| peer.stats.clone()).unwrap_or_default();
        stats.bitrate = match (room.seats.get(&id), room.options.mode) {
            (Some(seat), RoomMode::Mix) => seat.bitrate,
            _ => 0,
        };
        stats.buffer = room.mix.as_ref().and_then(|mix| mix.stats(id)).and_then(|stats| stats.jitter);
        self.batch.push(Event::Stats { id, stats: Box::new(stats) });
    }
}

fn check_offer(offer: &str) -> Result<(), (Refusal, String)> {
    if offer.len() > LONGEST_OFFER {
        let message = format!("the offer has {} bytes: {LONGEST_OFFER} are taken", offer.len());
        return Err((Refusal::TooLarge, message));
    }
    Ok(())
}
