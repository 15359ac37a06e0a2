//! Java, counted as lizard 1.24 does: by tokens; lambdas belong to their method.

use super::{
    ATTRIBUTE, CLASS, COMMENT, DECISION, FUNCTION, IMPORT, Look, METHODS, NESTS, OUTSIDE, PLAIN, Rules, SKIP,
    STATEMENT, Signature, TEST,
};
use crate::code_metrics::language::Language;
use crate::code_metrics::metrics::Share;

pub(super) static JAVA: Rules = Rules {
    language: Language::Java,
    grammar: || tree_sitter_java_orchard::LANGUAGE.into(),
    kinds: &[
        ("method_declaration", FUNCTION | STATEMENT),
        ("constructor_declaration", FUNCTION | STATEMENT),
        // lizard passes over it; it has a body and paths through it like the others.
        ("compact_constructor_declaration", FUNCTION | STATEMENT),
        ("class_declaration", CLASS | STATEMENT),
        ("interface_declaration", CLASS | STATEMENT),
        ("enum_declaration", CLASS | STATEMENT),
        ("record_declaration", CLASS | STATEMENT),
        ("annotation_type_declaration", CLASS | STATEMENT),
        // Of an anonymous class too.
        ("class_body", METHODS),
        ("modifiers", OUTSIDE),
        ("generic_type", OUTSIDE),
        // The `?` of a wildcard is no decision.
        ("wildcard", SKIP),
        ("if_statement", NESTS | STATEMENT),
        ("for_statement", NESTS | STATEMENT),
        ("enhanced_for_statement", NESTS | STATEMENT),
        ("while_statement", NESTS | STATEMENT),
        ("do_statement", NESTS | STATEMENT),
        ("try_statement", NESTS | STATEMENT),
        ("try_with_resources_statement", NESTS | STATEMENT),
        ("switch_expression", NESTS | STATEMENT),
        ("field_declaration", STATEMENT),
        ("local_variable_declaration", STATEMENT),
        ("expression_statement", STATEMENT),
        ("return_statement", STATEMENT),
        ("throw_statement", STATEMENT),
        ("break_statement", STATEMENT),
        ("continue_statement", STATEMENT),
        ("assert_statement", STATEMENT),
        ("yield_statement", STATEMENT),
        ("package_declaration", STATEMENT),
        ("import_declaration", IMPORT | STATEMENT),
        ("marker_annotation", ATTRIBUTE | TEST),
        ("annotation", ATTRIBUTE | TEST),
        ("line_comment", COMMENT | SKIP),
        ("block_comment", COMMENT | SKIP),
    ],
    tokens: &[
        ("if", DECISION),
        ("for", DECISION),
        ("while", DECISION),
        ("catch", DECISION),
        ("case", DECISION),
        ("&&", DECISION),
        ("||", DECISION),
        ("?", DECISION),
    ],
    doc_comments: &["/**"],
    signature,
    is_test,
    ..PLAIN
};

fn signature(look: &Look<'_, '_>) -> Signature {
    let name = look.field("name");
    if !matches!(
        look.node.kind(),
        "method_declaration" | "constructor_declaration" | "compact_constructor_declaration"
    ) {
        return Signature { name, ..Signature::default() };
    }
    let no_body = look.node.child_by_field_name("body").is_none();
    let typed = look.node.child_by_field_name("parameters").map_or(0, |p| p.named_child_count() as u32);
    Signature { name, hints: Share { with: typed + 1, of: typed + 1 }, no_body, ..Signature::default() }
}

/// JUnit's `@Test`, `@ParameterizedTest` and their kin.
fn is_test(look: &Look<'_, '_>) -> bool {
    if !matches!(look.node.kind(), "marker_annotation" | "annotation") {
        return false;
    }
    let name = look.field("name");
    matches!(
        name.rsplit('.').next(),
        Some("Test" | "ParameterizedTest" | "RepeatedTest" | "TestFactory" | "TestTemplate")
    )
}
