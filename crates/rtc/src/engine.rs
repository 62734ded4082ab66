//! The engine's handle: starts the threads and hands them what is to be done.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use mio::{Poll, Waker};
use socket2::{Domain, Protocol, Socket, Type};
use str0m::{Candidate, net::TcpType};

use crate::{
    MemberId, RoomId,
    config::{EngineConfig, LocalInput, LocalOutput, RoomOptions},
    event::{Event, Events},
    net::udp,
    peer::PeerConfig,
    room::Room,
    shard::{
        Addresses, Shard, ShardParts, WAKE,
        command::Command,
        routes::{Line, Routes},
    },
};

/// Commands that may wait for a thread.
const MOST_COMMANDS: usize = 65_536;
const MOST_THREADS: usize = 64;
/// Bits of an id that name the thread.
const SHARD_BITS: u32 = 8;

/// Why the engine can't do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting or an option is out of range.
    #[error("{0}")]
    Unsupported(String),
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// More is asked than can be done.
    #[error("the media engine has more to do than it can; try again later")]
    Overloaded,
}

/// Peers and rooms, on threads of their own.
pub struct Engine {
    routes: Arc<Routes>,
    events: Arc<Events>,
    threads: Vec<JoinHandle<()>>,
    addresses: Addresses,
    next: AtomicU64,
}

impl Engine {
    /// Binds the ports and starts the threads.
    ///
    /// # Errors
    /// [`Error::Io`] where a port can't be had, [`Error::Unsupported`] for a configuration out of range.
    pub fn start(config: &EngineConfig) -> Result<Self, Error> {
        if !(1..=MOST_THREADS).contains(&config.threads) {
            return Err(Error::Unsupported(format!("threads must be 1 to {MOST_THREADS}; got {}", config.threads)));
        }
        let (udp, tcp) = bind(config)?;
        let local = udp[0].local_addr()?;
        let announced = announced(config, local);
        let addresses = Addresses { udp: announced[0], tcp: (!tcp.is_empty()).then_some(announced[0]) };
        let config_of_peers = peer_config(&announced, !tcp.is_empty())?;
        let events = Arc::new(Events::new()?);
        let mut lines = Vec::new();
        let mut ends: Vec<(Poll, Receiver<Command>)> = Vec::new();
        for _ in 0..config.threads {
            let poll = Poll::new()?;
            let waker = Waker::new(poll.registry(), WAKE)?;
            let (sender, receiver) = sync_channel(MOST_COMMANDS);
            lines.push(Line::new(sender, waker));
            ends.push((poll, receiver));
        }
        let routes = Arc::new(Routes::new(lines));
        let mut engine = Self { routes, events, threads: Vec::new(), addresses, next: AtomicU64::new(1) };
        let mut tcp = tcp.into_iter();
        for (index, ((poll, commands), udp)) in ends.into_iter().zip(udp).enumerate() {
            let shard = Shard::new(ShardParts {
                index: index as u8,
                poll,
                udp,
                tcp: tcp.next(),
                commands,
                events: Arc::clone(&engine.events),
                routes: Arc::clone(&engine.routes),
                config: config_of_peers.clone(),
                addresses,
                max_peers: config.max_peers,
                peer_timeout: config.peer_timeout,
            })?;
            let thread = std::thread::Builder::new().name(format!("antiphon-rtc-{index}"));
            engine.threads.push(thread.spawn(move || shard.run())?);
        }
        Ok(engine)
    }

    /// Where peers are told to send UDP, and TCP where that is taken.
    pub fn addresses(&self) -> (SocketAddr, Option<SocketAddr>) {
        (self.addresses.udp, self.addresses.tcp)
    }

    /// Readable while there are events to take.
    pub fn fd(&self) -> RawFd {
        self.events.fd()
    }

    /// Datagrams that were given up so far because the kernel did not take them in time.
    pub fn datagrams_dropped(&self) -> u64 {
        self.routes.dropped()
    }

    /// Takes at most `limit` events, the oldest first. Never waits.
    pub fn poll(&self, limit: usize) -> Vec<Event> {
        self.events.take(limit)
    }

    /// Opens a room.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for options out of range.
    pub fn open_room(&self, options: RoomOptions) -> Result<RoomId, Error> {
        Room::new(options.clone()).map_err(|error| Error::Unsupported(error.to_string()))?;
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let room = (count << SHARD_BITS) | (count % self.routes.shards() as u64);
        self.send(room, Command::OpenRoom { room, options })?;
        Ok(room)
    }

    /// Closes a room; everybody in it is told as closed.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn close_room(&self, room: RoomId) -> Result<(), Error> {
        self.send(room, Command::CloseRoom { room })
    }

    /// Lets a WebRTC peer into a room; its answer, or why there is none, comes as an event.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn join(&self, room: RoomId, offer: String, publish: bool, listen: bool) -> Result<MemberId, Error> {
        let id = self.member(room);
        self.routes.peers.fetch_add(1, Ordering::AcqRel);
        let sent = self.send(room, Command::Join { room, id, offer, publish, listen });
        if sent.is_err() {
            self.routes.peers.fetch_sub(1, Ordering::AcqRel);
        }
        sent.map(|()| id)
    }

    /// Gives a peer another offer: more streams, or an ICE restart.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn offer(&self, id: MemberId, offer: String) -> Result<(), Error> {
        self.send(id, Command::Offer { id, offer })
    }

    /// Gives a peer one of its candidates (RFC 8839, section 5.1).
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn candidate(&self, id: MemberId, candidate: String) -> Result<(), Error> {
        self.send(id, Command::Candidate { id, candidate })
    }

    /// Lets somebody into a room who does not speak WebRTC.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a format that is not there, [`Error::Overloaded`].
    pub fn join_local(
        &self,
        room: RoomId,
        input: Option<LocalInput>,
        output: Option<LocalOutput>,
    ) -> Result<MemberId, Error> {
        if let Some(output) = output {
            output.checked_values().map_err(|error| Error::Unsupported(error.to_string()))?;
        }
        let id = self.member(room);
        self.send(room, Command::JoinLocal { room, id, input, output })?;
        Ok(id)
    }

    /// Audio of such a participant: any length of samples, or one packet.
    ///
    /// # Errors
    /// [`Error::Overloaded`]; the audio is then lost.
    pub fn push(&self, id: MemberId, audio: Vec<u8>) -> Result<(), Error> {
        self.send(id, Command::Push { id, audio, arrived: Instant::now() })
    }

    /// Lets a participant go.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn leave(&self, id: MemberId) -> Result<(), Error> {
        self.send(id, Command::Leave { id })
    }

    /// Keeps a participant from being heard, or ends that.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn mute(&self, id: MemberId, muted: bool) -> Result<(), Error> {
        self.send(id, Command::Mute { id, muted })
    }

    /// Decodes a participant from now on: gapless samples at `sample_rate` come as events.
    ///
    /// # Errors
    /// [`Error::Overloaded`], [`Error::Unsupported`] for a rate that is not there.
    pub fn tap(&self, id: MemberId, sample_rate: u32) -> Result<(), Error> {
        if !(8_000..=48_000).contains(&sample_rate) {
            return Err(Error::Unsupported(format!("a tap's sample rate is 8000 to 48000; got {sample_rate}")));
        }
        self.send(id, Command::Tap { id, sample_rate })
    }

    /// Ends that.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn untap(&self, id: MemberId) -> Result<(), Error> {
        self.send(id, Command::Untap { id })
    }

    /// Sends a message by a peer's `metadata` channel.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn say(&self, id: MemberId, text: String) -> Result<(), Error> {
        self.send(id, Command::Send { id, text })
    }

    /// Sets the bits a second of what is encoded for a peer: the nearest step of a short ladder below it.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn set_bitrate(&self, id: MemberId, bitrate: u32) -> Result<(), Error> {
        self.send(id, Command::SetBitrate { id, bitrate })
    }

    /// Asks for a participant's statistics, which come as an event.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn stats(&self, id: MemberId) -> Result<(), Error> {
        self.send(id, Command::Stats { id })
    }

    /// Says farewell to everybody and ends the threads; their last events can still be taken.
    pub fn close(&mut self) {
        for shard in 0..self.threads.len() {
            self.routes.send(shard as u8, Command::Stop);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    fn member(&self, room: RoomId) -> MemberId {
        (self.next.fetch_add(1, Ordering::Relaxed) << SHARD_BITS) | (room & ((1 << SHARD_BITS) - 1))
    }

    fn send(&self, id: u64, command: Command) -> Result<(), Error> {
        let shard = (id & ((1 << SHARD_BITS) - 1)) as u8;
        if self.routes.send(shard, command) { Ok(()) } else { Err(Error::Overloaded) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("udp", &self.addresses.udp).field("tcp", &self.addresses.tcp).finish()
    }
}

/// A socket for each thread, all on one port, and a listener for each on the same number.
fn bind(config: &EngineConfig) -> io::Result<(Vec<std::net::UdpSocket>, Vec<TcpListener>)> {
    /// A free UDP port may be taken for TCP.
    const TRIES: usize = 20;
    let shared = config.threads > 1;
    let mut tries = 0;
    loop {
        tries += 1;
        let first = udp::bind(SocketAddr::new(config.host, config.port), shared)?;
        let address = SocketAddr::new(config.host, first.local_addr()?.port());
        let listeners: io::Result<Vec<TcpListener>> =
            (0..if config.tcp { config.threads } else { 0 }).map(|_| listen(address, shared)).collect();
        let listeners = match listeners {
            Ok(listeners) => listeners,
            Err(_) if config.port == 0 && tries < TRIES => continue,
            Err(error) => return Err(error),
        };
        let mut sockets = vec![first];
        for _ in 1..config.threads {
            sockets.push(udp::bind(address, true)?);
        }
        return Ok((sockets, listeners));
    }
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    const WAITING: i32 = 1024;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(WAITING)?;
    Ok(socket.into())
}

/// The addresses that answers name.
fn announced(config: &EngineConfig, local: SocketAddr) -> Vec<SocketAddr> {
    let named = config.announce.iter().copied();
    let mut addresses: Vec<SocketAddr> = named.map(|ip| SocketAddr::new(ip, local.port())).collect();
    if addresses.is_empty() {
        let ip = if local.ip().is_unspecified() { outward(local.ip()) } else { local.ip() };
        addresses.push(SocketAddr::new(ip, local.port()));
    }
    addresses
}

/// The address by which this machine reaches others. Nothing is sent.
fn outward(any: IpAddr) -> IpAddr {
    let (from, to) = match any {
        IpAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        IpAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let found = std::net::UdpSocket::bind(from).and_then(|socket| {
        socket.connect(to)?;
        socket.local_addr()
    });
    let loopback = if any.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) };
    found.map_or(loopback, |address| address.ip())
}

/// What peers are made with: one certificate for all, and where they are to send.
pub(crate) fn peer_config(announced: &[SocketAddr], tcp: bool) -> Result<PeerConfig, Error> {
    let crypto = Arc::new(crate::seal::provider());
    let certificate = crypto
        .dtls_provider
        .generate_certificate()
        .ok_or_else(|| Error::Unsupported("no certificate could be made for DTLS".into()))?;
    let mut candidates = Vec::new();
    for address in announced {
        candidates.push(Candidate::host(*address, "udp").map_err(candidate_error)?);
        if tcp {
            let built = Candidate::builder().tcp().host(*address).tcptype(TcpType::Passive).build();
            candidates.push(built.map_err(candidate_error)?);
        }
    }
    Ok(PeerConfig { crypto, certificate, candidates })
}

fn candidate_error(error: impl std::fmt::Display) -> Error {
    Error::Unsupported(format!("an address that can't be announced: {error}"))
}
