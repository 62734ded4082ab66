//! Load of many WebRTC peers from one thread, for the benchmarks in `bench`.
//!
//! `rtcload` takes commands as JSON lines (see [`control`]); its peers are hosts of 127.0.0.0/8. `rtcload ADDRESS` gives
//! each a port of that address instead, for servers that don't use the loopback interface. `rtcload floor` sends bare
//! UDP, see [`floor`].

mod control;
mod floor;
mod net;
mod peer;
mod run;

use std::collections::VecDeque;
use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use control::{Command, Told, bytes, tell};
use net::{BATCH, Buffers, Socket};
use peer::{Peer, Queues, Sound};
use run::{Phase, Run};
use str0m::crypto::dtls::DtlsCert;

/// Sockets that share peers with addresses of their own.
const SHARED: usize = 8;
const EVENTS: usize = 128;
const FIRST: u32 = 0x7F0A_0001; // 127.10.0.1
const USAGE: &str = "usage: rtcload [ADDRESS], or rtcload floor ROOMS SIZE BATCH ADDRESS:PORT ...";
const SWEEP: Duration = Duration::from_millis(5);
const CONNECT: Duration = Duration::from_secs(30);
const LINE: usize = 1 << 24;
/// What standard input is called among the sockets.
const INPUT: u64 = u64::MAX;

/// CPU time of this process.
pub fn cpu() -> Duration {
    // SAFETY: an all-zero timespec is a valid one, and it outlives the call.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Standard input, read without waiting.
struct Lines {
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines {
    fn read(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut chunk = vec![0_u8; 1 << 16];
        // SAFETY: reads into a buffer of the length that is named.
        let got = unsafe { libc::read(0, chunk.as_mut_ptr().cast(), chunk.len()) };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        self.ended = got == 0;
        self.buffer.extend_from_slice(&chunk[..got as usize]);
        if self.buffer.len() > LINE {
            return Err(io::Error::other("a command of more than 16 MiB"));
        }
        let mut lines = Vec::new();
        while let Some(at) = self.buffer.iter().position(|&byte| byte == b'\n') {
            lines.push(self.buffer.drain(..=at).collect());
        }
        Ok(lines)
    }
}

/// All peers and what they are about.
struct Load {
    /// The machine's own address, where each peer has a socket there instead of an address of its own.
    host: Option<Ipv4Addr>,
    waiting: OwnedFd,
    buffers: Buffers,
    /// First the shared ones, then those of one peer each.
    sockets: Vec<Socket>,
    /// The peer of each socket; none of a shared one.
    owners: Vec<Option<usize>>,
    readable: Vec<usize>,
    queues: Queues,
    peers: Vec<Peer>,
    certificate: DtlsCert,
    /// Peers whose answers are awaited, then whose connections are: from here on.
    offered: VecDeque<usize>,
    connecting: Option<(usize, Instant)>,
    sounds: Vec<Vec<Sound>>,
    run: Option<Run>,
    swept: Instant,
}

impl Load {
    fn new(host: Option<Ipv4Addr>) -> Result<Self, String> {
        let provider = str0m::crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate().ok_or("no certificate")?;
        // SAFETY: takes no pointers.
        let number = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if number < 0 {
            return Err(io::Error::last_os_error().to_string());
        }
        let mut load = Self {
            host,
            // SAFETY: the descriptor is new and nobody else's.
            waiting: unsafe { OwnedFd::from_raw_fd(number) },
            buffers: Buffers::new(),
            sockets: Vec::new(),
            owners: Vec::new(),
            readable: Vec::new(),
            queues: Queues::default(),
            peers: Vec::new(),
            certificate,
            offered: VecDeque::new(),
            connecting: None,
            sounds: Vec::new(),
            run: None,
            swept: Instant::now(),
        };
        load.watch(0, INPUT).map_err(|error| error.to_string())?;
        for _ in 0..SHARED {
            load.open(Ipv4Addr::UNSPECIFIED, None)?;
        }
        Ok(load)
    }

    fn watch(&self, descriptor: RawFd, name: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: name };
        // SAFETY: the event outlives the call.
        let done = unsafe { libc::epoll_ctl(self.waiting.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn open(&mut self, host: Ipv4Addr, owner: Option<usize>) -> Result<(), String> {
        let socket = Socket::new(host).map_err(|error| error.to_string())?;
        self.watch(socket.descriptor(), self.sockets.len() as u64).map_err(|error| error.to_string())?;
        self.sockets.push(socket);
        self.owners.push(owner);
        self.queues.packets.push(Vec::new());
        Ok(())
    }

    /// Where the `at`th participant is, and by which socket, where it shares one.
    fn shared(&self, at: usize) -> (SocketAddrV4, usize) {
        let socket = at % SHARED;
        (SocketAddrV4::new(Ipv4Addr::from(FIRST + at as u32), self.sockets[socket].port()), socket)
    }

    /// A place for the next participant that connects by WebRTC.
    fn place(&mut self, at: usize) -> Result<(SocketAddrV4, usize), String> {
        let Some(host) = self.host else { return Ok(self.shared(at)) };
        self.open(host, Some(at))?;
        let socket = self.sockets.len() - 1;
        Ok((SocketAddrV4::new(host, self.sockets[socket].port()), socket))
    }

    fn command(&mut self, line: &[u8]) -> Result<Option<Told>, String> {
        let now = Instant::now();
        match serde_json::from_slice(line).map_err(|error| error.to_string())? {
            Command::Offer { count, lines } => {
                let mut offers = Vec::with_capacity(count);
                for _ in 0..count {
                    let at = self.peers.len();
                    let (local, socket) = self.place(at)?;
                    let (peer, offer) = Peer::offering(local, socket, at as u32 + 1, &lines, &self.certificate, now)?;
                    self.peers.push(peer);
                    self.offered.push_back(at);
                    offers.push(offer);
                }
                Ok(Some(Told::Offers(offers)))
            }
            Command::Answer { answers } => {
                let first = *self.offered.front().ok_or("nothing was offered")?;
                for answer in answers {
                    let at = self.offered.pop_front().ok_or("more answers than offers")?;
                    self.peers[at].answer(&answer, now, &mut self.queues)?;
                }
                self.connecting = Some((first, now));
                Ok(None)
            }
            Command::Where { count } => {
                let first = self.peers.len();
                Ok(Some(Told::Listening((first..first + count).map(|at| self.shared(at).0.to_string()).collect())))
            }
            Command::Plain { servers } => {
                let mut listening = Vec::with_capacity(servers.len());
                for server in servers {
                    let at = self.peers.len();
                    let (local, socket) = self.shared(at);
                    let server = server.parse().map_err(|_| format!("no address: {server}"))?;
                    self.peers.push(Peer::plain(local, socket, at as u32 + 1, server, now));
                    listening.push(local.to_string());
                }
                Ok(Some(Told::Listening(listening)))
            }
            Command::Sound { packets } => {
                let sound = packets
                    .into_iter()
                    .map(|(text, level)| Some(Sound { payload: bytes(&text)?.into(), level }))
                    .collect::<Option<Vec<_>>>()
                    .filter(|packets| !packets.is_empty());
                self.sounds.push(sound.ok_or("packets that are not hexadecimal, or none")?);
                Ok(None)
            }
            Command::Run(plan) => {
                if plan.tag
                    && self.sounds.iter().flatten().any(|sound| sound.payload.first().is_none_or(|b| b & 3 != 0))
                {
                    return Err("only packets of one frame can be tagged".into());
                }
                self.run = Some(Run::new(plan, self.sounds.len(), self.peers.len(), now)?);
                Ok(None)
            }
        }
    }

    /// Take all that has come.
    fn receive(&mut self) -> io::Result<()> {
        for socket in std::mem::take(&mut self.readable) {
            loop {
                let count = self.sockets[socket].receive(&mut self.buffers)?;
                let now = Instant::now();
                for at in 0..count {
                    let packet = self.buffers.packet(at);
                    let number = self.owners[socket]
                        .unwrap_or_else(|| u32::from(*packet.local.ip()).wrapping_sub(FIRST) as usize);
                    let Some(peer) = self.peers.get_mut(number) else { continue };
                    let run = &mut self.run;
                    peer.receive(&packet, now, &mut self.queues, &mut |heard| {
                        if let Some(run) = run {
                            run.heard(number, packet.arrived, &heard);
                        }
                    });
                }
                if count < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Send what is due, but so many at most: what comes in is to be taken in between, however late it is.
    fn speak(&mut self) -> io::Result<()> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        for _ in 0..BATCH {
            let Some(due) = run.due(Instant::now(), &self.sounds) else { break };
            if run.plan.precise {
                self.flush()?;
            }
            let peer = &mut self.peers[due.peer];
            peer.send(&due.sound, run.plan.interval * 48, Instant::now(), &mut self.queues);
            run.stamp(&due);
            if run.plan.precise {
                self.flush()?;
            }
        }
        self.run = Some(run);
        self.flush()
    }

    /// Let time pass for those who asked for it.
    fn sweep(&mut self, now: Instant) {
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        for peer in &mut self.peers {
            if peer.deadline <= now {
                peer.time(now, &mut self.queues);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        for socket in self.queues.filled.drain(..) {
            let queue = &mut self.queues.packets[socket];
            self.sockets[socket].send(queue, BATCH)?;
            queue.clear();
        }
        Ok(())
    }

    /// What there is to be told: that all are connected, or where a run is.
    fn news(&mut self, now: Instant) -> io::Result<()> {
        if let Some((first, since)) = self.connecting {
            let failed = self.peers[first..].iter().find_map(|peer| peer.failed.as_ref().map(|why| (peer.ip(), why)));
            let waiting = self.peers[first..].iter().filter(|peer| !peer.connected).count();
            if let Some((ip, why)) = failed {
                tell(&Told::Error(format!("{ip}: {why}")))?;
                self.connecting = None;
            } else if waiting == 0 {
                tell(&Told::Connected((now - since).as_secs_f64()))?;
                self.connecting = None;
            } else if now > since + CONNECT {
                tell(&Told::Error(format!("{waiting} peers are not connected after {} s", CONNECT.as_secs())))?;
                self.connecting = None;
            }
        }
        let Some(phase) = self.run.as_mut().and_then(|run| run.step(now, cpu())) else { return Ok(()) };
        match phase {
            Phase::Warming => Ok(()),
            Phase::Counting => tell(&Told::Warm(cpu().as_secs_f64())),
            Phase::Draining => tell(&Told::Sent(cpu().as_secs_f64())),
            Phase::Over => match self.peers.iter().find_map(|peer| peer.failed.as_ref()) {
                Some(why) => tell(&Told::Error(format!("a peer failed: {why}"))),
                None => self.run.take().map_or(Ok(()), |run| tell(&Told::Result(Box::new(run.outcome())))),
            },
        }
    }

    /// Wait until something comes or is due; whether standard input has something.
    fn wait(&mut self, now: Instant) -> io::Result<bool> {
        let mut until = self.swept + SWEEP;
        if let Some(run) = &self.run {
            until = until.min(run.deadline());
        }
        let left = until.saturating_duration_since(now);
        let time = libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let (waiting, most) = (self.waiting.as_raw_fd(), EVENTS as libc::c_int);
        // SAFETY: the array and the time outlive the call; there is no signal mask.
        let ready = unsafe { libc::epoll_pwait2(waiting, events.as_mut_ptr(), most, &time, std::ptr::null()) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
        }
        let names = events[..ready as usize].iter().map(|event| event.u64);
        let mut input = false;
        for name in names {
            if name == INPUT {
                input = true;
            } else {
                self.readable.push(name as usize);
            }
        }
        Ok(input)
    }
}

fn serve(host: Option<Ipv4Addr>) -> Result<(), String> {
    // SAFETY: takes no pointers. Without it each wait ends 50 µs late.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut load = Load::new(host)?;
    let mut lines = Lines { buffer: Vec::new(), ended: false };
    let step = |load: &mut Load, lines: &mut Lines| -> io::Result<()> {
        load.receive()?;
        load.speak()?;
        load.sweep(Instant::now());
        load.flush()?;
        load.news(Instant::now())?;
        if load.wait(Instant::now())? {
            for line in lines.read()? {
                match load.command(&line) {
                    Ok(None) => {}
                    Ok(Some(told)) => tell(&told)?,
                    Err(why) => tell(&Told::Error(why))?,
                }
            }
        }
        Ok(())
    };
    while !lines.ended {
        step(&mut load, &mut lines).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        None => serve(None),
        Some((first, rest)) if first == "floor" => floor::send(rest),
        Some((host, [])) => host.parse().map_err(|_| USAGE.into()).and_then(|host| serve(Some(host))),
        Some(_) => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("rtcload: {why}");
            ExitCode::FAILURE
        }
    }
}
