//! UDP sockets, read and written many packets a system call.
//!
//! A server tells its peers apart by where their packets come from. A socket bound to all addresses can stand for many
//! hosts of 127.0.0.0/8 (`IP_PKTINFO` names the address of each packet), so that a call moves packets of many peers.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Packets a system call moves at most.
pub const BATCH: usize = 64;
const PACKET: usize = 2048;
const CONTROL: usize = 128;
/// Bytes of the control message that names an address to send from; CMSG_SPACE of it is 32.
const SOURCE: usize = 64;
const BUFFER: libc::c_int = 1 << 23;

/// Nanoseconds since 1970, on the clock of the kernel's timestamps.
pub fn realtime() -> u64 {
    // SAFETY: an all-zero timespec is a valid one.
    let mut now: libc::timespec = unsafe { zeroed() };
    // SAFETY: `now` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    nanoseconds(&now)
}

fn nanoseconds(time: &libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set(socket: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value outlives the call and has the size that is named.
    checked(unsafe { libc::setsockopt(socket, level, option, (&raw const value).cast(), size) }).map(drop)
}

fn raw(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn cooked(address: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)), u16::from_be(address.sin_port))
}

/// Control messages, aligned as the kernel wants them.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// A packet that came.
pub struct Packet<'a> {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Which of our addresses it was sent to.
    pub local: SocketAddrV4,
    /// When the kernel took it in, by [`realtime`].
    pub arrived: u64,
    /// Its bytes.
    pub data: &'a [u8],
}

/// What packets are received into.
pub struct Buffers {
    data: Box<[[u8; PACKET]; BATCH]>,
    controls: Box<[Control; BATCH]>,
    names: Box<[libc::sockaddr_in; BATCH]>,
    lengths: [usize; BATCH],
    locals: [Ipv4Addr; BATCH],
    arrivals: [u64; BATCH],
    parts: Box<[libc::iovec; BATCH]>,
    heads: Box<[libc::mmsghdr; BATCH]>,
    port: u16,
}

impl Buffers {
    /// Empty ones.
    pub fn new() -> Self {
        // SAFETY: all-zero is a valid value of these C structures.
        let (parts, heads): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { zeroed() };
        let mut made = Self {
            data: Box::new([[0; PACKET]; BATCH]),
            controls: Box::new([Control([0; CONTROL]); BATCH]),
            names: Box::new([raw(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); BATCH]),
            lengths: [0; BATCH],
            locals: [Ipv4Addr::UNSPECIFIED; BATCH],
            arrivals: [0; BATCH],
            parts: Box::new(parts),
            heads: Box::new(heads),
            port: 0,
        };
        for at in 0..BATCH {
            made.parts[at] = libc::iovec { iov_base: made.data[at].as_mut_ptr().cast(), iov_len: PACKET };
            let head = &mut made.heads[at].msg_hdr;
            head.msg_name = (&raw mut made.names[at]).cast();
            head.msg_iov = &raw mut made.parts[at];
            head.msg_iovlen = 1;
            head.msg_control = made.controls[at].0.as_mut_ptr().cast();
            made.room(at);
        }
        made
    }

    /// Says how much room there is for a packet's address and control messages, where the kernel has written how much
    /// it took.
    fn room(&mut self, at: usize) {
        self.heads[at].msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        self.heads[at].msg_hdr.msg_controllen = CONTROL;
    }

    /// One of the packets that the last [`Socket::receive`] took.
    pub fn packet(&self, at: usize) -> Packet<'_> {
        Packet {
            source: cooked(&self.names[at]),
            local: SocketAddrV4::new(self.locals[at], self.port),
            arrived: self.arrivals[at],
            data: &self.data[at][..self.lengths[at]],
        }
    }
}

/// A socket.
pub struct Socket {
    descriptor: OwnedFd,
    port: u16,
}

impl Socket {
    /// A socket on a port that the kernel chooses.
    pub fn new(host: Ipv4Addr) -> io::Result<Self> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: takes no pointers.
        let number = checked(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
        // SAFETY: the descriptor is new and nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        set(number, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        set(number, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        set(number, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER)?;
        set(number, libc::SOL_SOCKET, libc::SO_SNDBUF, BUFFER)?;
        let mut name = raw(SocketAddrV4::new(host, 0));
        let mut size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        // SAFETY: `name` outlives the call and has the size that is named.
        checked(unsafe { libc::bind(number, (&raw const name).cast(), size) })?;
        // SAFETY: as above; the kernel writes at most `size` bytes.
        checked(unsafe { libc::getsockname(number, (&raw mut name).cast(), &mut size) })?;
        Ok(Self { descriptor, port: cooked(&name).port() })
    }

    /// The port it is bound to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For waiting.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Take what has come, at most [`BATCH`] packets; how many.
    pub fn receive(&self, into: &mut Buffers) -> io::Result<usize> {
        into.port = self.port;
        let count = BATCH as libc::c_uint;
        // SAFETY: every pointer in the heads is to a buffer on the heap of the length beside it, which `into` owns.
        let got = unsafe {
            libc::recvmmsg(self.descriptor(), into.heads.as_mut_ptr(), count, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        if got < 0 {
            let error = io::Error::last_os_error();
            // A connection is refused where a server has closed its socket, which its peers notice by themselves.
            let none = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused);
            return if none { Ok(0) } else { Err(error) };
        }
        for at in 0..got as usize {
            into.lengths[at] = into.heads[at].msg_len as usize;
            // SAFETY: the kernel has filled the control buffer of this header.
            (into.locals[at], into.arrivals[at]) = unsafe { told(&into.heads[at].msg_hdr) };
            into.room(at);
        }
        Ok(got as usize)
    }

    /// Send packets, each from an address of ours, at most `most` with a system call; those that do not go into the
    /// socket's buffer are lost. Returns how many went.
    pub fn send<D: Deref<Target = [u8]>>(&self, packets: &[Outgoing<D>], most: usize) -> io::Result<usize> {
        let mut sent = 0;
        for batch in packets.chunks(most.clamp(1, BATCH)) {
            let mut names: Vec<_> = batch.iter().map(|packet| raw(packet.destination)).collect();
            let mut parts: Vec<_> = batch
                .iter()
                .map(|packet| libc::iovec {
                    iov_base: packet.data.as_ptr().cast_mut().cast(),
                    iov_len: packet.data.len(),
                })
                .collect();
            let mut controls = vec![[0_u64; SOURCE / 8]; batch.len()];
            let mut heads: Vec<libc::mmsghdr> = Vec::with_capacity(batch.len());
            for (at, packet) in batch.iter().enumerate() {
                // SAFETY: all-zero is a valid value of this C structure.
                let mut head: libc::mmsghdr = unsafe { zeroed() };
                head.msg_hdr.msg_name = (&raw mut names[at]).cast();
                head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                head.msg_hdr.msg_iov = &raw mut parts[at];
                head.msg_hdr.msg_iovlen = 1;
                head.msg_hdr.msg_control = controls[at].as_mut_ptr().cast();
                // SAFETY: the control buffer has room for one address, is aligned, and outlives the send below.
                head.msg_hdr.msg_controllen = unsafe { write_source(controls[at].as_mut_ptr().cast(), packet.source) };
                heads.push(head);
            }
            let mut done = 0;
            while done < batch.len() {
                let left = (batch.len() - done) as libc::c_uint;
                // SAFETY: every pointer in `heads` is to what outlives the call, with its length beside it.
                let went =
                    unsafe { libc::sendmmsg(self.descriptor(), heads[done..].as_mut_ptr(), left, libc::MSG_DONTWAIT) };
                if went < 0 {
                    let error = io::Error::last_os_error();
                    match error.kind() {
                        // The first of them found no place, or the other side is not there any more.
                        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused => done += 1,
                        io::ErrorKind::Interrupted => {}
                        _ => return Err(error),
                    }
                } else {
                    done += went as usize;
                    sent += went as usize;
                }
            }
        }
        Ok(sent)
    }
}

/// A packet to be sent.
pub struct Outgoing<D> {
    /// The address that it comes from.
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: SocketAddrV4,
    /// Its bytes.
    pub data: D,
}

/// The address that a packet was sent to, and when it came.
///
/// # Safety
///
/// `head` must have been filled by the kernel, and its control buffer must still be there.
unsafe fn told(head: &libc::msghdr) -> (Ipv4Addr, u64) {
    let (mut local, mut arrived) = (Ipv4Addr::UNSPECIFIED, 0);
    // SAFETY: the macros walk within the control buffer, whose length the kernel has written.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(head);
        while let Some(found) = message.as_ref() {
            match (found.cmsg_level, found.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let told = libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().read_unaligned();
                    local = Ipv4Addr::from(u32::from_be(told.ipi_addr.s_addr));
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    arrived = nanoseconds(&libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned());
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(head, message);
        }
    }
    (local, arrived)
}

/// Write the control message that says from which address to send; its length.
///
/// # Safety
///
/// `control` must point to [`SOURCE`] writable bytes, aligned for a `cmsghdr`.
unsafe fn write_source(control: *mut u8, source: Ipv4Addr) -> usize {
    let size = size_of::<libc::in_pktinfo>() as libc::c_uint;
    let address = libc::in_addr { s_addr: u32::from(source).to_be() };
    let told = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: libc::in_addr { s_addr: 0 } };
    // SAFETY: header and data fit into the buffer, see CMSG_SPACE below.
    unsafe {
        let head = control.cast::<libc::cmsghdr>();
        (*head).cmsg_level = libc::IPPROTO_IP;
        (*head).cmsg_type = libc::IP_PKTINFO;
        (*head).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(head).cast::<libc::in_pktinfo>().write_unaligned(told);
        libc::CMSG_SPACE(size) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_whom_it_came_from_whom_it_is_for_and_when() {
        let (ours, theirs) = (Socket::new(Ipv4Addr::UNSPECIFIED).unwrap(), Socket::new(Ipv4Addr::UNSPECIFIED).unwrap());
        let (from, to) = (Ipv4Addr::new(127, 10, 0, 1), Ipv4Addr::new(127, 10, 0, 2));
        let before = realtime();
        let packets: Vec<Outgoing<Vec<u8>>> = (0..BATCH as u8 + 6)
            .map(|n| Outgoing { source: from, destination: SocketAddrV4::new(to, theirs.port()), data: vec![n] })
            .collect();
        assert_eq!(ours.send(&packets, BATCH).unwrap(), packets.len());
        let mut buffers = Buffers::new();
        for round in [0..BATCH, BATCH..packets.len()] {
            assert_eq!(theirs.receive(&mut buffers).unwrap(), round.len());
            for (at, n) in round.enumerate() {
                let packet = buffers.packet(at);
                assert_eq!(packet.data, [n as u8]);
                assert_eq!(packet.source, SocketAddrV4::new(from, ours.port()));
                assert_eq!(packet.local, SocketAddrV4::new(to, theirs.port()));
                assert!((before..=realtime()).contains(&packet.arrived));
            }
        }
        assert_eq!(theirs.receive(&mut buffers).unwrap(), 0);
    }
}
