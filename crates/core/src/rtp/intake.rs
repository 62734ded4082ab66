use super::packet::{HEADER_SIZE, parse};
use super::sequence::SequenceReceiver;

/// A token bucket that counts seconds of audio.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    rate: f64,
    burst: f64,
    level: f64,
    at: f64,
}

impl Pace {
    /// `rate` seconds of audio a second may come for long, and `burst` seconds at once; `now` is the time in seconds.
    #[must_use]
    pub fn new(rate: f64, burst: f64, now: f64) -> Self {
        Self { rate, burst, level: burst, at: now }
    }

    /// Take `seconds` of audio; returns 0 where they may come, else how many seconds to wait for that.
    pub fn take(&mut self, seconds: f64, now: f64) -> f64 {
        let level = self.burst.min(self.level + (now - self.at) * self.rate);
        self.at = now;
        if seconds <= level {
            self.level = level - seconds;
            return 0.0;
        }
        self.level = level;
        (seconds.min(self.burst) - level) / self.rate
    }

    /// Account for `seconds` of audio that have been taken already, over the pace or not: nothing may come until the
    /// debt is paid off.
    pub fn charge(&mut self, seconds: f64, now: f64) {
        self.level = self.burst.min(self.level + (now - self.at) * self.rate) - seconds;
        self.at = now;
    }
}

/// What one stream may bring, and how it is cut into blocks.
#[derive(Debug, Clone, Copy)]
pub struct IntakeLimits {
    /// Bytes of one sample of every channel.
    pub frame_bytes: u32,
    /// Timestamp units, that is samples of one channel, a second.
    pub sample_rate: u32,
    /// Bytes after which a block is handed on; 0 hands on every packet by itself.
    pub block_bytes: usize,
    /// Samples of one channel that the stream may bring in all.
    pub max_samples: u64,
    /// Seconds of audio a second that may come for long.
    pub max_rate: f64,
    /// Seconds of audio that may come at once.
    pub burst: f64,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was taken, and waits in a block that is not full yet.
    Waiting,
    /// It was taken, and [`Intake::block`] is to be handed on.
    Full,
    /// It is not simply the next packet: nothing was changed.
    Unusual,
}

/// The way in of one stream of PCM: in one step for the packet that is expected, as nearly all are.
///
/// A packet that is not (out of order, too early, not whole samples, one too many) is left to the caller, who asks
/// [`Self::sequence`] and [`Self::pace`] what is wrong with it.
#[derive(Debug)]
pub struct Intake {
    /// Order and loss.
    pub sequence: SequenceReceiver,
    /// How fast audio may come.
    pub pace: Pace,
    /// Samples of one channel that have come, gaps included.
    pub samples: u64,
    limits: IntakeLimits,
    seconds_per_byte: f64,
    block: Vec<u8>,
}

impl Intake {
    /// For a stream that begins at `now` seconds.
    #[must_use]
    pub fn new(limits: IntakeLimits, now: f64) -> Self {
        Self {
            sequence: SequenceReceiver::new(limits.sample_rate, 60.0),
            pace: Pace::new(limits.max_rate, limits.burst, now),
            samples: 0,
            limits,
            seconds_per_byte: 1.0 / (f64::from(limits.frame_bytes) * f64::from(limits.sample_rate)),
            block: Vec::with_capacity(limits.block_bytes),
        }
    }

    /// Take an RTP packet that arrived at `now` seconds, if it is the next one and may come.
    pub fn take_packet(&mut self, data: &[u8], now: f64) -> Taken {
        let Ok(packet) = parse(data) else { return Taken::Unusual };
        if data.len() == HEADER_SIZE || !self.sequence.expects(packet.sequence_number, packet.timestamp) {
            return Taken::Unusual;
        }
        match self.admit(packet.payload, now) {
            None => Taken::Unusual,
            Some(samples) => {
                self.sequence.advance(samples, now);
                self.keep(packet.payload)
            }
        }
    }

    /// Take bare audio that arrived at `now` seconds, if it may come.
    pub fn take_chunk(&mut self, data: &[u8], now: f64) -> Taken {
        match self.admit(data, now) {
            None => Taken::Unusual,
            Some(_) => self.keep(data),
        }
    }

    /// What was taken and not handed on yet.
    #[must_use]
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// The block was handed on.
    pub fn clear_block(&mut self) {
        self.block.clear();
    }

    fn admit(&mut self, payload: &[u8], now: f64) -> Option<u32> {
        let samples = u32::try_from(payload.len()).ok()? / self.limits.frame_bytes;
        let whole = samples as usize * self.limits.frame_bytes as usize == payload.len();
        let total = self.samples + u64::from(samples);
        if !whole || total > self.limits.max_samples {
            return None;
        }
        // a refusal must leave the pace as it was, for the caller asks again
        let mut pace = self.pace;
        if pace.take(payload.len() as f64 * self.seconds_per_byte, now) > 0.0 {
            return None;
        }
        self.pace = pace;
        self.samples = total;
        Some(samples)
    }

    fn keep(&mut self, payload: &[u8]) -> Taken {
        self.block.extend_from_slice(payload);
        if self.block.len() >= self.limits.block_bytes { Taken::Full } else { Taken::Waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: IntakeLimits = IntakeLimits {
        frame_bytes: 2,
        sample_rate: 16_000,
        block_bytes: 3200,
        max_samples: 16_000,
        max_rate: 4.0,
        burst: 0.51,
    };

    fn packet(number: u16) -> Vec<u8> {
        let mut data = vec![0x80, 96];
        data.extend(number.to_be_bytes());
        data.extend((u32::from(number) * 320).to_be_bytes());
        data.extend([0; 4]);
        data.extend([number as u8; 640]);
        data
    }

    fn begun(limits: IntakeLimits) -> Intake {
        let mut intake = Intake::new(limits, 0.0);
        intake.sequence.push(0, 0, &[], 320, 0.0, &mut Vec::new());
        intake
    }

    #[test]
    fn packets_in_order_are_handed_on_in_whole_blocks() {
        let mut intake = begun(LIMITS);
        for number in 1..5 {
            assert_eq!(intake.take_packet(&packet(number), f64::from(number) * 0.02), Taken::Waiting);
        }
        assert_eq!(intake.take_packet(&packet(5), 0.1), Taken::Full);
        let expected: Vec<u8> = (1..6).flat_map(|number| [number; 640]).collect();
        assert_eq!(intake.block(), expected);
        assert_eq!(intake.sequence.next_seq(), 6);
        assert_eq!(intake.samples, 5 * 320);
    }

    #[test]
    fn a_packet_that_is_not_simply_the_next_changes_nothing() {
        let mut intake = begun(LIMITS);
        let odd = &packet(1)[..651];
        for data in [&packet(2)[..], odd, &packet(1)[..12], b"text", &[]] {
            assert_eq!(intake.take_packet(data, 0.02), Taken::Unusual);
        }
        assert_eq!((intake.samples, intake.sequence.next_seq(), intake.block().len()), (0, 1, 0));
        assert_eq!(intake.take_packet(&packet(1), 0.02), Taken::Waiting);
    }

    #[test]
    fn more_than_may_come_is_left_to_the_caller() {
        let mut fast = begun(LIMITS);
        let taken = (1..60).take_while(|&number| fast.take_packet(&packet(number), 0.0) != Taken::Unusual).count();
        assert_eq!(taken, 25, "as many packets of 20 ms as may come at once");
        let mut long = begun(IntakeLimits { max_samples: 640, ..LIMITS });
        assert_eq!(long.take_packet(&packet(1), 0.02), Taken::Waiting);
        assert_eq!(long.take_packet(&packet(2), 0.04), Taken::Waiting);
        assert_eq!(long.take_packet(&packet(3), 0.06), Taken::Unusual);
    }
}
