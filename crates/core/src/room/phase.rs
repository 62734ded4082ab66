//! When a room's ticks should come.
//!
//! A packet waits from its arrival to the next tick, which is up to a whole one. Senders have clocks of their own, so
//! that no tick suits them all; the best is among those that come right after the packets of one of them.

/// Ticks may be moved by so much each without harm: every listener's jitter buffer follows 2.5 % of a tick.
pub const SHIFT_US: i64 = 500;

/// What is left between a packet and its tick.
const GUARD_US: i64 = 1_000;
/// Less than this in the mean isn't worth a change.
const WORTH_US: i64 = 2_000;
/// Most who count.
const MOST: usize = 8;

/// By how much ticks of `tick` microseconds should come later, given how much earlier they could come for each speaker.
pub(super) fn best_shift(slack: impl Iterator<Item = i64>, tick: i64) -> i64 {
    let mut waits = [0; MOST];
    let mut count = 0;
    for (wait, slack) in waits.iter_mut().zip(slack) {
        // Who waits for more than a tick is let catch up by whole ones.
        *wait = (slack - GUARD_US).rem_euclid(tick);
        count += 1;
    }
    let waits = &waits[..count];
    let mean =
        |earlier: i64| waits.iter().map(|wait| (wait - earlier).rem_euclid(tick)).sum::<i64>() / count.max(1) as i64;
    let Some(best) = waits.iter().copied().min_by_key(|wait| mean(*wait)) else { return 0 };
    if mean(0) - mean(best) < WORTH_US {
        return 0;
    }
    if best <= tick / 2 { -best } else { tick - best }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(slack: &[i64]) -> i64 {
        best_shift(slack.iter().copied(), 20_000)
    }

    #[test]
    fn ticks_go_where_the_packets_have_just_come() {
        assert_eq!(best(&[]), 0);
        assert_eq!(best(&[8_000]), -7_000);
        assert_eq!(best(&[18_000]), 3_000, "the shorter way");
        assert_eq!(best(&[2_000]), 0, "good enough");
        assert_eq!(best(&[-500]), 1_500, "too early");
        assert_eq!(best(&[28_000]), -7_000);
    }

    #[test]
    fn of_many_the_mean_counts() {
        assert_eq!(best(&[9_000, 10_000, 11_000]), -8_000);
        // Between two of which one is always late there is nothing to gain.
        assert_eq!(best(&[1_000, 11_000]), 0);
        assert_eq!(best(&[19_000, 18_000, 5_000]), 3_000);
    }
}
