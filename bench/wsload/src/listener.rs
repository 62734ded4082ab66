//! One connection that listens.

use std::{
    io::{self, Read, Write},
    mem::zeroed,
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use crate::figures::Seen;

const BINARY: u8 = 2;
const TEXT: u8 = 1;

pub struct Listener {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Listener {
    /// Connects, and asks to become a WebSocket.
    pub fn ask(port: u16, target: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        let on: libc::c_int = 1;
        // SAFETY: the option is an int, which outlives the call.
        let set = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    /// Waits until it is one.
    pub fn shake_hands(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        loop {
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                if !self.bytes.starts_with(b"HTTP/1.1 101") {
                    return Err(io::Error::other(String::from_utf8_lossy(&self.bytes[..end]).into_owned()));
                }
                self.bytes.drain(..end + 4);
                return self.stream.set_nonblocking(true);
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.bytes.extend_from_slice(&piece[..count]),
            }
        }
    }

    pub fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Takes what is there.
    pub fn read(&mut self, number: usize, seen: &mut Seen) -> io::Result<()> {
        let mut piece = [0; 16_384];
        loop {
            let Some((count, at)) = receive(self.fd(), &mut piece)? else { return Ok(()) };
            if count == 0 {
                return Err(io::Error::other(format!("the server closed a connection; it said {}", seen.last_text())));
            }
            self.bytes.extend_from_slice(&piece[..count]);
            let mut done = 0;
            while let Some((kind, start, end)) = parse(&self.bytes[done..]) {
                match kind {
                    BINARY => seen.packet(number, end - start, at),
                    TEXT => seen.text(&self.bytes[done + start..done + end]),
                    _ => {}
                }
                done += end;
            }
            self.bytes.drain(..done);
            if count < piece.len() {
                return Ok(());
            }
        }
    }
}

/// Bytes, and when the last of them came, in microseconds; None where there are none now.
fn receive(fd: RawFd, bytes: &mut [u8]) -> io::Result<Option<(usize, i64)>> {
    let mut control = [0_u64; 16];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero msghdr is a valid one; what it points to outlives the call; control messages are read only
    // within the length that the call gives, by the macros for it.
    unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let count = libc::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT);
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        let mut at = 0;
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_TIMESTAMPNS {
                let time: libc::timespec = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
                at = time.tv_sec * 1_000_000 + time.tv_nsec / 1_000;
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok(Some((count as usize, at)))
    }
}

/// Kind, beginning and end of a frame's payload; None where it is not whole.
fn parse(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (start, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start + length).then_some((first & 0x0f, start, start + length))
}
