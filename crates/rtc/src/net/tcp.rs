//! ICE over TCP (RFC 6544): the passive side, with frames of a length and a packet (RFC 4571).

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{
    Interest, Registry, Token,
    net::{TcpListener, TcpStream},
};

/// Connections at once.
const MOST: usize = 4096;
/// Until somebody who has connected must have sent a valid binding request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that wait for a slow reader; what comes then is dropped, as a full network would.
const LONGEST_QUEUE: usize = 64 << 10;
/// Longest packet: those of UDP.
const LONGEST: usize = 2048;

struct Connection {
    stream: TcpStream,
    token: Token,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    since: Instant,
    known: bool,
}

/// Accepts connections and takes packets out of them.
pub(crate) struct TcpDoor {
    listener: TcpListener,
    connections: HashMap<SocketAddr, Connection>,
    addresses: HashMap<Token, SocketAddr>,
    next: usize,
    scratch: Box<[u8; 16 << 10]>,
}

impl TcpDoor {
    pub(crate) fn new(listener: TcpListener, first_token: usize) -> Self {
        Self {
            listener,
            connections: HashMap::new(),
            addresses: HashMap::new(),
            next: first_token,
            scratch: Box::new([0; 16 << 10]),
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.listener, token, Interest::READABLE)
    }

    /// Takes in who has connected.
    pub(crate) fn accept(&mut self, registry: &Registry, now: Instant) {
        while let Ok((stream, address)) = self.listener.accept() {
            let _ = stream.set_nodelay(true);
            self.admit(registry, stream, address, now);
        }
    }

    /// Reads and writes what `token`'s connection lets; the packets that came go to `each`.
    pub(crate) fn ready(&mut self, token: Token, mut each: impl FnMut(SocketAddr, &[u8])) {
        let Some(&address) = self.addresses.get(&token) else { return };
        let Some(connection) = self.connections.get_mut(&address) else { return };
        let alive =
            connection.write().is_ok() && connection.read(&mut self.scratch[..], |packet| each(address, packet));
        if !alive {
            self.close(address);
        }
    }

    /// Sends a packet, or drops it where the connection is gone or full.
    pub(crate) fn send(&mut self, to: SocketAddr, packet: &[u8]) {
        let Some(connection) = self.connections.get_mut(&to) else { return };
        let Ok(length) = u16::try_from(packet.len()) else { return };
        if connection.outgoing.len() + packet.len() + 2 > LONGEST_QUEUE {
            return;
        }
        connection.outgoing.extend_from_slice(&length.to_be_bytes());
        connection.outgoing.extend_from_slice(packet);
        if connection.write().is_err() {
            self.close(to);
        }
    }

    /// Somebody with a right to speak is at this address.
    pub(crate) fn known(&mut self, address: SocketAddr) {
        if let Some(connection) = self.connections.get_mut(&address) {
            connection.known = true;
        }
    }

    /// Gives a connection away, with what it has sent and nobody has read.
    pub(crate) fn take(&mut self, registry: &Registry, from: SocketAddr) -> Option<(std::net::TcpStream, Vec<u8>)> {
        let mut connection = self.connections.remove(&from)?;
        self.addresses.remove(&connection.token);
        registry.deregister(&mut connection.stream).ok()?;
        Some((connection.stream.into(), connection.incoming))
    }

    /// Takes a connection that was given away.
    pub(crate) fn put(
        &mut self,
        registry: &Registry,
        stream: std::net::TcpStream,
        from: SocketAddr,
        incoming: Vec<u8>,
        now: Instant,
    ) -> Option<Token> {
        let token = self.admit(registry, TcpStream::from_std(stream), from, now)?;
        self.connections.get_mut(&from)?.incoming = incoming;
        Some(token)
    }

    fn admit(&mut self, registry: &Registry, mut stream: TcpStream, from: SocketAddr, now: Instant) -> Option<Token> {
        if self.connections.len() >= MOST {
            return None;
        }
        let token = Token(self.next);
        self.next += 1;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).ok()?;
        self.addresses.insert(token, from);
        let connection =
            Connection { stream, token, incoming: Vec::new(), outgoing: Vec::new(), since: now, known: false };
        if let Some(old) = self.connections.insert(from, connection) {
            self.addresses.remove(&old.token);
        }
        Some(token)
    }

    /// Ends the connection from this address.
    pub(crate) fn close(&mut self, address: SocketAddr) {
        if let Some(connection) = self.connections.remove(&address) {
            self.addresses.remove(&connection.token);
        }
    }

    /// Ends connections of whom nobody knows.
    pub(crate) fn expire(&mut self, now: Instant) {
        let late = |connection: &Connection| !connection.known && now.duration_since(connection.since) > PATIENCE;
        self.connections.retain(|_, connection| !late(connection));
        let kept = &self.connections;
        self.addresses.retain(|_, address| kept.contains_key(address));
    }
}

impl Connection {
    /// Whether the connection goes on.
    fn read(&mut self, scratch: &mut [u8], mut each: impl FnMut(&[u8])) -> bool {
        // What came with a connection that was taken over.
        if !self.frames(&mut each) {
            return false;
        }
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return false,
                Ok(count) => {
                    self.incoming.extend_from_slice(&scratch[..count]);
                    if !self.frames(&mut each) {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether what has come can be frames.
    fn frames(&mut self, each: &mut impl FnMut(&[u8])) -> bool {
        let mut at = 0;
        while let Some(&[high, low]) = self.incoming.get(at..at + 2) {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length > LONGEST {
                return false;
            }
            let Some(packet) = self.incoming.get(at + 2..at + 2 + length) else { break };
            each(packet);
            at += 2 + length;
        }
        self.incoming.drain(..at);
        true
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
