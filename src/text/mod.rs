//! What a task's description says: its size, its requirements, its terms, its n-grams.

mod lexicon;
mod ngram;
mod scan;

pub use ngram::{NGRAM_BUCKETS, SparseText};
pub use scan::{Flag, MAX_TEXT_BYTES, TextFacts};
