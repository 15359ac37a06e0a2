//! A host's own terms, as they are added and checked.

use super::facts::Flag;
use super::lexicon::{Lexicon, TermRole, spelt};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most terms that a host can add.
pub(super) const MAX_TERMS: usize = 1000;
/// The most bytes of a term.
const MAX_TERM_BYTES: usize = 64;
/// The most words of a term.
const MAX_TERM_WORDS: usize = 3;

/// A host's own terms, beside the built-in ones, as they are written out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LexiconBuilder {
    technical: BTreeSet<String>,
    complex: BTreeSet<String>,
    requirements: BTreeSet<String>,
    constraints: BTreeSet<String>,
    relationships: BTreeSet<String>,
    flags: BTreeMap<Flag, BTreeSet<String>>,
}

impl LexiconBuilder {
    /// Adds a term.
    pub(super) fn add(mut self, role: TermRole, term: impl Into<String>) -> Self {
        let list = match role {
            TermRole::Technical => &mut self.technical,
            TermRole::Complex => &mut self.complex,
            TermRole::Requirement => &mut self.requirements,
            TermRole::Constraint => &mut self.constraints,
            TermRole::Relationship => &mut self.relationships,
            TermRole::Flag(flag) => self.flags.entry(flag).or_default(),
        };
        list.insert(term.into());
        self
    }

    /// Returns the lexicon of the built-in terms and these, each checked.
    pub(super) fn build(self) -> Result<Lexicon> {
        let checked = |terms: BTreeSet<String>| terms.iter().map(|term| check(term)).collect::<Result<_>>();
        let own = Self {
            technical: checked(self.technical)?,
            complex: checked(self.complex)?,
            requirements: checked(self.requirements)?,
            constraints: checked(self.constraints)?,
            relationships: checked(self.relationships)?,
            flags: self
                .flags
                .into_iter()
                .filter(|(_, terms)| !terms.is_empty())
                .map(|(flag, terms)| Ok((flag, checked(terms)?)))
                .collect::<Result<_>>()?,
        };
        match own.iter().count() {
            0 => Ok(Lexicon::default()),
            1..=MAX_TERMS => Ok(Lexicon::of(own)),
            more => Err(Error::invalid(format!(
                "a lexicon of {more} terms of the host's own, at most {MAX_TERMS}: leave out the rarest"
            ))),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TermRole, &str)> {
        let lists = [
            (TermRole::Technical, &self.technical),
            (TermRole::Complex, &self.complex),
            (TermRole::Requirement, &self.requirements),
            (TermRole::Constraint, &self.constraints),
            (TermRole::Relationship, &self.relationships),
        ];
        let flags = self.flags.iter().map(|(flag, terms)| (TermRole::Flag(*flag), terms));
        let all = lists.into_iter().chain(flags);
        all.flat_map(|(role, terms)| terms.iter().map(move |term| (role, term.as_str())))
    }
}

impl TryFrom<LexiconBuilder> for Lexicon {
    type Error = Error;

    fn try_from(own: LexiconBuilder) -> Result<Self> {
        own.build()
    }
}

/// The term as the lexicon spells it.
fn check(term: &str) -> Result<String> {
    let words = term.split_whitespace().collect::<Vec<_>>().join(" ");
    let problem = match spelt(&words) {
        _ if words.is_empty() => "is empty: give it one to three words, or leave it out".to_owned(),
        // Few letters take more bytes in lower case; what is written out must be read again.
        Some((key, _)) if key.len().max(words.len()) > MAX_TERM_BYTES => {
            format!("has more than {MAX_TERM_BYTES} bytes: shorten it")
        }
        Some((key, 1..=MAX_TERM_WORDS)) => return Ok(key),
        Some((_, more)) => format!("has {more} words, at most {MAX_TERM_WORDS}: shorten it"),
        None => "would never be found: begin and end it with a letter or digit, with one space or sign \
                 between words"
            .to_owned(),
    };
    let start = &term[..term.floor_char_boundary(MAX_TERM_BYTES)];
    Err(Error::invalid(format!("the lexicon's term {start:?} {problem}")))
}
