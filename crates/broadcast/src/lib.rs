//! Paces packets to many WebSocket connections from one thread.
//!
//! [`Broadcaster`] is the handle: whoever has it opens tapes, appends packets and attaches connections; a thread of its
//! own sends each packet at its time (`antiphon_core::pace`) and tells what happens as [`Event`]s, for which the owner
//! watches a file descriptor. A packet is made into a WebSocket frame once and written to all connections as it is:
//! a server doesn't mask (RFC 6455, section 5.1).

mod alarm;
mod broadcaster;
mod command;
mod event;
mod frame;
mod line;
mod shared;
mod turns;
mod worker;

pub use broadcaster::{Broadcaster, Error, Statistics, TapeOptions, TapeStats};
pub use event::{Event, Events, GoneReason};
pub use shared::{Lateness, ReaderStats};

/// Names a tape; never used again.
pub type TapeId = u64;
/// Names a reader; never used again.
pub type ReaderId = u64;
