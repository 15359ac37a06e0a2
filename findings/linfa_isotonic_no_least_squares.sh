#!/usr/bin/env bash
# linfa-linear 0.8.1: isotonic regression does not predict its own training rows by least squares. Rows that are not sorted by
# their value give another function, without a word: labels are read in the order of the values, the values themselves in that
# of the rows. And a step is not flat: from the end of the one before it a line leads to its own end.
# Seen (y = 0 below 2, 1 from there on, rows in the order 3, 0, 2, 1): 1 is predicted 1; of the same rows sorted 0.
# Seen (y = 0, 1, 0, 1 at 0 to 3): 1 is predicted .25; scikit-learn's answer, and the mean of its step, is .5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
linfa = "=0.8.1"
linfa-linear = "=0.8.1"
ndarray = "0.16"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use linfa::prelude::*;
use linfa_linear::IsotonicRegression;
use ndarray::{Array1, Array2};
fn at_one(order: [f64; 4], label: impl Fn(f64) -> f64) -> f64 {
    let targets: Array1<f64> = order.iter().map(|x| label(*x)).collect();
    let records = Array2::from_shape_vec((4, 1), order.to_vec()).unwrap();
    let model = IsotonicRegression::default().fit(&Dataset::new(records, targets)).unwrap();
    model.predict(&Array2::from_elem((1, 1), 1.0))[0]
}
fn main() {
    let above = |x: f64| if x >= 2.0 { 1.0 } else { 0.0 };
    let (sorted, unsorted) = (at_one([0.0, 1.0, 2.0, 3.0], above), at_one([3.0, 0.0, 2.0, 1.0], above));
    println!("linfa-linear 0.8.1: the prediction at 1 is {sorted} of sorted rows, {unsorted} of the same rows unsorted");
    let step = at_one([0.0, 1.0, 2.0, 3.0], |x| x % 2.0);
    println!("linfa-linear 0.8.1: the prediction at 1 of a step from 1 to 2 whose mean is .5 is {step}");
    assert!(sorted == 0.0 && unsorted == 1.0 && step == 0.25, "the behaviour has changed");
    println!("as described: rows must be sorted, and steps are no steps");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
