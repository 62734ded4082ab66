//! When readers want their turn.

use std::collections::BTreeMap;

/// Lists that are kept for later.
const SPARE: usize = 8;

/// Times, and who wants a turn then. Most readers' times lie on one grid, so that there are few, however many readers.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_time: BTreeMap<u64, Vec<usize>>,
    spare: Vec<Vec<usize>>,
}

impl Wakes {
    pub(super) fn add(&mut self, at: u64, slot: usize) {
        self.by_time.entry(at).or_insert_with(|| self.spare.pop().unwrap_or_default()).push(slot);
    }

    /// The first time that somebody wants.
    pub(super) fn next(&self) -> Option<u64> {
        self.by_time.first_key_value().map(|(at, _)| *at)
    }

    /// The first time, if it has come, and whose it is, in the order in which they asked.
    pub(super) fn take(&mut self, now: u64) -> Option<(u64, Vec<usize>)> {
        self.by_time.first_entry().filter(|first| *first.key() <= now).map(|first| first.remove_entry())
    }

    /// Takes back such a list, so that its memory is used again.
    pub(super) fn done_with(&mut self, mut slots: Vec<usize>) {
        if self.spare.len() < SPARE {
            slots.clear();
            self.spare.push(slots);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_by_their_time_and_then_in_the_order_asked_for() {
        let mut wakes = Wakes::default();
        for (at, slot) in [(20, 1), (10, 7), (20, 0), (10, 3), (15, 2)] {
            wakes.add(at, slot);
        }
        assert_eq!(wakes.next(), Some(10));
        assert_eq!(wakes.take(9), None);
        let (at, slots) = wakes.take(16).unwrap();
        assert_eq!((at, &slots[..]), (10, &[7, 3][..]));
        wakes.add(40, 9);
        wakes.done_with(slots);
        wakes.add(50, 8);
        assert_eq!(wakes.take(16), Some((15, vec![2])));
        assert_eq!(wakes.take(16), None);
        assert_eq!(wakes.take(99), Some((20, vec![1, 0])));
        assert_eq!(wakes.take(99), Some((40, vec![9])));
        assert_eq!(wakes.take(99), Some((50, vec![8])));
        assert_eq!(wakes.next(), None);
    }
}
