//! The other end: str0m as a browser would be, over real sockets.

#![allow(dead_code, missing_docs, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test ends there")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use antiphon_rtc::{Engine, EngineConfig, Event, MemberId, RoomId, RoomMode, RoomOptions};
use str0m::{
    Candidate, Event as RtcEvent, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    channel::{ChannelConfig, ChannelId, Reliability},
    format::Codec,
    media::{Direction, MediaKind, Mid},
    net::{Protocol, Receive, TcpType},
    rtp::{ExtensionValues, RtpPacket, RtpWrite},
};

/// Until a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

enum Link {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, incoming: Vec<u8> },
}

pub struct Client {
    pub rtc: Rtc,
    pub id: MemberId,
    link: Link,
    address: SocketAddr,
    pub mids: Vec<Mid>,
    pending: Option<SdpPendingOffer>,
    pub channel: Option<ChannelId>,
    pub connected: bool,
    pub open: bool,
    pub packets: Vec<RtpPacket>,
    pub messages: Vec<String>,
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
    sequence: u64,
    timestamp: u32,
    moved: bool,
}

impl Client {
    /// A client with one line to speak and hear, `more` to hear, and the `metadata` channel.
    pub fn new(more: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        Self::with(Link::Udp(socket), address, more, Candidate::host(address, "udp").unwrap())
    }

    /// The same over TCP.
    pub fn over_tcp(engine: &Engine, more: usize) -> Self {
        let stream = TcpStream::connect(engine.addresses().1.unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        let address = stream.local_addr().unwrap();
        let candidate = Candidate::builder().tcp().host(address).tcptype(TcpType::Active).build().unwrap();
        Self::with(Link::Tcp { stream, incoming: Vec::new() }, address, more, candidate)
    }

    fn with(link: Link, address: SocketAddr, more: usize, candidate: Candidate) -> Self {
        let crypto = Arc::new(str0m::crypto::from_feature_flags());
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(crypto)
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, true)
            .build(Instant::now());
        rtc.add_local_candidate(candidate);
        let mut api = rtc.sdp_api();
        let mut mids = vec![api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None)];
        mids.extend((0..more).map(|_| api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None)));
        let reliability = Reliability::MaxRetransmits { retransmits: 3 };
        let channel = api.add_channel_with_config(ChannelConfig {
            label: "metadata".into(),
            reliability,
            ..ChannelConfig::default()
        });
        let (offer, pending) = api.apply().unwrap();
        let mut client = Self {
            rtc,
            id: 0,
            link,
            address,
            mids,
            pending: Some(pending),
            channel: Some(channel),
            connected: false,
            open: false,
            packets: Vec::new(),
            messages: Vec::new(),
            sent: Vec::new(),
            sequence: 0,
            timestamp: 0,
            moved: false,
        };
        client.messages.push(offer.to_sdp_string());
        client
    }

    /// The offer that was made last.
    pub fn offer(&mut self) -> String {
        self.messages.pop().unwrap()
    }

    /// Another offer, with new ICE credentials, from another port.
    pub fn restart(&mut self) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        self.address = socket.local_addr().unwrap();
        self.link = Link::Udp(socket);
        let mut api = self.rtc.sdp_api();
        api.ice_restart(false);
        let (offer, pending) = api.apply().unwrap();
        self.pending = Some(pending);
        self.moved = true;
        offer.to_sdp_string()
    }

    /// Another offer, in which the first line goes another way.
    pub fn turn(&mut self, direction: Direction) -> String {
        let mut api = self.rtc.sdp_api();
        api.set_direction(self.mids[0], direction);
        let (offer, pending) = api.apply().unwrap();
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub fn answer(&mut self, sdp: &str) {
        let answer = SdpAnswer::from_sdp_string(sdp).unwrap();
        self.rtc.sdp_api().accept_answer(self.pending.take().unwrap(), answer).unwrap();
        if std::mem::take(&mut self.moved) {
            // The restart has done away with the old one.
            self.rtc.add_local_candidate(Candidate::host(self.address, "udp").unwrap());
        }
    }

    /// Lets the client do what is due.
    pub fn pump(&mut self) {
        let now = Instant::now();
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        for (source, packet) in self.read() {
            let protocol = if matches!(self.link, Link::Udp(_)) { Protocol::Udp } else { Protocol::Tcp };
            if let Ok(receive) = Receive::new(protocol, source, self.address, &packet) {
                self.rtc.handle_input(Input::Receive(now, receive)).unwrap();
                self.drain();
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) if at <= Instant::now() => {
                    self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
                }
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    if transmit.source == self.address {
                        self.write(transmit.destination, &transmit.contents);
                    }
                }
                Output::Event(RtcEvent::Connected) => self.connected = true,
                Output::Event(RtcEvent::ChannelOpen(..)) => self.open = true,
                Output::Event(RtcEvent::ChannelData(data)) => {
                    self.messages.push(String::from_utf8(data.data).unwrap());
                }
                Output::Event(RtcEvent::RtpPacket(packet)) => self.packets.push(packet),
                Output::Event(_) => {}
            }
        }
    }

    fn read(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut buffer = [0; 4096];
        let mut out = Vec::new();
        match &mut self.link {
            Link::Udp(socket) => {
                while let Ok((count, source)) = socket.recv_from(&mut buffer) {
                    out.push((source, buffer[..count].to_vec()));
                }
            }
            Link::Tcp { stream, incoming } => {
                let source = stream.peer_addr().unwrap();
                loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(count) => incoming.extend_from_slice(&buffer[..count]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                while incoming.len() >= 2 {
                    let length = usize::from(u16::from_be_bytes([incoming[0], incoming[1]]));
                    if incoming.len() < 2 + length {
                        break;
                    }
                    out.push((source, incoming[2..2 + length].to_vec()));
                    incoming.drain(..2 + length);
                }
            }
        }
        out
    }

    /// Sends a datagram as it is.
    pub fn write(&mut self, to: SocketAddr, packet: &[u8]) {
        self.sent.push((to, packet.to_vec()));
        match &mut self.link {
            Link::Udp(socket) => drop(socket.send_to(packet, to)),
            Link::Tcp { stream, .. } => {
                let mut frame = (packet.len() as u16).to_be_bytes().to_vec();
                frame.extend_from_slice(packet);
                stream.write_all(&frame).unwrap();
            }
        }
    }

    /// Sends an Opus packet of 20 ms.
    pub fn speak(&mut self, payload: &[u8], level: u8) {
        self.speak_as(Codec::Opus, payload, level);
    }

    /// Sends redundant audio (RFC 2198).
    pub fn speak_redundantly(&mut self, payload: &[u8], level: u8) {
        self.speak_as(Codec::Null, payload, level);
    }

    fn speak_as(&mut self, codec: Codec, payload: &[u8], level: u8) {
        let params = self.rtc.codec_config().iter().find(|params| params.spec().codec == Codec::Opus).unwrap();
        let pt = if codec == Codec::Opus { params.pt() } else { params.red().unwrap() };
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(self.mids[0], None).unwrap();
        let levels = ExtensionValues {
            audio_level: Some(-(level as i8)),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        stream.write_rtp(
            RtpWrite::new(pt, self.sequence.into(), self.timestamp, Instant::now(), payload).ext_vals(levels),
        );
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(960);
        self.drain();
    }

    /// The next packet is lost on its way.
    pub fn sequence_lost(&mut self) {
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(960);
    }

    pub fn say(&mut self, text: &str) {
        let mut channel = self.rtc.channel(self.channel.unwrap()).unwrap();
        assert!(channel.write(false, text.as_bytes()).unwrap());
        self.drain();
    }

    /// What this client has heard on one of its lines.
    pub fn heard(&self, line: usize) -> Vec<&RtpPacket> {
        let mid = self.mids[line];
        self.packets.iter().filter(|packet| packet.header.ext_vals.mid.is_none_or(|on| on == mid)).collect()
    }
}

impl Client {
    /// Whether the server has closed the connection.
    pub fn hung_up(&mut self) -> bool {
        let Link::Tcp { stream, .. } = &mut self.link else { return false };
        let mut scratch = [0; 4096];
        loop {
            match stream.read(&mut scratch) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }
}

/// An engine and everything it has told.
pub struct Server {
    pub engine: Engine,
    pub events: Vec<Event>,
    seen: usize,
}

impl Server {
    pub fn new(config: &EngineConfig) -> Self {
        Self { engine: Engine::start(config).unwrap(), events: Vec::new(), seen: 0 }
    }

    pub fn room(&self, mode: RoomMode) -> RoomId {
        self.engine.open_room(RoomOptions { mode, ..RoomOptions::default() }).unwrap()
    }

    pub fn poll(&mut self) {
        let events = self.engine.poll(1000);
        self.events.extend(events);
    }

    /// Works on until something holds.
    pub fn until(
        &mut self,
        clients: &mut [&mut Client],
        what: &str,
        mut holds: impl FnMut(&[Event], &mut [&mut Client]) -> bool,
    ) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.poll();
            clients.iter_mut().for_each(|client| client.pump());
            if holds(&self.events, clients) {
                return;
            }
            assert!(Instant::now() < end, "never: {what}; events {:?}", self.events);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Works on for so long.
    pub fn pass(&mut self, clients: &mut [&mut Client], time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.poll();
            clients.iter_mut().for_each(|client| client.pump());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The answer to the last offer of a participant, or why there is none.
    pub fn answer(&mut self, id: MemberId) -> Result<String, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.poll();
            for at in self.seen..self.events.len() {
                let found = match &self.events[at] {
                    Event::Answer { id: of, sdp } if *of == id => Ok(sdp.clone()),
                    Event::Refused { id: of, message, .. } if *of == id => Err(message.clone()),
                    _ => continue,
                };
                self.seen = at + 1;
                return found;
            }
            assert!(Instant::now() < end, "no answer");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a client in and waits until it is connected.
    pub fn join(&mut self, room: RoomId, client: &mut Client) {
        let id = self.engine.join(room, client.offer(), true, true).unwrap();
        client.id = id;
        let answer = self.answer(id).unwrap();
        client.answer(&answer);
        self.until(&mut [client], "connected", |events, clients| {
            clients[0].connected && clients[0].open && events.contains(&Event::Channel(id))
        });
    }

    /// Two who are in a room, and connected.
    pub fn pair(&mut self, room: RoomId) -> (Client, Client) {
        let mut pair = (Client::new(0), Client::new(0));
        self.join(room, &mut pair.0);
        self.join(room, &mut pair.1);
        pair
    }
}
