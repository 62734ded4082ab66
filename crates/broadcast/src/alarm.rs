//! Being woken at a time, finer than the milliseconds of a poll.

use std::{io, time::Duration};

use mio::{Registry, Token};

/// Wakes a poll at a time: a timer of the kernel, which a poll watches like a socket.
#[cfg(target_os = "linux")]
pub(crate) struct Alarm {
    fd: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Alarm {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and is nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let source = fd.as_raw_fd();
        registry.register(&mut mio::unix::SourceFd(&source), token, mio::Interest::READABLE)?;
        Ok(Self { fd })
    }

    /// Arms it, and gives the time-out for the poll itself.
    pub(crate) fn set(&mut self, after: Duration) -> Option<Duration> {
        use std::os::fd::AsRawFd;
        // Nothing at all would disarm it.
        let after = after.max(Duration::from_nanos(1));
        let value = libc::timespec { tv_sec: after.as_secs() as libc::time_t, tv_nsec: after.subsec_nanos().into() };
        let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        // SAFETY: the descriptor is a timer's, the new value lives as long as the call, the old one is not asked for.
        let result = unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &once, std::ptr::null_mut()) };
        // A timer that can't be set is made up for by the poll's own, which is coarser.
        (result != 0).then_some(after)
    }
}

/// Wakes a poll by its own time-out, which is counted in milliseconds.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(crate) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self)
    }

    /// Gives the time-out for the poll.
    pub(crate) fn set(&mut self, after: Duration) -> Option<Duration> {
        Some(after)
    }
}
