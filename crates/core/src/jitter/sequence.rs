//! Sequence numbers and timestamps that wrap, made to run on; which of them came before (RFC 3550, appendix A.1).

/// A packet this far ahead of the newest is not taken for the same stream at once.
const MAX_DROPOUT: i64 = 3_000;
/// A packet this far behind the newest is not either.
const MAX_MISORDER: i64 = 1_000;
/// Sequence numbers remembered, to tell a duplicate from a late packet.
const REMEMBERED: i64 = 1_024;

/// Where a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Sequence number that goes on over 65 535.
    pub sequence: i64,
    /// Timestamp that goes on over 2³² − 1, in ticks of the clock rate.
    pub ticks: i64,
}

/// Tells sequence numbers and timestamps apart that are the same modulo 2¹⁶ and 2³².
#[derive(Debug, Clone)]
pub struct Sequence {
    newest: Option<Place>,
    seen: [u64; (REMEMBERED / 64) as usize],
}

impl Default for Sequence {
    fn default() -> Self {
        Self { newest: None, seen: [0; (REMEMBERED / 64) as usize] }
    }
}

impl Sequence {
    /// Where the packet belongs, or None if it is too far from the others.
    pub fn place(&self, sequence_number: u16, timestamp: u32) -> Option<Place> {
        let Some(newest) = self.newest else {
            return Some(Place { sequence: i64::from(sequence_number), ticks: i64::from(timestamp) });
        };
        let step = i64::from(sequence_number.wrapping_sub(newest.sequence as u16) as i16);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            return None;
        }
        let ticks = i64::from(timestamp.wrapping_sub(newest.ticks as u32) as i32);
        Some(Place { sequence: newest.sequence + step, ticks: newest.ticks + ticks })
    }

    /// Whether nothing was noted yet.
    pub fn is_new(&self) -> bool {
        self.newest.is_none()
    }

    /// Whether this sequence number was noted before.
    pub fn seen(&self, sequence: i64) -> bool {
        let Some(newest) = self.newest else { return false };
        if sequence > newest.sequence || sequence <= newest.sequence - REMEMBERED {
            return false;
        }
        let (word, bit) = slot(sequence);
        self.seen[word] & bit != 0
    }

    /// Whether the packet comes behind one with a higher sequence number.
    pub fn reordered(&self, place: Place) -> bool {
        self.newest.is_some_and(|newest| place.sequence < newest.sequence)
    }

    /// Notes that the packet came.
    pub fn note(&mut self, place: Place) {
        let newest = self.newest.map_or(place.sequence - 1, |newest| newest.sequence);
        if place.sequence > newest {
            for skipped in (newest + 1).max(place.sequence - REMEMBERED + 1)..=place.sequence {
                let (word, bit) = slot(skipped);
                self.seen[word] &= !bit;
            }
            self.newest = Some(place);
        }
        if place.sequence > newest - REMEMBERED {
            let (word, bit) = slot(place.sequence);
            self.seen[word] |= bit;
        }
    }
}

fn slot(sequence: i64) -> (usize, u64) {
    let at = sequence.rem_euclid(REMEMBERED) as usize;
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(sequence: &mut Sequence, number: u16, timestamp: u32) -> Option<Place> {
        let place = sequence.place(number, timestamp)?;
        sequence.note(place);
        Some(place)
    }

    #[test]
    fn numbers_run_on_where_they_wrap() {
        let mut sequence = Sequence::default();
        let first = take(&mut sequence, 65_534, u32::MAX - 959).expect("the first belongs anywhere");
        for step in 1..200_000i64 {
            let number = (first.sequence + step) as u16;
            let place = take(&mut sequence, number, (first.ticks + 960 * step) as u32).expect("in order");
            assert_eq!(place, Place { sequence: first.sequence + step, ticks: first.ticks + 960 * step });
        }
    }

    #[test]
    fn one_from_before_the_wrap_is_placed_before_it() {
        let mut sequence = Sequence::default();
        take(&mut sequence, 65_535, 0);
        take(&mut sequence, 1, 1_920);
        let place = sequence.place(0, 960).expect("near");
        assert_eq!((place.sequence, place.ticks), (65_536, 960));
        assert!(sequence.reordered(place));
        assert!(!sequence.seen(place.sequence));
    }

    #[test]
    fn a_duplicate_is_known_for_a_thousand_packets() {
        let mut sequence = Sequence::default();
        for step in 0..3_000u32 {
            if step % 7 != 3 {
                take(&mut sequence, step as u16, step * 960);
            }
        }
        for step in 2_000..3_000i64 {
            assert_eq!(sequence.seen(step), step % 7 != 3, "{step}");
        }
        assert!(!sequence.seen(100));
        assert!(!sequence.seen(3_000));
    }

    #[test]
    fn a_far_jump_has_no_place() {
        let mut sequence = Sequence::default();
        take(&mut sequence, 10, 0);
        assert!(sequence.place(10 + 3_000, 0).is_some());
        assert!(sequence.place(10 + 3_001, 0).is_none());
        assert!(sequence.place(10u16.wrapping_sub(1_000), 0).is_some());
        assert!(sequence.place(10u16.wrapping_sub(1_001), 0).is_none());
    }
}
