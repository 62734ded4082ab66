//! Containers of Opus as byte streams: demuxers that take bytes in any pieces, and an Ogg writer.
//!
//! [`ogg::OggDemuxer`] and [`webm::WebmDemuxer`] are driven alike: bytes go in with `push`, events come out of
//! `next_event` until it gives `None`, and `finish` tells that no more bytes will come. What comes out does not depend
//! on how the bytes are cut into pieces. A stream that is damaged, joined in the middle or begun anew goes on with the
//! next packet that can be trusted, and an [`Event::Gap`] says what was passed over; what can never become Opus is an
//! error, after which the demuxer gives nothing but that error.
//!
//! Times are counted in samples of 48 kHz, the clock of Opus in every container, whatever rate was encoded.

mod ebml;
mod event;
mod head;
mod input;
pub mod ogg;
mod tags;
mod timeline;
mod toc;
pub mod webm;

pub use event::{Event, Gap, Header, Packet};
pub use head::{Mapping, OpusHead};
pub use tags::Tags;
pub use toc::{check_packet, packet_duration};

/// Samples a second of every timestamp and duration here.
pub const CLOCK: u32 = 48_000;

/// Largest packet that is taken, in bytes: what RFC 7845 §6 allows for one Opus stream.
pub const MAX_PACKET: usize = 61_440;

/// Largest number of bytes that may be pushed ahead of the events being taken.
pub const MAX_UNREAD: usize = 64 << 20;

/// Whether a packet of an unknown stream may be Opus. Of several streams in a packet, all but the last delimit
/// themselves, and only the durations can be checked.
fn plausible(packet: &[u8], head: Option<&OpusHead>) -> bool {
    match head {
        Some(head) if head.mapping.streams > 1 => packet_duration(packet).is_ok(),
        _ => check_packet(packet).is_ok(),
    }
}
