//! HTML: elements and their nesting; scripts and styles within are text.

use super::{COMMENT, NESTS, Rules, SKIP, STATEMENT, no_signature, no_special, no_test};
use crate::code::language::Language;

pub(super) static HTML: Rules = Rules {
    language: Language::Html,
    grammar: || tree_sitter_html::LANGUAGE.into(),
    kinds: &[
        ("element", NESTS | STATEMENT),
        ("script_element", STATEMENT),
        ("style_element", STATEMENT),
        ("comment", COMMENT | SKIP),
    ],
    tokens: &[],
    radon: false,
    strict: true,
    has_complexity: false,
    doc_comments: &[],
    signature: no_signature,
    special: no_special,
    is_test: no_test,
};
