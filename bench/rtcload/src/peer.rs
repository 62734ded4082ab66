//! One participant: a WebRTC peer by str0m, or a bare RTP sender and receiver for servers that take such.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::crypto::dtls::DtlsCert;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::net::{Outgoing, Packet};

const PAYLOAD_TYPE: u8 = 111;
const LEVEL_EXTENSION: u8 = 1;
const RTP_HEADER: usize = 12;
const FAR: Duration = Duration::from_secs(3600);

/// A packet of Opus and its level in -dBov (RFC 6464); 127 is silence.
#[derive(Clone)]
pub struct Sound {
    /// Opus.
    pub payload: Arc<[u8]>,
    /// 0 to 127.
    pub level: u8,
}

/// Sound that a peer was sent.
pub struct Heard<'a> {
    /// Opus.
    pub payload: &'a [u8],
    /// Of RTP, in samples.
    pub timestamp: u32,
}

enum Link {
    Web { rtc: Box<Rtc>, mid: Mid, pending: Option<SdpPendingOffer>, payload_type: Pt },
    Plain { server: SocketAddrV4 },
}

/// A participant.
pub struct Peer {
    /// Index of the socket that it uses.
    pub socket: usize,
    /// When it wants to be called next.
    pub deadline: Instant,
    /// Whether DTLS is done; plain ones always are.
    pub connected: bool,
    /// Why it is of no use any more.
    pub failed: Option<String>,
    local: SocketAddrV4,
    link: Link,
    number: u32,
    sequence: u64,
    timestamp: u32,
}

/// What goes out.
#[derive(Default)]
pub struct Queues {
    /// By socket.
    pub packets: Vec<Vec<Outgoing<Vec<u8>>>>,
    /// Sockets that have something to send.
    pub filled: Vec<usize>,
}

impl Queues {
    fn push(&mut self, socket: usize, packet: Outgoing<Vec<u8>>) {
        if self.packets[socket].is_empty() {
            self.filled.push(socket);
        }
        self.packets[socket].push(packet);
    }
}

impl Peer {
    /// A WebRTC peer with one line of audio for each direction in `lines`, and its offer.
    pub fn offering(
        local: SocketAddrV4,
        socket: usize,
        number: u32,
        lines: &[String],
        certificate: &DtlsCert,
        now: Instant,
    ) -> Result<(Self, String), String> {
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .clear_extension_map()
            .set_extension(LEVEL_EXTENSION, Extension::AudioLevel)
            .set_extension(4, Extension::RtpMid)
            .set_dtls_cert(certificate.clone())
            .build(now);
        let candidate = Candidate::host(SocketAddr::V4(local), "udp").map_err(|error| error.to_string())?;
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let mut first = None;
        for line in lines {
            let direction = match line.as_str() {
                "sendrecv" => Direction::SendRecv,
                "sendonly" => Direction::SendOnly,
                "recvonly" => Direction::RecvOnly,
                other => return Err(format!("no direction: {other}")),
            };
            let mid = changes.add_media(MediaKind::Audio, direction, None, None, None);
            first.get_or_insert(mid);
        }
        let mid = first.ok_or("no lines")?;
        let (offer, pending) = changes.apply().ok_or("nothing to offer")?;
        let link = Link::Web {
            rtc: Box::new(rtc),
            mid,
            pending: Some(pending),
            payload_type: Pt::new_with_value(PAYLOAD_TYPE),
        };
        Ok((Self::new(local, socket, number, link, now), offer.to_sdp_string()))
    }

    /// A participant that sends bare RTP to an address and is sent to from there.
    pub fn plain(local: SocketAddrV4, socket: usize, number: u32, server: SocketAddrV4, now: Instant) -> Self {
        let mut peer = Self::new(local, socket, number, Link::Plain { server }, now);
        peer.connected = true;
        peer.deadline = now + FAR;
        peer
    }

    fn new(local: SocketAddrV4, socket: usize, number: u32, link: Link, now: Instant) -> Self {
        let sequence = u64::from(number) * 7919 % 30_000;
        Self { socket, deadline: now, connected: false, failed: None, local, link, number, sequence, timestamp: 0 }
    }

    /// Take the server's answer.
    pub fn answer(&mut self, sdp: &str, now: Instant, queues: &mut Queues) -> Result<(), String> {
        let Link::Web { rtc, mid, pending, payload_type } = &mut self.link else {
            return Err("a plain participant has no answer".into());
        };
        let pending = pending.take().ok_or("answered already")?;
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(|error| error.to_string())?;
        rtc.sdp_api().accept_answer(pending, answer).map_err(|error| error.to_string())?;
        if let Some(pt) = rtc.media(*mid).and_then(|media| media.remote_pts().first()) {
            *payload_type = *pt;
        }
        self.time(now, queues);
        Ok(())
    }

    /// Send a packet of so many samples.
    pub fn send(&mut self, sound: &Sound, samples: u32, now: Instant, queues: &mut Queues) {
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(samples);
        let (sequence, timestamp) = (self.sequence, self.timestamp);
        match &mut self.link {
            Link::Web { rtc, mid, payload_type, .. } => {
                let levels = ExtensionValues {
                    audio_level: Some(-(sound.level.min(127) as i8)),
                    voice_activity: Some(sound.level < 127),
                    ..ExtensionValues::default()
                };
                let payload = Arc::clone(&sound.payload);
                let packet = RtpWrite::new(*payload_type, sequence.into(), timestamp, now, payload).ext_vals(levels);
                match rtc.direct_api().stream_tx_by_mid(*mid, None) {
                    Some(stream) => stream.write_rtp(packet),
                    None => self.failed = Some("the answer takes no audio".into()),
                }
                self.time(now, queues);
            }
            Link::Plain { server } => {
                let data = rtp(self.number, sequence as u16, timestamp, sound);
                queues.push(self.socket, Outgoing { source: *self.local.ip(), destination: *server, data });
            }
        }
    }

    /// Let time pass.
    pub fn time(&mut self, now: Instant, queues: &mut Queues) {
        if let Link::Web { rtc, .. } = &mut self.link {
            if let Err(error) = rtc.handle_input(Input::Timeout(now)) {
                self.failed = Some(error.to_string());
            }
            self.poll(queues, &mut |_| {});
        } else {
            self.deadline = now + FAR;
        }
    }

    /// Take a packet; `heard` is called with the sound in it.
    pub fn receive(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        queues: &mut Queues,
        heard: &mut dyn FnMut(Heard<'_>),
    ) {
        match &mut self.link {
            Link::Web { rtc, .. } => {
                let Ok(contents) = packet.data.try_into() else { return };
                let (source, destination) = (SocketAddr::V4(packet.source), SocketAddr::V4(self.local));
                let input = Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents });
                if let Err(error) = rtc.handle_input(input) {
                    self.failed = Some(error.to_string());
                }
                self.poll(queues, heard);
            }
            Link::Plain { .. } => {
                if let Some(found) = parse(packet.data) {
                    heard(found);
                }
            }
        }
    }

    fn poll(&mut self, queues: &mut Queues, heard: &mut dyn FnMut(Heard<'_>)) {
        let Link::Web { rtc, .. } = &mut self.link else { return };
        loop {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return;
                }
                Ok(Output::Transmit(sent)) => {
                    let (SocketAddr::V4(destination), SocketAddr::V4(source)) = (sent.destination, sent.source) else {
                        continue;
                    };
                    let data = sent.contents.into();
                    queues.push(self.socket, Outgoing { source: *source.ip(), destination, data });
                }
                Ok(Output::Event(Event::Connected)) => self.connected = true,
                Ok(Output::Event(Event::RtpPacket(found))) => {
                    heard(Heard { payload: &found.payload, timestamp: found.header.timestamp });
                }
                Ok(Output::Event(Event::Closed)) => self.failed = Some("the server closed the connection".into()),
                Ok(Output::Event(_)) => {}
                Err(error) => {
                    self.failed = Some(error.to_string());
                    self.deadline = Instant::now() + FAR;
                    return;
                }
            }
        }
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        *self.local.ip()
    }
}

/// A packet of RTP with a level (RFC 3550, RFC 8285, RFC 6464).
fn rtp(ssrc: u32, sequence: u16, timestamp: u32, sound: &Sound) -> Vec<u8> {
    let mut data = Vec::with_capacity(RTP_HEADER + 8 + sound.payload.len());
    data.extend([0x90, PAYLOAD_TYPE]);
    data.extend(sequence.to_be_bytes());
    data.extend(timestamp.to_be_bytes());
    data.extend(ssrc.to_be_bytes());
    let voice = if sound.level < 127 { 0x80 } else { 0 };
    data.extend([0xBE, 0xDE, 0, 1, LEVEL_EXTENSION << 4, voice | sound.level.min(127), 0, 0]);
    data.extend_from_slice(&sound.payload);
    data
}

fn parse(data: &[u8]) -> Option<Heard<'_>> {
    let (&first, &second) = (data.first()?, data.get(1)?);
    if first >> 6 != 2 || (192..224).contains(&second) {
        return None;
    }
    let timestamp = u32::from_be_bytes(data.get(4..8)?.try_into().ok()?);
    let mut start = RTP_HEADER + 4 * usize::from(first & 0x0F);
    if first & 0x10 != 0 {
        let words = data.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    Some(Heard { payload: data.get(start..)?, timestamp })
}
