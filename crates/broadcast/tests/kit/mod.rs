//! Both ends: a broadcaster whose events are waited for, and a connection whose frames are read.

#![allow(dead_code, missing_docs, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test ends there")]

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use antiphon_broadcast::{Broadcaster, Event, GoneReason, ReaderId, TapeId, TapeOptions};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use socket2::SockRef;

/// Until a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// As short as packets are, so that tests are.
pub const FRAME_US: u64 = 2_500;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;

pub struct Station {
    pub broadcaster: Broadcaster,
    poll: Poll,
    events: VecDeque<Event>,
}

impl Station {
    pub fn start() -> Self {
        let broadcaster = Broadcaster::start().unwrap();
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut SourceFd(&broadcaster.fd()), Token(0), Interest::READABLE).unwrap();
        Self { broadcaster, poll, events: VecDeque::new() }
    }

    pub fn tape(&self, options: TapeOptions) -> TapeId {
        self.broadcaster.open_tape(TapeOptions { frame_us: FRAME_US, ..options }).unwrap()
    }

    /// A finished tape of so many packets, each of which begins with its number and has that length.
    pub fn finished(&self, packets: u32, length: usize) -> TapeId {
        let tape = self.tape(TapeOptions::default());
        self.append(tape, 0..packets, length);
        self.broadcaster.finish(tape).unwrap();
        tape
    }

    pub fn append(&self, tape: TapeId, numbers: std::ops::Range<u32>, length: usize) {
        let packets: Vec<_> = numbers.map(|number| packet(number, length)).collect();
        self.broadcaster.append(tape, packets.iter().map(Vec::as_slice)).unwrap();
    }

    pub fn attach(&self, tape: TapeId, server: &TcpStream, position: u64) -> ReaderId {
        self.broadcaster.attach(tape, server.as_fd(), position, Duration::from_secs(1)).unwrap()
    }

    pub fn stats(&self, reader: ReaderId) -> antiphon_broadcast::ReaderStats {
        self.broadcaster.reader_stats(reader).unwrap()
    }

    /// Waits for an event, and gives what is made of it; others before it are forgotten.
    pub fn wait<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(value) = wanted(&event) {
                    return value;
                }
            }
            self.events.extend(self.broadcaster.poll(usize::MAX));
            if !self.events.is_empty() {
                continue;
            }
            let left = end.checked_duration_since(Instant::now()).expect("an event that doesn't come");
            self.poll.poll(&mut Events::with_capacity(8), Some(left.min(Duration::from_millis(100)))).unwrap();
        }
    }

    /// Looks until something is so.
    pub fn until(&self, so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !so(self) {
            assert!(Instant::now() < end, "something that doesn't come about");
            std::thread::yield_now();
        }
    }

    /// Until the connection is full in the middle of the first packet.
    pub fn until_cut_off(&self, reader: ReaderId) {
        self.until(|station| (1..60_000).contains(&station.stats(reader).bytes));
    }

    pub fn wait_for(&mut self, wanted: &Event) {
        self.wait(|event| (event == wanted).then_some(()));
    }

    pub fn wait_gone(&mut self, reader: ReaderId) -> GoneReason {
        self.wait(|event| match event {
            Event::Gone { reader: who, reason } if *who == reader => Some(reason.clone()),
            _ => None,
        })
    }
}

/// A packet that begins with its number, and whose other bytes tell it from others.
pub fn packet(number: u32, length: usize) -> Vec<u8> {
    let mut packet = number.to_be_bytes().to_vec();
    packet.resize(length, number as u8);
    packet
}

/// The two ends of a connection.
pub fn connection() -> (TcpStream, Listener) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(door.local_addr().unwrap()).unwrap();
    (door.accept().unwrap().0, Listener::new(client))
}

/// The two ends of a connection that holds little.
pub fn narrow_connection() -> (TcpStream, Listener) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&door).set_recv_buffer_size(4096).unwrap();
    let client =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, Some(socket2::Protocol::TCP)).unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    client.connect(&door.local_addr().unwrap().into()).unwrap();
    let server = door.accept().unwrap().0;
    SockRef::from(&server).set_send_buffer_size(4096).unwrap();
    (server, Listener::new(client.into()))
}

/// Reads frames.
pub struct Listener {
    pub stream: TcpStream,
    bytes: Vec<u8>,
}

impl Listener {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, bytes: Vec::new() }
    }

    /// Lets the connection hold more.
    pub fn widen(&self) {
        SockRef::from(&self.stream).set_recv_buffer_size(1 << 20).unwrap();
    }

    /// The next frame's kind and payload; None at the end of the connection.
    pub fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.frame_by(4096)
    }

    /// The same, of which so many bytes are read at once.
    pub fn frame_by(&mut self, step: usize) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((kind, start, end)) = parse(&self.bytes) {
                let payload = self.bytes[start..end].to_vec();
                self.bytes.drain(..end);
                return Some((kind, payload));
            }
            let mut piece = vec![0; step];
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    assert!(self.bytes.is_empty(), "the connection ends within a frame");
                    return None;
                }
                Ok(count) => self.bytes.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next packet's number; the packet is whole and unchanged.
    pub fn number(&mut self, length: usize) -> u32 {
        let (kind, payload) = self.frame().expect("a packet");
        assert_eq!(kind, BINARY);
        let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
        assert_eq!(payload, packet(number, length));
        number
    }

    pub fn numbers(&mut self, count: usize, length: usize) -> Vec<u32> {
        (0..count).map(|_| self.number(length)).collect()
    }
}

fn parse(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert_eq!(first & 0xf0, 0x80, "each message is one frame");
    assert!(second < 0x80, "a server does not mask");
    let (start, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start + length).then_some((first & 0x0f, start, start + length))
}

/// A text message as one frame.
pub fn text(payload: &str) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[0x81, payload.len() as u8], payload.as_bytes()].concat()
}
