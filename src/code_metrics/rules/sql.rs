//! SQL: statements, and the decisions within them as lizard counts those of procedural languages.

use super::{CLASS, COMMENT, DECISION, FUNCTION, Look, NESTS, PLAIN, Rules, SKIP, STATEMENT, Signature};
use crate::code_metrics::language::Language;

pub(super) static SQL: Rules = Rules {
    language: Language::Sql,
    grammar: || tree_sitter_sequel::LANGUAGE.into(),
    kinds: &[
        ("statement", STATEMENT),
        ("create_function", FUNCTION),
        ("create_table", CLASS),
        ("create_view", CLASS),
        ("create_type", CLASS),
        ("case", NESTS),
        ("subquery", NESTS),
        ("keyword_when", DECISION),
        ("keyword_if", DECISION),
        ("keyword_and", DECISION),
        ("keyword_or", DECISION),
        ("comment", COMMENT | SKIP),
        ("marginalia", COMMENT | SKIP),
    ],
    // The grammar knows few of the dialects.
    strict: false,
    doc_comments: &["--", "/*"],
    signature,
    ..PLAIN
};

fn signature(look: &Look<'_, '_>) -> Signature {
    let mut cursor = look.node.walk();
    let name = look.node.named_children(&mut cursor).find(|n| n.kind() == "object_reference");
    let name = name.map(|n| look.text(n)).unwrap_or_default();
    Signature { name, ..Signature::default() }
}
