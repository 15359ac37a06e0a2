//! What a task's description says: its size, its requirements, its terms, its n-grams.

mod builder;
mod facts;
mod lexicon;
mod ngram;
mod scan;
mod table;
mod terms;
mod word;

pub use builder::LexiconBuilder;
pub use facts::{Flag, MAX_TEXT_BYTES, TextFacts};
pub use lexicon::Lexicon;
pub use ngram::{NGRAM_BUCKETS, SparseText};

#[cfg(test)]
mod tests;
