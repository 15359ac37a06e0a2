//! Facts of a description, in numbers.

use serde::{Deserialize, Serialize};

/// Descriptions are read up to here, in bytes; the rest is counted but not read.
pub(crate) const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Facts that one pass over a description finds.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub(crate) struct TextFacts {
    /// Characters of the whole description.
    pub(crate) length: usize,
    /// `true` if the description was longer than 64 KiB and its end was not read.
    pub(crate) truncated: bool,
    /// Words read.
    pub(crate) num_words: usize,
    /// Lines read.
    pub(crate) num_lines: usize,
    /// Bytes of the first line.
    pub(crate) title_length: usize,
    /// Lines that start with `#`.
    pub(crate) num_headings: usize,
    /// Backticks: code in the description.
    pub(crate) num_backticks: usize,
    /// Addresses on the web.
    pub(crate) num_links: usize,
    /// Whole numbers.
    pub(crate) num_numbers: usize,
    /// Bulleted and numbered items, and every `must` and `should`.
    pub(crate) num_requirements: usize,
    /// Distinct technical terms.
    pub(crate) num_technical_terms: usize,
    /// Distinct terms that make a task complex.
    pub(crate) num_complex_terms: usize,
    /// Distinct names: capitalised words that do not begin a sentence, and names in `CamelCase`.
    pub(crate) num_entities: usize,
    /// Times that entities are tied together ("has many", "pertenece a").
    pub(crate) num_relationships: usize,
    /// Times that something is limited ("at least", "unique", "obligatorio").
    pub(crate) num_constraints: usize,
    /// One bit a [`Flag`].
    pub(super) flags: u8,
}

/// Topics that a description may mention, in English or Spanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Who somebody is.
    Authentication,
    /// What somebody may do.
    Authorization,
    /// Whether input is right.
    Validation,
    /// Where data live.
    Database,
    /// Somebody else's interface.
    ApiIntegration,
    /// Files that users send.
    FileUpload,
    /// What happens at once.
    RealTime,
}

impl TextFacts {
    /// Returns whether the description mentions it.
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags >> (flag as u8) & 1 == 1
    }

    /// Reads `description` for the terms of `lexicon`: time linear in its length, no allocation.
    pub(crate) fn of_with(lexicon: &super::Lexicon, description: &str) -> Self {
        super::scan::scan(lexicon, description, |_, _| {})
    }

    /// The complexity heuristic, 0 to 10: a base by type, half a point for each complex term, one
    /// more for a description of over 500 characters.
    pub(crate) fn task_complexity(&self, task_type: Option<&str>) -> f64 {
        let base = match task_type.map(str::to_lowercase).as_deref() {
            Some("backend") => 5.0,
            Some("database") => 6.0,
            Some("testing") => 3.0,
            Some("documentation") => 2.0,
            _ => 4.0,
        };
        let long = if self.length > 500 { 1.0 } else { 0.0 };
        (base + 0.5 * self.num_complex_terms as f64 + long).min(10.0)
    }
}

#[cfg(test)]
impl TextFacts {
    /// Reads `description` for the built-in terms: time linear in its length, no allocation.
    pub(crate) fn of(description: &str) -> Self {
        Self::of_with(super::Lexicon::built_in(), description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heuristic_follows_type_terms_and_length() {
        let plain = TextFacts::of("x");
        assert_eq!(plain.task_complexity(Some("database")), 6.0);
        assert_eq!(plain.task_complexity(None), 4.0);
        let long = TextFacts::of(&"payment ".repeat(100));
        assert_eq!(long.task_complexity(Some("Backend")), 6.5);
    }
}
