//! The one UDP port, shared by all peers and all threads.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

use super::batch;

/// What the kernel is asked to keep of each direction while a thread is busy.
const KERNEL_BUFFER: usize = 4 << 20;
/// Datagrams that wait for the kernel at most; the oldest go first.
const LONGEST_QUEUE: usize = 4096;

/// Memory for what waits is given back beyond this.
const KEPT_BYTES: usize = 256 << 10;

/// A datagram on its way out: where to, and where its bytes end.
struct Outgoing {
    to: SocketAddr,
    end: usize,
}

/// A socket and what waits to leave by it.
pub(crate) struct UdpDoor {
    pub(crate) socket: UdpSocket,
    queue: Vec<Outgoing>,
    /// The datagrams of the queue, one after the other.
    bytes: Vec<u8>,
    /// Those that were given up because too many waited for the kernel, since somebody asked.
    dropped: u64,
}

/// Binds a socket that others may share.
///
/// # Errors
/// The system's, where the address can't be had.
pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // The kernel gives what it allows.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    socket.set_nonblocking(true)?;
    tune(&socket);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Has datagrams sent whole or not at all, and stamped when they come.
///
/// As QUIC's are (RFC 9000, section 14): what is never cut needs no identification (RFC 6864), which the kernel would
/// make for each. Sessions write none over 1150 bytes; a forwarded packet that is too long for a path is lost on it, and
/// no other. Without a stamp, what is read counts as having come just then.
#[cfg(target_os = "linux")]
fn tune(socket: &Socket) {
    use std::os::fd::AsRawFd;
    let options = [
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1),
    ];
    for (level, name, value) in options {
        // SAFETY: each option is one int, whose length is told, and which outlives the call. Without it all works on.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn tune(_: &Socket) {}

impl UdpDoor {
    pub(crate) fn new(socket: std::net::UdpSocket) -> Self {
        Self { socket: UdpSocket::from_std(socket), queue: Vec::new(), bytes: Vec::new(), dropped: 0 }
    }

    /// How many were given up since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Lets a datagram wait for [`Self::flush`], or for as many as one system call takes. What `write` appends is it;
    /// where that gives nothing, there is none.
    pub(crate) fn push_with(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        if self.queue.len() >= LONGEST_QUEUE {
            self.forget(batch::SENT);
            self.dropped += batch::SENT as u64;
        }
        let start = self.bytes.len();
        if write(&mut self.bytes).is_none() {
            self.bytes.truncate(start);
            return None;
        }
        self.queue.push(Outgoing { to, end: self.bytes.len() });
        // Where the kernel is full, it is not asked again for each.
        if self.queue.len().is_multiple_of(batch::SENT) {
            self.flush();
        }
        Some(())
    }

    /// Lets a datagram wait likewise.
    pub(crate) fn push(&mut self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.push_with(to, |bytes| {
            bytes.extend_from_slice(datagram);
            Some(())
        });
    }

    /// Hands to the kernel what it takes.
    pub(crate) fn flush(&mut self) {
        let mut gone = 0;
        while gone < self.queue.len() {
            let mut start = if gone == 0 { 0 } else { self.queue[gone - 1].end };
            let waiting = self.queue[gone..].iter().map(|&Outgoing { to, end }| {
                let datagram = &self.bytes[start..end];
                start = end;
                (to, datagram)
            });
            match batch::send(&self.socket, waiting) {
                Ok(sent) => gone += sent.max(1),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // That one can't be sent: no route, a port that is closed.
                Err(_) => gone += 1,
            }
        }
        self.forget(gone);
    }

    /// Forgets the first ones of the queue.
    fn forget(&mut self, count: usize) {
        let Some(end) = count.checked_sub(1).and_then(|last| self.queue.get(last)).map(|last| last.end) else { return };
        self.queue.drain(..count);
        self.bytes.drain(..end);
        self.queue.iter_mut().for_each(|datagram| datagram.end -= end);
        if self.queue.is_empty() {
            self.bytes.shrink_to(KEPT_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends there")]

    use std::{
        net::UdpSocket as Plain,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// A door, and somebody who is sent to.
    fn pair() -> (UdpDoor, Plain, SocketAddr) {
        let door = UdpDoor::new(bind("127.0.0.1:0".parse().unwrap(), false).unwrap());
        let other = Plain::bind("127.0.0.1:0").unwrap();
        other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = other.local_addr().unwrap();
        (door, other, address)
    }

    /// The next so many datagrams.
    fn taken(other: &Plain, count: usize) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        (0..count)
            .map(|_| {
                let length = other.recv(&mut buffer).unwrap();
                buffer[..length].to_vec()
            })
            .collect()
    }

    fn datagram(number: usize) -> Vec<u8> {
        vec![number as u8; 1 + number * 7 % 300]
    }

    #[test]
    fn datagrams_come_whole_and_in_order_however_many_wait() {
        let (mut door, other, address) = pair();
        let numbers = 0..2 * batch::SENT + 9;
        numbers.clone().for_each(|number| door.push(address, &datagram(number)));
        door.flush();
        assert_eq!(taken(&other, numbers.len()), numbers.map(datagram).collect::<Vec<_>>());
        assert!(door.queue.is_empty() && door.bytes.is_empty());
    }

    #[test]
    fn what_is_not_written_or_forgotten_takes_nothing_from_the_others() {
        let (mut door, other, address) = pair();
        (0..5).for_each(|number| door.push(address, &datagram(number)));
        let refused = door.push_with(address, |bytes| {
            bytes.extend_from_slice(b"half of it");
            None
        });
        assert_eq!(refused, None);
        door.push(address, &datagram(5));
        door.forget(2);
        door.flush();
        assert_eq!(taken(&other, 4), (2..6).map(datagram).collect::<Vec<_>>());
    }

    #[test]
    fn a_datagram_that_has_no_way_to_go_holds_nobody_up() {
        let (mut door, other, address) = pair();
        door.push(address, &datagram(1));
        // There is no way from an IPv4 socket to an IPv6 address.
        door.push("[::1]:9".parse().unwrap(), &datagram(2));
        door.push(address, &datagram(3));
        door.flush();
        assert_eq!(taken(&other, 2), [datagram(1), datagram(3)]);
    }

    #[test]
    fn a_full_queue_gives_up_its_oldest_and_counts_them() {
        let (mut door, _other, address) = pair();
        // As if the kernel had taken none.
        for number in 0..LONGEST_QUEUE {
            door.bytes.extend(datagram(number));
            door.queue.push(Outgoing { to: address, end: door.bytes.len() });
        }
        assert_eq!(door.take_dropped(), 0);
        door.push(address, b"the newest");
        assert_eq!(door.queue.len(), LONGEST_QUEUE - batch::SENT + 1);
        assert_eq!(&door.bytes[..door.queue[0].end], datagram(batch::SENT));
        assert!(door.bytes.ends_with(b"the newest"));
        assert_eq!((door.take_dropped(), door.take_dropped()), (batch::SENT as u64, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_datagram_came_when_it_came_however_late_it_is_read() {
        const PAUSE: Duration = Duration::from_millis(200);
        let (door, other, _) = pair();
        let to = door.socket.local_addr().unwrap();
        let mut batch = batch::Batch::new();
        // Clocks of two kinds are read one after the other, and a busy machine may come between.
        let slack = PAUSE / 2;
        let before = Instant::now();
        other.send_to(b"early", to).unwrap();
        let between = Instant::now();
        thread::sleep(PAUSE);
        other.send_to(b"late", to).unwrap();
        assert_eq!(batch.receive(&door.socket).unwrap(), 2);
        let (early, late) = (batch.datagram(0).unwrap(), batch.datagram(1).unwrap());
        assert_eq!((early.bytes, late.bytes), (&b"early"[..], &b"late"[..]));
        assert!(before - slack <= early.arrived && early.arrived <= between + slack);
        assert!(between + PAUSE - slack <= late.arrived && late.arrived <= Instant::now());
    }
}
