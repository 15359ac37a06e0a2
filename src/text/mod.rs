//! Facts in a task's description: its size, its requirements, its terms, its n-grams.

mod builder;
mod facts;
mod grams;
mod lexicon;
mod ngram;
mod reading;
mod scan;
mod table;
mod terms;
mod word;

pub use facts::Flag;
pub(crate) use facts::MAX_TEXT_BYTES;
pub(crate) use facts::TextFacts;
pub(crate) use grams::TextGrams;
pub use lexicon::{Lexicon, TermRole};
pub(crate) use ngram::NGRAM_BUCKETS;
pub use ngram::SparseText;
pub(crate) use reading::{Readings, TaskText};

#[cfg(test)]
mod tests;
