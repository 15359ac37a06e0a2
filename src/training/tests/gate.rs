//! Error rates and power of the promotion gate.
//!
//! Predictors have known information: the log-odds of an outcome are a sum of normal variables, of which each
//! predictor observes some and predicts the implied probability.

use crate::Result;
use crate::clock::Clock;
#[cfg(test)]
use crate::common::world::store_of;
use crate::dataset::{Dataset, Example, Target};
use crate::features::{FEATURES, FeatureEngineer, FeatureRow, Kind, index_of};
use crate::ml::metrics::{compare_auc, log_loss, roc_auc};
use crate::models::{Status, SuccessModel, SuccessTrainer, Trainer};
use crate::training::evaluation::{Incumbent, fit_and_evaluate};
use crate::training::gate::{AgainstChampion, Champion, GateDecision};
use crate::training::{Gate, TrainingOptions, replay};
use futures_executor::block_on;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one comparison.
#[derive(Default)]
struct Rows {
    champion: Vec<f64>,
    challenger: Vec<f64>,
    outcomes: Vec<bool>,
}

/// Standard deviations of the log-odds observed by both, the champion, the challenger, and neither.
#[derive(Clone, Copy)]
struct Information {
    both: f64,
    champion: f64,
    challenger: f64,
    neither: f64,
}

impl Rows {
    fn draw(&mut self, rng: &mut Pcg64Mcg, information: Information, rows: usize) {
        for _ in 0..rows {
            let mut part = |size: f64| size * normal(rng);
            let both = part(information.both);
            let (champion, challenger) = (part(information.champion), part(information.challenger));
            let truth = 0.5 + both + champion + challenger + part(information.neither);
            self.outcomes.push(rng.random::<f64>() < sigmoid(truth));
            let unobserved =
                |hidden: [f64; 2]| hidden.iter().map(|s| s * s).sum::<f64>() + information.neither.powi(2);
            self.champion.push(expected(0.5 + both + champion, unobserved([information.challenger, 0.0])));
            self.challenger.push(expected(0.5 + both + challenger, unobserved([information.champion, 0.0])));
        }
    }

    fn losses(&self, points: &[f64]) -> Vec<f64> {
        points.iter().zip(&self.outcomes).map(|(p, y)| log_loss(*p, *y)).collect()
    }

    fn clusters(&self) -> Vec<u64> {
        (0..self.outcomes.len() as u64).collect()
    }

    /// Returns the gate's decision by the fixed-horizon test.
    fn once(&self, seed: u64) -> GateDecision {
        let (own, theirs) = (self.losses(&self.challenger), self.losses(&self.champion));
        let auc = compare_auc(&self.challenger, &self.champion, &self.outcomes).unwrap();
        let with = AgainstChampion::once(&own, &theirs, &self.clusters(), 0.95, seed).unwrap().with_auc(auc);
        decision(&with)
    }
}

fn decision(with: &AgainstChampion) -> GateDecision {
    Gate::default().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(with)).decision
}

/// Draws a standard normal number (Box and Muller 1958).
fn normal(rng: &mut Pcg64Mcg) -> f64 {
    let (u, v) = (rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Returns the probability implied by observed log-odds and the variance of the unobserved normal part.
fn expected(observed: f64, variance: f64) -> f64 {
    sigmoid(observed / (1.0 + std::f64::consts::PI / 8.0 * variance).sqrt())
}

const EQUAL: Information = Information { both: 0.8, champion: 0.4, challenger: 0.4, neither: 0.8 };

#[test]
fn false_promotions_of_the_fixed_horizon_test_stay_below_five_percent() {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let passed = (0..1000).filter(|seed| {
        let mut rows = Rows::default();
        rows.draw(&mut rng, EQUAL, 400);
        rows.once(*seed) == GateDecision::Promote
    });
    let passed = passed.count();
    println!("fixed-horizon test on 400 rows: {passed} of 1,000 challengers no better were promoted");
    assert!(passed <= 50, "{passed}");
}

/// The anytime-valid test keeps its level over 100 interim analyses; peeking with a fixed-horizon test does not.
#[test]
fn false_promotions_of_the_anytime_valid_test_stay_below_five_percent_under_peeking() {
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let (mut passed, mut by_peeking) = (0, 0);
    for _ in 0..1000 {
        let mut rows = Rows::default();
        let (mut promoted, mut peeked) = (false, false);
        for _ in 0..100 {
            rows.draw(&mut rng, EQUAL, 20);
            let (own, theirs) = (rows.losses(&rows.challenger), rows.losses(&rows.champion));
            let found = AgainstChampion::anytime(&own, &theirs, &rows.clusters(), 0.95).unwrap();
            promoted |= found.is_some_and(|with| decision(&with) == GateDecision::Promote);
            peeked |= found.is_some_and(|with| with.loss.difference < -1.645 * with.loss.standard_error);
        }
        passed += u32::from(promoted);
        by_peeking += u32::from(peeked);
    }
    println!(
        "100 interim analyses: {passed} of 1,000 challengers no better were promoted; by peeking with the fixed-horizon test {by_peeking}"
    );
    assert!(passed <= 50, "{passed}");
    assert!(by_peeking > 150, "peeking inflates the error: {by_peeking}");
}

#[test]
fn a_challenger_better_by_three_points_of_auc_passes_four_times_in_five() {
    let cases = [
        ("more information", Information { both: 0.85, champion: 0.0, challenger: 0.48, neither: 0.8 }),
        ("other information", Information { both: 0.75, champion: 0.35, challenger: 0.62, neither: 0.7 }),
    ];
    for (name, information) in cases {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let mut large = Rows::default();
        large.draw(&mut rng, information, 200_000);
        let area = |points: &[f64]| roc_auc(points, &large.outcomes).unwrap();
        let better = area(&large.challenger) - area(&large.champion);
        let passed = (0..300).filter(|seed| {
            let mut rows = Rows::default();
            rows.draw(&mut rng, information, 2000);
            rows.once(*seed) == GateDecision::Promote
        });
        let share = passed.count() as f64 / 300.0;
        println!(
            "{name}: AUC higher by {better:.3}, promoted on 2,000 rows {:.1} % of the time",
            share * 100.0
        );
        assert!((0.025..0.035).contains(&better), "{better}");
        assert!(share >= 0.8, "{name}: {share}");
    }
}

/// A trainer whose training set is corrupted before it fits.
#[derive(Debug)]
struct Tampered {
    honest: SuccessTrainer,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// Successes and failures are swapped.
    Flipped,
    /// Rates leak the outcome in the training set, as means over all data would, and not in the test set.
    Leaked,
}

impl Tampered {
    fn example(&self, example: &Example) -> Example {
        let mut example = example.clone();
        match self.how {
            How::Flipped => {
                example.label = 1.0 - example.label;
                example.labels.success = example.labels.success.map(|(at, success)| (at, !success));
            }
            How::Leaked => {
                let mut row = FeatureRow::clone(&example.features);
                for place in FEATURES.iter().filter(|f| f.kind == Kind::Rate).filter_map(|f| index_of(f.name))
                {
                    row.values[place] = 0.8 * row.values[place] + 0.2 * example.label as f32;
                }
                example.features = Arc::new(row);
            }
        }
        example
    }
}

impl Trainer for Tampered {
    type Model = SuccessModel;

    fn name(&self) -> &'static str {
        self.honest.name()
    }

    fn target(&self) -> Target {
        self.honest.target()
    }

    fn fit(&self, data: &Dataset) -> Result<SuccessModel> {
        let mut data = data.clone();
        data.examples = data.examples.iter().map(|e| self.example(e)).collect();
        self.honest.fit(&data)
    }

    fn read(&self, bytes: &[u8]) -> Result<SuccessModel> {
        self.honest.read(bytes)
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        self.honest.prior(row)
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        self.honest.loss(point, label)
    }

    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        self.honest.baselines(train, test)
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        self.honest.scores(points, labels)
    }

    fn parameters(&self) -> serde_json::Value {
        self.honest.parameters()
    }
}

#[test]
fn a_challenger_on_flipped_or_leaked_labels_is_always_rejected() {
    let mut options = TrainingOptions::default();
    options.test_fraction = 0.5;
    let engineer = FeatureEngineer::default();
    for seed in 0..100 {
        let (store, clock) = store_of(40, 40.0, 500 + seed);
        let data = block_on(replay(store.as_ref(), &engineer, Target::Success, clock.now(), 50_000)).unwrap();
        let honest = SuccessTrainer::default();
        let (earlier, _) = data.split_by_time(options.test_fraction).unwrap();
        let champion = honest.fit(&earlier).unwrap();
        for how in [How::Flipped, How::Leaked] {
            let tampered = Tampered { honest: honest.clone(), how };
            let incumbent = Incumbent { holdout_model: &champion, trained_until: None };
            let judged = fit_and_evaluate(&tampered, &data, Some(incumbent), &options).unwrap();
            assert_eq!(
                judged.verdict.decision,
                GateDecision::Reject,
                "{how:?}, seed {seed}: {:?}",
                judged.verdict.reasons
            );
        }
    }
}
