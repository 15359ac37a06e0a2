//! CSS: rules and declarations.

use super::{COMMENT, IMPORT, NESTS, PLAIN, Rules, SKIP, STATEMENT};
use crate::code_metrics::language::Language;

pub(super) static CSS: Rules = Rules {
    language: Language::Css,
    grammar: || tree_sitter_css::LANGUAGE.into(),
    kinds: &[
        ("rule_set", NESTS | STATEMENT),
        ("media_statement", NESTS | STATEMENT),
        ("supports_statement", NESTS | STATEMENT),
        ("keyframes_statement", NESTS | STATEMENT),
        ("declaration", STATEMENT),
        ("import_statement", IMPORT | STATEMENT),
        ("comment", COMMENT | SKIP),
    ],
    // The grammar takes one valid file in eight for faulty.
    strict: false,
    has_complexity: false,
    ..PLAIN
};
