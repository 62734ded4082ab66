//! What the thread and its owner both look at.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Adds to a counter that no other thread writes: a store waits for nobody, as an addition that is one step does.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}

/// A tape, as its owner sees it.
#[derive(Debug)]
pub(crate) struct TapeShared {
    pub(crate) frame_us: u64,
    pub(crate) live: bool,
    pub(crate) first: u64,
    pub(crate) low_ahead: u64,
    pub(crate) max_bytes: usize,
    // The owner writes these.
    pub(crate) end: AtomicU64,
    pub(crate) appended_bytes: AtomicUsize,
    pub(crate) finished: AtomicBool,
    // The thread writes these.
    pub(crate) head: AtomicU64,
    pub(crate) forgotten_bytes: AtomicUsize,
    pub(crate) readers: AtomicUsize,
    /// `u64::MAX` where there is no reader.
    pub(crate) furthest: AtomicU64,
}

impl TapeShared {
    /// What is kept, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        // In this order, what is forgotten meanwhile was appended before.
        let forgotten = self.forgotten_bytes.load(Relaxed);
        self.appended_bytes.load(Relaxed).saturating_sub(forgotten)
    }
}

/// A reader, as its owner sees it.
#[derive(Debug, Default)]
pub(crate) struct ReaderShared {
    /// Bytes given to be sent beside the packets that were not written yet.
    pub(crate) queued: AtomicUsize,
    /// Detached, or about to be.
    pub(crate) leaving: AtomicBool,
    /// What its packets last, on the tape it was last put on.
    pub(crate) frame_us: AtomicU64,
    pub(crate) live: AtomicBool,
    // The thread writes these.
    pub(crate) position: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) underruns: AtomicU64,
}

/// What is known of a reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Packets sent.
    pub sent: u64,
    /// Bytes written, of all frames.
    pub bytes: u64,
    /// Packets left out.
    pub dropped: u64,
    /// Times that the thread came too late and the timeline was moved.
    pub stalls: u64,
    /// Times that a packet was not there when its time came.
    pub underruns: u64,
    /// Number of the next packet to be sent.
    pub position: u64,
}

impl ReaderShared {
    pub(crate) fn stats(&self) -> ReaderStats {
        ReaderStats {
            sent: self.sent.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            stalls: self.stalls.load(Relaxed),
            underruns: self.underruns.load(Relaxed),
            position: self.position.load(Relaxed),
        }
    }
}

/// What was counted since the start, all of it by the thread.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) readers: AtomicUsize,
    pub(crate) tapes: AtomicUsize,
    pub(crate) tape_bytes: AtomicUsize,
    pub(crate) packets: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) underruns: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) cpu_us: AtomicU64,
    pub(crate) late: Mutex<LateWindow>,
}

impl Totals {
    pub(crate) fn late(&self) -> MutexGuard<'_, LateWindow> {
        // Counters are never half written.
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long lateness is remembered, at least; at most twice as long.
const WINDOW: Duration = Duration::from_secs(10);
/// Steps between one power of two and the next.
const STEPS: u64 = 16;
const BUCKETS: usize = 40 * STEPS as usize;

#[derive(Debug)]
struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    most: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, most: 0 }
    }
}

/// The bucket of a value: exact below [`STEPS`], then within a sixteenth.
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS.ilog2();
    let step = (value >> shift) - STEPS;
    ((u64::from(shift) + 1) * STEPS + step).min(BUCKETS as u64 - 1) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((STEPS + bucket % STEPS + 1) << shift) - 1
}

/// How late packets were in the last seconds.
#[derive(Debug)]
pub(crate) struct LateWindow {
    now: Histogram,
    before: Histogram,
    since: Instant,
}

impl Default for LateWindow {
    fn default() -> Self {
        Self { now: Histogram::default(), before: Histogram::default(), since: Instant::now() }
    }
}

/// How late packets were, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Of how many packets.
    pub packets: u64,
    /// As late as half of them, at most; as the others within a sixteenth.
    pub p50: u64,
    /// As late as 99 % of them.
    pub p99: u64,
    /// As late as 99.9 % of them.
    pub p999: u64,
    /// The latest.
    pub max: u64,
}

impl LateWindow {
    /// Counts some that were so many microseconds late.
    pub(crate) fn add(&mut self, late: impl IntoIterator<Item = u64>, now: Instant) {
        self.roll(now);
        for late in late {
            self.now.counts[bucket(late)] += 1;
            self.now.total += 1;
            self.now.most = self.now.most.max(late);
        }
    }

    pub(crate) fn lateness(&mut self, now: Instant) -> Lateness {
        self.roll(now);
        let packets = self.now.total + self.before.total;
        let max = self.now.most.max(self.before.most);
        let at = |share: f64| {
            let mut left = (packets as f64 * share).ceil() as u64;
            for (index, (one, two)) in self.now.counts.iter().zip(self.before.counts.iter()).enumerate() {
                left = left.saturating_sub(one + two);
                if left == 0 {
                    return if packets == 0 { 0 } else { upper(index).min(max) };
                }
            }
            max
        };
        Lateness { packets, p50: at(0.5), p99: at(0.99), p999: at(0.999), max }
    }

    fn roll(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < WINDOW {
            return;
        }
        self.before = std::mem::take(&mut self.now);
        if age >= 2 * WINDOW {
            self.before = Histogram::default();
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        for value in (0..100_000).chain([1 << 30, 1 << 39]) {
            let (index, most) = (bucket(value), upper(bucket(value)));
            assert!(most >= value && most - value <= value / 16, "{value}: {most}");
            assert_eq!(bucket(most), index);
            assert!(index == 0 || upper(index - 1) < value);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn lateness_is_forgotten_after_a_while() {
        let mut window = LateWindow::default();
        let start = window.since;
        window.add((0..1000).map(|packet| if packet == 999 { 5_000 } else { 10 }), start);
        let seen = window.lateness(start + WINDOW);
        assert_eq!(seen, Lateness { packets: 1000, p50: 10, p99: 10, p999: 10, max: 5_000 });
        window.add([20], start + WINDOW);
        assert_eq!(window.lateness(start + WINDOW).packets, 1001);
        assert_eq!(window.lateness(start + 2 * WINDOW), Lateness { packets: 1, p50: 20, p99: 20, p999: 20, max: 20 });
        assert_eq!(window.lateness(start + 9 * WINDOW), Lateness::default());
    }
}
