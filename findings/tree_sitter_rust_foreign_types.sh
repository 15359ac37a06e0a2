#!/usr/bin/env bash
# tree-sitter-rust 0.24.2: a type in an `extern` block is an error of syntax to it. rustc's parser takes it (only its use is
# unstable), and web-sys declares every class of the browser so: nearly all of its files are "broken". tree-sitter-rust-orchard
# 0.16.11, a fork of it, reads it.
# Seen: tree-sitter-rust has errors, tree-sitter-rust-orchard none; the program that holds the same lines, configured away, compiles.
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
tree-sitter = "=0.27.1"
tree-sitter-rust = "=0.24.2"
tree-sitter-rust-orchard = "=0.16.11"
TOML
cat >"$folder/src/main.rs" <<'RUST'
// rustc parses what is configured away.
#[cfg(any())]
extern "C" {
    pub type AbortController;
}

fn has_error(language: tree_sitter::Language) -> bool {
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&language).unwrap();
    let code = "extern \"C\" {\n    pub type AbortController;\n}\n";
    parser.parse(code, None).unwrap().root_node().has_error()
}

fn main() {
    let (original, fork) =
        (has_error(tree_sitter_rust::LANGUAGE.into()), has_error(tree_sitter_rust_orchard::LANGUAGE.into()));
    println!("error of syntax: tree-sitter-rust 0.24.2 {original}, tree-sitter-rust-orchard 0.16.11 {fork}");
    assert!(original && !fork, "the behaviour has changed");
}
RUST
cargo run --quiet --manifest-path "$folder/Cargo.toml"
