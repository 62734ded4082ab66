//! The one UDP port, shared by all peers and all threads.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::SocketAddr,
};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use str0m::net::DatagramSend;

use super::batch;

/// What the kernel is asked to keep of each direction while a thread is busy.
const KERNEL_BUFFER: usize = 4 << 20;
/// Datagrams that wait for the kernel at most; the oldest goes first.
const LONGEST_QUEUE: usize = 4096;

/// A datagram on its way out.
pub(crate) struct Outgoing {
    pub(crate) to: SocketAddr,
    pub(crate) contents: DatagramSend,
}

/// A socket and what waits to leave by it.
pub(crate) struct UdpDoor {
    pub(crate) socket: UdpSocket,
    queue: VecDeque<Outgoing>,
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
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl UdpDoor {
    pub(crate) fn new(socket: std::net::UdpSocket) -> Self {
        Self { socket: UdpSocket::from_std(socket), queue: VecDeque::new() }
    }

    /// Lets a datagram wait for [`Self::flush`], or for as many as one system call takes.
    pub(crate) fn push(&mut self, datagram: Outgoing) {
        if self.queue.len() >= LONGEST_QUEUE {
            self.queue.pop_front();
        }
        self.queue.push_back(datagram);
        // Where the kernel is full, it is not asked again for each.
        if self.queue.len().is_multiple_of(batch::SENT) {
            self.flush();
        }
    }

    /// Hands to the kernel what it takes.
    pub(crate) fn flush(&mut self) {
        while !self.queue.is_empty() {
            let waiting = self.queue.iter().map(|datagram| (datagram.to, &datagram.contents[..]));
            match batch::send(&self.socket, waiting) {
                Ok(sent) => drop(self.queue.drain(..sent.max(1))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // That one can't be sent: no route, a port that is closed.
                Err(_) => {
                    self.queue.pop_front();
                }
            }
        }
    }
}
