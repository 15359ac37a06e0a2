//! Python, counted as radon 6.0.1 does (`radon.visitors.ComplexityVisitor`).

use super::{
    CLASS, COMMENT, DECISION, FUNCTION, IMPORT, Look, NESTS, Rules, SKIP, SPECIAL, STATEMENT, Signature,
    Special,
};
use crate::code::language::Language;
use crate::code::metrics::Share;
use tree_sitter::Node;

pub(super) static PYTHON: Rules = Rules {
    language: Language::Python,
    grammar: || tree_sitter_python::LANGUAGE.into(),
    kinds: &[
        ("if_statement", DECISION | NESTS),
        ("elif_clause", DECISION),
        ("conditional_expression", DECISION),
        ("for_statement", DECISION | NESTS),
        ("while_statement", DECISION | NESTS),
        ("try_statement", SPECIAL | NESTS),
        ("with_statement", NESTS),
        ("except_clause", SPECIAL),
        ("else_clause", SPECIAL),
        ("for_in_clause", DECISION),
        ("if_clause", SPECIAL),
        ("boolean_operator", DECISION),
        // What an assertion asserts is not visited.
        ("assert_statement", DECISION | SKIP | STATEMENT),
        ("match_statement", SPECIAL | NESTS),
        ("function_definition", FUNCTION),
        ("class_definition", CLASS),
        ("decorator", SKIP),
        ("lambda_parameters", SPECIAL),
        ("import_statement", IMPORT | STATEMENT),
        ("import_from_statement", IMPORT | STATEMENT),
        ("future_import_statement", IMPORT | STATEMENT),
        ("comment", COMMENT | SKIP),
    ],
    tokens: &[],
    radon: true,
    strict: true,
    has_complexity: true,
    doc_comments: &[],
    signature,
    special,
    is_test: |look| look.field("name").starts_with(if look.in_class { "test" } else { "test_" }),
};

fn signature(look: &Look<'_, '_>) -> Signature {
    let body = look.node.child_by_field_name("body");
    let mut signature = Signature {
        name: look.field("name"),
        docstring: body.is_some_and(begins_with_string),
        ..Signature::default()
    };
    if look.node.kind() == "class_definition" {
        return signature;
    }
    signature.hints.of = 1;
    signature.hints.with = u32::from(look.node.child_by_field_name("return_type").is_some());
    if let Some(parameters) = look.node.child_by_field_name("parameters") {
        let hints = parameter_hints(look, parameters);
        signature.hints.of += hints.of;
        signature.hints.with += hints.with;
        signature.faulty = misordered(parameters);
    }
    signature
}

/// Parameters with a type; `self` and `cls` are not asked for one.
fn parameter_hints(look: &Look<'_, '_>, parameters: Node<'_>) -> Share {
    let mut hints = Share::default();
    let mut cursor = parameters.walk();
    for (place, parameter) in parameters.named_children(&mut cursor).enumerate() {
        let typed = matches!(parameter.kind(), "typed_parameter" | "typed_default_parameter");
        let plain = matches!(
            parameter.kind(),
            "identifier" | "default_parameter" | "list_splat_pattern" | "dictionary_splat_pattern"
        );
        let receiver = place == 0 && look.in_class && parameter.kind() == "identifier";
        hints.with += u32::from(typed);
        hints.of += u32::from(typed || (plain && !receiver));
    }
    hints
}

/// Whether a parameter without a default follows one with a default.
fn misordered(parameters: Node<'_>) -> bool {
    let mut cursor = parameters.walk();
    let mut seen_default = false;
    for parameter in parameters.named_children(&mut cursor) {
        match parameter.kind() {
            "default_parameter" | "typed_default_parameter" => seen_default = true,
            "list_splat_pattern" | "keyword_separator" => return false,
            "typed_parameter" if parameter.named_child(0).is_some_and(|n| n.kind().contains("splat")) => {
                return false;
            }
            "identifier" | "typed_parameter" if seen_default => return true,
            _ => {}
        }
    }
    false
}

fn begins_with_string(body: Node<'_>) -> bool {
    let mut cursor = body.walk();
    let first = body.named_children(&mut cursor).find(|n| n.kind() != "comment");
    let value = first.filter(|n| n.kind() == "expression_statement").and_then(|n| n.named_child(0));
    value.is_some_and(|n| matches!(n.kind(), "string" | "concatenated_string"))
}

fn special(look: &Look<'_, '_>) -> Special {
    let mut special = Special::default();
    match look.node.kind() {
        "try_statement" => special.faulty = !has_child(look.node, &["except_clause", "finally_clause"]),
        // `except*` is another node to Python, and radon passes over it.
        "except_clause" => special.decisions = u32::from(!is_star(look.node)),
        "else_clause" => {
            let counts = match look.parent {
                "for_statement" | "while_statement" => true,
                "try_statement" => !is_after_star(look.node),
                _ => false,
            };
            special.decisions = u32::from(counts);
        }
        "if_clause" => special.decisions = u32::from(look.parent != "case_clause"),
        "match_statement" => special.decisions = cases(look.node),
        "lambda_parameters" => special.faulty = misordered(look.node),
        _ => {}
    }
    special
}

/// The cases, less one where any takes whatever comes.
fn cases(statement: Node<'_>) -> u32 {
    let Some(block) = statement.child_by_field_name("body") else { return 0 };
    let mut cursor = block.walk();
    let (mut cases, mut catch_all) = (0, 0);
    for case in block.named_children(&mut cursor).filter(|n| n.kind() == "case_clause") {
        cases += 1;
        if takes_all(case) {
            catch_all = 1;
        }
    }
    cases - catch_all
}

/// Whether a case is a bare name or `_`, in brackets or not.
fn takes_all(case: Node<'_>) -> bool {
    let mut cursor = case.walk();
    let mut patterns = case.named_children(&mut cursor).filter(|n| n.kind() == "case_pattern");
    let (Some(mut pattern), None) = (patterns.next(), patterns.next()) else { return false };
    if has_comma(case) {
        return false;
    }
    loop {
        let Some(inner) = pattern.child(0).filter(|_| pattern.child_count() == 1) else {
            return false;
        };
        match inner.kind() {
            "_" => return true,
            "dotted_name" => return inner.child_count() == 1,
            "tuple_pattern" if inner.named_child_count() == 1 && !has_comma(inner) => {
                let Some(next) = inner.named_child(0) else { return false };
                pattern = next;
            }
            _ => return false,
        }
    }
}

fn has_comma(node: Node<'_>) -> bool {
    has_child(node, &[","])
}

fn is_star(except: Node<'_>) -> bool {
    has_child(except, &["except*", "*"])
}

/// Whether a `try`'s `else` comes after `except*`.
fn is_after_star(otherwise: Node<'_>) -> bool {
    let mut earlier = otherwise.prev_named_sibling();
    while let Some(node) = earlier {
        if node.kind() == "except_clause" {
            return is_star(node);
        }
        earlier = node.prev_named_sibling();
    }
    false
}

fn has_child(node: Node<'_>, kinds: &[&str]) -> bool {
    let mut cursor = node.walk();
    node.children(&mut cursor).any(|child| kinds.contains(&child.kind()))
}
