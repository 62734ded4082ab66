//! A tape and who reads it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use antiphon_core::pace::{Span, Tape};

use super::reader::Reader;
use crate::{
    TapeId,
    command::Frames,
    event::Event,
    shared::{TapeShared, Totals},
};

/// What a live tape keeps, in microseconds.
const LIVE_TAIL: u64 = 2_000_000;

pub(super) struct Shelf {
    pub(super) tape: Tape,
    pub(super) shared: Arc<TapeShared>,
    finished: bool,
    /// When the newest packets came.
    pub(super) arrived: u64,
    /// The slots of its readers, and of those that are about to be.
    readers: Vec<usize>,
    furthest: u64,
    told_low: bool,
}

impl Shelf {
    pub(super) fn new(shared: Arc<TapeShared>) -> Self {
        Self {
            tape: Tape::new(shared.first),
            shared,
            finished: false,
            arrived: 0,
            readers: Vec::new(),
            furthest: 0,
            told_low: false,
        }
    }

    pub(super) fn span(&self) -> Span {
        Span { head: self.tape.head(), end: self.tape.end(), finished: self.finished, live: self.shared.live }
    }

    pub(super) fn append(&mut self, frames: &Frames, at: u64, totals: &Totals) {
        let before = self.tape.bytes();
        let mut start = 0;
        for &end in &frames.ends {
            self.tape.push(&frames.bytes[start..end]);
            start = end;
        }
        self.arrived = at;
        self.told_low = false;
        if self.shared.live {
            let kept = self.tape.end().saturating_sub(LIVE_TAIL / self.shared.frame_us);
            self.tape.forget(|after, _| after <= kept);
        } else {
            self.tape.forget(|_, bytes| bytes > self.shared.max_bytes);
        }
        let after = self.tape.bytes();
        totals.tape_bytes.fetch_add(after, Relaxed);
        totals.tape_bytes.fetch_sub(before, Relaxed);
        self.shared.forgotten_bytes.fetch_add((before + frames.bytes.len()).saturating_sub(after), Relaxed);
        self.shared.head.store(self.tape.head(), Relaxed);
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// Ends it, and gives its readers.
    pub(super) fn close(self, totals: &Totals) -> Vec<usize> {
        totals.tape_bytes.fetch_sub(self.tape.bytes(), Relaxed);
        self.readers
    }

    /// Those who have to look at something new.
    pub(super) fn readers(&self) -> Vec<usize> {
        self.readers.clone()
    }

    pub(super) fn join(&mut self, slot: usize, due: u64) {
        if self.readers.is_empty() {
            self.furthest = due;
            // Whoever was asked when somebody else was here may have seen that nobody is left.
            self.told_low = false;
        }
        self.readers.push(slot);
        self.passed(due);
    }

    pub(super) fn leave(&mut self, slot: usize, readers: &[Option<Reader>]) {
        if let Some(place) = self.readers.iter().position(|other| *other == slot) {
            self.readers.swap_remove(place);
        }
        if !self.shared.live {
            let others = self.readers.iter().filter_map(|slot| readers[*slot].as_ref());
            self.furthest = others.map(|reader| reader.cursor.due()).max().unwrap_or(0);
        }
        self.publish();
    }

    /// One of its readers comes to that packet next.
    pub(super) fn passed(&mut self, due: u64) {
        self.furthest = self.furthest.max(due);
        self.publish();
    }

    fn publish(&self) {
        self.shared.readers.store(self.readers.len(), Relaxed);
        self.shared.furthest.store(if self.readers.is_empty() { u64::MAX } else { self.furthest }, Relaxed);
    }

    /// Says so where the furthest reader is near the end, once until something comes.
    pub(super) fn check_low(&mut self, tape: TapeId, news: &mut Vec<Event>) {
        let ahead = self.tape.end().saturating_sub(self.furthest);
        let low = !self.shared.live && !self.finished && !self.readers.is_empty() && ahead < self.shared.low_ahead;
        if low && !std::mem::replace(&mut self.told_low, true) {
            news.push(Event::Low(tape));
        }
    }
}
