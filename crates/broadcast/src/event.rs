//! What the thread tells its owner, in batches.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::Mutex,
};

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

/// Events of dropped packets kept at most. All others are bounded by what they answer: one for each tape that was opened
/// or appended to, one for each reader that was put somewhere, and its last.
const MOST_DROPPED: usize = 10_000;

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    dropped: usize,
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
            if matches!(event, Event::Dropped { .. }) {
                if state.dropped >= MOST_DROPPED {
                    state.lost += 1;
                    continue;
                }
                state.dropped += 1;
            }
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
        state.dropped -= taken.iter().filter(|event| matches!(event, Event::Dropped { .. })).count();
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
    fn events_come_in_their_order_and_only_dropped_packets_may_be_lost() {
        let events = Events::new().unwrap();
        let mut batch = vec![Event::Ended(1)];
        batch.extend((0..=MOST_DROPPED).map(|_| Event::Dropped { reader: 1, packets: 1 }));
        batch.push(Event::Released(1));
        events.extend(&mut batch);
        let taken = events.take(usize::MAX);
        assert_eq!(taken[..2], [Event::Overflow(1), Event::Ended(1)]);
        assert_eq!(taken.last(), Some(&Event::Released(1)));
        assert!(events.take(9).is_empty());
    }
}
