use std::collections::BTreeMap;

/// Packets that wait for a missing one, at most.
pub const REORDER_PACKETS: usize = 32;
/// Seconds that they wait, at most.
pub const REORDER_SECONDS: f64 = 0.2;

const HALF: u64 = 0x8000;

/// The next payload in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The audio.
    pub payload: Vec<u8>,
    /// Samples before it that nobody sent, or that were lost.
    pub gap: u32,
}

/// Counters of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SequenceStats {
    /// Packets taken, duplicates not among them.
    pub received: u64,
    /// Packets that never came, or came after they were given up.
    pub lost: u64,
    /// Packets that came again, or too late.
    pub duplicates: u64,
    /// Packets that came out of order and in time.
    pub reordered: u64,
    /// Interarrival jitter in samples (RFC 3550 section 6.4.1).
    pub jitter: f64,
}

#[derive(Debug)]
struct Held {
    timestamp: u32,
    payload: Vec<u8>,
    samples: u32,
    arrived: f64,
}

/// Puts a stream's packets in order and tells what is missing.
#[derive(Debug)]
pub struct SequenceReceiver {
    stats: SequenceStats,
    rate: f64,
    max_gap: u32,
    next: Option<u64>,
    timestamp: u32,
    transit: Option<f64>,
    held: BTreeMap<u64, Held>,
}

impl SequenceReceiver {
    /// For a clock of `clock_rate` timestamp units a second. Jumps of the timestamp beyond `max_gap` seconds are a
    /// restart of the sender's clock, not a gap.
    #[must_use]
    pub fn new(clock_rate: u32, max_gap: f64) -> Self {
        Self {
            stats: SequenceStats::default(),
            rate: f64::from(clock_rate),
            max_gap: (max_gap * f64::from(clock_rate)) as u32,
            next: None,
            timestamp: 0,
            transit: None,
            held: BTreeMap::new(),
        }
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> SequenceStats {
        self.stats
    }

    /// The unwrapped sequence number wanted next; everything before it is taken or given up.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    /// True once a packet was taken; the first one says where the numbers begin.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.next.is_some()
    }

    /// True where a packet is just the next one: then [`Self::advance`] does for [`Self::push`].
    #[must_use]
    pub fn expects(&self, sequence_number: u16, timestamp: u32) -> bool {
        self.next.is_some_and(|next| next as u16 == sequence_number)
            && timestamp == self.timestamp
            && self.held.is_empty()
    }

    /// True where a packet came before, or was given up: [`Self::push`] will count it and give nothing.
    #[must_use]
    pub fn knows(&self, sequence_number: u16) -> bool {
        self.next.is_some_and(|next| {
            let ahead = u64::from(sequence_number.wrapping_sub(next as u16));
            ahead >= HALF || self.held.contains_key(&(next + ahead))
        })
    }

    /// Account for the packet that [`Self::expects`] approved of, `samples` long, arrived at `now` seconds.
    pub fn advance(&mut self, samples: u32, now: f64) {
        self.account_jitter(self.timestamp, now);
        self.next = self.next.map(|next| next + 1);
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.stats.received += 1;
    }

    /// Take a packet, `samples` long, that arrived at `now` seconds on a monotonic clock; the payloads that are now in
    /// order are added to `ready`.
    pub fn push(
        &mut self,
        sequence_number: u16,
        timestamp: u32,
        payload: &[u8],
        samples: u32,
        now: f64,
        ready: &mut Vec<Ready>,
    ) {
        self.account_jitter(timestamp, now);
        let next = *self.next.get_or_insert_with(|| {
            self.timestamp = timestamp;
            u64::from(sequence_number)
        });
        if self.knows(sequence_number) {
            self.stats.duplicates += 1;
            return;
        }
        let seq = next + u64::from(sequence_number.wrapping_sub(next as u16));
        if self.held.last_key_value().is_some_and(|(last, _)| seq < *last) {
            self.stats.reordered += 1;
        }
        self.held.insert(seq, Held { timestamp, payload: payload.to_vec(), samples, arrived: now });
        self.release(ready);
        while self.held.len() >= REORDER_PACKETS || self.waits_too_long(now) {
            self.give_up(ready);
        }
    }

    /// Give up what is missing and release what waits for it.
    pub fn flush(&mut self, ready: &mut Vec<Ready>) {
        while !self.held.is_empty() {
            self.give_up(ready);
        }
    }

    fn waits_too_long(&self, now: f64) -> bool {
        let first = self.held.values().map(|held| held.arrived).reduce(f64::min);
        first.is_some_and(|arrived| now - arrived >= REORDER_SECONDS)
    }

    /// Wait no longer for what is missing before the first packet that waits.
    fn give_up(&mut self, ready: &mut Vec<Ready>) {
        if let (Some((&first, _)), Some(next)) = (self.held.first_key_value(), self.next) {
            self.stats.lost += first - next;
            self.next = Some(first);
            self.release(ready);
        }
    }

    fn release(&mut self, ready: &mut Vec<Ready>) {
        while let Some(next) = self.next
            && let Some(held) = self.held.remove(&next)
        {
            let jump = held.timestamp.wrapping_sub(self.timestamp);
            ready.push(Ready { payload: held.payload, gap: if jump <= self.max_gap { jump } else { 0 } });
            self.timestamp = held.timestamp.wrapping_add(held.samples);
            self.next = Some(next + 1);
            self.stats.received += 1;
        }
    }

    fn account_jitter(&mut self, timestamp: u32, now: f64) {
        let transit = now * self.rate - f64::from(timestamp);
        if let Some(before) = self.transit {
            let change = (transit - before).abs();
            if change < f64::from(self.max_gap) {
                self.stats.jitter += (change - self.stats.jitter) / 16.0;
            }
        }
        self.transit = Some(transit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: u32 = 320;

    fn push(receiver: &mut SequenceReceiver, number: u64) -> Vec<Ready> {
        let mut ready = Vec::new();
        let timestamp = (number * u64::from(SAMPLES)) as u32;
        receiver.push(number as u16, timestamp, &number.to_be_bytes(), SAMPLES, number as f64 * 0.02, &mut ready);
        ready
    }

    #[test]
    fn packets_come_out_in_order_across_the_wrap_of_the_sequence_number() {
        let mut receiver = SequenceReceiver::new(16_000, 60.0);
        let mut out = Vec::new();
        for number in [65_533, 65_535, 65_534, 65_537, 65_536, 65_538] {
            out.extend(push(&mut receiver, number).into_iter().map(|ready| ready.payload));
        }
        let expected: Vec<_> = (65_533u64..=65_538).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(out, expected);
        assert_eq!(receiver.next_seq(), 65_539);
        assert_eq!(receiver.stats().reordered, 2);
        assert_eq!(receiver.stats().lost, 0);
    }

    #[test]
    fn what_is_missing_is_given_up_after_a_while_and_its_length_is_told() {
        let mut receiver = SequenceReceiver::new(16_000, 60.0);
        push(&mut receiver, 1);
        let out: Vec<_> = (3..14).flat_map(|number| push(&mut receiver, number)).collect();
        assert_eq!(out[0].gap, SAMPLES);
        assert_eq!(receiver.stats().lost, 1);
        assert!(out[1..].iter().all(|ready| ready.gap == 0));
    }

    #[test]
    fn a_packet_that_is_the_next_one_needs_no_queue() {
        let mut receiver = SequenceReceiver::new(16_000, 60.0);
        push(&mut receiver, 5);
        assert!(receiver.expects(6, 6 * SAMPLES));
        receiver.advance(SAMPLES, 0.14);
        assert!(!receiver.expects(6, 6 * SAMPLES));
        assert!(receiver.knows(6));
        assert_eq!(receiver.next_seq(), 7);
    }
}
