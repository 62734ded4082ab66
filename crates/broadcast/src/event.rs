//! What the thread tells its owner, in batches.

use antiphon_events::{Queue, Told};

use crate::{ReaderId, TapeId};

/// Why a connection can't be written any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoneReason {
    /// The other side is gone.
    Closed,
    /// It didn't take what was to be written before it was let go.
    Timeout,
    /// The system's words.
    Other(String),
}

impl std::fmt::Display for GoneReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Other(words) => words,
        })
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The furthest reader of a tape is near its end.
    Low(TapeId),
    /// A reader has come to the end, and is idle.
    Ended(ReaderId),
    /// A reader's connection is broken; it is forgotten.
    Gone {
        /// Whose.
        reader: ReaderId,
        /// Why.
        reason: GoneReason,
    },
    /// A reader was detached as asked; it is forgotten.
    Released(ReaderId),
    /// A slow reader has lost packets, and was told.
    Dropped {
        /// Who.
        reader: ReaderId,
        /// How many.
        packets: u64,
    },
    /// So many events were lost because nobody took them.
    Overflow(u64),
}

/// Events on their way to the owner, who watches a file descriptor for them.
pub type Events = Queue<Event>;

impl Told for Event {
    /// Bounded by what they answer: one for each tape that was opened or appended to, one for each reader that was put
    /// somewhere, and its last.
    const MOST: usize = usize::MAX;
    const MOST_LOSABLE: usize = 10_000;

    fn losable(&self) -> bool {
        matches!(self, Self::Dropped { .. })
    }

    fn overflow(count: u64) -> Self {
        Self::Overflow(count)
    }
}
