//! Bytes from outside are hostile: a damaged model is an error or the same model.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::world::store_of;
use devmatrix_ml::clock::Clock;
use devmatrix_ml::dataset::Dataset;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{Predictor, SuccessModel, SuccessParams, SuccessTrainer, Trainer};
use devmatrix_ml::registry::envelope;
use devmatrix_ml::train::{open_artefact, replay};
use futures_executor::block_on;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A damaged length must not be trusted: the process never holds this much.
const MOST_KIB: u64 = 512 << 10;

/// The most memory that the process has held, where the system tells.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn small_model() -> (SuccessTrainer, SuccessModel, Dataset) {
    let (store, clock) = store_of(5, 60.0, 1);
    let data = block_on(replay(store.as_ref(), &FeatureEngineer::default(), clock.now(), 1000)).unwrap();
    let mut params = SuccessParams::default();
    (params.boost.rounds, params.min_texts) = (5, 20);
    let trainer = SuccessTrainer::new(params).unwrap();
    let model = trainer.fit(&data).unwrap();
    (trainer, model, data)
}

/// Flips, cuts, extends, splices or blanks some bytes.
fn mutate(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    let at = rng.random_range(0..bytes.len());
    let to = rng.random_range(at..bytes.len()).min(at + 64);
    match rng.random_range(0..6) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = rng.random(),
        2 => bytes.truncate(at),
        3 => bytes.extend_from_within(at..to),
        4 => drop(bytes.splice(at..to, [0xff; 9])),
        _ => bytes[at..to].fill(0),
    }
}

#[test]
fn a_hundred_thousand_damaged_artefacts_are_errors_or_the_same_model() {
    let (trainer, model, data) = small_model();
    let whole = envelope::seal("success", &model.to_bytes().unwrap()).unwrap();
    let row = &data.examples[7].features;
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut same = 0;
    for _ in 0..100_000 {
        let mut bytes = whole.clone();
        mutate(&mut bytes, &mut rng);
        if let Ok(read) = open_artefact(&trainer, &bytes) {
            assert_eq!(read.point(row), model.point(row));
            same += 1;
        }
    }
    assert!(same < 5_000, "{same} of 100,000 were taken for whole");
    assert!(peak_kib() < MOST_KIB);
}

/// Damage that was sealed anew passes the checksum: the parse alone must hold.
#[test]
fn damage_behind_a_right_checksum_gives_an_error_or_a_probability() {
    let (trainer, model, data) = small_model();
    let whole = model.to_bytes().unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let (mut refused, mut read) = (0, 0);
    for i in 0..20_000 {
        let mut bytes = whole.clone();
        mutate(&mut bytes, &mut rng);
        let sealed = envelope::seal("success", &bytes).unwrap();
        match open_artefact(&trainer, &sealed) {
            Ok(model) => {
                let row = &data.examples[i % data.examples.len()].features;
                let prediction = model.predict(row);
                let (low, high) = prediction.interval;
                let p = prediction.success_probability;
                assert!((0.0..=1.0).contains(&p) && low <= p && p <= high, "{p} in {low} to {high}");
                model.reasons(row);
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1_000 && read > 100, "{refused} refused, {read} read");
    assert!(peak_kib() < MOST_KIB);
}
