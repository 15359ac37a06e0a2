//! Go, counted as lizard 1.24 does: by tokens; function literals are functions of their own.

use super::{
    CLASS, COMMENT, DECISION, FUNCTION, IMPORT, Look, METHODS, NESTS, PLAIN, Rules, SKIP, STATEMENT,
    Signature,
};
use crate::code_metrics::language::Language;
use crate::code_metrics::mask;
use crate::code_metrics::metrics::Share;

pub(super) static GO: Rules = Rules {
    language: Language::Go,
    grammar: || tree_sitter_go::LANGUAGE.into(),
    kinds: &[
        ("function_declaration", FUNCTION | STATEMENT),
        ("method_declaration", METHODS | FUNCTION | STATEMENT),
        ("func_literal", FUNCTION),
        ("type_spec", CLASS),
        ("if_statement", NESTS | STATEMENT),
        ("for_statement", NESTS | STATEMENT),
        ("expression_switch_statement", NESTS | STATEMENT),
        ("type_switch_statement", NESTS | STATEMENT),
        ("select_statement", NESTS | STATEMENT),
        ("import_spec", IMPORT | STATEMENT),
        ("type_declaration", STATEMENT),
        ("var_declaration", STATEMENT),
        ("const_declaration", STATEMENT),
        ("short_var_declaration", STATEMENT),
        ("assignment_statement", STATEMENT),
        ("expression_statement", STATEMENT),
        ("return_statement", STATEMENT),
        ("go_statement", STATEMENT),
        ("defer_statement", STATEMENT),
        ("send_statement", STATEMENT),
        ("inc_statement", STATEMENT),
        ("dec_statement", STATEMENT),
        ("break_statement", STATEMENT),
        ("continue_statement", STATEMENT),
        ("goto_statement", STATEMENT),
        ("comment", COMMENT | SKIP),
    ],
    tokens: &[("if", DECISION), ("for", DECISION), ("case", DECISION), ("&&", DECISION), ("||", DECISION)],
    doc_comments: &["//", "/*"],
    signature,
    masked: mask::go,
    is_test,
    ..PLAIN
};

fn signature(look: &Look<'_, '_>) -> Signature {
    let name = look.field("name");
    if look.node.kind() == "type_spec" {
        return Signature { name, ..Signature::default() };
    }
    let no_body = look.node.child_by_field_name("body").is_none();
    let typed = look.node.child_by_field_name("parameters").map_or(0, |p| p.named_child_count() as u32);
    let hints = Share { with: typed + 1, of: typed + 1 };
    Signature { name, hints, no_body, ..Signature::default() }
}

/// `func TestX(t *testing.T)` and its kin.
fn is_test(look: &Look<'_, '_>) -> bool {
    let name = look.field("name");
    let rest = ["Test", "Benchmark", "Fuzz", "Example"].iter().find_map(|start| name.strip_prefix(start));
    look.node.kind() == "function_declaration"
        && rest.is_some_and(|rest| !rest.starts_with(char::is_lowercase))
}
