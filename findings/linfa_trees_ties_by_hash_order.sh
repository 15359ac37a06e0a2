#!/usr/bin/env bash
# linfa-trees 0.8.1: a leaf with as many rows of one class as of the other predicts either, by the order of a hash map:
# the same data and parameters give another tree in the same process. `prune` then joins other leaves, too.
# Seen: both classes among 64 fits to two rows of different classes with equal values.
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
linfa-trees = "=0.8.1"
ndarray = "0.16"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use linfa::prelude::*;
use linfa_trees::DecisionTree;
use ndarray::array;
fn main() {
    let rows = Dataset::new(array![[1.0], [1.0]], array![false, true]);
    let fits = (0..64).filter(|_| DecisionTree::params().fit(&rows).unwrap().predict(&array![[1.0]])[0]).count();
    println!("linfa-trees 0.8.1: {fits} of 64 fits to the same two rows predict true");
    assert!(fits > 0 && fits < 64, "the behaviour has changed");
    println!("as described: ties are decided by the order of a hash map");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
