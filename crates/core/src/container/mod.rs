//! Containers as byte streams: demuxers that take bytes in any pieces, and a writer.

pub mod ogg;
pub mod webm;
