//! Adaptive bitrate: from round-trip time and loss to the encoder's bitrate and its expected loss.
//!
//! [`TABLE`] is the whole machine: four conditions, where each begins, and what each does to the bitrate. Around it:
//!
//! - A condition is believed at once where it is worse than before, and only after [`BitrateConfig::patience`] where it is
//!   better, with [`BitrateConfig::margin`] kept from the thresholds all that time: values about a threshold change
//!   nothing.
//! - There is no increase while the sender does not use the rate that it has: nothing was learnt about a higher one.
//! - Between two changes lies [`BitrateConfig::interval`], but for the fall to the minimum, which comes at once.
//! - The loss to tell the encoder, for its forward error correction, rises with the loss at once and falls slowly.
//!
//! Time is an argument, in seconds on any clock that does not go backwards.

use crate::{Error, Result};

/// How the network does, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkCondition {
    /// Room for more.
    Excellent,
    /// As it should be.
    Good,
    /// Strained.
    Fair,
    /// Hardly usable.
    Poor,
}

impl NetworkCondition {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

/// What a condition does to the bitrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Multiply by [`BitrateConfig::increase`].
    Increase,
    /// Leave it.
    Hold,
    /// Multiply by [`BitrateConfig::decrease`].
    Decrease,
    /// Go to [`BitrateConfig::minimum`] at once.
    Minimum,
}

/// A row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The condition, which holds where both measures are below what follows and no row above does.
    pub condition: NetworkCondition,
    /// Seconds.
    pub round_trip_below: f64,
    /// Share of the packets, 0 to 1.
    pub loss_below: f64,
    /// What it does.
    pub action: Action,
}

/// The conditions, best first.
pub const TABLE: [Row; 4] = [
    Row { condition: NetworkCondition::Excellent, round_trip_below: 0.050, loss_below: 0.01, action: Action::Increase },
    Row { condition: NetworkCondition::Good, round_trip_below: 0.100, loss_below: 0.03, action: Action::Hold },
    Row { condition: NetworkCondition::Fair, round_trip_below: 0.200, loss_below: 0.05, action: Action::Decrease },
    Row {
        condition: NetworkCondition::Poor,
        round_trip_below: f64::INFINITY,
        loss_below: f64::INFINITY,
        action: Action::Minimum,
    },
];

/// Settings of a [`BitrateController`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BitrateConfig {
    /// Bits a second to begin with.
    pub start: u32,
    /// Lowest bits a second.
    pub minimum: u32,
    /// Highest bits a second.
    pub maximum: u32,
    /// Factor of an increase, above 1.
    pub increase: f64,
    /// Factor of a decrease, below 1.
    pub decrease: f64,
    /// Least seconds between two changes.
    pub interval: f64,
    /// Share of a threshold by which a measure must stay below it for a better condition, 0 to below 1.
    pub margin: f64,
    /// Seconds for which it must.
    pub patience: f64,
    /// Share of the bitrate that the sender must have used for an increase, 0 to 1.
    pub utilisation: f64,
    /// Highest loss told to the encoder, percent.
    pub most_expected_loss: u8,
    /// Percentage points a second by which the loss told to the encoder falls.
    pub expected_loss_fall: f64,
}

impl Default for BitrateConfig {
    /// 32 to 256 kb/s from 128, up by a fifth and down by a fifth, a change a second.
    fn default() -> Self {
        Self {
            start: 128_000,
            minimum: 32_000,
            maximum: 256_000,
            increase: 1.2,
            decrease: 0.8,
            interval: 1.0,
            margin: 0.1,
            patience: 3.0,
            utilisation: 0.75,
            most_expected_loss: 20,
            expected_loss_fall: 1.0,
        }
    }
}

/// What was measured since the last update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Seconds.
    pub round_trip: f64,
    /// Share of the packets that were lost, 0 to 1.
    pub loss: f64,
    /// Bits a second that the sender really sent, where that is known.
    pub sent: Option<u32>,
}

/// What follows from an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The condition that is believed.
    pub condition: NetworkCondition,
    /// Bits a second for the encoder.
    pub bitrate: u32,
    /// Percent of loss to tell the encoder.
    pub expected_loss: u8,
    /// Whether the bitrate is another than before.
    pub changed: bool,
}

/// The state machine.
#[derive(Debug, Clone)]
pub struct BitrateController {
    config: BitrateConfig,
    bitrate: u32,
    condition: Option<NetworkCondition>,
    better: Option<Better>,
    changed_at: Option<f64>,
    updated_at: f64,
    expected_loss: f64,
}

/// A better condition that is not believed yet.
#[derive(Debug, Clone, Copy)]
struct Better {
    since: f64,
    /// The worst of what was seen since.
    condition: NetworkCondition,
}

/// Clocks in floating point miss round intervals by a hair.
const CLOCK_FUZZ: f64 = 1e-9;
/// As does a percentage from a quotient.
const PERCENT_FUZZ: f64 = 1e-6;

impl BitrateController {
    /// A controller that has seen nothing yet.
    ///
    /// # Errors
    /// [`Error::Unsupported`]: settings outside of the bounds that [`BitrateConfig`] gives.
    pub fn new(config: &BitrateConfig) -> Result<Self> {
        check(config)?;
        Ok(Self {
            config: *config,
            bitrate: config.start,
            condition: None,
            better: None,
            changed_at: None,
            updated_at: f64::NEG_INFINITY,
            expected_loss: 0.0,
        })
    }

    /// Bits a second for the encoder.
    pub fn bitrate(&self) -> u32 {
        self.bitrate
    }

    /// The condition that is believed; none before the first update.
    pub fn condition(&self) -> Option<NetworkCondition> {
        self.condition
    }

    /// Percent of loss to tell the encoder.
    pub fn expected_loss(&self) -> u8 {
        let percent = (self.expected_loss - PERCENT_FUZZ).ceil().max(0.0);
        percent.min(f64::from(self.config.most_expected_loss)) as u8
    }

    /// Take what was measured up to `now`, in seconds. A time before the last one counts as the last one.
    ///
    /// # Errors
    /// [`Error::Unsupported`]: a value that is not finite or negative, or a loss above 1. Nothing was changed.
    pub fn update(&mut self, now: f64, observation: &Observation) -> Result<Decision> {
        if !now.is_finite() {
            return Err(Error::unsupported(format!("the time must be a finite number of seconds, not {now}")));
        }
        let Observation { round_trip, loss, .. } = *observation;
        if !(round_trip.is_finite() && round_trip >= 0.0) {
            return Err(Error::unsupported(format!("the round trip must be 0 seconds or more, not {round_trip}")));
        }
        if !(0.0..=1.0).contains(&loss) {
            return Err(Error::unsupported(format!("the loss must be a share of 0 to 1, not {loss}")));
        }
        let now = now.max(self.updated_at);
        self.expect_loss(now, loss);
        self.updated_at = now;
        let condition = self.believe(now, observation);
        let before = self.bitrate;
        self.bitrate = self.next_bitrate(now, condition, observation.sent);
        let changed = self.bitrate != before;
        if changed {
            self.changed_at = Some(now);
        }
        Ok(Decision { condition, bitrate: self.bitrate, expected_loss: self.expected_loss(), changed })
    }

    fn expect_loss(&mut self, now: f64, loss: f64) {
        let seconds = if self.updated_at.is_finite() { now - self.updated_at } else { 0.0 };
        let fallen = self.expected_loss - self.config.expected_loss_fall * seconds;
        self.expected_loss = fallen.max(100.0 * loss);
    }

    fn believe(&mut self, now: f64, observation: &Observation) -> NetworkCondition {
        let measured = classify(observation, 0.0);
        let believed = match self.condition {
            Some(before) if measured.condition <= before => self.perhaps_better(now, before, observation),
            _ => {
                self.better = None;
                measured.condition
            }
        };
        self.condition = Some(believed);
        believed
    }

    /// The measure is no worse than the condition `before`.
    fn perhaps_better(&mut self, now: f64, before: NetworkCondition, observation: &Observation) -> NetworkCondition {
        let clearly = classify(observation, self.config.margin).condition;
        if clearly >= before {
            self.better = None;
            return before;
        }
        let better = match self.better {
            Some(better) => Better { condition: better.condition.max(clearly), ..better },
            None => Better { since: now, condition: clearly },
        };
        if now - better.since >= self.config.patience - CLOCK_FUZZ {
            self.better = None;
            return better.condition;
        }
        self.better = Some(better);
        before
    }

    fn next_bitrate(&self, now: f64, condition: NetworkCondition, sent: Option<u32>) -> u32 {
        let config = &self.config;
        let due = self.changed_at.is_none_or(|at| now - at >= config.interval - CLOCK_FUZZ);
        let limited_by_rate = sent.is_none_or(|sent| f64::from(sent) >= config.utilisation * f64::from(self.bitrate));
        let wanted = match TABLE[condition as usize].action {
            Action::Increase if due && limited_by_rate => (f64::from(self.bitrate) * config.increase).floor(),
            Action::Decrease if due => (f64::from(self.bitrate) * config.decrease).floor(),
            Action::Minimum => return config.minimum,
            _ => return self.bitrate,
        };
        wanted.clamp(f64::from(config.minimum), f64::from(config.maximum)) as u32
    }
}

/// The row that both measures reach, each of them `margin` of the threshold below it.
fn classify(observation: &Observation, margin: f64) -> &'static Row {
    let reached = |row: &&Row| {
        observation.round_trip < row.round_trip_below * (1.0 - margin)
            && observation.loss < row.loss_below * (1.0 - margin)
    };
    TABLE.iter().find(reached).unwrap_or(&TABLE[TABLE.len() - 1])
}

fn check(config: &BitrateConfig) -> Result<()> {
    let BitrateConfig { start, minimum, maximum, .. } = *config;
    if !(0 < minimum && minimum <= start && start <= maximum) {
        return Err(Error::unsupported(format!(
            "bitrates must be 0 < minimum <= start <= maximum, not {minimum}, {start} and {maximum}"
        )));
    }
    for (name, value, fits, wanted) in [
        ("increase", config.increase, config.increase > 1.0, "above 1"),
        ("decrease", config.decrease, 0.0 < config.decrease && config.decrease < 1.0, "between 0 and 1"),
        ("interval", config.interval, config.interval >= 0.0, "0 seconds or more"),
        ("margin", config.margin, (0.0..1.0).contains(&config.margin), "0 to below 1"),
        ("patience", config.patience, config.patience >= 0.0, "0 seconds or more"),
        ("utilisation", config.utilisation, (0.0..=1.0).contains(&config.utilisation), "0 to 1"),
        ("expected loss fall", config.expected_loss_fall, config.expected_loss_fall >= 0.0, "0 or more"),
    ] {
        if !(value.is_finite() && fits) {
            return Err(Error::unsupported(format!("{name} must be {wanted}, not {value}")));
        }
    }
    if config.most_expected_loss > 100 {
        return Err(Error::unsupported("the highest expected loss must be 0 to 100 percent"));
    }
    Ok(())
}
