#!/usr/bin/env bash
# linfa-trees 0.8.1: missing values (NaN) among the records are no error. A split in the middle of a number and NaN is NaN,
# and sends all rows to the right, where it is found again: with the default depth, which is unlimited, the process ends by a
# stack overflow, which nothing catches; with a limit a tree is fitted without a word.
# Seen: ten rows, of which four miss the value: aborted; with a depth of four a tree.
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
use ndarray::{Array1, Array2};
use std::process::Command;
fn fit(rows: usize, depth: Option<usize>) {
    let value = |(i, _): (usize, usize)| if i % 3 == 0 { f64::NAN } else { (i * 7919 % 1000) as f64 };
    let records = Array2::from_shape_fn((rows, 1), value);
    let targets: Array1<bool> = (0..rows).map(|i| i * 7919 % 1000 > 500).collect();
    DecisionTree::params().max_depth(depth).fit(&Dataset::new(records, targets)).unwrap();
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, rows, depth] = &args[..] {
        return fit(rows.parse().unwrap(), depth.parse().ok());
    }
    let ended = |depth| Command::new(&args[0]).args(["10", depth]).output().unwrap().status;
    let (unlimited, limited) = (ended("none"), ended("4"));
    println!("linfa-trees 0.8.1: missing values, any depth: {unlimited}; a depth of four: {limited}");
    assert!(unlimited.code().is_none() && limited.success(), "the behaviour has changed");
    println!("as described: NaN ends the process, or is fitted without a word");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
