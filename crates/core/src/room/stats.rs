//! What a room has done.

use crate::{jitter, mixer};

/// What is known of a participant.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// The jitter buffer; `None` before anything came.
    pub jitter: Option<jitter::Stats>,
    /// Level in dBov, as it was told or measured last.
    pub level: f32,
    /// Whether this participant speaks.
    pub speaking: bool,
    /// Whether this participant is among the loudest and so is heard.
    pub heard: bool,
    /// Ticks decoded to be heard, tapped or measured.
    pub decoded_ticks: u64,
    /// Ticks that nobody was to hear, not decoded.
    pub skipped_ticks: u64,
    /// Ticks decoded only to learn the level.
    pub looked_ticks: u64,
}

/// What a room has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// The mixer's. Its `decoded`, `malformed`, `concealed` and `dropped` are the jitter buffers' affair and stay 0.
    pub mixer: mixer::Counters,
    /// Ticks of a participant that were decoded to be heard, tapped or measured.
    pub decoded_ticks: u64,
    /// Ticks of a participant that nobody was to hear, not decoded.
    pub skipped_ticks: u64,
    /// Ticks of a participant decoded only to learn the level.
    pub looked_ticks: u64,
}
