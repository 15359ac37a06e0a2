//! A host's own terms, as they are added and checked.

use super::facts::Flag;
use super::lexicon::{Lexicon, Role, spelt};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most terms that a host can add.
pub(super) const MAX_TERMS: usize = 1000;
/// The most bytes of a term.
const MAX_TERM_BYTES: usize = 64;
/// The most words of a term.
const MAX_TERM_WORDS: usize = 3;

/// A host's own terms, beside the built-in ones.
///
/// A term is one to three words of at most 64 bytes together, with white space or one other sign
/// between them. It is found where whole words say it, in any case, with or without accents, with
/// any one sign between them (`hard cap`, `Hard-Cap`), and with a plural's `s`: give the singular.
/// Order and repetition change nothing.
///
/// ```
/// use devmatrix_ml::text::{Lexicon, LexiconBuilder};
/// let lexicon = Lexicon::builder().add_complex("event sourcing").build()?;
/// let more = LexiconBuilder::from(lexicon.clone()).add_complex("sharding").build()?;
/// assert_ne!(lexicon, more);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LexiconBuilder {
    technical: BTreeSet<String>,
    complex: BTreeSet<String>,
    requirements: BTreeSet<String>,
    constraints: BTreeSet<String>,
    relationships: BTreeSet<String>,
    flags: BTreeMap<Flag, BTreeSet<String>>,
}

impl LexiconBuilder {
    /// `term` counts among the technical terms, once a description.
    #[must_use]
    pub fn add_technical(mut self, term: impl Into<String>) -> Self {
        self.technical.insert(term.into());
        self
    }

    /// `term` makes a task complex: half a point each, once a description.
    #[must_use]
    pub fn add_complex(mut self, term: impl Into<String>) -> Self {
        self.complex.insert(term.into());
        self
    }

    /// `term` makes a requirement each time, as `must` does.
    #[must_use]
    pub fn add_requirement(mut self, term: impl Into<String>) -> Self {
        self.requirements.insert(term.into());
        self
    }

    /// `term` limits something each time, as `at most` does.
    #[must_use]
    pub fn add_constraint(mut self, term: impl Into<String>) -> Self {
        self.constraints.insert(term.into());
        self
    }

    /// `term` ties one thing to another each time, as `belongs to` does.
    #[must_use]
    pub fn add_relationship(mut self, term: impl Into<String>) -> Self {
        self.relationships.insert(term.into());
        self
    }

    /// `term` mentions what `flag` stands for.
    #[must_use]
    pub fn add_flag(mut self, flag: Flag, term: impl Into<String>) -> Self {
        self.flags.entry(flag).or_default().insert(term.into());
        self
    }

    /// The lexicon of the built-in terms and these.
    ///
    /// ```
    /// use devmatrix_ml::{ErrorKind, text::Lexicon};
    /// let error = Lexicon::builder().add_technical("c++").build().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// assert!(error.to_string().contains("\"c++\""));
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`, naming the term, where one is empty, too long or written so that it would
    /// never be found; and where there are more than a thousand.
    pub fn build(self) -> Result<Lexicon> {
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

    pub(super) fn iter(&self) -> impl Iterator<Item = (Role, &str)> {
        let lists = [
            (Role::Technical, &self.technical),
            (Role::Complex, &self.complex),
            (Role::Requirement, &self.requirements),
            (Role::Constraint, &self.constraints),
            (Role::Relationship, &self.relationships),
        ];
        let flags = self.flags.iter().map(|(flag, terms)| (Role::Flag(*flag), terms));
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
