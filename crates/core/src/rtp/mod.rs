//! RTP framing, sequence accounting and the intake of a live stream (RFC 3550 sections 5.1, 6.4.1 and A.8).
//!
//! Sequence numbers are unwrapped: [`SequenceReceiver::next_seq`] grows without end, and its low 16 bits are what the
//! wire carries.

mod intake;
mod packet;
pub mod red;
mod sequence;

pub use intake::{Intake, IntakeLimits, Pace, Taken};
pub use packet::{HEADER_SIZE, Packet, parse};
pub use sequence::{REORDER_PACKETS, REORDER_SECONDS, Ready, SequenceReceiver, SequenceStats};
