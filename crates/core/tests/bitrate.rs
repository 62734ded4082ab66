//! The bitrate controller: shared vectors, and what holds whatever is measured.

#![allow(clippy::unwrap_used)]

use antiphon_core::bitrate::{BitrateConfig, BitrateController, Decision, NetworkCondition, Observation, TABLE};
use proptest::prelude::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../tests/vectors/bitrate.json");

fn config(options: &Value) -> BitrateConfig {
    let mut config = BitrateConfig::default();
    for (name, value) in options.as_object().unwrap() {
        let number = value.as_f64().unwrap();
        match name.as_str() {
            "start" => config.start = number as u32,
            "minimum" => config.minimum = number as u32,
            "maximum" => config.maximum = number as u32,
            "increase" => config.increase = number,
            "decrease" => config.decrease = number,
            "interval" => config.interval = number,
            "margin" => config.margin = number,
            "patience" => config.patience = number,
            "utilisation" => config.utilisation = number,
            "most_expected_loss" => config.most_expected_loss = number as u8,
            "expected_loss_fall" => config.expected_loss_fall = number,
            _ => panic!("the vectors have an option {name} that is not known"),
        }
    }
    config
}

#[test]
fn the_shared_vectors_hold() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(config(&vectors["defaults"]), BitrateConfig::default());
    let mut steps = 0;
    for scenario in vectors["scenarios"].as_array().unwrap() {
        let mut controller = BitrateController::new(&config(&scenario["options"])).unwrap();
        for step in scenario["steps"].as_array().unwrap() {
            let observation = Observation {
                round_trip: step["round_trip"].as_f64().unwrap(),
                loss: step["loss"].as_f64().unwrap(),
                sent: step["sent"].as_u64().map(|sent| sent as u32),
            };
            let decision = controller.update(step["now"].as_f64().unwrap(), &observation).unwrap();
            let then = &step["then"];
            let place = format!("{}, {step}", scenario["name"]);
            assert_eq!(decision.condition.name(), then["condition"], "{place}");
            assert_eq!(u64::from(decision.bitrate), then["bitrate"], "{place}");
            assert_eq!(u64::from(decision.expected_loss), then["expected_loss"], "{place}");
            assert_eq!(decision.changed, then["changed"], "{place}");
            steps += 1;
        }
    }
    assert!(steps > 100);
}

#[test]
fn the_table_lists_each_condition_once_in_order() {
    use NetworkCondition::{Excellent, Fair, Good, Poor};
    assert_eq!(TABLE.map(|row| row.condition), [Excellent, Good, Fair, Poor]);
    for (index, row) in TABLE.iter().enumerate() {
        assert_eq!(row.condition as usize, index);
    }
}

#[test]
fn what_cannot_be_measured_is_refused_and_changes_nothing() {
    let mut controller = BitrateController::new(&BitrateConfig::default()).unwrap();
    let fine = Observation { round_trip: 0.02, loss: 0.0, sent: None };
    let before = format!("{controller:?}");
    for (now, observation, word) in [
        (f64::NAN, fine, "time"),
        (f64::INFINITY, fine, "time"),
        (0.0, Observation { round_trip: -0.1, ..fine }, "round trip"),
        (0.0, Observation { round_trip: f64::NAN, ..fine }, "round trip"),
        (0.0, Observation { loss: 1.01, ..fine }, "loss"),
        (0.0, Observation { loss: f64::NAN, ..fine }, "loss"),
    ] {
        let error = controller.update(now, &observation).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(format!("{controller:?}"), before);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let default = BitrateConfig::default();
    for (config, word) in [
        (BitrateConfig { minimum: 0, ..default }, "minimum"),
        (BitrateConfig { start: 300_000, ..default }, "maximum"),
        (BitrateConfig { increase: 1.0, ..default }, "increase"),
        (BitrateConfig { decrease: 1.0, ..default }, "decrease"),
        (BitrateConfig { interval: -1.0, ..default }, "interval"),
        (BitrateConfig { margin: 1.0, ..default }, "margin"),
        (BitrateConfig { patience: f64::INFINITY, ..default }, "patience"),
        (BitrateConfig { utilisation: f64::NAN, ..default }, "utilisation"),
        (BitrateConfig { expected_loss_fall: -1.0, ..default }, "expected loss fall"),
        (BitrateConfig { most_expected_loss: 101, ..default }, "expected loss"),
    ] {
        let error = BitrateController::new(&config).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_clock_that_goes_backwards_stands_still() {
    let mut controller = BitrateController::new(&BitrateConfig::default()).unwrap();
    let fine = Observation { round_trip: 0.02, loss: 0.0, sent: None };
    assert!(controller.update(100.0, &fine).unwrap().changed);
    assert!(!controller.update(50.0, &fine).unwrap().changed);
    assert!(!controller.update(100.5, &fine).unwrap().changed);
    assert!(controller.update(101.0, &fine).unwrap().changed);
}

/// Seconds since the one before, and the observation.
fn step() -> impl Strategy<Value = (f64, Observation)> {
    let near = |limits: [f64; 3], most: f64| {
        prop_oneof![
            0.0..most,
            (proptest::sample::select(limits.to_vec()), -0.2_f64..0.2).prop_map(|(limit, off)| limit * (1.0 + off)),
        ]
    };
    (
        prop_oneof![Just(1.0), 0.0_f64..3.0],
        near([0.05, 0.1, 0.2], 0.4),
        near([0.01, 0.03, 0.05], 0.2),
        proptest::option::of(0_u32..300_000),
    )
        .prop_map(|(wait, round_trip, loss, sent)| (wait, Observation { round_trip, loss, sent }))
}

fn configs() -> impl Strategy<Value = BitrateConfig> {
    (1_u32..300_000, 1_u32..300_000, 1_u32..300_000, 0.0_f64..0.5, 0.0_f64..5.0, 1.01_f64..3.0, 0.1_f64..0.99).prop_map(
        |(a, b, c, margin, patience, increase, decrease)| {
            let mut rates = [a, b, c];
            rates.sort_unstable();
            let [minimum, start, maximum] = rates;
            BitrateConfig { minimum, start, maximum, margin, patience, increase, decrease, ..BitrateConfig::default() }
        },
    )
}

fn run(config: &BitrateConfig, steps: &[(f64, Observation)]) -> Vec<(f64, Observation, Decision)> {
    let mut controller = BitrateController::new(config).unwrap();
    let mut now = 0.0;
    steps
        .iter()
        .map(|(wait, observation)| {
            now += wait;
            (now, *observation, controller.update(now, observation).unwrap())
        })
        .collect()
}

proptest! {
    #[test]
    fn the_bitrate_stays_within_its_bounds_and_its_steps(
        config in configs(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut before = config.start;
        let mut changed_at = f64::NEG_INFINITY;
        for (now, observation, decision) in run(&config, &steps) {
            prop_assert!((config.minimum..=config.maximum).contains(&decision.bitrate));
            prop_assert!(decision.expected_loss <= config.most_expected_loss);
            prop_assert!(100.0 * observation.loss <= f64::from(decision.expected_loss) + 1e-6
                || decision.expected_loss == config.most_expected_loss);
            prop_assert_eq!(decision.changed, decision.bitrate != before);
            if decision.bitrate > before {
                prop_assert_eq!(decision.condition, NetworkCondition::Excellent);
                prop_assert!(decision.bitrate <= (f64::from(before) * config.increase) as u32);
                let used = observation.sent.is_none_or(|sent| f64::from(sent) >= 0.75 * f64::from(before));
                prop_assert!(used, "went up although only {:?} of {} were used", observation.sent, before);
            }
            if decision.condition == NetworkCondition::Poor {
                prop_assert_eq!(decision.bitrate, config.minimum);
            } else if decision.changed {
                prop_assert!(now - changed_at >= config.interval - 1e-6);
            }
            if decision.changed {
                changed_at = now;
            }
            before = decision.bitrate;
        }
    }

    #[test]
    fn a_worse_measure_never_gives_more(
        config in configs(),
        past in proptest::collection::vec(step(), 0..30),
        last in step(),
        worse in (1.0_f64..3.0, 1.0_f64..3.0),
    ) {
        let (wait, better) = last;
        let worse = Observation {
            round_trip: better.round_trip * worse.0,
            loss: (better.loss * worse.1).min(1.0),
            ..better
        };
        let follow = |observation| {
            let mut steps = past.clone();
            steps.push((wait, observation));
            run(&config, &steps).pop().unwrap().2
        };
        let (with_better, with_worse) = (follow(better), follow(worse));
        prop_assert!(with_worse.condition >= with_better.condition);
        prop_assert!(with_worse.bitrate <= with_better.bitrate);
        prop_assert!(with_worse.expected_loss >= with_better.expected_loss);
    }

    #[test]
    fn measures_about_a_threshold_do_not_flap(
        row in 0_usize..3,
        by_loss in any::<bool>(),
        offsets in proptest::collection::vec(-0.09_f64..0.5, 2..80),
    ) {
        // Never below the margin: the condition can only get worse, and each one comes once.
        let steps: Vec<_> = offsets
            .iter()
            .map(|offset| {
                let (mut round_trip, mut loss) = (0.0, 0.0);
                if by_loss { loss = TABLE[row].loss_below * (1.0 + offset) }
                else { round_trip = TABLE[row].round_trip_below * (1.0 + offset) }
                (0.5, Observation { round_trip, loss, sent: None })
            })
            .collect();
        let conditions: Vec<_> = run(&BitrateConfig::default(), &steps).iter().map(|(_, _, d)| d.condition).collect();
        prop_assert!(conditions.is_sorted(), "{conditions:?}");
    }

    #[test]
    fn a_steady_network_comes_to_rest(
        past in proptest::collection::vec(step(), 0..30),
        steady in step(),
    ) {
        let steady = Observation { sent: None, ..steady.1 };
        let mut steps = past.clone();
        steps.extend(std::iter::repeat_n((1.0, steady), 120));
        let decisions = run(&BitrateConfig::default(), &steps);
        let rest = &decisions[decisions.len() - 20..];
        prop_assert!(rest.iter().all(|(_, _, decision)| !decision.changed && *decision == rest[0].2));
    }
}
