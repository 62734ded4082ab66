//! The thread: sends each packet at its time, and does what it is asked.

mod reader;
mod shelf;
mod wakes;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use mio::{Events as Readiness, Interest, Poll, Token, unix::SourceFd};
use rustc_hash::FxHashMap;
use socket2::Socket;

use crate::{
    ReaderId, TapeId,
    alarm::Alarm,
    command::Command,
    event::{Event, Events, GoneReason},
    shared::{ReaderShared, Totals},
    turns,
};
use reader::{Reader, Turn};
use shelf::Shelf;
use wakes::Wakes;

pub(crate) const WAKE: Token = Token(0);
const ALARM: Token = Token(1);
const FIRST_READER: usize = 2;
/// Commands taken before anything else gets its turn.
const COMMANDS: usize = 256;
/// Readers whose memory is asked for at once: as many as a processor waits for side by side.
const AHEAD: usize = 16;
/// Longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How often the thread says what it costs.
const ACCOUNTING: u64 = 250_000;
/// Microseconds that a reader has to take what is to be written before it is let go.
const LETTING_GO: u64 = 2_000_000;

/// What the thread is made with.
pub(crate) struct Parts {
    pub(crate) poll: Poll,
    pub(crate) commands: Receiver<Command>,
    pub(crate) told: Arc<AtomicBool>,
    pub(crate) events: Arc<Events>,
    pub(crate) totals: Arc<Totals>,
}

pub(crate) struct Worker {
    parts: Parts,
    alarm: Alarm,
    /// When the alarm is set for; 0: it isn't.
    alarm_at: u64,
    clock: Clock,
    tapes: FxHashMap<TapeId, Shelf>,
    readers: Vec<Option<Reader>>,
    free: Vec<usize>,
    slots: FxHashMap<ReaderId, usize>,
    /// When readers want their turn. Those that have changed their mind since have no effect.
    wakes: Wakes,
    news: Vec<Event>,
    late: Vec<u64>,
    accounted: u64,
}

/// Microseconds since the thread's beginning.
struct Clock {
    beginning: Instant,
    /// When it was looked at last.
    now: u64,
}

impl Clock {
    fn new() -> Self {
        Self { beginning: Instant::now(), now: 0 }
    }

    fn look(&mut self) -> u64 {
        self.now = self.at(Instant::now());
        self.now
    }

    fn at(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.beginning).as_micros() as u64
    }
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let alarm = Alarm::new(parts.poll.registry(), ALARM)?;
        Ok(Self {
            parts,
            alarm,
            alarm_at: 0,
            clock: Clock::new(),
            tapes: FxHashMap::default(),
            readers: Vec::new(),
            free: Vec::new(),
            slots: FxHashMap::default(),
            wakes: Wakes::default(),
            news: Vec::new(),
            late: Vec::new(),
            accounted: 0,
        })
    }

    pub(crate) fn run(mut self) {
        turns::ask_for_short_ones();
        let mut ready = Readiness::with_capacity(1024);
        let mut busy = false;
        loop {
            let sleep = if busy { Some(Duration::ZERO) } else { self.sleep() };
            match self.parts.poll.poll(&mut ready, sleep) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    // Nothing can be waited for any more; all that is left is to say so.
                    self.give_up(&error);
                    return;
                }
                _ => {}
            }
            // Before the commands are looked at, so that whoever comes too late for that wakes the thread again.
            self.parts.told.swap(false, Ordering::SeqCst);
            self.clock.look();
            for event in ready.iter().filter(|event| event.token().0 >= FIRST_READER) {
                let slot = event.token().0 - FIRST_READER;
                self.ready(slot, event.is_error() || event.is_write_closed());
            }
            let Some(more) = self.obey() else { return };
            busy = more;
            self.wake();
            self.report();
        }
    }

    /// How long the poll may sleep, with the alarm set for the first who wants a turn.
    fn sleep(&mut self) -> Option<Duration> {
        let now = self.clock.look();
        let next = self.wakes.next().unwrap_or(u64::MAX);
        if next <= now {
            return Some(Duration::ZERO);
        }
        let after = Duration::from_micros(next - now);
        if after >= LONGEST_SLEEP {
            return Some(LONGEST_SLEEP);
        }
        if self.alarm_at == next {
            return Some(LONGEST_SLEEP);
        }
        match self.alarm.set(after) {
            Some(timeout) => Some(timeout),
            None => {
                self.alarm_at = next;
                Some(LONGEST_SLEEP)
            }
        }
    }

    /// Gives those their turn whose time has come.
    fn wake(&mut self) {
        let now = self.clock.look();
        while let Some((at, slots)) = self.wakes.take(now) {
            for (place, &slot) in slots.iter().enumerate() {
                self.fetch(&slots, place);
                if let Some(reader) = self.readers[slot].as_mut()
                    && reader.wake == Some(at)
                {
                    reader.wake = None;
                    self.serve(slot);
                }
            }
            self.wakes.done_with(slots);
        }
    }

    /// A socket can be written again, or never again.
    fn ready(&mut self, slot: usize, broken: bool) {
        let Some(reader) = self.readers.get_mut(slot).and_then(Option::as_mut) else { return };
        if broken {
            let reason = reader.fault();
            self.remove(slot, Some(reason));
        } else if reader.line.blocked() {
            reader.line.unblock();
            self.serve(slot);
        }
    }

    /// Reads, now and then, what the next readers need, which was last used a packet ago: it is waited for at once, where a
    /// reader at a time would wait for each place in turn.
    fn fetch(&self, slots: &[usize], place: usize) {
        if place.is_multiple_of(AHEAD) {
            let readers = slots[place..].iter().take(AHEAD).filter_map(|slot| self.readers[*slot].as_ref());
            // The reads are all there is to it.
            std::hint::black_box(readers.map(Reader::touch).fold(0, u64::wrapping_add));
        }
    }

    /// Gives a reader its turn: what is due and can be written is written.
    fn serve(&mut self, slot: usize) {
        self.go_over(slot);
        let Some(reader) = self.readers[slot].as_mut() else { return };
        let turn = reader.turn(&self.tapes, &mut self.clock, &mut self.news, &mut self.late, &self.parts.totals);
        match turn {
            Ok(Turn::Wait(wake)) => {
                if let Some(at) = wake.filter(|_| wake != reader.wake) {
                    self.wakes.add(at, slot);
                }
                reader.wake = wake;
                let due = reader.cursor.due();
                let (tape, heading) = (reader.tape, reader.heading);
                for tape in tape.into_iter().chain(heading) {
                    if let Some(shelf) = self.tapes.get_mut(&tape) {
                        shelf.passed(due);
                        shelf.check_low(tape, &mut self.news);
                    }
                }
            }
            Ok(Turn::Done) => self.remove(slot, None),
            Err(reason) => self.remove(slot, Some(reason)),
        }
    }

    /// Puts a reader on the tape that it heads for, where that one has come far enough.
    fn go_over(&mut self, slot: usize) {
        let Some(reader) = self.readers[slot].as_mut() else { return };
        if reader.may_go_over(&self.tapes)
            && let Some(former) = reader.go_over()
            && let Some(shelf) = self.tapes.get_mut(&former)
        {
            shelf.leave(slot, self.readers.as_slice());
        }
    }

    /// Takes what it is asked to do. Gives whether there is more; None where it is to end.
    fn obey(&mut self) -> Option<bool> {
        for _ in 0..COMMANDS {
            let Ok(command) = self.parts.commands.try_recv() else { return Some(false) };
            self.clock.look();
            match command {
                Command::OpenTape { tape, shared } => {
                    self.tapes.insert(tape, Shelf::new(shared));
                    self.parts.totals.tapes.store(self.tapes.len(), Ordering::Relaxed);
                }
                Command::Append { tape, frames, at } => {
                    let at = self.clock.at(at);
                    self.news_of(tape, |shelf, totals| shelf.append(&frames, at, totals));
                }
                Command::Finish { tape } => self.news_of(tape, |shelf, _| shelf.finish()),
                Command::CloseTape { tape } => self.close_tape(tape),
                Command::Attach { reader, tape, socket, position, max_lag_us, shared } => {
                    self.attach(reader, tape, socket, position, max_lag_us, shared);
                }
                Command::Send { reader, frame } => self.act(reader, |reader, _| reader.queue(&frame)),
                Command::Switch { reader, tape } => self.switch(reader, tape),
                Command::Seek { reader, position, tape } => self.seek(reader, position, tape),
                Command::Pause { reader } => self.act(reader, |reader, _| reader.cursor.pause()),
                Command::Resume { reader } => self.act(reader, Reader::resume),
                Command::Detach { reader } => self.detach(reader),
                Command::Stop => return None,
            }
        }
        Some(true)
    }

    /// Changes a tape, and has its readers look at it.
    fn news_of(&mut self, tape: TapeId, change: impl FnOnce(&mut Shelf, &Totals)) {
        let Some(shelf) = self.tapes.get_mut(&tape) else { return };
        change(shelf, &self.parts.totals);
        let slots = shelf.readers();
        for (place, &slot) in slots.iter().enumerate() {
            self.fetch(&slots, place);
            self.serve(slot);
        }
        if let Some(shelf) = self.tapes.get_mut(&tape) {
            shelf.check_low(tape, &mut self.news);
        }
    }

    /// Does something to a reader, and gives it its turn.
    fn act(&mut self, reader: ReaderId, change: impl FnOnce(&mut Reader, &FxHashMap<TapeId, Shelf>)) {
        let Some(&slot) = self.slots.get(&reader) else { return };
        if let Some(reader) = self.readers[slot].as_mut() {
            change(reader, &self.tapes);
            self.serve(slot);
        }
    }

    fn close_tape(&mut self, tape: TapeId) {
        let Some(shelf) = self.tapes.remove(&tape) else { return };
        let readers = shelf.close(&self.parts.totals);
        self.parts.totals.tapes.store(self.tapes.len(), Ordering::Relaxed);
        for &slot in &readers {
            if let Some(reader) = self.readers[slot].as_mut() {
                reader.tape_closed(tape);
            }
        }
        for slot in readers {
            self.serve(slot);
        }
    }

    fn attach(
        &mut self,
        id: ReaderId,
        tape: TapeId,
        socket: Socket,
        position: u64,
        max_lag_us: u64,
        shared: Arc<ReaderShared>,
    ) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.readers.push(None);
            self.readers.len() - 1
        });
        let mut reader = Reader::new(id, socket, max_lag_us, shared);
        let fd = reader.line.fd();
        let watched =
            self.parts.poll.registry().register(&mut SourceFd(&fd), Token(slot + FIRST_READER), Interest::WRITABLE);
        if let Some(shelf) = self.tapes.get_mut(&tape) {
            reader.join(tape, shelf, Some(position), slot);
        } else {
            reader.cursor.end();
        }
        self.slots.insert(id, slot);
        self.readers[slot] = Some(reader);
        self.parts.totals.readers.store(self.slots.len(), Ordering::Relaxed);
        match watched {
            Ok(()) => self.serve(slot),
            Err(error) => self.remove(slot, Some(GoneReason::Other(error.to_string()))),
        }
    }

    fn switch(&mut self, reader: ReaderId, tape: TapeId) {
        let Some(&slot) = self.slots.get(&reader) else { return };
        let Some(reader) = self.readers[slot].as_mut() else { return };
        if let Some(former) = reader.heading.take()
            && let Some(shelf) = self.tapes.get_mut(&former)
        {
            shelf.leave(slot, self.readers.as_slice());
        }
        let Some(reader) = self.readers[slot].as_mut() else { return };
        if reader.tape != Some(tape)
            && let Some(shelf) = self.tapes.get_mut(&tape)
        {
            reader.head_for(tape, shelf, slot);
        }
        self.serve(slot);
    }

    fn seek(&mut self, reader: ReaderId, position: Option<u64>, tape: Option<TapeId>) {
        let Some(&slot) = self.slots.get(&reader) else { return };
        let Some(reader) = self.readers[slot].as_ref() else { return };
        let Some(target) = tape.or(reader.tape) else { return };
        if reader.leaving.is_some() || !self.tapes.contains_key(&target) {
            return;
        }
        self.leave_tapes(slot);
        if let (Some(reader), Some(shelf)) = (self.readers[slot].as_mut(), self.tapes.get_mut(&target)) {
            reader.join(target, shelf, position, slot);
        }
        self.serve(slot);
    }

    fn detach(&mut self, reader: ReaderId) {
        let Some(&slot) = self.slots.get(&reader) else { return };
        self.leave_tapes(slot);
        if let Some(reader) = self.readers[slot].as_mut() {
            reader.leaving.get_or_insert(self.clock.now + LETTING_GO);
            reader.cursor.end();
            self.serve(slot);
        }
    }

    /// Takes a reader off the tapes that it is on.
    fn leave_tapes(&mut self, slot: usize) {
        let Some(reader) = self.readers[slot].as_mut() else { return };
        let tapes = [reader.tape.take(), reader.heading.take()];
        for tape in tapes.into_iter().flatten() {
            if let Some(shelf) = self.tapes.get_mut(&tape) {
                shelf.leave(slot, self.readers.as_slice());
            }
        }
    }

    /// Forgets a reader: it was let go, or is gone for a reason.
    fn remove(&mut self, slot: usize, reason: Option<GoneReason>) {
        self.leave_tapes(slot);
        let Some(reader) = self.readers[slot].take() else { return };
        let fd = reader.line.fd();
        // The socket itself lives on with its owner, so closing the descriptor would not end the watch.
        let _ = self.parts.poll.registry().deregister(&mut SourceFd(&fd));
        self.slots.remove(&reader.id);
        self.free.push(slot);
        self.parts.totals.readers.store(self.slots.len(), Ordering::Relaxed);
        self.news.push(match reason {
            None => Event::Released(reader.id),
            Some(reason) => {
                self.parts.totals.errors.fetch_add(1, Ordering::Relaxed);
                Event::Gone { reader: reader.id, reason }
            }
        });
    }

    /// Tells what has happened.
    fn report(&mut self) {
        if !self.late.is_empty() {
            self.parts.totals.late().add(self.late.drain(..), Instant::now());
        }
        self.parts.events.extend(&mut self.news);
        let now = self.clock.look();
        if now >= self.accounted + ACCOUNTING {
            self.accounted = now;
            self.parts.totals.cpu_us.store(cpu_time(), Ordering::Relaxed);
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        for slot in 0..self.readers.len() {
            self.remove(slot, Some(GoneReason::Other(error.to_string())));
        }
        self.report();
    }
}

/// Microseconds of processor time that this thread has used.
fn cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one value, which lives as long as it.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    if result == 0 { time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000 } else { 0 }
}
