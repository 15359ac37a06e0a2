#!/usr/bin/env bash
# linfa 0.8.1: `precision()` and `recall()` of a binary confusion matrix stand swapped beside scikit-learn and the textbooks.
# The matrix has what was predicted in its rows, the functions divide as if it had what is true there.
# Seen (three predicted true, one of them is; one true, found): precision 1, recall .33; the textbook says .33 and 1.
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
use linfa::prelude::*;
use ndarray::array;
fn main() {
    let predicted = array![true, true, true, false, false];
    let truth = array![true, false, false, false, false];
    let matrix = predicted.confusion_matrix(&truth).unwrap();
    let (precision, recall) = (matrix.precision(), matrix.recall());
    println!("linfa 0.8.1: precision {precision:.2}, recall {recall:.2}; true positives 1 of 3 predicted, of 1 true");
    assert!((precision - 1.0).abs() < 1e-6 && (recall - 1.0 / 3.0).abs() < 1e-6, "the behaviour has changed");
    println!("as described: precision and recall are swapped");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
