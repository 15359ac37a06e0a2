//! The terms that descriptions are read for: the built-in ones and a host's own.

use super::builder::LexiconBuilder;
use super::facts::Flag;
use super::table::{Meaning, Table};
use super::terms;
use super::word::Word;
use crate::error::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The terms that descriptions are read for: the built-in English and Spanish ones and a host's own.
///
/// Clones share the terms. Only the host's own are written out; the built-in ones come with the
/// crate.
///
/// ```
/// use devmatrix_ml::features::{FeatureEngineer, FeatureOptions};
/// use devmatrix_ml::text::{Flag, Lexicon, TermRole};
/// let lexicon = Lexicon::new([
///     (TermRole::Technical, "kafka"),
///     (TermRole::Flag(Flag::Database), "cockroachdb"),
///     (TermRole::Complex, "event sourcing"),
///     (TermRole::Requirement, "needs to"),
///     (TermRole::Constraint, "hard cap"),
///     (TermRole::Relationship, "rests on"),
/// ])?;
/// // Train and serve with the same engineer: a model of other terms is refused.
/// let mut options = FeatureOptions::default();
/// options.lexicon = lexicon;
/// let engineer = FeatureEngineer::new(options);
/// # let _ = engineer;
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "LexiconBuilder", into = "LexiconBuilder")]
pub struct Lexicon(Arc<Ready>);

struct Ready {
    own: LexiconBuilder,
    table: Table,
    fingerprint: Option<u64>,
}

impl Lexicon {
    /// Creates a lexicon of the built-in terms and the host's own.
    ///
    /// A term is one to three words of at most 64 bytes together, with white space or one other sign between them. It is
    /// found where whole words say it, in any case, with or without accents, with any one sign between them (`hard cap`,
    /// `Hard-Cap`), and with a plural's `s`: give the singular. Order and repetition change nothing.
    ///
    /// ```
    /// use devmatrix_ml::ErrorKind;
    /// use devmatrix_ml::text::{Lexicon, TermRole};
    /// let error = Lexicon::new([(TermRole::Technical, "c++")]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// assert!(error.to_string().contains("\"c++\""));
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`, naming the term, where one is empty, too long or written so that it would never be found; and where
    /// there are more than a thousand.
    pub fn new<S: Into<String>>(terms: impl IntoIterator<Item = (TermRole, S)>) -> Result<Self> {
        let all = terms.into_iter().fold(LexiconBuilder::default(), |all, (role, term)| all.add(role, term));
        all.build()
    }

    /// What tells the host's own terms from others'; none where there are only the built-in ones.
    pub(crate) fn fingerprint(&self) -> Option<u64> {
        self.0.fingerprint
    }

    pub(super) fn table(&self) -> &Table {
        &self.0.table
    }

    /// The built-in terms, shared by all.
    pub(super) fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::of(LexiconBuilder::default()));
        &BUILT_IN
    }

    /// The built-in terms and these, which were checked.
    pub(super) fn of(own: LexiconBuilder) -> Self {
        let mut terms = Terms::default();
        terms.add_built_in();
        let mut hash = Sha256::new();
        for (role, term) in own.iter() {
            terms.add(role, term.to_owned());
            hash.update(format!("{role:?} {term}\0"));
        }
        let digest = hash.finalize();
        let fingerprint = own.iter().next().map(|_| u64::from_be_bytes(std::array::from_fn(|i| digest[i])));
        Self(Arc::new(Ready { table: Table::new(terms.meanings), own, fingerprint }))
    }
}

impl Default for Lexicon {
    fn default() -> Self {
        Self::built_in().clone()
    }
}

impl PartialEq for Lexicon {
    fn eq(&self, other: &Self) -> bool {
        self.0.own == other.0.own
    }
}

impl Eq for Lexicon {}

impl fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lexicon").field(&self.0.own).finish()
    }
}

/// The host's own terms, to be added to.
impl From<Lexicon> for LexiconBuilder {
    fn from(lexicon: Lexicon) -> Self {
        lexicon.0.own.clone()
    }
}

/// Role of a term of the host's own.
#[derive(Debug, Clone, Copy)]
pub enum TermRole {
    /// A technical term, once a description.
    Technical,
    /// It makes a task complex: half a point each, once a description.
    Complex,
    /// A requirement each time, as `must` is.
    Requirement,
    /// It limits something each time, as `at most` does.
    Constraint,
    /// It ties one thing to another each time, as `belongs to` does.
    Relationship,
    /// It mentions what the flag stands for.
    Flag(Flag),
}

/// The folded words of `term`, one space between each two, and how many they are; nothing where
/// they do not stand one character apart, with none around them: such a term is never found.
pub(super) fn spelt(term: &str) -> Option<(String, usize)> {
    let (mut key, mut count, mut last) = (String::new(), 0, None::<Word>);
    let (mut at, mut apart) = (0, true);
    while at < term.len() {
        let run = Word::run(term.as_bytes(), at);
        for part in run.parts(term) {
            apart &= last.map_or(part.start == 0, |last| last.is_next_to(term, part));
            if count > 0 {
                key.push(' ');
            }
            key.extend(part.folded(term));
            (count, last) = (count + 1, Some(part));
        }
        at = run.end + 1;
    }
    let whole = last.is_some_and(|last| last.end == term.len());
    (apart && whole).then_some((key, count))
}

/// Meanings as they are gathered.
#[derive(Default)]
struct Terms {
    meanings: BTreeMap<String, Meaning>,
    technical: u16,
    complex: u16,
}

impl Terms {
    fn add_built_in(&mut self) {
        let lists = [
            (TermRole::Complex, terms::COMPLEX),
            (TermRole::Technical, terms::TECHNICAL),
            (TermRole::Requirement, terms::DEMANDS),
            (TermRole::Constraint, terms::CONSTRAINTS),
            (TermRole::Relationship, terms::RELATIONSHIPS),
        ];
        let flags = terms::FLAGS.iter().map(|(flag, list)| (TermRole::Flag(*flag), *list));
        for (role, list) in lists.into_iter().chain(flags) {
            list.iter().filter_map(|term| spelt(term)).for_each(|(term, _)| self.add(role, term));
        }
        for (spanish, english) in terms::SPANISH {
            let number = self.meanings.get(*english).map_or(0, |meaning| meaning.technical);
            if let Some((spanish, _)) = spelt(spanish) {
                self.meanings.entry(spanish).or_default().technical = number;
            }
        }
    }

    fn add(&mut self, role: TermRole, term: String) {
        let meaning = self.meanings.entry(term).or_default();
        match role {
            TermRole::Technical => number(&mut meaning.technical, &mut self.technical),
            TermRole::Complex => number(&mut meaning.complex, &mut self.complex),
            TermRole::Requirement => meaning.demands = true,
            TermRole::Constraint => meaning.constrains = true,
            TermRole::Relationship => meaning.relates = true,
            TermRole::Flag(flag) => meaning.flags |= 1 << flag as u8,
        }
    }
}

/// The next number, unless there is one.
fn number(of: &mut u16, last: &mut u16) {
    if *of == 0 {
        *last += 1;
        *of = *last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_term_can_be_found() {
        let lists =
            [terms::COMPLEX, terms::TECHNICAL, terms::DEMANDS, terms::CONSTRAINTS, terms::RELATIONSHIPS];
        let spanish = terms::SPANISH.iter().map(|(spanish, _)| spanish);
        let flags = terms::FLAGS.iter().flat_map(|(_, list)| *list);
        for term in lists.into_iter().flatten().chain(spanish).chain(flags) {
            assert!(spelt(term).is_some_and(|(_, words)| words <= 2), "{term}");
        }
        assert!(terms::SPANISH.iter().all(|(_, english)| terms::TECHNICAL.contains(english)));
        assert!(!Lexicon::default().table().threes);
    }

    #[test]
    fn words_are_spelt_alike() {
        for (term, key) in [
            ("CI/CD", "ci cd"),
            ("Autenticación", "autenticacion"),
            ("base de\u{a0}datos", "base de datos"),
            ("node.js", "node js"),
        ] {
            assert_eq!(spelt(term).map(|(key, _)| key).as_deref(), Some(key));
        }
        for term in ["", " ", "c++", " a", "a ", "a  b", "¿a?", "…", "a\u{301}…", "\u{301}a"] {
            assert_eq!(spelt(term), None, "{term}");
        }
    }

    #[test]
    fn clones_share_and_the_default_is_one() {
        assert!(Arc::ptr_eq(&Lexicon::default().0, &Lexicon::default().0));
        assert!(Arc::ptr_eq(&LexiconBuilder::default().build().unwrap().0, &Lexicon::default().0));
        let own = Lexicon::new([(TermRole::Technical, "kafka")]).unwrap();
        assert!(Arc::ptr_eq(&own.clone().0, &own.0));
        assert!(own.fingerprint().is_some() && Lexicon::default().fingerprint().is_none());
    }
}
