//! A mixed room as a transport sees it: packets in when the network brings them, packets out each tick.
//!
//! [`MixRoom`] puts a [jitter buffer](crate::jitter) before each seat of a [`Conference`](crate::mixer::Conference). Who
//! may be heard is chosen first, by the levels that senders tell (RFC 6464), or by what an Opus packet shows from outside
//! ([`opus_hint`](crate::mixer::opus_hint)); only their packets are decoded. All others' streams go on in time without
//! that, and take up the sound where they become louder than the rest.
//!
//! Not everybody need come by RTP: [`Input::Pcm`] and [`Input::Packets`] take what a WebSocket, a player or an agent
//! gives, in pieces of any size, and follow its pace as they do that of a network. A [tap](MixRoom::tap) gives one
//! speaker apart from the others, without a gap in time.
//!
//! Whoever owns the room calls [`MixRoom::tick`] every [`RoomConfig::tick_ms`](crate::mixer::RoomConfig::tick_ms); times
//! are microseconds of one clock that only goes forward.

mod config;
mod decoding;
mod feed;
mod levels;
mod mixing;
mod phase;
mod stats;
mod tap;
mod voice;

pub use config::{Input, MixRoomConfig};
pub use levels::Arrived;
pub use mixing::MixRoom;
pub use phase::SHIFT_US;
pub use stats::{Counters, Stats};
