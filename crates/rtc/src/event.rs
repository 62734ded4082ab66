//! What the engine tells its owner, in batches.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::Mutex,
};

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

impl Event {
    /// Whether it may go where too many wait: there will be another of the kind, or its sender knows that it may be lost.
    fn is_media(&self) -> bool {
        matches!(self, Self::Tap { .. } | Self::Audio { .. } | Self::Message { .. })
    }
}

/// Media events kept at most: two seconds of three hundred participants.
const MOST_MEDIA: usize = 30_000;
/// Events of other kinds kept at most.
const MOST: usize = 200_000;

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    media: usize,
    lost: u64,
    told: bool,
}

/// Events on their way to the owner, who watches a file descriptor for them.
#[derive(Debug)]
pub struct Events {
    state: Mutex<State>,
    reader: UnixStream,
    writer: UnixStream,
}

impl Events {
    /// An empty queue.
    ///
    /// # Errors
    /// The system's, where there are no more file descriptors.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { state: Mutex::default(), reader, writer })
    }

    /// Readable while there is something to take.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Hands over a batch, which is empty afterwards.
    pub(crate) fn extend(&self, batch: &mut Vec<Event>) {
        if batch.is_empty() {
            return;
        }
        let mut state = self.lock();
        for event in batch.drain(..) {
            let media = event.is_media();
            if state.events.len() >= MOST || (media && state.media >= MOST_MEDIA) {
                state.lost += 1;
                continue;
            }
            state.media += usize::from(media);
            state.events.push_back(event);
        }
        if !std::mem::replace(&mut state.told, true) {
            // A full pipe is readable already.
            let _ = (&self.writer).write(&[1]);
        }
    }

    /// Takes at most `limit` events, the oldest first.
    pub fn take(&self, limit: usize) -> Vec<Event> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        if state.lost > 0 {
            taken.push(Event::Overflow(std::mem::take(&mut state.lost)));
        }
        let count = limit.min(state.events.len());
        taken.extend(state.events.drain(..count));
        state.media -= taken.iter().filter(|event| event.is_media()).count();
        if state.events.is_empty() && std::mem::take(&mut state.told) {
            let mut scratch = [0; 16];
            let _ = (&self.reader).read(&mut scratch);
        }
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that is done under the lock can leave the queue half changed.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_their_order_and_media_may_be_lost() {
        let events = Events::new().unwrap();
        let mut batch = vec![Event::Connected(1)];
        batch.extend((0..=MOST_MEDIA).map(|_| Event::Tap { id: 1, pcm: Vec::new() }));
        batch.push(Event::Disconnected(1));
        events.extend(&mut batch);
        let taken = events.take(usize::MAX);
        assert_eq!(taken[0], Event::Overflow(1));
        assert_eq!(taken[1], Event::Connected(1));
        assert_eq!(taken.last(), Some(&Event::Disconnected(1)));
        assert!(events.take(9).is_empty());
    }
}
