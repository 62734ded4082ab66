//! What a native thread tells its owner: batches of events in a bounded queue, behind a file descriptor to watch.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::Mutex,
};

/// Something that is told.
pub trait Told: Sized {
    /// Events kept at most.
    const MOST: usize;
    /// Events kept at most of those that may be lost.
    const MOST_LOSABLE: usize;

    /// Whether it may be left out where too many of its kind wait.
    fn losable(&self) -> bool;

    /// Says that so many were left out.
    fn overflow(count: u64) -> Self;
}

/// Events on their way to the owner.
#[derive(Debug)]
pub struct Queue<E> {
    state: Mutex<State<E>>,
    reader: UnixStream,
    writer: UnixStream,
}

#[derive(Debug)]
struct State<E> {
    events: VecDeque<E>,
    losable: usize,
    lost: u64,
    told: bool,
}

impl<E: Told> Queue<E> {
    /// An empty queue.
    ///
    /// # Errors
    /// The system's, where there are no more file descriptors.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let state = State { events: VecDeque::new(), losable: 0, lost: 0, told: false };
        Ok(Self { state: Mutex::new(state), reader, writer })
    }

    /// Readable while there is something to take.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Hands over a batch, which is empty afterwards. What there is no room for is left out and counted.
    pub fn extend(&self, batch: &mut Vec<E>) {
        if batch.is_empty() {
            return;
        }
        let mut state = self.lock();
        for event in batch.drain(..) {
            let losable = event.losable();
            if state.events.len() >= E::MOST || losable && state.losable >= E::MOST_LOSABLE {
                state.lost += 1;
                continue;
            }
            state.losable += usize::from(losable);
            state.events.push_back(event);
        }
        if !std::mem::replace(&mut state.told, true) {
            // A full pipe is readable already.
            let _ = (&self.writer).write(&[1]);
        }
    }

    /// Takes at most `limit` events, the oldest first, after one that says how many were left out.
    pub fn take(&self, limit: usize) -> Vec<E> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        if state.lost > 0 {
            taken.push(E::overflow(std::mem::take(&mut state.lost)));
        }
        let count = limit.min(state.events.len());
        let first = taken.len();
        taken.extend(state.events.drain(..count));
        state.losable -= taken[first..].iter().filter(|event| event.losable()).count();
        if state.events.is_empty() && std::mem::take(&mut state.told) {
            let mut scratch = [0; 16];
            let _ = (&self.reader).read(&mut scratch);
        }
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<E>> {
        // Nothing that is done under the lock can leave the queue half changed.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends there")]

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Event {
        News(usize),
        Sound(usize),
        Overflow(u64),
    }

    impl Told for Event {
        const MOST: usize = 20;
        const MOST_LOSABLE: usize = 10;

        fn losable(&self) -> bool {
            matches!(self, Self::Sound(_))
        }

        fn overflow(count: u64) -> Self {
            Self::Overflow(count)
        }
    }

    #[test]
    fn events_come_in_their_order_and_those_that_may_be_lost_are_first_to_be() {
        let queue = Queue::new().unwrap();
        let mut batch = vec![Event::News(0)];
        batch.extend((0..12).map(Event::Sound));
        batch.push(Event::News(1));
        queue.extend(&mut batch);
        assert!(batch.is_empty());
        let taken = queue.take(usize::MAX);
        assert_eq!(taken[..3], [Event::Overflow(2), Event::News(0), Event::Sound(0)]);
        assert_eq!(taken.last(), Some(&Event::News(1)));
        assert!(queue.take(9).is_empty());
        // There is room again.
        queue.extend(&mut (0..10).map(Event::Sound).collect());
        assert_eq!(queue.take(usize::MAX).len(), 10);
    }

    #[test]
    fn there_is_a_bound_for_everything_and_a_limit_is_kept() {
        let queue = Queue::new().unwrap();
        queue.extend(&mut (0..25).map(Event::News).collect());
        assert_eq!(queue.take(2), [Event::Overflow(5), Event::News(0), Event::News(1)]);
        assert_eq!(queue.take(usize::MAX).len(), 18);
    }

    #[test]
    fn the_descriptor_is_readable_while_there_is_something_to_take() {
        let queue = Queue::new().unwrap();
        let mut byte = [0];
        let readable = |queue: &Queue<Event>, byte: &mut [u8]| {
            // SAFETY: the descriptor is open, and the kernel writes one byte to a buffer that has it.
            let peeked = unsafe { libc::recv(queue.fd(), byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK) };
            peeked == 1
        };
        assert!(!readable(&queue, &mut byte));
        queue.extend(&mut vec![Event::News(1), Event::News(2)]);
        queue.take(1);
        assert!(readable(&queue, &mut byte));
        queue.take(1);
        assert!(!readable(&queue, &mut byte));
    }
}
