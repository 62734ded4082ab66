//! A connection that is written to, and never waited for.

use std::{io, os::fd::AsRawFd};

use socket2::Socket;

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const FLAGS: i32 = libc::MSG_DONTWAIT;

/// Memory for what waits is given back beyond this.
const KEPT_BYTES: usize = 4_096;

/// A socket, and what has to be written to it before anything else: the rest of a frame, and whole frames.
pub(crate) struct Line {
    socket: Socket,
    waiting: Vec<u8>,
    written: usize,
    blocked: bool,
}

impl Line {
    pub(crate) fn new(socket: Socket) -> Self {
        // Small packets go at once; what isn't TCP has no such setting.
        let _ = socket.set_tcp_nodelay(true);
        #[cfg(target_vendor = "apple")]
        let _ = socket.set_nosigpipe(true);
        Self { socket, waiting: Vec::new(), written: 0, blocked: false }
    }

    pub(crate) fn fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// What the system says is wrong with it.
    pub(crate) fn fault(&self) -> Option<io::Error> {
        self.socket.take_error().ok().flatten()
    }

    /// The socket takes nothing until it says so.
    pub(crate) fn blocked(&self) -> bool {
        self.blocked
    }

    /// It said so.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Bytes that are to be written before anything else.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() - self.written
    }

    /// To be written before anything else, after what is already.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// To be written before anything else, as far as `make` appends it.
    pub(crate) fn queue_with(&mut self, make: impl FnOnce(&mut Vec<u8>)) {
        make(&mut self.waiting);
    }

    /// Writes what waits. Gives how much was written.
    pub(crate) fn flush(&mut self) -> io::Result<usize> {
        let before = self.written;
        while self.written < self.waiting.len() && !self.blocked {
            match send(&self.socket, &self.waiting[self.written..])? {
                Some(count) => self.written += count,
                None => self.blocked = true,
            }
        }
        let written = self.written - before;
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.waiting.shrink_to(KEPT_BYTES);
            self.written = 0;
        }
        Ok(written)
    }

    /// Writes as much as the socket takes at once; nothing may wait.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        debug_assert!(self.waiting.is_empty() && !self.blocked);
        let mut written = 0;
        while written < bytes.len() {
            match send(&self.socket, &bytes[written..])? {
                Some(count) => written += count,
                None => {
                    self.blocked = true;
                    break;
                }
            }
        }
        Ok(written)
    }

    /// Bytes that the other side's system has not confirmed; none where this system doesn't say.
    pub(crate) fn unconfirmed(&self) -> usize {
        unconfirmed(&self.socket)
    }
}

/// Sends without waiting; None where the socket takes nothing now.
fn send(socket: &Socket, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        match send_once(socket, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The system call by itself: the C library's function is a point where threads are cancelled, and pays for that.
#[cfg(target_os = "linux")]
fn send_once(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    let nobody: *const libc::sockaddr = std::ptr::null();
    // SAFETY: these are sendto(2)'s arguments; the bytes outlive the call, and no address is given.
    let sent =
        unsafe { libc::syscall(libc::SYS_sendto, socket.as_raw_fd(), bytes.as_ptr(), bytes.len(), FLAGS, nobody, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(not(target_os = "linux"))]
fn send_once(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(bytes, FLAGS)
}

#[cfg(target_os = "linux")]
fn unconfirmed(socket: &Socket) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int, which lives as long as the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

#[cfg(target_vendor = "apple")]
fn unconfirmed(socket: &Socket) -> usize {
    let mut bytes: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: SO_NWRITE writes one int, and its length is told; both live as long as the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NWRITE,
            (&raw mut bytes).cast(),
            &raw mut length,
        )
    };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn unconfirmed(_: &Socket) -> usize {
    0
}
