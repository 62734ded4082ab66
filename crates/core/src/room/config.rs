//! What a room is made of, and what participants send to it.

use crate::{
    jitter,
    mixer::{InputFormat, RoomConfig},
};

/// How a room mixes and how long it waits for packets.
#[derive(Debug, Clone, PartialEq)]
pub struct MixRoomConfig {
    /// The mix.
    pub room: RoomConfig,
    /// Every jitter buffer; `clock_rate` and `frame_ms` follow from the input and the room.
    pub jitter: jitter::Config,
}

impl Default for MixRoomConfig {
    fn default() -> Self {
        Self {
            room: RoomConfig::default(),
            jitter: jitter::Config { prompt: true, max_packets: 128, max_bytes: 1 << 16, ..jitter::Config::default() },
        }
    }
}

/// What a participant sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// RTP from a network that may delay, lose and reorder it: [`MixRoom::push`](super::MixRoom::push).
    Rtp(InputFormat),
    /// Samples in pieces of any size, about in pace: [`MixRoom::push_pcm`](super::MixRoom::push_pcm).
    Pcm {
        /// 1000 to 768 000. What the mixer doesn't know is resampled, to one channel.
        sample_rate: u32,
        /// 1 or 2; with a resampled rate up to 32.
        channels: u8,
    },
    /// Packets in order, about in pace, without an RTP header: [`MixRoom::push_packet`](super::MixRoom::push_packet).
    Packets(InputFormat),
}
