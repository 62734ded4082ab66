//! What the thread is asked to do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    time::Instant,
};

use mio::Waker;
use socket2::Socket;

use crate::{
    ReaderId, TapeId,
    shared::{ReaderShared, TapeShared},
};

/// Frames one after the other.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) bytes: Vec<u8>,
    /// Where each ends.
    pub(crate) ends: Vec<usize>,
}

pub(crate) enum Command {
    OpenTape { tape: TapeId, shared: Arc<TapeShared> },
    Append { tape: TapeId, frames: Frames, at: Instant },
    Finish { tape: TapeId },
    CloseTape { tape: TapeId },
    Attach { reader: ReaderId, tape: TapeId, socket: Socket, position: u64, max_lag_us: u64, shared: Arc<ReaderShared> },
    Send { reader: ReaderId, frame: Vec<u8> },
    Switch { reader: ReaderId, tape: TapeId },
    Seek { reader: ReaderId, position: Option<u64>, tape: Option<TapeId> },
    Pause { reader: ReaderId },
    Resume { reader: ReaderId },
    Detach { reader: ReaderId },
    Stop,
}

/// The way to the thread.
pub(crate) struct Way {
    sender: SyncSender<Command>,
    waker: Waker,
    /// Set from the moment the thread was woken until it looks.
    told: Arc<AtomicBool>,
}

impl Way {
    pub(crate) fn new(sender: SyncSender<Command>, waker: Waker, told: Arc<AtomicBool>) -> Self {
        Self { sender, waker, told }
    }

    /// Whether the thread will do it.
    pub(crate) fn send(&self, command: Command) -> bool {
        self.passed(self.sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => (),
        }))
    }

    /// The last command: waits until there is room for it.
    pub(crate) fn stop(&self) {
        self.passed(self.sender.send(Command::Stop).map_err(drop));
    }

    fn passed(&self, sent: Result<(), ()>) -> bool {
        if sent.is_ok() && !self.told.swap(true, Ordering::SeqCst) {
            // That it can't be woken means that its descriptors are gone, and with them everything else.
            let _ = self.waker.wake();
        }
        sent.is_ok()
    }
}
