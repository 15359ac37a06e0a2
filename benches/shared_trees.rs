//! Multi-output trees: compares one model of success, quality and seconds to three. Trees are grown on the same rows
//! for each target alone, for all targets at once (leaves with a value per target), and in a chain (with
//! out-of-fold predictions of the other targets as features). The number of rounds is chosen on a validation set
//! between the training set and the newest fifth, which is the test set.
//!
//! ```sh
//! cargo bench --bench shared_trees                        # simulated generations
//! EVENTS=FILE.jsonl[.gz] cargo bench --bench shared_trees # recorded events
//! ```
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use devmatrix_ml::dataset::{Dataset, DatasetBuilder, Example, Target};
use devmatrix_ml::event::{Record, read_jsonl};
use devmatrix_ml::features::{FEATURES, FeatureEngineer, KnownWhen};
use devmatrix_ml::ml::metrics::compare_paired;
use hessboost::config::{GrowPolicy, MultiStrategy, TrainingParams, TreeMethod};
use hessboost::data::DMatrix;
use hessboost::training::Trainer;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;

const TARGETS: [&str; 3] = ["success", "quality", "seconds"];
const ROUNDS: usize = 300;

/// Rows with their known targets side by side, each target with mean 0 and variance 1.
struct Rows {
    features: Vec<Vec<f32>>,
    targets: Vec<[f32; 3]>,
    clusters: Vec<u64>,
}

fn main() {
    let records = std::env::var_os("EVENTS").map_or_else(|| common::records(6_000), |path| read(&path));
    let rows = Rows::of(&datasets(&records));
    println!("{} generations with success, quality and seconds", rows.targets.len());
    if rows.targets.len() < 500 {
        return println!("too few rows to compare");
    }
    let newest = rows.targets.len() * 4 / 5;
    for learned in [newest / 8, newest / 2, newest] {
        let from = newest - learned;
        let (earlier, between, later) =
            (from..from + learned * 3 / 4, from + learned * 3 / 4..newest, newest..rows.targets.len());
        let fit = |share: &[usize], features: &[Vec<f32>]| {
            grow(features, &rows.targets, share, (earlier.clone(), between.clone(), later.clone()))
        };
        let alone: Vec<_> = (0..3).map(|t| fit(&[t], &rows.features).remove(0)).collect();
        let shared = fit(&[0, 1, 2], &rows.features);
        let chained = rows.chained(newest, from);
        let chain: Vec<_> = (0..3).map(|t| fit(&[t], &chained[t]).remove(0)).collect();
        println!("trained on {learned} rows, mean squared error on {} newer ones:", later.len());
        for (t, name) in TARGETS.iter().enumerate() {
            let error = |predicted: &[f32]| {
                later
                    .clone()
                    .zip(predicted)
                    .map(|(row, p)| f64::from(p - rows.targets[row][t]).powi(2))
                    .collect()
            };
            let separate: Vec<f64> = error(&alone[t]);
            print!("  {name:<8} alone {:.4}", separate.iter().sum::<f64>() / separate.len() as f64);
            for (how, predicted) in [("multi-output", &shared[t]), ("in a chain", &chain[t])] {
                let found =
                    compare_paired(&error(predicted), &separate, &rows.clusters[later.clone()], 0.95, 42)
                        .unwrap();
                print!("; {how} {:+.4} ({:+.4} to {:+.4})", found.difference, found.lower, found.upper);
            }
            println!();
        }
    }
}

fn read(path: &std::ffi::OsStr) -> Vec<Record> {
    let file = BufReader::new(File::open(path).unwrap());
    let zipped = std::path::Path::new(path).extension().is_some_and(|e| e == "gz");
    let events = if zipped {
        read_jsonl(BufReader::new(flate2::bufread::MultiGzDecoder::new(file)), true)
    } else {
        read_jsonl(file, true)
    };
    let mut records: Vec<_> =
        events.unwrap().events.into_iter().flat_map(|e| e.into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

/// Returns the rows labelled with success, quality and seconds.
fn datasets(records: &[Record]) -> [Dataset; 3] {
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|record| builder.apply(record));
    let now = records.last().unwrap().known_at();
    [Target::Success, Target::Quality, Target::Time].map(|target| builder.rows(target, now, 1_000_000))
}

impl Rows {
    fn of([success, quality, seconds]: &[Dataset; 3]) -> Self {
        let before: Vec<usize> =
            (0..FEATURES.len()).filter(|at| FEATURES[*at].known == KnownWhen::Before).collect();
        let labels = |data: &Dataset| -> HashMap<_, _> {
            data.certain().map(|e| (e.event_id.clone(), e.label)).collect()
        };
        let (quality, seconds) = (labels(quality), labels(seconds));
        let known = |e: &&Example| quality.contains_key(&e.event_id) && seconds.contains_key(&e.event_id);
        let examples: Vec<_> = success.certain().filter(known).collect();
        let features =
            examples.iter().map(|e| before.iter().map(|at| e.features.values[*at]).collect()).collect();
        let target = |e: &&Example| {
            let numbers = [e.label, quality[&e.event_id], seconds[&e.event_id].ln_1p()];
            numbers.map(|number| number as f32)
        };
        let mut targets: Vec<_> = examples.iter().map(target).collect();
        for t in 0..3 {
            let mean = targets.iter().map(|row| row[t]).sum::<f32>() / targets.len() as f32;
            let spread =
                targets.iter().map(|row| (row[t] - mean).powi(2)).sum::<f32>() / targets.len() as f32;
            targets.iter_mut().for_each(|row| row[t] = (row[t] - mean) / spread.sqrt().max(1e-6));
        }
        let mut clusters: Vec<_> = examples.iter().map(|e| e.project).collect();
        if clusters.iter().collect::<HashSet<_>>().len() < 10 {
            clusters = examples.iter().map(|e| e.task).collect();
        }
        Self { features, targets, clusters }
    }

    /// Returns the features of each target with predictions of the other two: out of fold before `newest`, by a model
    /// of all rows since `from` after it.
    fn chained(&self, newest: usize, from: usize) -> [Vec<Vec<f32>>; 3] {
        const FOLDS: usize = 5;
        let mut outputs = vec![[f32::NAN; 3]; self.targets.len()];
        let width = (newest - from).div_ceil(FOLDS);
        for (t, _) in TARGETS.iter().enumerate() {
            let mut fill = |rows: Vec<usize>, predicted: std::ops::Range<usize>| {
                let features: Vec<_> = rows.iter().map(|row| self.features[*row].clone()).collect();
                let targets: Vec<_> = rows.iter().map(|row| self.targets[*row]).collect();
                let (all, learned) =
                    ([features, self.features[predicted.clone()].to_vec()].concat(), rows.len());
                let labels = [targets, self.targets[predicted.clone()].to_vec()].concat();
                let parts = (0..learned * 3 / 4, learned * 3 / 4..learned, learned..all.len());
                let values = grow(&all, &labels, &[t], parts).remove(0);
                predicted.zip(values).for_each(|(row, value)| outputs[row][t] = value);
            };
            for fold in 0..FOLDS {
                let held = from + fold * width..(from + (fold + 1) * width).min(newest);
                fill((from..newest).filter(|row| !held.contains(row)).collect(), held);
            }
            fill((from..newest).collect(), newest..self.targets.len());
        }
        std::array::from_fn(|t| {
            let others = |row: usize| (0..3).filter(move |o| *o != t).map(move |o| (row, o));
            let with = |(row, own): (usize, &Vec<f32>)| {
                own.iter().copied().chain(others(row).map(|(row, o)| outputs[row][o])).collect()
            };
            self.features.iter().enumerate().map(with).collect()
        })
    }
}

type Parts = (std::ops::Range<usize>, std::ops::Range<usize>, std::ops::Range<usize>);

/// Returns predictions by target for the third part, of trees of the targets `share` at once, grown on the first
/// part with early stopping on the second.
fn grow(features: &[Vec<f32>], targets: &[[f32; 3]], share: &[usize], parts: Parts) -> Vec<Vec<f32>> {
    let matrix = |rows: std::ops::Range<usize>| {
        let values: Vec<f32> = features[rows.clone()].concat();
        let labels: Vec<f32> =
            targets[rows.clone()].iter().flat_map(|row| share.iter().map(|t| row[*t])).collect();
        let matrix = DMatrix::from_dense(&values, rows.len(), features[0].len()).unwrap();
        matrix.with_label_matrix(&labels, share.len()).unwrap()
    };
    let strategy =
        if share.len() > 1 { MultiStrategy::MultiOutputTree } else { MultiStrategy::OneOutputPerTree };
    let params = TrainingParams::builder()
        .tree_method(TreeMethod::Hist)
        .grow_policy(GrowPolicy::LossGuide)
        .multi_strategy(strategy)
        .max_leaves(15)
        .unlimited_depth()
        .eta(0.05)
        .lambda(5.0)
        .min_child_weight(5.0)
        .subsample(0.8)
        .colsample_bytree(0.6)
        .seed(42)
        .nthread(2)
        .build()
        .unwrap();
    let (train, held_out, later) = (matrix(parts.0), matrix(parts.1), matrix(parts.2));
    let trainer = Trainer::new(&params, &train, ROUNDS).eval(&held_out, "between");
    let model = trainer.early_stopping_rounds(NonZeroUsize::new(20).unwrap()).train().unwrap().model;
    let best = model.best_iteration().map_or(ROUNDS, |best| best + 1);
    let model = model.slice(..best, 1).unwrap_or(model);
    let predicted = model.predict(&later, ..).unwrap();
    (0..share.len())
        .map(|t| predicted.as_slice().iter().skip(t).step_by(share.len()).copied().collect())
        .collect()
}
