//! Getting the processor soon, where others want it too.

/// Asks for short turns that come soon: a thread that wakes often and does little has to be asked for no more than the
/// default, which lets others finish theirs first, some milliseconds long. Takes no share of the processor from anybody,
/// and needs no privilege; a system that doesn't know of it (Linux before 6.12, other systems) is none the worse.
#[cfg(target_os = "linux")]
pub(crate) fn ask_for_short_ones() {
    /// sched_setattr(2): the least that a thread may ask for, in nanoseconds.
    const SHORTEST: u64 = 100_000;
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    // SAFETY: the call takes no pointer; 0 is the calling thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice,
        priority: 0,
        runtime: SHORTEST,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the structure is that of sched_setattr(2), says how long it is, and outlives the call.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn ask_for_short_ones() {}
