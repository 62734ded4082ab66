//! Many datagrams for one system call, where the system has such calls.

use std::{io, net::SocketAddr, time::Instant};

use mio::net::UdpSocket;

/// Datagrams of one receiving call.
pub(crate) const RECEIVED: usize = 32;
/// Datagrams of one sending call.
pub(crate) const SENT: usize = 64;
/// Room for one datagram: more than any that WebRTC sends; a longer one is dropped.
pub(crate) const LONGEST: usize = 2048;

/// A datagram that came.
#[derive(Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) from: SocketAddr,
    /// When it came to this machine, not when this process got round to it.
    pub(crate) arrived: Instant,
    pub(crate) bytes: &'a [u8],
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{Batch, send};
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{Batch, send};

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        array, mem,
        os::fd::AsRawFd,
        ptr,
        time::{Duration, SystemTime},
    };

    use socket2::{SockAddr, SockAddrStorage};

    use super::{Instant, LONGEST, RECEIVED, Received, SENT, SocketAddr, UdpSocket, io};

    /// No datagram waits for longer: what seems to have was stamped before somebody set the clock.
    const LONGEST_WAIT: Duration = Duration::from_secs(2);

    /// Room for the control message that has a time stamp, aligned as the kernel wants it.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Control {
        header: libc::cmsghdr,
        stamp: libc::timespec,
    }

    /// How long ago, by the clock that sets time stamps, a datagram came.
    fn waited(head: &libc::msghdr, clock: Duration) -> Option<Duration> {
        if head.msg_controllen < mem::size_of::<Control>() as _ {
            return None;
        }
        // SAFETY: every header's `msg_control` points to a `Control`, of which the kernel says it has written all.
        let control = unsafe { head.msg_control.cast::<Control>().read() };
        if (control.header.cmsg_level, control.header.cmsg_type) != (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) {
            return None;
        }
        let (seconds, nanos) = (control.stamp.tv_sec.try_into().ok()?, control.stamp.tv_nsec.try_into().ok()?);
        clock.checked_sub(Duration::new(seconds, nanos)).filter(|waited| *waited < LONGEST_WAIT)
    }

    /// Buffers for `recvmmsg(2)`.
    pub(crate) struct Batch {
        buffers: Box<[[u8; LONGEST]; RECEIVED]>,
        lengths: [usize; RECEIVED],
        sources: [Option<SocketAddr>; RECEIVED],
        arrivals: [Instant; RECEIVED],
    }

    impl Batch {
        pub(crate) fn new() -> Self {
            Self {
                buffers: Box::new([[0; LONGEST]; RECEIVED]),
                lengths: [0; RECEIVED],
                sources: [None; RECEIVED],
                arrivals: [Instant::now(); RECEIVED],
            }
        }

        /// Takes what waits, at most a batch; how many.
        pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
            let mut names: [SockAddrStorage; RECEIVED] = array::from_fn(|_| SockAddrStorage::zeroed());
            // SAFETY: all-zero is a valid value of these C structures.
            let mut vectors: [libc::iovec; RECEIVED] = unsafe { mem::zeroed() };
            // SAFETY: as above.
            let mut controls: [Control; RECEIVED] = unsafe { mem::zeroed() };
            // SAFETY: as above.
            let mut headers: [libc::mmsghdr; RECEIVED] = unsafe { mem::zeroed() };
            for at in 0..RECEIVED {
                vectors[at].iov_base = self.buffers[at].as_mut_ptr().cast();
                vectors[at].iov_len = LONGEST;
                let header = &mut headers[at].msg_hdr;
                header.msg_name = ptr::from_mut(&mut names[at]).cast();
                header.msg_namelen = names[at].size_of();
                header.msg_iov = &raw mut vectors[at];
                header.msg_iovlen = 1;
                header.msg_control = ptr::from_mut(&mut controls[at]).cast();
                header.msg_controllen = mem::size_of::<Control>() as _;
            }
            // SAFETY: the headers point into `names`, `vectors`, `controls` and `buffers`, which outlive the call.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    RECEIVED as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            if count < 0 {
                return Err(io::Error::last_os_error());
            }
            let now = Instant::now();
            let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            for (at, name) in names.into_iter().enumerate().take(count as usize) {
                let header = &headers[at];
                let waited = waited(&header.msg_hdr, clock).unwrap_or_default();
                self.arrivals[at] = now.checked_sub(waited).unwrap_or(now);
                let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
                self.lengths[at] = if whole { header.msg_len as usize } else { 0 };
                // SAFETY: the kernel wrote an address of this length.
                let name = unsafe { SockAddr::new(name, header.msg_hdr.msg_namelen) };
                self.sources[at] = name.as_socket();
            }
            Ok(count as usize)
        }

        /// The datagram at `at` of the last call.
        pub(crate) fn datagram(&self, at: usize) -> Option<Received<'_>> {
            let bytes = &self.buffers[at][..self.lengths[at]];
            Some(Received { from: self.sources[at]?, arrived: self.arrivals[at], bytes })
        }
    }

    /// Sends from the front of `queue`; how many left. An error is of the first.
    pub(crate) fn send<'a>(
        socket: &UdpSocket,
        queue: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> io::Result<usize> {
        // SAFETY: all-zero is a valid value of these C structures.
        let mut vectors: [libc::iovec; SENT] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; SENT] = unsafe { mem::zeroed() };
        let mut names: [Option<SockAddr>; SENT] = [const { None }; SENT];
        let mut count = 0;
        for (address, bytes) in queue.take(SENT) {
            let name = names[count].insert(SockAddr::from(address));
            vectors[count].iov_base = bytes.as_ptr().cast_mut().cast();
            vectors[count].iov_len = bytes.len();
            let header = &mut headers[count].msg_hdr;
            header.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_namelen = name.len();
            header.msg_iov = &raw mut vectors[count];
            header.msg_iovlen = 1;
            count += 1;
        }
        // SAFETY: the headers point into `names`, `vectors` and the caller's bytes, which outlive the call; the
        // kernel only reads them.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::{Instant, LONGEST, RECEIVED, Received, SENT, SocketAddr, UdpSocket, io};

    /// Buffers for a batch of datagrams.
    pub(crate) struct Batch {
        buffers: Box<[[u8; LONGEST]; RECEIVED]>,
        received: [Option<(SocketAddr, usize)>; RECEIVED],
        arrived: Instant,
    }

    impl Batch {
        pub(crate) fn new() -> Self {
            let buffers = Box::new([[0; LONGEST]; RECEIVED]);
            Self { buffers, received: [None; RECEIVED], arrived: Instant::now() }
        }

        /// Takes what waits, at most a batch; how many.
        pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
            self.arrived = Instant::now();
            for at in 0..RECEIVED {
                match socket.recv_from(&mut self.buffers[at]) {
                    Ok((length, source)) => self.received[at] = Some((source, length)),
                    Err(_) if at > 0 => return Ok(at),
                    Err(error) => return Err(error),
                }
            }
            Ok(RECEIVED)
        }

        /// The datagram at `at` of the last call.
        pub(crate) fn datagram(&self, at: usize) -> Option<Received<'_>> {
            let (from, length) = self.received[at]?;
            Some(Received { from, arrived: self.arrived, bytes: &self.buffers[at][..length] })
        }
    }

    /// Sends from the front of `queue`; how many left. An error is of the first.
    pub(crate) fn send<'a>(
        socket: &UdpSocket,
        queue: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> io::Result<usize> {
        let mut sent = 0;
        for (address, bytes) in queue.take(SENT) {
            match socket.send_to(bytes, address) {
                Ok(_) => sent += 1,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
