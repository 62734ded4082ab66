//! Datagrams and frames in, to the peers they belong to, and out.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::Token;
use str0m::{
    ice::StunMessage,
    net::{DatagramSend, Protocol, Receive},
};

use super::{BATCHES, FIRST_CONNECTION, Shard, command::Command};
use crate::{
    MemberId,
    event::Event,
    net::batch::{RECEIVED, Received},
    peer::{Datagram, Path},
};

/// What this many datagrams give rise to leaves together: where they have piled up, the first need not wait for the last.
const TOGETHER: usize = 8;
/// Addresses from which a peer's datagrams are taken; the oldest is forgotten.
const MOST_ADDRESSES: usize = 16;
/// Binding requests of strangers that are answered between two sweeps.
const ANSWERED: u32 = 100;

/// What all STUN messages have in common (RFC 8489, section 5).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// What a datagram is by its first byte (RFC 7983).
fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] < 4
}

/// RTP or RTCP.
fn is_media(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| (128..192).contains(first))
}

impl Shard {
    /// Takes datagrams; whether more may wait.
    pub(super) fn datagrams(&mut self) -> bool {
        let Some(mut received) = self.received.take() else { return false };
        let mut more = true;
        for _ in 0..BATCHES {
            match received.receive(&self.udp.socket) {
                Ok(count) => {
                    let now = Instant::now();
                    for at in 0..count {
                        if let Some(datagram) = received.datagram(at) {
                            self.datagram(Protocol::Udp, datagram, now);
                        }
                        if (at + 1).is_multiple_of(TOGETHER) {
                            self.udp.flush();
                        }
                    }
                    self.udp.flush();
                    self.received_lately += count;
                    if count < RECEIVED {
                        // Whatever comes from now on makes the socket readable anew.
                        more = false;
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // Of a datagram sent before, such as ECONNREFUSED; more may wait.
                Err(_) => {}
            }
        }
        self.received = Some(received);
        more
    }

    /// Takes one packet to the peer it belongs to.
    pub(super) fn datagram(&mut self, protocol: Protocol, received: Received<'_>, now: Instant) {
        let Received { from, bytes, .. } = received;
        let path = Path { tcp: protocol != Protocol::Udp, address: from };
        let known = self.by_path.get(&path).copied();
        if !is_stun(bytes) {
            match known {
                Some(id) => self.deliver(id, protocol, received, now),
                // A connection was handed over with its first packet.
                None if path.tcp => {}
                None => self.pass_on(self.routes.of_address(&from), protocol, received),
            }
            return;
        }
        if is_question(bytes) {
            self.tell_address(protocol, from, bytes);
            return;
        }
        let Ok(message) = StunMessage::parse(bytes) else { return };
        let Some((credentials, _)) = message.split_username() else {
            if let Some(id) = known {
                self.deliver(id, protocol, received, now);
            }
            return;
        };
        match self.by_credentials.get(credentials).copied() {
            Some(id) => self.deliver(id, protocol, received, now),
            None => self.pass_on(self.routes.of_credentials(credentials), protocol, received),
        }
    }

    /// Another shard's, or nobody's.
    fn pass_on(&mut self, shard: Option<u8>, protocol: Protocol, received: Received<'_>) {
        let Some(shard) = shard.filter(|shard| *shard != self.index) else { return };
        if protocol == Protocol::Udp {
            let Received { from, arrived, bytes } = received;
            self.routes.send(shard, Command::Datagram { from, arrived, bytes: bytes.to_vec() });
        } else {
            self.astray.push((received.from, shard));
        }
    }

    fn deliver(&mut self, id: MemberId, protocol: Protocol, received: Received<'_>, now: Instant) {
        let Received { from, arrived, bytes } = received;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.admit(now) {
            return;
        }
        peer.arrived_at = peer.arrived_at.max(arrived);
        if std::mem::take(&mut peer.quiet) {
            self.batch.push(Event::Connected(id));
        }
        if !is_media(bytes) {
            // A check of a path, or DTLS.
            peer.reconsider();
        }
        let to = match protocol {
            Protocol::Udp => self.addresses.udp,
            _ => self.addresses.tcp.unwrap_or(self.addresses.udp),
        };
        let Ok(receive) = Receive::new(protocol, from, to, bytes) else { return };
        match peer.receive(receive, now) {
            Ok(true) if is_stun(bytes) => self.learn(id, Path { tcp: protocol != Protocol::Udp, address: from }),
            Ok(_) => {}
            Err(reason) => {
                self.remove(id, &reason, now);
                return;
            }
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.drive(now, &mut self.turn);
            self.settle(id, now);
        }
    }

    /// A peer has shown that it is at the other end of this path.
    fn learn(&mut self, id: MemberId, path: Path) {
        if self.by_path.insert(path, id) == Some(id) {
            return;
        }
        match &mut self.tcp {
            Some(tcp) if path.tcp => tcp.known(path.address),
            _ => self.routes.learn_address(path.address, self.index),
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.paths.push(path);
        if peer.paths.len() > MOST_ADDRESSES {
            let oldest = peer.paths.remove(0);
            self.forget(oldest);
        }
    }

    /// Nobody is at the other end of this path any more.
    pub(super) fn forget(&mut self, path: Path) {
        self.by_path.remove(&path);
        match &mut self.tcp {
            Some(tcp) if path.tcp => tcp.close(path.address),
            _ => self.routes.forget_address(path.address),
        }
    }

    /// Answers as a STUN server does (RFC 8489), for whoever wants to know whether this port can be reached.
    fn tell_address(&mut self, protocol: Protocol, from: SocketAddr, request: &[u8]) {
        if self.answered >= ANSWERED {
            return;
        }
        self.answered += 1;
        self.send(Datagram { protocol, to: from, contents: DatagramSend::from(binding_response(request, from)) });
    }

    /// Lets a packet out.
    pub(super) fn send(&mut self, datagram: Datagram) {
        let Datagram { protocol, to, contents } = datagram;
        match (protocol, &mut self.tcp) {
            (Protocol::Udp, _) => self.udp.push(to, &contents),
            (_, Some(tcp)) => tcp.send(to, &contents),
            _ => {}
        }
    }

    /// Somebody connects.
    pub(super) fn accept(&mut self, now: Instant) {
        if let Some(tcp) = &mut self.tcp {
            tcp.accept(self.poll.registry(), now);
        }
    }

    /// A connection can be read or written.
    pub(super) fn connection(&mut self, token: Token, now: Instant) {
        if token.0 < FIRST_CONNECTION {
            return;
        }
        let Some(mut tcp) = self.tcp.take() else { return };
        let mut packets = std::mem::take(&mut self.frames);
        tcp.ready(token, |from, packet| packets.push((from, packet.to_vec())));
        self.tcp = Some(tcp);
        for (from, packet) in packets.drain(..) {
            self.datagram(Protocol::Tcp, Received { from, arrived: now, bytes: &packet }, now);
            if let Some((from, shard)) = self.astray.pop() {
                self.hand_over(from, shard, packet);
            }
        }
        self.frames = packets;
    }

    /// Gives a connection to the shard whose peer is at its other end.
    fn hand_over(&mut self, from: SocketAddr, shard: u8, first: Vec<u8>) {
        let taken = self.tcp.as_mut().and_then(|tcp| tcp.take(self.poll.registry(), from));
        if let Some((stream, rest)) = taken {
            let mut incoming = (first.len() as u16).to_be_bytes().to_vec();
            incoming.extend_from_slice(&first);
            incoming.extend_from_slice(&rest);
            self.routes.send(shard, Command::Connection { stream, from, incoming });
        }
    }

    /// Takes such a connection.
    pub(super) fn take_over(&mut self, stream: std::net::TcpStream, from: SocketAddr, incoming: Vec<u8>, now: Instant) {
        let token = self.tcp.as_mut().and_then(|tcp| tcp.put(self.poll.registry(), stream, from, incoming, now));
        if let Some(token) = token {
            self.connection(token, now);
        }
    }

    /// What is done now and then.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.answered = 0;
        self.next_sweep = now + Duration::from_secs(1);
        if let Some(tcp) = &mut self.tcp {
            tcp.expire(now);
        }
    }
}

/// Whether this is a binding request that names nobody (RFC 8489, sections 5 and 14).
fn is_question(bytes: &[u8]) -> bool {
    const REQUEST: [u8; 2] = [0, 1];
    const USERNAME: [u8; 2] = [0, 6];
    let Some((head, mut attributes)) = bytes.split_at_checked(20) else { return false };
    if head[..2] != REQUEST
        || head[4..8] != COOKIE
        || usize::from(u16::from_be_bytes([head[2], head[3]])) != attributes.len()
    {
        return false;
    }
    while let [a, b, high, low, rest @ ..] = attributes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).next_multiple_of(4);
        if [*a, *b] == USERNAME || length > rest.len() {
            return false;
        }
        attributes = &rest[length..];
    }
    attributes.is_empty()
}

/// A success response with an XOR-MAPPED-ADDRESS (RFC 8489, section 14.2).
fn binding_response(request: &[u8], from: SocketAddr) -> Vec<u8> {
    let address = match from.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let family = if address.len() == 4 { 1 } else { 2 };
    let mut out = vec![1, 1, 0, address.len() as u8 + 8];
    // The cookie and the transaction's id.
    out.extend_from_slice(&request[4..20]);
    out.extend_from_slice(&[0, 0x20, 0, address.len() as u8 + 4, 0, family]);
    let port = from.port().to_be_bytes();
    out.extend_from_slice(&[port[0] ^ COOKIE[0], port[1] ^ COOKIE[1]]);
    out.extend(address.iter().zip(&request[4..20]).map(|(byte, mask)| byte ^ mask));
    out
}
