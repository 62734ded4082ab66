//! Antiphon's WebRTC engine.
//!
//! [`Engine`] answers offers (ICE-lite, RFC 8445), carries DTLS, SRTP and data channels by str0m, all peers on one UDP
//! port and one TCP port, and joins participants in rooms that relay packets or mix them. It runs on threads of its own;
//! what happens is told as [`Event`]s in batches, for which the owner watches a file descriptor.

mod config;
mod engine;
mod event;
mod net;
mod peer;
mod room;
mod seal;
mod shard;
mod stats;

pub use config::{EngineConfig, LocalInput, LocalOutput, RoomMode, RoomOptions};
pub use engine::{Engine, Error};
pub use event::{Event, Events, Refusal};
pub use room::{Forward, Place};
pub use stats::MemberStats;

/// What fuzzers drive; nothing to build on.
#[doc(hidden)]
pub mod fuzzing {
    use std::{sync::OnceLock, time::Instant};

    use crate::{
        engine::peer_config,
        peer::{Peer, PeerConfig, Turn},
    };

    /// Answers an offer as a room does, then another one as for a peer that there is.
    pub fn offer(offer: &str, another: &str) -> Option<String> {
        static CONFIG: OnceLock<Option<PeerConfig>> = OnceLock::new();
        let address = ([127, 0, 0, 1], 9).into();
        let config = CONFIG.get_or_init(|| peer_config(&[address], true).ok()).as_ref()?;
        let mut turn = Turn::default();
        let (mut peer, answer) = Peer::accept(1, 1, offer, config, Instant::now(), &mut turn).ok()?;
        peer.offer(another, Instant::now(), &mut turn).ok();
        Some(answer)
    }
}

/// Names a participant, of whatever kind; unique in an engine.
pub type MemberId = u64;
/// Names a room; unique in an engine.
pub type RoomId = u64;
