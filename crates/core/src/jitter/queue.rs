//! Packets that wait, in the order of their sequence numbers.

use std::collections::VecDeque;

/// Payload buffers kept for reuse are given back to the allocator if they are larger than this.
const KEPT_BYTES: usize = 2_048;

/// Payload buffers begin with room for as much: most packets of speech.
const LEAST_BYTES: usize = 256;

/// A packet that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Sequence number that goes on.
    pub sequence: i64,
    /// Position of its first sample in the stream, in samples.
    pub at: i64,
    /// Samples of each channel it holds.
    pub samples: i64,
    /// What is to be decoded.
    pub payload: Vec<u8>,
}

/// A queue bounded in packets and bytes; memory for payloads is used again.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
    spare: Vec<Vec<u8>>,
    bytes: usize,
    max_packets: usize,
    max_bytes: usize,
}

impl Queue {
    /// For at most so many packets and bytes.
    pub fn new(max_packets: usize, max_bytes: usize) -> Self {
        Self { waiting: VecDeque::with_capacity(16), spare: Vec::new(), bytes: 0, max_packets, max_bytes }
    }

    /// Puts a packet in its place. The caller makes room first and knows that it isn't there yet.
    pub fn insert(&mut self, sequence: i64, at: i64, samples: i64, payload: &[u8]) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        // Not for each packet that is a little longer than those before.
        buffer.reserve(payload.len().max(LEAST_BYTES));
        buffer.extend_from_slice(payload);
        self.bytes += payload.len();
        let mut index = self.waiting.len();
        while index > 0 && self.waiting[index - 1].sequence > sequence {
            index -= 1;
        }
        self.waiting.insert(index, Waiting { sequence, at, samples, payload: buffer });
    }

    /// Whether a packet of `bytes` has room.
    pub fn fits(&self, bytes: usize) -> bool {
        self.waiting.len() < self.max_packets && self.bytes + bytes <= self.max_bytes
    }

    /// The packet with the lowest sequence number.
    pub fn front(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    /// Takes that packet; its payload should come back through [`Self::recycle`].
    pub fn pop(&mut self) -> Option<Waiting> {
        let packet = self.waiting.pop_front()?;
        self.bytes -= packet.payload.len();
        Some(packet)
    }

    /// Takes a payload's memory back.
    pub fn recycle(&mut self, payload: Vec<u8>) {
        if (1..=KEPT_BYTES).contains(&payload.capacity()) && self.spare.len() < self.max_packets {
            self.spare.push(payload);
        }
    }

    /// Lets all packets go.
    pub fn clear(&mut self) {
        while let Some(packet) = self.pop() {
            self.recycle(packet.payload);
        }
    }

    /// Packets waiting.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of payload waiting.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
