//! HTML: elements and their nesting; scripts and styles within are text.

use super::{COMMENT, NESTS, PLAIN, Rules, SKIP, STATEMENT};
use crate::code_metrics::language::Language;

pub(super) static HTML: Rules = Rules {
    language: Language::Html,
    grammar: || tree_sitter_html::LANGUAGE.into(),
    kinds: &[
        ("element", NESTS | STATEMENT),
        ("script_element", STATEMENT),
        ("style_element", STATEMENT),
        ("comment", COMMENT | SKIP),
    ],
    has_complexity: false,
    ..PLAIN
};
