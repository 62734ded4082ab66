//! A connection, and its place on a tape.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use antiphon_core::pace::{Advance, Counters, Cursor};
use rustc_hash::FxHashMap;
use socket2::Socket;

use super::{Clock, Shelf};
use crate::{
    ReaderId, TapeId,
    event::{Event, GoneReason},
    frame,
    line::Line,
    shared::{ReaderShared, Totals, add},
};

/// Bytes in the system's send buffer that are nothing to worry about, however short packets are.
const NOT_MUCH: usize = 512;

/// What came of a reader's turn.
pub(super) enum Turn {
    /// It wants another one then, or when something has happened.
    Wait(Option<u64>),
    /// It was let go as asked.
    Done,
}

pub(super) struct Reader {
    pub(super) id: ReaderId,
    pub(super) line: Line,
    pub(super) cursor: Cursor,
    pub(super) tape: Option<TapeId>,
    /// The tape that it goes over to.
    pub(super) heading: Option<TapeId>,
    /// When it wants its turn.
    pub(super) wake: Option<u64>,
    /// Until when what waits has to be written, before it is let go.
    pub(super) leaving: Option<u64>,
    shared: Arc<ReaderShared>,
    max_lag_us: u64,
    frame_us: u64,
    /// Packets that the system's send buffer may hold.
    most_unconfirmed: u64,
    /// Packets until that is looked at again.
    unchecked: u64,
    /// The system's send buffer holds too many.
    choked: bool,
    /// Packets wait for the connection, or did when this turn began.
    held: bool,
    /// Bytes of what waits in the line that the owner gave.
    queued: usize,
    counted: Counters,
}

impl Reader {
    pub(super) fn new(id: ReaderId, socket: Socket, max_lag_us: u64, shared: Arc<ReaderShared>) -> Self {
        Self {
            id,
            line: Line::new(socket),
            cursor: Cursor::new(0, 1, 1),
            tape: None,
            heading: None,
            wake: None,
            leaving: None,
            shared,
            max_lag_us,
            frame_us: 1,
            most_unconfirmed: 1,
            unchecked: 0,
            choked: false,
            held: false,
            queued: 0,
            counted: Counters::default(),
        }
    }

    /// Begins somewhere on a tape; nowhere: at its end.
    pub(super) fn join(&mut self, tape: TapeId, shelf: &mut Shelf, position: Option<u64>, slot: usize) {
        self.tape = Some(tape);
        self.frame_us = shelf.shared.frame_us;
        self.most_unconfirmed = (self.max_lag_us / self.frame_us / 2).max(1);
        self.unchecked = 0;
        let span = shelf.span();
        let position = if span.live { span.end } else { position.unwrap_or(span.end) };
        let most = self.most_waiting();
        self.cursor.seek(position, self.frame_us, most);
        shelf.join(slot, position);
    }

    /// Packets that may wait here, beside those in the system's send buffer.
    fn most_waiting(&self) -> u64 {
        (self.max_lag_us / self.frame_us).saturating_sub(self.most_unconfirmed).max(1)
    }

    /// Is to go over to another tape.
    pub(super) fn head_for(&mut self, tape: TapeId, shelf: &mut Shelf, slot: usize) {
        if self.leaving.is_none() {
            self.heading = Some(tape);
            shelf.join(slot, self.cursor.due());
        }
    }

    /// One of its tapes is no more.
    pub(super) fn tape_closed(&mut self, tape: TapeId) {
        if self.heading == Some(tape) {
            self.heading = None;
        }
        if self.tape == Some(tape) {
            // What is due is on a tape that is gone; the other one, if there is one, may have it too.
            self.tape = self.heading.take();
            if self.tape.is_none() {
                self.cursor.end();
            }
        }
    }

    /// Goes on after a pause.
    pub(super) fn resume(&mut self, tapes: &FxHashMap<TapeId, Shelf>) {
        if let Some(shelf) = self.tape.and_then(|tape| tapes.get(&tape)) {
            self.cursor.resume(shelf.span());
        }
    }

    /// To be written before the next packet.
    pub(super) fn queue(&mut self, frame: &[u8]) {
        self.line.queue(frame);
        self.queued += frame.len();
    }

    /// What broke the connection.
    pub(super) fn fault(&self) -> GoneReason {
        self.line.fault().map_or(GoneReason::Closed, reason)
    }

    /// Reads a part of each line of memory that a turn needs.
    pub(super) fn touch(&self) -> u64 {
        let own = self.cursor.next() + self.unchecked + self.counted.dropped + self.line.waiting() as u64;
        own + self.shared.sent.load(Relaxed) + self.shared.underruns.load(Relaxed)
    }

    /// Writes what is due and can be written.
    pub(super) fn turn(
        &mut self,
        tapes: &FxHashMap<TapeId, Shelf>,
        clock: &mut Clock,
        news: &mut Vec<Event>,
        late: &mut Vec<u64>,
        totals: &Totals,
    ) -> Result<Turn, GoneReason> {
        let now = clock.now;
        let shelf = self.tape.and_then(|tape| tapes.get(&tape));
        let mut wake = None;
        if let Some(shelf) = shelf {
            let (advance, stalled) = self.cursor.advance(now, shelf.span());
            late.extend(stalled);
            if let Advance::At(next) = advance {
                wake = Some(next);
            }
        }
        self.flush(totals).map_err(reason)?;
        if let Some(shelf) = shelf {
            self.write(shelf, clock, news, late, totals).map_err(reason)?;
        }
        self.count(totals);
        if self.leaving.is_none() && self.cursor.take_end() {
            news.push(Event::Ended(self.id));
        }
        if let Some(deadline) = self.leaving {
            if self.line.waiting() == 0 {
                return Ok(Turn::Done);
            }
            return if now < deadline { Ok(Turn::Wait(Some(deadline))) } else { Err(GoneReason::Timeout) };
        }
        if self.choked {
            // Nobody tells when the send buffer has shrunk.
            let again = now + self.frame_us;
            wake = Some(wake.map_or(again, |wake| wake.min(again)));
        }
        Ok(Turn::Wait(wake))
    }

    /// Whether the tape that it heads for has all that is to be sent next.
    pub(super) fn may_go_over(&self, tapes: &FxHashMap<TapeId, Shelf>) -> bool {
        let Some(shelf) = self.heading.and_then(|tape| tapes.get(&tape)) else { return false };
        let (span, due) = (shelf.span(), self.cursor.due());
        self.cursor.next() >= span.head && (due < span.end || span.finished && due == span.end)
    }

    /// Goes over, and gives the tape that it leaves.
    pub(super) fn go_over(&mut self) -> Option<TapeId> {
        let former = std::mem::replace(&mut self.tape, self.heading.take());
        if self.cursor.ended() {
            let most = self.most_waiting();
            self.cursor.seek(self.cursor.due(), self.frame_us, most);
        }
        former
    }

    fn flush(&mut self, totals: &Totals) -> io::Result<()> {
        let written = self.line.flush()?;
        if written > 0 {
            self.wrote(written, totals);
        }
        if self.queued > 0 && self.line.waiting() == 0 {
            self.shared.queued.fetch_sub(self.queued, Relaxed);
            self.queued = 0;
        }
        Ok(())
    }

    fn write(
        &mut self,
        shelf: &Shelf,
        clock: &mut Clock,
        news: &mut Vec<Event>,
        late: &mut Vec<u64>,
        totals: &Totals,
    ) -> io::Result<()> {
        while self.cursor.owes() && !self.line.blocked() && !self.overfull(shelf) {
            if let Some((packets, total)) = self.cursor.take_dropped() {
                self.line.queue_with(|out| frame::dropped(out, packets, total));
                news.push(Event::Dropped { reader: self.id, packets });
                self.flush(totals)?;
                continue;
            }
            let next = self.cursor.next();
            let Some(run) = shelf.tape.run(next..self.cursor.due()) else { break };
            let written = self.line.write(run.bytes)?;
            let (begun, rest) = run.cut(written);
            self.line.queue(rest);
            if !self.held {
                let now = clock.look();
                let times = (next..next + begun).map(|packet| self.cursor.deadline(packet).unwrap_or(shelf.arrived));
                late.extend(times.map(|time| now.saturating_sub(time)));
            }
            self.cursor.sent(begun);
            self.unchecked = self.unchecked.saturating_sub(begun);
            self.wrote(written, totals);
            add(&self.shared.sent, begun);
            add(&totals.packets, begun);
        }
        self.held = self.cursor.owes() || self.line.waiting() > 0;
        Ok(())
    }

    /// Whether the system's send buffer holds more than it may: a slow connection's packets would grow old there.
    fn overfull(&mut self, shelf: &Shelf) -> bool {
        if self.choked || self.unchecked == 0 {
            let enough = shelf.tape.bytes_before(self.cursor.next(), self.most_unconfirmed).max(NOT_MUCH);
            self.choked = self.line.unconfirmed() > enough;
            self.unchecked = (self.most_unconfirmed / 2).max(1);
        }
        self.choked
    }

    fn wrote(&self, bytes: usize, totals: &Totals) {
        add(&self.shared.bytes, bytes as u64);
        add(&totals.bytes, bytes as u64);
    }

    /// Publishes what has happened.
    fn count(&mut self, totals: &Totals) {
        self.shared.position.store(self.cursor.next(), Relaxed);
        let counters = self.cursor.counters();
        if counters != self.counted {
            self.shared.dropped.store(counters.dropped, Relaxed);
            self.shared.stalls.store(counters.stalls, Relaxed);
            self.shared.underruns.store(counters.underruns, Relaxed);
            add(&totals.dropped, counters.dropped - self.counted.dropped);
            add(&totals.stalls, counters.stalls - self.counted.stalls);
            add(&totals.underruns, counters.underruns - self.counted.underruns);
            self.counted = counters;
        }
    }
}

fn reason(error: io::Error) -> GoneReason {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, WriteZero};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | WriteZero => GoneReason::Closed,
        _ => GoneReason::Other(error.to_string()),
    }
}
