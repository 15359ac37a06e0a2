#!/usr/bin/env bash
# linfa 0.8.1: the area under the ROC curve is too small where the lowest predicted probability is 0. The curve begins at the
# second distinct score, since the first is compared with 0 to see whether it is new. Hard classes as probabilities do that.
# Seen (two of each class, one of each predicted 0, one 1): .375; by pairs, ties counting one half, it is .5.
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
ndarray = "0.16"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use linfa::dataset::Pr;
use linfa::prelude::*;
fn area(scores: [f32; 4]) -> f32 {
    let scores = scores.map(Pr::new);
    (&scores[..]).roc(&[false, true, false, true][..]).unwrap().area_under_curve()
}
fn main() {
    let (zeros, above) = (area([0.0, 0.0, 1.0, 1.0]), area([0.1, 0.1, 1.0, 1.0]));
    println!("linfa 0.8.1: area {zeros} where the lowest probability is 0, {above} where it is .1, in the same order");
    assert!((zeros - 0.375).abs() < 1e-6 && (above - 0.5).abs() < 1e-6, "the behaviour has changed");
    println!("as described: scores of 0 are left off the curve");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
