#!/usr/bin/env bash
# bincode 2.0.1: damaged bytes end the process. A length is believed before there are bytes for it: without a limit, which the
# standard configuration has not, memory for it is asked for and not given. postcard 1.1 answers the same damage by an error.
# Seen (the length of a vector of numbers set to 2^42): bincode aborted; postcard an error.
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
bincode = "=2.0.1"
postcard = { version = "=1.1.3", features = ["use-std"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::process::Command;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() > 1 {
        let mut damaged = vec![253];
        damaged.extend((1_u64 << 42).to_le_bytes());
        let read = bincode::decode_from_slice::<Vec<u64>, _>(&damaged, bincode::config::standard());
        println!("{}", read.is_err());
        return;
    }
    let bincode = Command::new(&args[0]).arg("bincode").output().unwrap().status;
    let damaged = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    let postcard = postcard::from_bytes::<Vec<u64>>(&damaged).is_err();
    println!("bincode 2.0.1: {bincode}; postcard: an error {postcard}");
    assert!(bincode.code().is_none() && postcard, "the behaviour has changed");
    println!("as described: bincode ends the process where postcard gives an error");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
