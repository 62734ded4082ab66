//! An engine thread: its sockets, its peers, its rooms.

pub(crate) mod command;
mod io;
mod members;
pub(crate) mod routes;
#[cfg(test)]
mod tests;
mod ticks;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io as std_io,
    net::SocketAddr,
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use mio::{Events as Readiness, Interest, Poll, Token, net::TcpListener};
use rustc_hash::FxHashMap;

use crate::{
    MemberId, RoomId,
    event::{Event, Events},
    net::{batch::Batch, tcp::TcpDoor, udp::UdpDoor},
    peer::{Path, Peer, PeerConfig, Turn},
    room::Room,
};
use command::Command;
use routes::Routes;

pub(crate) const WAKE: Token = Token(0);
const UDP: Token = Token(1);
const LISTENER: Token = Token(2);
const FIRST_CONNECTION: usize = 3;

/// Batches of datagrams taken before anything else gets its turn.
const BATCHES: usize = 8;
/// Commands taken before anything else gets its turn.
const COMMANDS: usize = 256;
/// From so many datagrams a second on, a thread lets them gather for a moment, so that one system call takes several.
const BUSY: usize = 1_500;
const GATHERING: Duration = Duration::from_micros(250);
/// How often that is decided.
const DECIDING: Duration = Duration::from_millis(50);
/// Longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What a shard is made with.
pub(crate) struct ShardParts {
    pub(crate) index: u8,
    pub(crate) poll: Poll,
    pub(crate) udp: std::net::UdpSocket,
    pub(crate) tcp: Option<std::net::TcpListener>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) events: Arc<Events>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) config: PeerConfig,
    pub(crate) addresses: Addresses,
    pub(crate) max_peers: usize,
    pub(crate) peer_timeout: Duration,
}

/// The engine's own addresses, as candidates have them.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: Option<SocketAddr>,
}

pub(crate) struct Shard {
    index: u8,
    poll: Poll,
    udp: UdpDoor,
    /// Out of its place while its datagrams are looked at.
    received: Option<Box<Batch>>,
    tcp: Option<TcpDoor>,
    commands: Receiver<Command>,
    events: Arc<Events>,
    routes: Arc<Routes>,
    config: PeerConfig,
    addresses: Addresses,
    max_peers: usize,
    peer_timeout: Duration,
    epoch: Instant,
    peers: FxHashMap<MemberId, Peer>,
    rooms: FxHashMap<RoomId, Room>,
    /// Where participants who do not speak WebRTC are.
    locals: FxHashMap<MemberId, RoomId>,
    /// Whose datagrams come from where.
    by_path: HashMap<Path, MemberId>,
    by_credentials: HashMap<String, MemberId>,
    timers: BinaryHeap<Reverse<(Instant, MemberId)>>,
    /// When each room in which there is anybody has its next tick.
    room_ticks: BinaryHeap<Reverse<(Instant, RoomId)>>,
    batch: Vec<Event>,
    turn: Turn,
    /// Frames of a connection while they are looked at.
    frames: Vec<(SocketAddr, Vec<u8>)>,
    /// Connections that belong to another shard.
    astray: Vec<(SocketAddr, u8)>,
    next_sweep: Instant,
    answered: u32,
    /// Datagrams since it was last decided whether to let them gather.
    received_lately: usize,
    decided_at: Instant,
    busy: bool,
    stopped: bool,
}

impl Shard {
    pub(crate) fn new(parts: ShardParts) -> std_io::Result<Self> {
        let now = Instant::now();
        let mut udp = UdpDoor::new(parts.udp);
        let registry = parts.poll.registry();
        registry.register(&mut udp.socket, UDP, Interest::READABLE | Interest::WRITABLE)?;
        let tcp = parts
            .tcp
            .map(|listener| {
                let mut door = TcpDoor::new(TcpListener::from_std(listener), FIRST_CONNECTION);
                door.register(registry, LISTENER).map(|()| door)
            })
            .transpose()?;
        Ok(Self {
            index: parts.index,
            poll: parts.poll,
            udp,
            received: Some(Box::new(Batch::new())),
            tcp,
            commands: parts.commands,
            events: parts.events,
            routes: parts.routes,
            config: parts.config,
            addresses: parts.addresses,
            max_peers: parts.max_peers,
            peer_timeout: parts.peer_timeout,
            epoch: now,
            peers: FxHashMap::default(),
            rooms: FxHashMap::default(),
            locals: FxHashMap::default(),
            by_path: HashMap::new(),
            by_credentials: HashMap::new(),
            timers: BinaryHeap::new(),
            room_ticks: BinaryHeap::new(),
            batch: Vec::new(),
            turn: Turn::default(),
            frames: Vec::new(),
            astray: Vec::new(),
            next_sweep: now,
            answered: 0,
            received_lately: 0,
            decided_at: now,
            busy: false,
            stopped: false,
        })
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut readiness = Readiness::with_capacity(256);
        let mut more = false;
        let mut gathered = Instant::now();
        while !self.stopped {
            if self.busy && !more {
                // What came while there was something to do has waited long enough.
                std::thread::sleep(GATHERING.saturating_sub(gathered.elapsed()));
                gathered = Instant::now();
            }
            let sleep = if more { Duration::ZERO } else { self.sleep(Instant::now()) };
            if self.poll.poll(&mut readiness, Some(sleep)).is_err() {
                readiness.clear();
            }
            let now = Instant::now();
            let mut readable = more;
            for event in &readiness {
                match event.token() {
                    UDP => readable |= event.is_readable(),
                    LISTENER => self.accept(now),
                    WAKE => self.routes.woken(self.index),
                    token => self.connection(token, now),
                }
            }
            let asked = self.obey(now);
            more = (readable && self.datagrams()) || asked;
            let now = Instant::now();
            self.decide(now);
            self.due(now);
            self.tick(now);
            self.udp.flush();
            self.routes.note_dropped(self.udp.take_dropped());
            self.events.extend(&mut self.batch);
        }
        self.farewell();
    }

    fn decide(&mut self, now: Instant) {
        let since = now.duration_since(self.decided_at);
        if since >= DECIDING {
            self.busy = self.received_lately as f64 > since.as_secs_f64() * BUSY as f64;
            (self.received_lately, self.decided_at) = (0, now);
        }
    }

    fn sleep(&self, now: Instant) -> Duration {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let tick = self.room_ticks.peek().map(|Reverse((at, _))| *at);
        let next = [timer, tick, Some(self.next_sweep)].into_iter().flatten().min();
        next.map_or(LONGEST_SLEEP, |at| at.saturating_duration_since(now)).min(LONGEST_SLEEP)
    }

    /// Takes commands; whether there may be more.
    fn obey(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS {
            match self.commands.try_recv() {
                Ok(Command::Stop) => {
                    self.stopped = true;
                    return false;
                }
                Ok(command) => self.command(command, now),
                Err(std::sync::mpsc::TryRecvError::Empty) => return false,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.stopped = true;
                    return false;
                }
            }
        }
        true
    }

    /// Lets the peers work whose time has come.
    fn due(&mut self, now: Instant) {
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            if let Some(peer) = self.peers.get_mut(&id)
                && peer.scheduled == Some(at)
            {
                peer.scheduled = None;
                if peer.wake.is_some_and(|wake| wake <= now) {
                    peer.drive(now, &mut self.turn);
                    self.settle(id, now);
                } else {
                    self.schedule(id);
                }
            }
        }
    }

    /// Sees to it that a peer gets its next turn in time. A timer that is too early stays: it costs less than another.
    fn schedule(&mut self, id: MemberId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(wake) = peer.wake else { return };
        if peer.scheduled.is_none_or(|scheduled| scheduled > wake) {
            peer.scheduled = Some(wake);
            self.timers.push(Reverse((wake, id)));
        }
    }

    fn micros(&self, now: Instant) -> i64 {
        now.duration_since(self.epoch).as_micros() as i64
    }

    fn farewell(&mut self) {
        let ids: Vec<MemberId> = self.peers.keys().chain(self.locals.keys()).copied().collect();
        let now = Instant::now();
        for id in ids {
            self.remove(id, "the server is closing", now);
        }
        self.udp.flush();
        self.events.extend(&mut self.batch);
    }
}
