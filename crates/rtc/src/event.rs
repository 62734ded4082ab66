//! What the engine tells its owner, in batches.

use antiphon_events::{Queue, Told};

use crate::{MemberId, stats::MemberStats};

/// Why something was refused; the names are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// What came can't be understood.
    BadMessage,
    /// No codec in common.
    UnsupportedFormat,
    /// There is no such room or participant.
    NotFound,
    /// As many as are let in are there.
    SessionLimit,
    /// Longer than is taken.
    TooLarge,
}

impl Refusal {
    /// The code's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::UnsupportedFormat => "unsupported_format",
            Self::NotFound => "not_found",
            Self::SessionLimit => "session_limit",
            Self::TooLarge => "too_large",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer to a peer's offer.
    Answer {
        /// Whose.
        id: MemberId,
        /// Session description (RFC 8866).
        sdp: String,
    },
    /// An offer was not taken. A peer that there was already goes on as before.
    Refused {
        /// Whose.
        id: MemberId,
        /// What kind of fault it was.
        code: Refusal,
        /// For a person.
        message: String,
    },
    /// A candidate that can't be read; the peer goes on without.
    BadCandidate {
        /// Whose.
        id: MemberId,
        /// For a person.
        message: String,
    },
    /// Media flows, for the first time or again.
    Connected(MemberId),
    /// Nothing has come for some seconds.
    Disconnected(MemberId),
    /// Gone for good.
    Closed {
        /// Who.
        id: MemberId,
        /// Why, for a person.
        reason: String,
    },
    /// The `metadata` channel is open.
    Channel(MemberId),
    /// A message that came by it.
    Message {
        /// From whom.
        id: MemberId,
        /// The text.
        text: String,
    },
    /// Somebody began or ceased to speak.
    Speaking {
        /// Who.
        id: MemberId,
        /// Began.
        active: bool,
    },
    /// What each of a listener's streams carries now.
    Slots {
        /// The listener.
        id: MemberId,
        /// The m-line's identification and who is on it.
        slots: Vec<(String, Option<MemberId>)>,
    },
    /// What somebody said, decoded: 16-bit little-endian samples, one channel.
    Tap {
        /// Who.
        id: MemberId,
        /// The samples.
        pcm: Vec<u8>,
    },
    /// What a local listener hears, in the format asked for.
    Audio {
        /// The listener.
        id: MemberId,
        /// One packet.
        payload: Vec<u8>,
    },
    /// The answer to a question for statistics.
    Stats {
        /// Of whom.
        id: MemberId,
        /// The figures.
        stats: Box<MemberStats>,
    },
    /// So many events were lost because nobody took them.
    Overflow(u64),
}

/// Events on their way to the owner, who watches a file descriptor for them.
pub type Events = Queue<Event>;

impl Told for Event {
    const MOST: usize = 200_000;
    /// Two seconds of three hundred participants.
    const MOST_LOSABLE: usize = 30_000;

    /// There will be another of the kind, or its sender knows that it may be lost.
    fn losable(&self) -> bool {
        matches!(self, Self::Tap { .. } | Self::Audio { .. } | Self::Message { .. })
    }

    fn overflow(count: u64) -> Self {
        Self::Overflow(count)
    }
}
