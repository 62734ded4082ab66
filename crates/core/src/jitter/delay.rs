//! How late packets come, and the playout delay that follows from it.
//!
//! A packet's transit is its arrival less its timestamp (RFC 3550, section 6.4.1), both on one scale; the clocks of sender
//! and receiver need not agree, so only differences between transits mean anything. The least transit of the last two
//! seconds is the base; how much later than that a packet came is its lateness. The delay aimed at is a quantile of the
//! transits, older ones counting less and less, so that a given share of packets comes in time. All times here are in
//! samples.

/// The base is the least transit of so many spans.
const SPANS: usize = 8;
/// Length of such a span.
const SPAN_MS: i64 = 250;
/// Classes of the distribution of transits.
const BINS: usize = 256;
/// The base is kept about so many classes above the lowest.
const FLOOR_BINS: i64 = 16;
/// The weights are made small again when the newest has grown to this.
const HEAVY: f64 = 1e9;

/// What the estimator is told.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Share of packets that shall come in time.
    pub quantile: f64,
    /// Time after which a transit counts 1/e, in samples.
    pub memory: f64,
    /// Time in which an outlier's effect on the target falls to 1/e, in samples.
    pub decay: f64,
    /// Longest delay that can come out, in samples.
    pub longest: i64,
    /// Samples a second.
    pub rate: i64,
}

/// Follows the transits of one stream.
#[derive(Debug)]
pub struct DelayEstimator {
    tuning: Tuning,
    base: Base,
    distribution: Distribution,
    outlier: f64,
    jitter: f64,
    last_transit: Option<i64>,
}

impl DelayEstimator {
    /// Knows nothing yet.
    pub fn new(tuning: Tuning) -> Self {
        let width = (tuning.longest * 5 / 4 / BINS as i64).max(1);
        Self {
            tuning,
            base: Base::new(SPAN_MS * tuning.rate / 1000),
            distribution: Distribution::new(width, tuning.quantile),
            outlier: 0.0,
            jitter: 0.0,
            last_transit: None,
        }
    }

    /// Notes a packet of `samples` that came at `arrival`, and whether it came too late to be played in its turn.
    pub fn observe(&mut self, transit: i64, arrival: i64, samples: i64, late: bool) {
        if let Some(last) = self.last_transit.replace(transit) {
            self.jitter += ((transit - last).abs() as f64 - self.jitter) / 16.0;
        }
        self.weigh(transit, arrival, samples, late);
    }

    /// As [`Self::observe`], for audio that did not come as a packet of its own.
    pub fn weigh(&mut self, transit: i64, arrival: i64, samples: i64, late: bool) {
        self.base.observe(transit, arrival);
        let base = self.base.least;
        self.distribution.keep_in_range(transit, base);
        self.distribution.add(transit, samples as f64 / self.tuning.memory);
        self.outlier *= (1.0 - samples as f64 / self.tuning.decay).max(0.0);
        if late {
            self.outlier = self.outlier.max((transit - base).min(self.tuning.longest) as f64);
        }
    }

    /// The transit of the fastest packet of late; 0 where there was none.
    pub fn base(&self) -> i64 {
        self.base.least
    }

    /// Lateness that the wanted share of packets doesn't exceed; more for a while after one came too late.
    pub fn lateness(&self) -> i64 {
        (self.distribution.quantile() - self.base.least).max(self.outlier as i64).max(0)
    }

    /// Interarrival jitter of RFC 3550, in samples.
    pub fn jitter(&self) -> f64 {
        self.jitter
    }

    /// Lets go of the base, as after a pause in which either clock may have stood.
    pub fn forget_base(&mut self) {
        self.base.spans = [None; SPANS];
    }
}

/// The least of what was observed lately.
#[derive(Debug)]
struct Base {
    spans: [Option<i64>; SPANS],
    span: i64,
    newest: i64,
    least: i64,
}

impl Base {
    fn new(span: i64) -> Self {
        Self { spans: [None; SPANS], span: span.max(1), newest: 0, least: 0 }
    }

    fn observe(&mut self, transit: i64, arrival: i64) {
        let index = arrival.div_euclid(self.span);
        let passed = index - self.newest;
        if !(0..SPANS as i64).contains(&passed) {
            self.spans = [None; SPANS];
        } else {
            for skipped in self.newest + 1..=index {
                self.spans[skipped.rem_euclid(SPANS as i64) as usize] = None;
            }
        }
        self.newest = index;
        let slot = &mut self.spans[index.rem_euclid(SPANS as i64) as usize];
        *slot = Some(slot.map_or(transit, |least| least.min(transit)));
        self.least = self.spans.iter().flatten().copied().min().unwrap_or(transit);
    }
}

/// How often each transit came, the newest weighing most. The quantile is followed from packet to packet.
#[derive(Debug)]
struct Distribution {
    bins: Box<[f64; BINS]>,
    /// The least transit of the lowest class.
    origin: Option<i64>,
    width: i64,
    /// Weight of the next packet. It grows in place of all others shrinking.
    weight: f64,
    total: f64,
    tail_share: f64,
    /// The class in which the quantile lies, and the weight of those above it.
    at: usize,
    above: f64,
}

impl Distribution {
    fn new(width: i64, quantile: f64) -> Self {
        let bins = Box::new([0.0; BINS]);
        Self { bins, origin: None, width, weight: 1.0, total: 0.0, tail_share: 1.0 - quantile, at: 0, above: 0.0 }
    }

    /// Shifts the classes so that the transit isn't under the lowest and the base not far up.
    fn keep_in_range(&mut self, transit: i64, base: i64) {
        let origin = *self.origin.get_or_insert(base - FLOOR_BINS * self.width);
        let least = (transit.min(base) - origin).div_euclid(self.width);
        let shift = if least < 0 {
            least - FLOOR_BINS
        } else if (base - origin) / self.width > 3 * FLOOR_BINS {
            (base - origin) / self.width - FLOOR_BINS
        } else {
            return;
        };
        self.origin = Some(origin + shift * self.width);
        let by = shift.unsigned_abs().min(BINS as u64) as usize;
        if shift > 0 {
            let gone: f64 = self.bins[..by].iter().sum();
            self.bins.copy_within(by.., 0);
            self.bins[BINS - by..].fill(0.0);
            self.bins[0] += gone;
        } else {
            let gone: f64 = self.bins[BINS - by..].iter().sum();
            self.bins.copy_within(..BINS - by, by);
            self.bins[..by].fill(0.0);
            self.bins[BINS - 1] += gone;
        }
        self.recount();
    }

    fn add(&mut self, transit: i64, forgotten: f64) {
        let bin = (transit - self.origin.unwrap_or(transit)).div_euclid(self.width).clamp(0, BINS as i64 - 1) as usize;
        self.weight /= (1.0 - forgotten).max(0.5);
        self.bins[bin] += self.weight;
        self.total += self.weight;
        if bin > self.at {
            self.above += self.weight;
        }
        if self.weight > HEAVY {
            self.bins.iter_mut().for_each(|bin| *bin /= HEAVY);
            self.weight /= HEAVY;
            self.recount();
        }
        self.follow();
    }

    fn recount(&mut self) {
        self.total = self.bins.iter().sum();
        self.at = BINS - 1;
        self.above = 0.0;
        self.follow();
    }

    fn follow(&mut self) {
        let tail = self.tail_share * self.total;
        while self.at + 1 < BINS && self.above > tail {
            self.at += 1;
            self.above -= self.bins[self.at];
        }
        while self.at > 0 && self.above + self.bins[self.at] <= tail {
            self.above += self.bins[self.at];
            self.at -= 1;
        }
    }

    /// The transit that the tail's share exceeds, taken as even within its class.
    fn quantile(&self) -> i64 {
        let here = self.bins[self.at];
        let missing = self.tail_share * self.total - self.above;
        let share = if here > 0.0 { (missing / here).clamp(0.0, 1.0) } else { 0.0 };
        let edge = self.origin.unwrap_or(0) + (self.at as i64 + 1) * self.width;
        edge - (share * self.width as f64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: i64 = 48_000;
    const PACKET: i64 = 960;

    fn estimator(quantile: f64) -> DelayEstimator {
        let memory = 10.0 * RATE as f64;
        let decay = RATE as f64;
        DelayEstimator::new(Tuning { quantile, memory, decay, longest: RATE / 2, rate: RATE })
    }

    /// Feeds packets with the lateness (ms) that `lateness` gives for each.
    fn feed(estimator: &mut DelayEstimator, from: i64, count: i64, mut lateness: impl FnMut(i64) -> f64) {
        for packet in from..from + count {
            let transit = 1_000_000 + (lateness(packet) * 48.0) as i64;
            estimator.observe(transit, packet * PACKET + transit, PACKET, false);
        }
    }

    fn ms(samples: i64) -> f64 {
        samples as f64 / 48.0
    }

    #[test]
    fn the_quantile_of_an_even_distribution_is_found() {
        for quantile in [0.5, 0.9, 0.97] {
            let mut estimator = estimator(quantile);
            feed(&mut estimator, 0, 3_000, |packet| ((packet * 7_919) % 1_000) as f64 / 10.0);
            let found = ms(estimator.lateness());
            assert!((found - 100.0 * quantile).abs() < 4.0, "{quantile}: {found}");
        }
    }

    #[test]
    fn old_lateness_is_forgotten() {
        let mut estimator = estimator(0.95);
        feed(&mut estimator, 0, 500, |packet| if packet % 2 == 0 { 100.0 } else { 0.0 });
        assert!(ms(estimator.lateness()) > 95.0);
        feed(&mut estimator, 500, 1_500, |_| 0.0);
        assert!(ms(estimator.lateness()) < 5.0, "{}", ms(estimator.lateness()));
    }

    #[test]
    fn a_late_packet_counts_at_once_and_not_for_long() {
        let mut estimator = estimator(0.95);
        feed(&mut estimator, 0, 500, |_| 0.0);
        estimator.observe(1_000_000 + 48 * 200, 500 * PACKET + 1_000_000, PACKET, true);
        assert!(ms(estimator.lateness()) >= 199.0);
        feed(&mut estimator, 501, 200, |_| 0.0);
        assert!(ms(estimator.lateness()) < 10.0);
    }

    #[test]
    fn the_base_follows_a_drifting_clock_and_a_longer_way() {
        let mut estimator = estimator(0.95);
        for packet in 0..30_000i64 {
            let drift = packet * PACKET / 5_000;
            let transit = drift + if packet > 20_000 { 4_800 } else { 0 };
            estimator.observe(transit, packet * PACKET + transit, PACKET, false);
            if packet > 500 && !(20_000..22_000).contains(&packet) {
                assert!((estimator.base() - transit).abs() < 48, "{packet}");
                assert!(ms(estimator.lateness()) < 6.0, "{packet}: {}", ms(estimator.lateness()));
            }
        }
    }

    #[test]
    fn wild_transits_neither_panic_nor_leave_it_wrong() {
        let mut estimator = estimator(0.97);
        for packet in 0..2_000i64 {
            let wild = (packet * 1_103_515_245) % (1 << 44) - (1 << 43);
            estimator.observe(wild, wild / 3, PACKET, packet % 3 == 0);
        }
        estimator.forget_base();
        feed(&mut estimator, 0, 3_000, |_| 1.0);
        assert!(ms(estimator.lateness()) < 10.0);
    }
}
