//! What all shards know: whose packets belong to which of them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};

use mio::Waker;

use super::command::Command;

/// A way to a shard.
pub(crate) struct Line {
    pub(crate) commands: SyncSender<Command>,
    pub(crate) waker: Waker,
    awake: AtomicBool,
}

impl Line {
    pub(crate) fn new(commands: SyncSender<Command>, waker: Waker) -> Self {
        Self { commands, waker, awake: AtomicBool::new(false) }
    }
}

pub(crate) struct Routes {
    lines: Vec<Line>,
    addresses: RwLock<HashMap<SocketAddr, u8>>,
    credentials: RwLock<HashMap<String, u8>>,
    pub(crate) peers: AtomicUsize,
    /// Datagrams that no shard could get rid of.
    dropped: AtomicU64,
}

impl Routes {
    pub(crate) fn new(lines: Vec<Line>) -> Self {
        Self {
            lines,
            addresses: RwLock::default(),
            credentials: RwLock::default(),
            peers: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.lines.len()
    }

    /// Hands a command to a shard; `false` where it has too many.
    pub(crate) fn send(&self, shard: u8, command: Command) -> bool {
        let Some(line) = self.lines.get(usize::from(shard)) else { return false };
        let sent = match line.commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        };
        if !line.awake.swap(true, Ordering::AcqRel) {
            let _ = line.waker.wake();
        }
        sent
    }

    /// Counts datagrams that a shard gave up.
    pub(crate) fn note_dropped(&self, count: u64) {
        if count > 0 {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many were given up so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The shard is about to look at its commands.
    pub(crate) fn woken(&self, shard: u8) {
        if let Some(line) = self.lines.get(usize::from(shard)) {
            line.awake.store(false, Ordering::Release);
        }
    }

    pub(crate) fn of_address(&self, address: &SocketAddr) -> Option<u8> {
        self.addresses.read().ok()?.get(address).copied()
    }

    pub(crate) fn of_credentials(&self, credentials: &str) -> Option<u8> {
        self.credentials.read().ok()?.get(credentials).copied()
    }

    /// Other shards need not know where there are none.
    pub(crate) fn learn_address(&self, address: SocketAddr, shard: u8) {
        if self.lines.len() > 1
            && let Ok(mut addresses) = self.addresses.write()
        {
            addresses.insert(address, shard);
        }
    }

    pub(crate) fn learn_credentials(&self, credentials: &str, shard: u8) {
        if self.lines.len() > 1
            && let Ok(mut known) = self.credentials.write()
        {
            known.insert(credentials.to_owned(), shard);
        }
    }

    pub(crate) fn forget_address(&self, address: SocketAddr) {
        if self.lines.len() > 1
            && let Ok(mut known) = self.addresses.write()
        {
            known.remove(&address);
        }
    }

    pub(crate) fn forget_credentials(&self, credentials: &str) {
        if self.lines.len() > 1
            && let Ok(mut known) = self.credentials.write()
        {
            known.remove(credentials);
        }
    }
}
