//! One WebRTC peer: a session of str0m's, its streams and its `metadata` channel.

mod streams;

pub(crate) use streams::{Sent, Slot, Source, Written};

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event as RtcEvent, Input, Output, Rtc, RtcConfig, RtcError,
    change::SdpOffer,
    channel::ChannelId,
    config::{CryptoProvider, DtlsCert},
    format::Codec,
    media::{Mid, Pt},
    net::{Protocol, Receive},
    rtp::{Extension, ExtensionMap, RtpPacket},
};

use crate::{MemberId, event::Refusal, room::Forward, seal, stats::MemberStats};

/// The channel that carries JSON both ways.
const METADATA: &str = "metadata";
/// Ticks of Opus' clock in a second (RFC 7587).
const CLOCK: f64 = 48_000.0;
/// Receiving streams of one peer at most; a browser offers as many as it likes.
const MOST_STREAMS: usize = 16;
/// Packets a second that a peer may send for long, and at once: Opus has frames of 2.5 ms (RFC 6716), and there are RTCP and STUN.
const RATE: f64 = 600.0;
const BURST: f64 = 400.0;
/// Longest message that is taken from a peer.
const LONGEST_MESSAGE: usize = 16 << 10;
/// Credentials of earlier ICE restarts whose checks are still known; the oldest are forgotten.
const MOST_CREDENTIALS: usize = 4;
/// Bytes that may wait for a peer that doesn't take its messages.
const LONGEST_CHANNEL: usize = 64 << 10;
/// The extension of RFC 6464, and the highest number that a one-byte extension has (RFC 8285, section 4.2).
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const MOST_NUMBERS: u8 = 14;
/// Turns of the session in a row; more would be a fault in it.
const MOST_TURNS: usize = 256;
/// From that on a peer is told as gone, until something comes.
pub(crate) const QUIET_AFTER: Duration = Duration::from_secs(6);

/// A datagram for a peer.
pub(crate) struct Datagram {
    pub(crate) protocol: Protocol,
    pub(crate) to: SocketAddr,
    pub(crate) contents: str0m::net::DatagramSend,
}

/// Where a peer's packets come from. UDP and TCP have ports of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) tcp: bool,
    pub(crate) address: SocketAddr,
}

/// What a turn of a peer brought.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) datagrams: Vec<Datagram>,
    pub(crate) packets: Vec<RtpPacket>,
    pub(crate) connected: bool,
    pub(crate) channel: bool,
    pub(crate) messages: Vec<String>,
    pub(crate) closed: Option<String>,
}

impl Turn {
    pub(crate) fn clear(&mut self) {
        self.datagrams.clear();
        self.packets.clear();
        self.messages.clear();
        (self.connected, self.channel, self.closed) = (false, false, None);
    }
}

/// How peers are made.
#[derive(Clone)]
pub(crate) struct PeerConfig {
    pub(crate) crypto: Arc<CryptoProvider>,
    pub(crate) certificate: DtlsCert,
    pub(crate) candidates: Vec<Candidate>,
}

pub(crate) struct Peer {
    pub(crate) id: MemberId,
    pub(crate) room: u64,
    pub(crate) publish: bool,
    pub(crate) listen: bool,
    rtc: Rtc,
    /// Streams to the peer, in the order of its m-lines.
    pub(crate) slots: Vec<Slot>,
    /// Streams of lines that the peer does not want for now. They go on where they were: a number that came twice would
    /// be a nonce that comes twice. No more than lines in an offer, which never get fewer (RFC 3264, section 8).
    resting: Vec<Slot>,
    channel: Option<ChannelId>,
    /// Audio lines with the number of RFC 6464's extension on each.
    lines: Vec<(Mid, Option<u8>)>,
    /// What was sent without the session.
    apart: Vec<seal::Apart>,
    opus: Option<(Pt, Option<Pt>)>,
    /// When the session wants its next turn.
    pub(crate) wake: Option<Instant>,
    /// When that is due in the owner's heap.
    pub(crate) scheduled: Option<Instant>,
    pub(crate) paths: Vec<Path>,
    pub(crate) credentials: Vec<String>,
    pub(crate) connected: bool,
    pub(crate) quiet: bool,
    pub(crate) heard_at: Instant,
    /// When the newest of its datagrams came to this machine, to which the packets of a turn belong.
    pub(crate) arrived_at: Instant,
    pub(crate) joined_at: Instant,
    allowance: f64,
    pub(crate) stats: MemberStats,
}

impl Peer {
    /// A peer and the answer to its offer.
    pub(crate) fn accept(
        id: MemberId,
        room: u64,
        offer: &str,
        config: &PeerConfig,
        now: Instant,
        turn: &mut Turn,
    ) -> Result<(Self, String), (Refusal, String)> {
        let mut extensions = ExtensionMap::empty();
        extensions.set(1, Extension::AudioLevel);
        extensions.set(4, Extension::RtpMid);
        let rtc = RtcConfig::new()
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_crypto_provider(Arc::clone(&config.crypto))
            .set_dtls_cert(config.certificate.clone())
            .clear_codecs()
            .enable_opus(true, true)
            .set_extension_map(extensions)
            .set_stats_interval(Some(Duration::from_secs(2)))
            .set_sctp_max_buffered_amount(LONGEST_CHANNEL)
            .build(now);
        let mut peer = Self {
            id,
            room,
            publish: true,
            listen: true,
            rtc,
            slots: Vec::new(),
            resting: Vec::new(),
            channel: None,
            lines: Vec::new(),
            apart: Vec::new(),
            opus: None,
            wake: None,
            scheduled: None,
            paths: Vec::new(),
            credentials: Vec::new(),
            connected: false,
            quiet: false,
            heard_at: now,
            arrived_at: now,
            joined_at: now,
            allowance: BURST,
            stats: MemberStats::default(),
        };
        for candidate in &config.candidates {
            peer.rtc.add_local_candidate(candidate.clone());
        }
        let answer = peer.offer(offer, now, turn)?;
        Ok((peer, answer))
    }

    /// Takes an offer: the first, another one or an ICE restart.
    pub(crate) fn offer(&mut self, offer: &str, now: Instant, turn: &mut Turn) -> Result<String, (Refusal, String)> {
        let bad = |message: String| (Refusal::BadMessage, message);
        let parsed = SdpOffer::from_sdp_string(offer)
            .map_err(|error| bad(format!("the offer is not a session description (RFC 8866): {error}")))?;
        let answer = self.rtc.sdp_api().accept_offer(parsed).map_err(|error| bad(refused(&error)))?;
        self.drive(now, turn);
        if let Some(reason) = turn.closed.take() {
            return Err(bad(reason));
        }
        let answer = answer.to_sdp_string();
        self.lines = audio_lines(&answer);
        self.learn();
        if self.opus.is_none() {
            let message = "the offer has no audio in Opus, which is what is spoken here: offer an audio track";
            return Err((Refusal::UnsupportedFormat, message.into()));
        }
        // An ICE restart gives new credentials; checks with the old ones may still be on their way.
        let credentials = self.rtc.direct_api().local_ice_credentials().ufrag;
        if !self.credentials.contains(&credentials) {
            self.credentials.push(credentials);
        }
        Ok(answer)
    }

    /// Credentials that are too old to be known any longer.
    pub(crate) fn outdated(&mut self) -> Vec<String> {
        let over = self.credentials.len().saturating_sub(MOST_CREDENTIALS);
        self.credentials.drain(..over).collect()
    }

    /// Looks up what was negotiated.
    fn learn(&mut self) {
        let opus = self.rtc.codec_config().iter().find(|params| params.spec().codec == Codec::Opus);
        let opus = opus.map(|params| (params.pt(), params.red()));
        let spoken = |mid: &Mid| {
            self.rtc
                .media(*mid)
                .is_some_and(|media| !media.disabled() && opus.is_some_and(|(pt, _)| media.remote_pts().contains(&pt)))
        };
        let lines: Vec<_> = self.lines.iter().copied().filter(|(mid, _)| spoken(mid)).collect();
        self.opus = opus.filter(|_| !lines.is_empty());
        let sending = |mid: &Mid| self.rtc.media(*mid).is_some_and(|media| media.direction().is_sending());
        let sending: Vec<_> = lines.into_iter().filter(|(mid, _)| sending(mid)).take(MOST_STREAMS).collect();
        self.resting.extend(self.slots.extract_if(.., |slot| !sending.iter().any(|(mid, _)| *mid == slot.mid)));
        for (mid, level) in sending {
            if let Some(at) = self.resting.iter().position(|slot| slot.mid == mid) {
                self.slots.push(self.resting.swap_remove(at));
            }
            match self.slots.iter_mut().find(|slot| slot.mid == mid) {
                Some(slot) => slot.level = level,
                None => self.slots.push(Slot { mid, forward: Forward::default(), level, newest: 0, apart: None }),
            }
        }
        self.reconsider();
    }

    /// Keys or addresses may have changed: the session sends the next packet of each stream, and shows which.
    pub(crate) fn reconsider(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.apart = None);
    }

    /// Whether a packet may come in now.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.heard_at).as_secs_f64();
        self.allowance = (self.allowance + since * RATE).min(BURST);
        self.heard_at = now;
        if self.allowance < 1.0 {
            self.stats.flooded += 1;
            return false;
        }
        self.allowance -= 1.0;
        true
    }

    /// Takes a datagram in; whether it was from somebody with a right to speak. [`Self::drive`] goes on from there.
    pub(crate) fn receive(&mut self, receive: Receive<'_>, now: Instant) -> Result<bool, String> {
        let input = Input::Receive(now, receive);
        let accepted = self.rtc.accepts(&input);
        self.rtc.handle_input(input).map_err(|error| error.to_string())?;
        Ok(accepted)
    }

    /// Lets the session do everything that is due.
    pub(crate) fn drive(&mut self, now: Instant, turn: &mut Turn) {
        let mut apart = std::mem::take(&mut self.apart);
        seal::counting(&mut apart, || self.turns(now, turn));
        self.apart = apart;
    }

    fn turns(&mut self, now: Instant, turn: &mut Turn) {
        for _ in 0..MOST_TURNS {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) if at <= now => {
                    if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
                        turn.closed = Some(error.to_string());
                        return;
                    }
                }
                Ok(Output::Timeout(at)) => {
                    self.wake = Some(at);
                    if !self.rtc.is_alive() && turn.closed.is_none() {
                        turn.closed = Some("the peer has gone".into());
                    }
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    let (protocol, to, contents) = (transmit.proto, transmit.destination, transmit.contents);
                    turn.datagrams.push(Datagram { protocol, to, contents });
                }
                Ok(Output::Event(event)) => self.take(event, turn),
                Err(error) => {
                    turn.closed = Some(error.to_string());
                    return;
                }
            }
        }
        self.wake = Some(now);
    }

    fn take(&mut self, event: RtcEvent, turn: &mut Turn) {
        match event {
            RtcEvent::Connected => {
                self.connected = true;
                turn.connected = true;
            }
            RtcEvent::RtpPacket(packet) => {
                self.stats.packets_received += 1;
                self.stats.bytes_received += packet.payload.len() as u64;
                if self.publish {
                    turn.packets.push(packet);
                }
            }
            RtcEvent::ChannelOpen(id, label) if label == METADATA => {
                self.channel = Some(id);
                turn.channel = true;
            }
            RtcEvent::ChannelData(data) if Some(data.id) == self.channel => {
                if data.data.len() > LONGEST_MESSAGE {
                    self.stats.flooded += 1;
                    return;
                }
                turn.messages.push(String::from_utf8_lossy(&data.data).into_owned());
            }
            RtcEvent::ChannelClose(id) if Some(id) == self.channel => self.channel = None,
            RtcEvent::PeerStats(stats) => {
                if let Some(time) = stats.rtt {
                    self.stats.round_trip = Some(time.as_secs_f64());
                }
                self.stats.transport = stats.selected_candidate_pair.map(|pair| match pair.protocol {
                    Protocol::Udp => "udp",
                    _ => "tcp",
                });
            }
            RtcEvent::MediaIngressStats(stats) => {
                self.stats.loss = stats.loss.map(f64::from).or(self.stats.loss);
                self.stats.jitter = Some(f64::from(stats.jitter) / CLOCK);
            }
            RtcEvent::MediaEgressStats(stats) => {
                self.stats.remote_loss = stats.loss.map(f64::from).or(self.stats.remote_loss);
                self.stats.round_trip = stats.rtt.map(|time| time.as_secs_f64()).or(self.stats.round_trip);
                self.stats.remote_jitter =
                    stats.remote.map(|remote| f64::from(remote.jitter) / CLOCK).or(self.stats.remote_jitter);
            }
            RtcEvent::Closed => turn.closed = Some("the peer has closed the connection".into()),
            _ => {}
        }
    }

    /// Whether a packet's payload is redundant audio (RFC 2198).
    pub(crate) fn is_redundant(&self, payload_type: Pt) -> bool {
        self.opus.is_some_and(|(_, red)| red == Some(payload_type))
    }

    /// Sends a message by the `metadata` channel; one that has no place is dropped and counted.
    pub(crate) fn say(&mut self, text: &str) {
        let channel = self.channel.and_then(|id| self.rtc.channel(id));
        let said = channel.is_some_and(|mut channel| matches!(channel.write(false, text.as_bytes()), Ok(true)));
        self.stats.messages_dropped += u64::from(!said);
    }

    /// Says farewell; what that needs is sent by [`Self::drive`].
    pub(crate) fn close(&mut self) {
        let _ = self.rtc.close();
    }
}

/// The identifications of an answer's audio lines (RFC 9143), in their order, with the number that RFC 6464's extension
/// has on each.
fn audio_lines(answer: &str) -> Vec<(Mid, Option<u8>)> {
    let sections = answer.split("\nm=").skip(1).filter(|section| section.starts_with("audio "));
    let line = |section: &str| {
        let mid = section.lines().find_map(|line| line.strip_prefix("a=mid:")).map(Mid::from)?;
        let mapped = section.lines().filter_map(|line| line.strip_prefix("a=extmap:"));
        let number = mapped.filter_map(|map| map.split_once(' ')).find(|(_, name)| name.starts_with(AUDIO_LEVEL));
        let number = number.and_then(|(number, _)| number.split('/').next()?.parse().ok());
        Some((mid, number.filter(|number| (1..=MOST_NUMBERS).contains(number))))
    };
    sections.filter_map(line).collect()
}

fn refused(error: &RtcError) -> String {
    format!("the offer can't be taken: {error}; offer audio with ICE credentials, a DTLS fingerprint and rtcp-mux")
}
