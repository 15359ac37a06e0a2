#!/usr/bin/env bash
# csv 1.4.0: in a file with CRLF a record tells the line of the record before. The reader stops at the CR; the LF is read with the next record,
# whose position is taken before it. With the terminator LF (the CR then ends the last cell) lines are right.
# Seen (header and two records, one a line): CRLF 1 and 2; LF 2 and 3; CRLF with the terminator LF 2 and 3.
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
csv = "=1.4.0"
TOML
cat >"$folder/src/main.rs" <<'RUST'
fn lines(text: &str, terminator: csv::Terminator) -> Vec<u64> {
    let mut reader = csv::ReaderBuilder::new().terminator(terminator).from_reader(text.as_bytes());
    reader.records().map(|record| record.unwrap().position().unwrap().line()).collect()
}
fn main() {
    let (crlf, lf) = ("a,b\r\n1,2\r\n3,4\r\n", "a,b\n1,2\n3,4\n");
    let found = [
        lines(crlf, csv::Terminator::CRLF),
        lines(lf, csv::Terminator::CRLF),
        lines(crlf, csv::Terminator::Any(b'\n')),
    ];
    println!("csv 1.4.0: lines of two records: CRLF {:?}, LF {:?}, CRLF with the terminator LF {:?}", found[0], found[1], found[2]);
    assert_eq!(found, [vec![1, 2], vec![2, 3], vec![2, 3]], "the behaviour has changed");
    println!("as described: with CRLF each record tells the line before its own");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
