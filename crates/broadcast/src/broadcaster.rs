//! The handle: starts the thread and hands it what is to be done.

use std::{
    collections::HashMap,
    io,
    os::fd::{BorrowedFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::sync_channel,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use mio::{Poll, Waker};
use socket2::{Socket, Type};

use crate::{
    ReaderId, TapeId,
    command::{Command, Frames, Way},
    event::{Event, Events},
    frame,
    shared::{Lateness, ReaderShared, ReaderStats, TapeShared, Totals},
    worker::{Parts, WAKE, Worker},
};

/// Commands that may wait for the thread.
const MOST_COMMANDS: usize = 65_536;
/// Bytes given to be sent beside the packets that may wait for one reader's socket.
const MOST_QUEUED: usize = 64 * 1024;
/// Packets appended at once.
const MOST_PACKETS: usize = 1 << 20;

/// Why something can't be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value is out of range, or comes at the wrong time.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing, or not any more.
    #[error("{0}")]
    Unknown(String),
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// More is asked than can be done.
    #[error("the sending thread has more to do than it can; try again later")]
    Overloaded,
}

/// What a tape is made with.
#[derive(Debug, Clone, Copy)]
pub struct TapeOptions {
    /// What a packet lasts, in microseconds: 2 500 to 120 000.
    pub frame_us: u64,
    /// Packets are sent when they come, and kept for two seconds.
    pub live: bool,
    /// Number of the first packet.
    pub first: u64,
    /// Packets that are to lie in front of the furthest reader.
    pub low_ahead: u64,
    /// What is kept at most, rounded up to some packets more: 64 KiB to 16 GiB.
    pub max_bytes: usize,
}

impl Default for TapeOptions {
    fn default() -> Self {
        Self { frame_us: 20_000, live: false, first: 0, low_ahead: 100, max_bytes: 64 << 20 }
    }
}

/// What is known of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapeStats {
    /// Number of the packet that would be appended next.
    pub packets: u64,
    /// Bytes that are kept.
    pub bytes: usize,
    /// Readers, and those that are about to go over to it.
    pub readers: usize,
    /// Number of the packet that the furthest of them comes to next.
    pub furthest: Option<u64>,
    /// Packets that are kept no more.
    pub dropped_head: u64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Readers there are.
    pub readers: usize,
    /// Tapes there are.
    pub tapes: usize,
    /// Bytes that they keep.
    pub tape_bytes: usize,
    /// Packets sent.
    pub packets: u64,
    /// Bytes sent, of all frames.
    pub bytes: u64,
    /// Packets left out.
    pub dropped: u64,
    /// Timelines moved because the thread came too late.
    pub stalls: u64,
    /// Packets that were not there in time.
    pub underruns: u64,
    /// Readers lost.
    pub errors: u64,
    /// Processor time of the thread, in microseconds, as of the last quarter of a second that it did something.
    pub cpu_us: u64,
    /// How late packets were lately.
    pub late: Lateness,
}

#[derive(Debug, Default)]
struct Registry {
    tapes: HashMap<TapeId, Arc<TapeShared>>,
    readers: HashMap<ReaderId, Arc<ReaderShared>>,
}

impl Registry {
    fn tape(&self, tape: TapeId) -> Result<&Arc<TapeShared>, Error> {
        self.tapes.get(&tape).ok_or_else(|| Error::Unknown(format!("there is no tape {tape}, or it was closed")))
    }
}

/// Tapes and readers, and the thread that sends.
pub struct Broadcaster {
    way: Way,
    events: Arc<Events>,
    totals: Arc<Totals>,
    registry: Mutex<Registry>,
    next: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl Broadcaster {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Io`] where the system has no more threads or descriptors.
    pub fn start() -> Result<Self, Error> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (sender, commands) = sync_channel(MOST_COMMANDS);
        let told = Arc::new(AtomicBool::new(false));
        let events = Arc::new(Events::new()?);
        let totals = Arc::new(Totals::default());
        let parts =
            Parts { poll, commands, told: Arc::clone(&told), events: Arc::clone(&events), totals: Arc::clone(&totals) };
        let worker = Worker::new(parts)?;
        let thread = std::thread::Builder::new().name("antiphon-send".into()).spawn(move || worker.run())?;
        Ok(Self {
            way: Way::new(sender, waker, told),
            events,
            totals,
            registry: Mutex::default(),
            next: AtomicU64::new(1),
            thread: Some(thread),
        })
    }

    /// Readable while there are events to take.
    pub fn fd(&self) -> RawFd {
        self.events.fd()
    }

    /// Takes at most `limit` events, the oldest first. Never waits.
    pub fn poll(&self, limit: usize) -> Vec<Event> {
        let events = self.events.take(limit);
        let mut registry = self.registry();
        for event in &events {
            if let Event::Gone { reader, .. } | Event::Released(reader) = event {
                registry.readers.remove(reader);
            }
        }
        events
    }

    /// Makes a tape.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Overloaded`].
    pub fn open_tape(&self, options: TapeOptions) -> Result<TapeId, Error> {
        within("frame_us", options.frame_us, 2_500, 120_000)?;
        within("low_ahead", options.low_ahead, 0, 1 << 32)?;
        within("first", options.first, 0, 1 << 48)?;
        within("max_bytes", options.max_bytes as u64, 1 << 16, 1 << 34)?;
        let tape = self.next.fetch_add(1, Relaxed);
        let shared = Arc::new(TapeShared {
            frame_us: options.frame_us,
            live: options.live,
            first: options.first,
            low_ahead: options.low_ahead,
            max_bytes: options.max_bytes,
            end: AtomicU64::new(options.first),
            finished: AtomicBool::new(false),
            appended_bytes: AtomicUsize::new(0),
            head: AtomicU64::new(options.first),
            forgotten_bytes: AtomicUsize::new(0),
            readers: AtomicUsize::new(0),
            furthest: AtomicU64::new(u64::MAX),
        });
        self.send_command(Command::OpenTape { tape, shared: Arc::clone(&shared) })?;
        self.registry().tapes.insert(tape, shared);
        Ok(tape)
    }

    /// Adds packets to a tape.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Invalid`] where it is finished, or a packet is empty or longer than 65 535 bytes;
    /// [`Error::Overloaded`]. Nothing is added then.
    pub fn append<'a>(&self, tape: TapeId, packets: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Error> {
        let at = Instant::now();
        let mut frames = Frames::default();
        for packet in packets {
            if packet.is_empty() || packet.len() > frame::MOST_PAYLOAD {
                let (most, length) = (frame::MOST_PAYLOAD, packet.len());
                return Err(Error::Invalid(format!("a packet has 1 to {most} bytes; got {length}")));
            }
            if frames.ends.len() == MOST_PACKETS {
                return Err(Error::Invalid(format!("at most {MOST_PACKETS} packets are appended at once")));
            }
            frame::binary(&mut frames.bytes, packet);
            frames.ends.push(frames.bytes.len());
        }
        let registry = self.registry();
        let shared = registry.tape(tape)?;
        if shared.finished.load(Relaxed) {
            return Err(Error::Invalid("the tape is finished; open another one".into()));
        }
        if frames.ends.is_empty() {
            return Ok(());
        }
        let (count, bytes) = (frames.ends.len() as u64, frames.bytes.len());
        self.send_command(Command::Append { tape, frames, at })?;
        shared.end.fetch_add(count, Relaxed);
        shared.appended_bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Nothing more will come to a tape.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Overloaded`].
    pub fn finish(&self, tape: TapeId) -> Result<(), Error> {
        let registry = self.registry();
        let shared = registry.tape(tape)?;
        self.send_command(Command::Finish { tape })?;
        shared.finished.store(true, Relaxed);
        Ok(())
    }

    /// Forgets a tape: its readers have ended.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn close_tape(&self, tape: TapeId) -> Result<(), Error> {
        let mut registry = self.registry();
        if registry.tapes.contains_key(&tape) {
            self.send_command(Command::CloseTape { tape })?;
            registry.tapes.remove(&tape);
        }
        Ok(())
    }

    /// What is known of a tape.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn tape_stats(&self, tape: TapeId) -> Result<TapeStats, Error> {
        let registry = self.registry();
        let shared = registry.tape(tape)?;
        let furthest = shared.furthest.load(Relaxed);
        Ok(TapeStats {
            packets: shared.end.load(Relaxed),
            bytes: shared.bytes(),
            readers: shared.readers.load(Relaxed),
            furthest: (furthest != u64::MAX).then_some(furthest),
            dropped_head: shared.head.load(Relaxed) - shared.first,
        })
    }

    /// Puts a connection on a tape, with a descriptor of its own.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is no such tape, or it doesn't keep what begins there; [`Error::Invalid`] for a
    /// descriptor that is no stream socket's, or a lag that is out of range; [`Error::Io`]; [`Error::Overloaded`].
    pub fn attach(
        &self,
        tape: TapeId,
        socket: BorrowedFd<'_>,
        position: u64,
        max_lag: Duration,
    ) -> Result<ReaderId, Error> {
        within("max_lag_ms", max_lag.as_millis() as u64, 100, 60_000)?;
        within("position", position, 0, 1 << 48)?;
        let mut registry = self.registry();
        let shared = registry.tape(tape)?;
        keeps(shared, position)?;
        let socket = Socket::from(socket.try_clone_to_owned()?);
        if !matches!(socket.r#type(), Ok(Type::STREAM)) {
            return Err(Error::Invalid("the descriptor is not a stream socket's".into()));
        }
        let reader = self.next.fetch_add(1, Relaxed);
        let ours = Arc::new(ReaderShared {
            frame_us: AtomicU64::new(shared.frame_us),
            live: AtomicBool::new(shared.live),
            position: AtomicU64::new(position),
            ..ReaderShared::default()
        });
        let max_lag_us = max_lag.as_micros() as u64;
        self.send_command(Command::Attach { reader, tape, socket, position, max_lag_us, shared: Arc::clone(&ours) })?;
        registry.readers.insert(reader, ours);
        Ok(reader)
    }

    /// Writes a frame before the next packet. Gives whether it will be: no more than 64 KiB may wait.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn send(&self, reader: ReaderId, frame: &[u8]) -> Result<bool, Error> {
        let registry = self.registry();
        let Some(shared) = registry.readers.get(&reader) else { return Ok(false) };
        if shared.leaving.load(Relaxed) || shared.queued.load(Relaxed) + frame.len() > MOST_QUEUED {
            return Ok(false);
        }
        shared.queued.fetch_add(frame.len(), Relaxed);
        let sent = self.send_command(Command::Send { reader, frame: frame.to_vec() });
        if sent.is_err() {
            shared.queued.fetch_sub(frame.len(), Relaxed);
        }
        sent.map(|()| true)
    }

    /// Has a reader go on at the same packet on another tape, once that has it.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is no such tape, [`Error::Invalid`] for one of another kind,
    /// [`Error::Overloaded`].
    pub fn switch(&self, reader: ReaderId, tape: TapeId) -> Result<(), Error> {
        let registry = self.registry();
        let shared = registry.tape(tape)?;
        let Some(ours) = registry.readers.get(&reader) else { return Ok(()) };
        let (frame_us, live) = (ours.frame_us.load(Relaxed), ours.live.load(Relaxed));
        if shared.frame_us != frame_us {
            let other = shared.frame_us;
            return Err(Error::Invalid(format!("packets of the other tape last {other} µs, not {frame_us}")));
        }
        if shared.live || live {
            return Err(Error::Invalid("packets of a live tape have no place on another one".into()));
        }
        self.send_command(Command::Switch { reader, tape })
    }

    /// Has a reader go on somewhere else; nowhere: at the end.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is no such tape, or it doesn't keep what begins there; [`Error::Overloaded`].
    pub fn seek(&self, reader: ReaderId, position: Option<u64>, tape: Option<TapeId>) -> Result<(), Error> {
        within("position", position.unwrap_or(0), 0, 1 << 48)?;
        let registry = self.registry();
        let Some(ours) = registry.readers.get(&reader) else { return Ok(()) };
        if let Some(tape) = tape {
            let shared = registry.tape(tape)?;
            if let Some(position) = position {
                keeps(shared, position)?;
            }
            self.send_command(Command::Seek { reader, position, tape: Some(tape) })?;
            ours.frame_us.store(shared.frame_us, Relaxed);
            ours.live.store(shared.live, Relaxed);
            return Ok(());
        }
        self.send_command(Command::Seek { reader, position, tape: None })
    }

    /// Sends a reader no more packets for now.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn pause(&self, reader: ReaderId) -> Result<(), Error> {
        self.send_command(Command::Pause { reader })
    }

    /// Ends that.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn resume(&self, reader: ReaderId) -> Result<(), Error> {
        self.send_command(Command::Resume { reader })
    }

    /// Lets a connection go, once what has begun was written.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn detach(&self, reader: ReaderId) -> Result<(), Error> {
        self.send_command(Command::Detach { reader })?;
        if let Some(shared) = self.registry().readers.get(&reader) {
            shared.leaving.store(true, Relaxed);
        }
        Ok(())
    }

    /// What is known of a reader.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn reader_stats(&self, reader: ReaderId) -> Result<ReaderStats, Error> {
        let registry = self.registry();
        let shared = registry.readers.get(&reader);
        shared.map(|shared| shared.stats()).ok_or_else(|| Error::Unknown("this reader is gone".into()))
    }

    /// What was counted.
    pub fn statistics(&self) -> Statistics {
        let totals = &self.totals;
        Statistics {
            readers: totals.readers.load(Relaxed),
            tapes: totals.tapes.load(Relaxed),
            tape_bytes: totals.tape_bytes.load(Relaxed),
            packets: totals.packets.load(Relaxed),
            bytes: totals.bytes.load(Relaxed),
            dropped: totals.dropped.load(Relaxed),
            stalls: totals.stalls.load(Relaxed),
            underruns: totals.underruns.load(Relaxed),
            errors: totals.errors.load(Relaxed),
            cpu_us: totals.cpu_us.load(Relaxed),
            late: totals.late().lateness(Instant::now()),
        }
    }

    fn send_command(&self, command: Command) -> Result<(), Error> {
        if self.way.send(command) { Ok(()) } else { Err(Error::Overloaded) }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nothing that is done under the lock can leave it half changed.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broadcaster {
    fn drop(&mut self) {
        self.way.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broadcaster").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::Invalid(format!("{name} must be {least} to {most}; got {value}")))
}

/// Whether a reader can begin at that packet, and stay on the tape while it grows.
fn keeps(shared: &TapeShared, position: u64) -> Result<(), Error> {
    let (head, end) = (shared.head.load(Relaxed), shared.end.load(Relaxed));
    if shared.live {
        return Ok(());
    }
    if position < head {
        return Err(Error::Unknown(format!("packet {position} is kept no more, the oldest is {head}")));
    }
    let kept = shared.bytes() as u64;
    let before_it = kept * (end.saturating_sub(position)) / (end - head).max(1);
    if !shared.finished.load(Relaxed) && before_it > shared.max_bytes as u64 / 2 {
        return Err(Error::Unknown(format!(
            "packet {position} will soon be kept no more: others are too far ahead of it on this tape"
        )));
    }
    Ok(())
}
