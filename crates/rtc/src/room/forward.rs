//! A stream that others' packets go on: sequence numbers and timestamps are made to follow each other.

/// Ticks of Opus' clock in a second (RFC 7587).
const CLOCK: u64 = 48_000;
/// Ticks by which a new speaker's first packet follows the last one at least.
const LEAST_STEP: u32 = 960;
/// A packet that is further back than this belongs to another time line.
const FARTHEST: i16 = 512;

/// Where a packet stands in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Extended sequence number, beginning below 2¹⁶.
    pub sequence: u64,
    /// Timestamp, modulo 2³².
    pub timestamp: u32,
    /// It is the first of another speaker (RTP's marker bit, RFC 3551, section 4.1).
    pub first: bool,
}

/// What one source looks like within the outgoing stream.
#[derive(Debug, Clone, Copy)]
struct Line {
    source: u64,
    ssrc: u32,
    /// Extended number of the source's packet that came last in order, and where it went.
    newest: (u16, u64),
    first: u64,
    timestamp: u32,
}

/// One outgoing stream that carries now one speaker's packets, now another's.
#[derive(Debug, Default)]
pub struct Forward {
    line: Option<Line>,
    /// Number and timestamp of the newest packet, and when it was sent in microseconds.
    last: Option<(u64, u32, i64)>,
}

impl Forward {
    /// Where `source`'s packet goes; `None` for one of before its turn.
    ///
    /// Gaps and reordering within a source stay as they are, so that a receiver sees what was lost.
    pub fn place(&mut self, source: u64, ssrc: u32, sequence: u16, timestamp: u32, now: i64) -> Option<Place> {
        if let Some(line) = self.line.as_mut().filter(|line| line.source == source && line.ssrc == ssrc) {
            let (newest, out) = line.newest;
            let step = sequence.wrapping_sub(newest) as i16;
            if step.abs() < FARTHEST {
                let number = out.checked_add_signed(i64::from(step)).filter(|number| *number >= line.first)?;
                let timestamp = timestamp.wrapping_add(line.timestamp);
                if step > 0 {
                    line.newest = (sequence, number);
                    self.last = Some((number, timestamp, now));
                }
                return Some(Place { sequence: number, timestamp, first: false });
            }
        }
        let (number, at) = match self.last {
            None => (u64::from(sequence & 0x3FFF), timestamp),
            Some((number, last, sent)) => {
                let elapsed = (now - sent).max(0) as u64 * CLOCK / 1_000_000;
                (number + 1, last.wrapping_add((elapsed as u32).max(LEAST_STEP)))
            }
        };
        let offset = at.wrapping_sub(timestamp);
        self.line = Some(Line { source, ssrc, newest: (sequence, number), first: number, timestamp: offset });
        self.last = Some((number, at, now));
        Some(Place { sequence: number, timestamp: at, first: true })
    }

    /// The next packet of a stream that this end makes itself, `ticks` after the one before.
    pub fn next(&mut self, ticks: u32, now: i64) -> Place {
        let (number, at) = self.last.map_or((0, 0), |(number, at, _)| (number + 1, at.wrapping_add(ticks)));
        self.last = Some((number, at, now));
        Place { sequence: number, timestamp: at, first: number == 0 }
    }

    /// Time goes on without a packet (DTX).
    pub fn skip(&mut self, ticks: u32) {
        if let Some((_, at, _)) = &mut self.last {
            *at = at.wrapping_add(ticks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_speaker_keeps_gaps_and_order() {
        let mut stream = Forward::default();
        let base = stream.place(1, 7, 65_534, 1000, 0).unwrap().sequence;
        assert_eq!(stream.place(1, 7, 1, 3880, 60_000).unwrap().sequence, base + 3);
        let late = stream.place(1, 7, 65_535, 1960, 61_000).unwrap();
        assert_eq!((late.sequence, late.timestamp), (base + 1, 1960));
    }

    #[test]
    fn another_speaker_follows_without_a_gap() {
        let mut stream = Forward::default();
        let first = stream.place(1, 7, 10, 5000, 0).unwrap();
        let second = stream.place(2, 9, 40_000, 77, 20_000).unwrap();
        assert_eq!(second.sequence, first.sequence + 1);
        assert_eq!(second.timestamp, 5960);
        assert!(second.first);
        assert_eq!(stream.place(2, 9, 39_999, 0, 20_000), None, "of before its turn");
        let third = stream.place(2, 9, 40_001, 1037, 40_000).unwrap();
        assert_eq!((third.sequence, third.timestamp, third.first), (first.sequence + 2, 6920, false));
    }

    #[test]
    fn a_pause_is_seen_in_the_timestamp() {
        let mut stream = Forward::default();
        stream.place(1, 7, 10, 5000, 0);
        assert_eq!(stream.place(2, 9, 1, 0, 1_000_000).unwrap().timestamp, 53_000);
    }

    #[test]
    fn a_source_that_starts_anew_goes_on() {
        let mut stream = Forward::default();
        let first = stream.place(1, 7, 10, 5000, 0).unwrap();
        assert_eq!(stream.place(1, 8, 30_000, 1, 20_000).unwrap().sequence, first.sequence + 1);
        assert_eq!(stream.place(1, 8, 10_000, 1, 40_000).unwrap().sequence, first.sequence + 2);
    }
}
