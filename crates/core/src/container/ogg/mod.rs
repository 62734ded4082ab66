//! Ogg Opus (RFC 3533, RFC 7845): a demuxer for streams and a writer.

mod crc;
mod demux;
mod page;
mod stream;
mod write;

pub use demux::OggDemuxer;
pub use write::{OggWriter, PageFlush};

/// Largest Ogg page in bytes: a header of 27, 255 lacing values, and 255 segments of 255 bytes.
pub const MAX_PAGE: usize = 27 + 255 + 255 * 255;
