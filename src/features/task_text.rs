//! A task's description, read once for everything that needs it.

use crate::similarity::TextGrams;
use crate::text::{Lexicon, SparseText, TextFacts};

/// Facts, n-grams and similarity grams of one description, read with the host's lexicon.
///
/// Features, similar tasks, template ranking and routing take it instead of reading the text again.
#[derive(Debug, Clone)]
pub(crate) struct TaskText {
    pub(crate) facts: TextFacts,
    pub(crate) ngrams: SparseText,
    pub(crate) grams: TextGrams,
}

impl TaskText {
    /// Reads `description` with the terms of `lexicon`.
    pub(crate) fn read(lexicon: &Lexicon, description: &str) -> Self {
        let (facts, ngrams) = SparseText::read_with(lexicon, description);
        Self { facts, ngrams, grams: TextGrams::of(description) }
    }
}
