//! One table a language: which kinds of nodes count, and as what. Another language is another
//! table and another grammar.

mod python;
mod script;

#[cfg(feature = "code-css")]
mod css;
#[cfg(feature = "code-go")]
mod go;
#[cfg(feature = "code-html")]
mod html;
#[cfg(feature = "code-java")]
mod java;
#[cfg(feature = "code-rust")]
mod rust;
#[cfg(feature = "code-sql")]
mod sql;

use super::language::Language;
use super::metrics::{FunctionKind, Share};
use std::sync::{LazyLock, OnceLock};
use tree_sitter::Node;

/// Roles of a kind of node; a kind may have several.
pub(super) type Roles = u32;

/// Adds one to the cyclomatic complexity.
pub(super) const DECISION: Roles = 1;
/// A function, where it has a body.
pub(super) const FUNCTION: Roles = 1 << 1;
/// A class, or what is like one.
pub(super) const CLASS: Roles = 1 << 2;
/// A comment.
pub(super) const COMMENT: Roles = 1 << 3;
/// An import.
pub(super) const IMPORT: Roles = 1 << 4;
/// A logical line.
pub(super) const STATEMENT: Roles = 1 << 5;
/// A control structure that others nest in.
pub(super) const NESTS: Roles = 1 << 6;
/// Stands between a doc comment and what it documents.
pub(super) const ATTRIBUTE: Roles = 1 << 7;
/// Nothing below it counts.
pub(super) const SKIP: Roles = 1 << 8;
/// As a direct part of a function it belongs to what is around the function.
pub(super) const OUTSIDE: Roles = 1 << 9;
/// Code that runs by itself and is measured like a function.
pub(super) const INITIALIZER: Roles = 1 << 10;
/// [`Rules::special`] says what it counts as.
pub(super) const SPECIAL: Roles = 1 << 11;
/// [`Rules::is_test`] says whether it is a test.
pub(super) const TEST: Roles = 1 << 12;

/// What functions within it are methods of, though it is no class itself; where it is a
/// function, it is one.
pub(super) const METHODS: Roles = 1 << 13;

/// The rules of a language.
pub(super) struct Rules {
    pub(super) language: Language,
    pub(super) grammar: fn() -> tree_sitter::Language,
    /// Named kinds.
    pub(super) kinds: &'static [(&'static str, Roles)],
    /// Anonymous ones: keywords and operators.
    pub(super) tokens: &'static [(&'static str, Roles)],
    /// Counts as radon does: only bodies, closures and inner classes apart.
    pub(super) radon: bool,
    /// `true` if a parse error is one; a dialect may be valid where the grammar knows no better.
    pub(super) strict: bool,
    /// Whether cyclomatic complexity means anything.
    pub(super) has_complexity: bool,
    /// Beginnings of a doc comment.
    pub(super) doc_comments: &'static [&'static str],
    /// A function's or a class's name, parameters and types.
    pub(super) signature: fn(&Look<'_, '_>) -> Signature,
    /// Returns the role of a [`SPECIAL`] node.
    pub(super) special: fn(&Look<'_, '_>) -> Special,
    /// A text of the same length that means the same to these rules, without what the grammar takes
    /// for an error though it is none.
    pub(super) masked: fn(&[u8]) -> Option<Vec<u8>>,
    /// Returns whether a [`TEST`] node or a function of this name is a test.
    pub(super) is_test: fn(&Look<'_, '_>) -> bool,
}

/// What most languages have in common.
const PLAIN: Rules = Rules {
    language: Language::Other,
    grammar: || tree_sitter_python::LANGUAGE.into(),
    kinds: &[],
    tokens: &[],
    radon: false,
    strict: true,
    has_complexity: true,
    doc_comments: &[],
    signature: |_| Signature::default(),
    special: |_| Special::default(),
    masked: |_| None,
    is_test: |_| false,
};

/// A node with what is around it.
pub(super) struct Look<'t, 's> {
    pub(super) node: Node<'t>,
    pub(super) parent: &'static str,
    pub(super) source: &'s [u8],
    pub(super) in_class: bool,
}

/// Facts of a function's head.
#[derive(Default)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) hints: Share,
    /// It is declared here, but its body is elsewhere.
    pub(super) no_body: bool,
    /// Whether its body begins with a docstring.
    pub(super) docstring: bool,
    /// Its head breaks a rule that the grammar does not know.
    pub(super) faulty: bool,
    /// Rows of attributes and doc comments that the grammar makes a part of it.
    pub(super) rows_before: u32,
}

/// Returns the role of a [`SPECIAL`] node.
#[derive(Default)]
pub(super) struct Special {
    pub(super) decisions: u32,
    /// It breaks a rule that the grammar does not know.
    pub(super) faulty: bool,
    /// Values below that have a name or are measured like functions, in the order of the text.
    pub(super) values: Vec<Value>,
}

/// A value that its own node does not describe.
pub(super) struct Value {
    /// The byte where it begins.
    pub(super) start: usize,
    pub(super) name: String,
    /// Node that is measured instead, where its own does not tell.
    pub(super) measured: Option<FunctionKind>,
}

impl Look<'_, '_> {
    /// The text of a node, at most 200 bytes of it.
    pub(super) fn text(&self, node: Node<'_>) -> String {
        let range = node.byte_range();
        let end = range.end.min(range.start.saturating_add(200));
        String::from_utf8_lossy(self.source.get(range.start..end).unwrap_or_default()).into_owned()
    }

    /// The text of the child in a field; empty without it.
    pub(super) fn field(&self, name: &str) -> String {
        self.node.child_by_field_name(name).map(|n| self.text(n)).unwrap_or_default()
    }
}

/// A grammar with its kinds' roles by id.
pub(super) struct Compiled {
    pub(super) rules: &'static Rules,
    pub(super) grammar: tree_sitter::Language,
    roles: Vec<Roles>,
}

impl Compiled {
    fn new(rules: &'static Rules) -> Self {
        let grammar = (rules.grammar)();
        let ids = 0..u16::try_from(grammar.node_kind_count()).unwrap_or(u16::MAX);
        let roles = ids.map(|id| {
            let named = grammar.node_kind_is_named(id);
            // There is nothing below a keyword: not looking saves a tenth of the walk.
            let (table, always) = if named { (rules.kinds, 0) } else { (rules.tokens, SKIP) };
            let name = grammar.node_kind_for_id(id).unwrap_or_default();
            table.iter().find(|(kind, _)| *kind == name).map_or(always, |(_, roles)| *roles | always)
        });
        let roles = roles.collect();
        Self { rules, grammar, roles }
    }

    pub(super) fn roles(&self, kind: u16) -> Roles {
        self.roles.get(kind as usize).copied().unwrap_or(0)
    }

    /// Where it stands among [`ALL`].
    pub(super) fn place(&self) -> usize {
        ALL.iter().position(|rules| rules.language == self.rules.language).unwrap_or(0)
    }
}

/// The rules of every language in this build.
pub(super) static ALL: &[&Rules] = &[
    &python::PYTHON,
    &script::JAVASCRIPT,
    &script::TYPESCRIPT,
    &script::TSX,
    #[cfg(feature = "code-rust")]
    &rust::RUST,
    #[cfg(feature = "code-go")]
    &go::GO,
    #[cfg(feature = "code-java")]
    &java::JAVA,
    #[cfg(feature = "code-sql")]
    &sql::SQL,
    #[cfg(feature = "code-html")]
    &html::HTML,
    #[cfg(feature = "code-css")]
    &css::CSS,
];

/// The rules of `language` in this build.
pub(super) fn of(language: Language) -> Option<&'static Compiled> {
    static COMPILED: LazyLock<Vec<OnceLock<Compiled>>> =
        LazyLock::new(|| ALL.iter().map(|_| OnceLock::new()).collect());
    let place = ALL.iter().position(|rules| rules.language == language)?;
    Some(COMPILED.get(place)?.get_or_init(|| Compiled::new(ALL[place])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_listed_kind_is_in_its_grammar() {
        for rules in ALL {
            let grammar = (rules.grammar)();
            let ids = 0..grammar.node_kind_count() as u16;
            let kinds: HashSet<_> = ids
                .map(|id| (grammar.node_kind_is_named(id), grammar.node_kind_for_id(id).unwrap()))
                .collect();
            for (named, table) in [(true, rules.kinds), (false, rules.tokens)] {
                for (kind, _) in table {
                    assert!(kinds.contains(&(named, *kind)), "{:?} has no {kind}", rules.language);
                }
            }
        }
    }
}
