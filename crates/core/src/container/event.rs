use super::{OpusHead, Tags};

/// What a demuxer found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A stream begins, or begins anew: a decoder should start afresh.
    Header(Box<Header>),
    /// One Opus packet.
    Packet(Packet<'a>),
    /// Something was passed over.
    Gap(Gap),
    /// After `finish`: nothing will follow.
    End {
        /// Bytes of the whole stream.
        at: u64,
    },
}

/// The head of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How to decode what follows.
    pub head: OpusHead,
    /// Ogg's comments; WebM's are not read.
    pub tags: Option<Tags>,
    /// Whether the stream was joined after its head, so that the head was given by the caller or made from the first
    /// packet.
    pub assumed: bool,
    /// Byte of the stream at which the head, or the first packet, lies.
    pub at: u64,
}

/// One packet and where it belongs.
///
/// Of the samples that it decodes to, the first `discard_start` and the last `discard_end` are not to be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// As the encoder made it.
    pub data: &'a [u8],
    /// Samples from the start of the stream to the packet's first sample; negative within the pre-skip. Where a stream
    /// begins anew the count goes on: `timestamp + discard_start` never falls from one packet to the next.
    pub timestamp: i64,
    /// Samples in the packet, by its table of contents: 120 to 5760.
    pub duration: u32,
    /// Samples to drop from its beginning (pre-skip).
    pub discard_start: u32,
    /// Samples to drop from its end (end trimming, padding).
    pub discard_end: u32,
    /// WebM's track number, Ogg's serial number.
    pub track: u64,
    /// Byte of the stream at which the packet begins.
    pub at: u64,
}

/// Bytes or packets that were passed over. A decoder should treat what follows as coming after a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First byte that was passed over.
    pub at: u64,
    /// How many; 0 where they never came.
    pub bytes: u64,
    /// Why.
    pub reason: &'static str,
}

/// An event whose packet still lies in a demuxer's buffers; `P` says where.
#[derive(Debug)]
pub(super) enum Ready<P> {
    Header(Box<Header>),
    Packet { place: P, packet: Packet<'static> },
    Gap(Gap),
}

impl<P> Ready<P> {
    pub(super) fn gap(at: u64, bytes: u64, reason: &'static str) -> Self {
        Self::Gap(Gap { at, bytes, reason })
    }
}

/// What one step of a demuxer came to.
pub(super) enum Step<P> {
    /// Something changed: step again.
    Again,
    /// More bytes are needed.
    Wait,
    Emit(Ready<P>),
    End,
}
