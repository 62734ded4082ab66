//! Mixing: everybody hears everybody else, and what many hear alike is made once.
//!
//! Only the loudest of those who speak are mixed ([`select`]). Each of them hears the mix without their own voice
//! (mix-minus), all others hear one and the same mix. [`Mixer`] does that with samples, [`Conference`] with packets: it
//! decodes only those who may be heard and encodes a shared mix once for all who want it in the same format. Every mix
//! leaves through a look-ahead [`Limiter`].
//!
//! A tick is one frame of everybody, 10 or 20 ms. Nothing here knows the time: whoever owns the room calls the tick.

mod conference;
mod config;
mod format;
mod hint;
pub mod level;
mod limiter;
mod participant;
mod pcm;
pub(crate) mod rate;
mod seat;
pub mod select;
mod source;
mod splice;
mod stage;
mod stream;
#[cfg(test)]
mod testing;

pub use conference::{Conference, Counters, Packet};
pub use config::RoomConfig;
pub use format::{InputFormat, OutputFormat};
pub use hint::{Hint, opus_hint};
pub use limiter::Limiter;
pub use pcm::Mixer;
pub use source::Input;

/// Names a participant of a room.
pub type Id = u64;
