//! Figures of one participant.

use antiphon_core::jitter;

/// How a participant's connection and audio do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemberStats {
    /// RTP packets that came.
    pub packets_received: u64,
    /// Their bytes, without headers.
    pub bytes_received: u64,
    /// RTP packets that were sent.
    pub packets_sent: u64,
    /// Their bytes, without headers.
    pub bytes_sent: u64,
    /// Those of them that took no turn of the session.
    pub sealed_apart: u64,
    /// Packets dropped because more came than a microphone can send, and messages because they were too long.
    pub flooded: u64,
    /// Messages for the `metadata` channel that were dropped.
    pub messages_dropped: u64,
    /// Seconds a packet takes to the peer and back, by RTCP (RFC 3550, section 6.4.1).
    pub round_trip: Option<f64>,
    /// The share of packets that the peer did not get, 0 to 1, by RTCP.
    pub remote_loss: Option<f64>,
    /// Interarrival jitter at the peer in seconds, by RTCP.
    pub remote_jitter: Option<f64>,
    /// The share of packets from the peer that did not come, 0 to 1.
    pub loss: Option<f64>,
    /// Interarrival jitter of packets from the peer in seconds.
    pub jitter: Option<f64>,
    /// Bits a second that the peer is sent.
    pub bitrate: u32,
    /// `udp` or `tcp`, where connected.
    pub transport: Option<&'static str>,
    /// The jitter buffer's, where the audio is decoded.
    pub buffer: Option<jitter::Stats>,
}
