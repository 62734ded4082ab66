//! What an engine, a room and a participant are asked to be.

use std::{net::IpAddr, time::Duration};

use antiphon_core::mixer::{InputFormat, OutputFormat};

/// What an engine is made with.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Address to bind.
    pub host: IpAddr,
    /// UDP port, and TCP port of the same number; 0 takes a free one.
    pub port: u16,
    /// Whether to take TCP too, for those whose network lets no UDP through.
    pub tcp: bool,
    /// Engine threads, 1 to 64; a room lives on one of them.
    pub threads: usize,
    /// Addresses that answers name; where none are given, the bound one.
    pub announce: Vec<IpAddr>,
    /// WebRTC peers at once.
    pub max_peers: usize,
    /// Until a peer of whom nothing comes is let go.
    pub peer_timeout: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            tcp: true,
            threads: 1,
            announce: Vec::new(),
            max_peers: 1000,
            peer_timeout: Duration::from_secs(30),
        }
    }
}

/// What a room does with its participants' audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMode {
    /// Packets go on as they came, to those who have a stream for them.
    Relay,
    /// Everybody hears one stream, of all others.
    Mix,
}

/// What a room is opened with.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomOptions {
    /// Relay or mix.
    pub mode: RoomMode,
    /// Milliseconds between two looks at who speaks, and of a mixed frame: 10 or 20.
    pub tick_ms: u32,
    /// Most who are heard at once.
    pub loudest: usize,
    /// Bits a second of what is encoded here.
    pub bitrate: u32,
    /// Complexity of that, 0 to 10.
    pub complexity: u8,
    /// Participants of all kinds.
    pub max_participants: usize,
}

impl Default for RoomOptions {
    fn default() -> Self {
        Self { mode: RoomMode::Relay, tick_ms: 20, loudest: 3, bitrate: 32_000, complexity: 5, max_participants: 1000 }
    }
}

/// What a participant who does not speak WebRTC sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalInput {
    /// 16-bit little-endian samples in pieces of any length.
    Pcm {
        /// 8000, 12000, 16000, 24000 or 48000.
        sample_rate: u32,
        /// 1 or 2.
        channels: u8,
    },
    /// One packet of a codec at a time.
    Packets(InputFormat),
}

/// What such a participant hears.
pub type LocalOutput = OutputFormat;
