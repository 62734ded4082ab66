//! Antiphon's media plane: what happens for every audio frame.
//!
//! Nothing here reads a clock, opens a socket or starts a thread: time is an argument, bytes and samples go in and come
//! out. Samples are `f32` in −1.0 to 1.0 or `i16`, interleaved where there is more than one channel.

pub mod bitrate;
pub mod container;
pub mod echo;
mod error;
pub mod g711;
pub mod jitter;
pub mod level;
pub mod live;
pub mod mixer;
pub mod opus;
pub mod pace;
pub mod resample;
pub mod room;
pub mod rtp;
mod scratch;
pub mod timescale;
pub mod vad;

pub use error::{Error, Result};
