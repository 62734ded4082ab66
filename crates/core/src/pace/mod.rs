//! Packets of equal duration, sent to many listeners at their times.
//!
//! A [`Tape`] holds frames that are ready to be written, once for everybody. A [`Cursor`] is one listener's place on a
//! tape: it says which packets' time has come, and what is left out where a connection takes less than it is sent. Times
//! are microseconds on any clock that never goes back.

mod cursor;
mod tape;

pub use cursor::{Advance, Counters, Cursor, Span};
pub use tape::{Run, Tape};

/// Timelines begin at multiples of this many microseconds, so that what is due at nearly the same time is due at the
/// same time, and is sent in one go. Rounding happens once, at the beginning: it adds no error to any later packet.
/// It divides the durations that packets have.
pub const GRID: u64 = 1_000;

/// A timeline whose next packet is later than so many packets last is moved; one that is not so late catches up.
pub const MOST_LATE: u64 = 2;

/// The first time of the grid that is not before `now`.
pub fn on_grid(now: u64) -> u64 {
    now.next_multiple_of(GRID)
}
