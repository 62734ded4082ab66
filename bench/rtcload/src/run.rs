//! One run: who is due to send, and what was seen of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::{Delays, Outcome, Plan, hexadecimal};
use crate::net::realtime;
use crate::peer::{Heard, Sound};

const DRAIN: Duration = Duration::from_millis(300);
const MAGIC: [u8; 2] = [0xA7, 0x1F];
const TAG: usize = 8;

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Sending, but nothing counts.
    Warming,
    /// Sending, and it counts.
    Counting,
    /// Nothing is sent any more, but things still arrive.
    Draining,
    /// Over.
    Over,
}

/// A packet that is due.
pub struct Due {
    /// Who sends it.
    pub peer: usize,
    /// What.
    pub sound: Sound,
    sender: usize,
    number: u64,
}

/// A run.
pub struct Run {
    /// As asked for.
    pub plan: Plan,
    start: Instant,
    warm: Instant,
    end: Instant,
    interval: Duration,
    phase: Phase,
    next: u64,
    stamps: Vec<Vec<u64>>,
    counted: u64,
    recorded: Vec<bool>,
    delays: Vec<u32>,
    lateness: f64,
    outcome: Outcome,
    cpu: Duration,
}

impl Run {
    /// Begin; `sounds` are what the plan speaks of, and `peers` how many there are.
    pub fn new(plan: Plan, sounds: usize, peers: usize, now: Instant) -> Result<Self, String> {
        if plan.senders.iter().any(|&(peer, sound, _)| peer >= peers || sound >= sounds) {
            return Err("a sender or a sound that there is not".into());
        }
        let start = now + Duration::from_millis(5);
        let warm = start + Duration::from_secs_f64(plan.warm);
        let mut recorded = vec![false; peers];
        for &peer in &plan.record {
            *recorded.get_mut(peer).ok_or("a peer that there is not")? = true;
        }
        Ok(Self {
            start,
            warm,
            end: warm + Duration::from_secs_f64(plan.seconds),
            interval: Duration::from_millis(plan.interval.max(1).into()),
            phase: Phase::Warming,
            next: 0,
            stamps: vec![Vec::new(); plan.senders.len()],
            counted: 0,
            recorded,
            delays: Vec::new(),
            lateness: 0.0,
            outcome: Outcome { by_peer: vec![0; peers], ..Outcome::default() },
            cpu: Duration::ZERO,
            plan,
        })
    }

    /// When something is to be done next.
    pub fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Warming => self.next_due().min(self.warm),
            Phase::Counting => self.next_due().min(self.end),
            Phase::Draining | Phase::Over => self.end + DRAIN,
        }
    }

    fn next_due(&self) -> Instant {
        let senders = self.plan.senders.len() as u64;
        if senders == 0 {
            return self.end;
        }
        let (round, place) = (self.next / senders, self.next % senders);
        // Senders are spread over the interval, as people's machines are.
        self.start + self.interval * round as u32 + self.interval * place as u32 / senders as u32
    }

    /// Go on to another phase where it is time to; the phase that has begun.
    pub fn step(&mut self, now: Instant, cpu: Duration) -> Option<Phase> {
        let phase = match self.phase {
            Phase::Warming if now >= self.warm => {
                self.cpu = cpu;
                self.counted = self.next;
                Phase::Counting
            }
            Phase::Counting if now >= self.end => {
                self.outcome.busy = (cpu - self.cpu).as_secs_f64() / (now - self.warm).as_secs_f64();
                Phase::Draining
            }
            Phase::Draining if now >= self.end + DRAIN => Phase::Over,
            _ => return None,
        };
        self.phase = phase;
        Some(phase)
    }

    /// The next packet to be sent, where one is due.
    pub fn due(&mut self, now: Instant, sounds: &[Vec<Sound>]) -> Option<Due> {
        if !matches!(self.phase, Phase::Warming | Phase::Counting) || self.plan.senders.is_empty() {
            return None;
        }
        let late = now.checked_duration_since(self.next_due())?.as_secs_f64();
        let senders = self.plan.senders.len() as u64;
        let (number, sender) = (self.next / senders, (self.next % senders) as usize);
        self.next += 1;
        if self.phase == Phase::Counting {
            self.outcome.sent += 1;
            self.outcome.late = self.outcome.late.max(late);
            self.lateness += late;
        }
        let (peer, sound, offset) = self.plan.senders[sender];
        let packets = &sounds[sound];
        let mut sound = packets[(number as usize + offset) % packets.len()].clone();
        if self.plan.tag {
            sound.payload = tagged(&sound.payload, sender, number);
        }
        Some(Due { peer, sound, sender, number })
    }

    /// Note that a packet goes into the sending system call now.
    pub fn stamp(&mut self, due: &Due) {
        if self.plan.tag || !self.plan.record.is_empty() {
            let now = realtime();
            self.stamps[due.sender].push(now);
            if !self.plan.record.is_empty() && self.phase == Phase::Counting {
                self.outcome.said.push((due.peer, due.number, now));
            }
        }
    }

    /// Note what a peer was sent.
    pub fn heard(&mut self, peer: usize, arrived: u64, heard: &Heard<'_>) {
        if self.phase == Phase::Counting {
            self.outcome.received += 1;
            self.outcome.octets += heard.payload.len() as u64;
            self.outcome.by_peer[peer] += 1;
        }
        if self.recorded[peer] && self.phase != Phase::Warming {
            self.outcome.heard.push((peer, arrived, heard.timestamp, hexadecimal(heard.payload)));
        }
        if self.plan.tag
            && let Some((sender, number)) = tag(heard.payload)
            && let Some(&sent) = self.stamps.get(sender).and_then(|stamps| stamps.get(number as usize))
            && self.counts(sender, number)
        {
            self.outcome.matched += 1;
            self.delays.push(arrived.saturating_sub(sent).min(u32::MAX.into()) as u32);
        }
    }

    fn counts(&self, sender: usize, number: u64) -> bool {
        self.phase != Phase::Warming && number * self.plan.senders.len() as u64 + sender as u64 >= self.counted
    }

    /// What came of it.
    pub fn outcome(mut self) -> Outcome {
        self.outcome.late_mean = self.lateness / self.outcome.sent.max(1) as f64;
        self.delays.sort_unstable();
        let at = |share: f64| u64::from(self.delays[((self.delays.len() - 1) as f64 * share) as usize]);
        self.outcome.delays = (!self.delays.is_empty()).then(|| Delays {
            least: at(0.0),
            median: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            most: at(1.0),
        });
        self.outcome
    }
}

/// A packet of one frame with sender and number in its padding, which decoders skip (RFC 6716, section 3.2.5).
fn tagged(packet: &[u8], sender: usize, number: u64) -> Arc<[u8]> {
    let (first, frame) = packet.split_first().map_or((0, packet), |(first, frame)| (*first, frame));
    let mut made = Vec::with_capacity(packet.len() + 2 + TAG);
    made.extend([first | 3, 0x41, TAG as u8]);
    made.extend_from_slice(frame);
    made.extend(MAGIC);
    made.extend((sender as u16).to_be_bytes());
    made.extend((number as u32).to_be_bytes());
    made.into()
}

fn tag(packet: &[u8]) -> Option<(usize, u64)> {
    let [.., a, b, c, d, e, f, g, h] = packet else { return None };
    ([*a, *b] == MAGIC).then(|| (u16::from_be_bytes([*c, *d]).into(), u32::from_be_bytes([*e, *f, *g, *h]).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_again_in_what_is_forwarded() {
        let packet = tagged(&[0x78, 1, 2, 3], 513, 70_000);
        assert_eq!(tag(&packet), Some((513, 70_000)));
        assert_eq!(packet[..6], [0x7B, 0x41, 8, 1, 2, 3]);
    }
}
