//! Rust, counted as lizard 1.24 does: by tokens, match arms less one, `let … else`.

use super::{
    ATTRIBUTE, CLASS, COMMENT, DECISION, FUNCTION, IMPORT, Look, METHODS, NESTS, PLAIN, Rules, SKIP, SPECIAL,
    STATEMENT, Signature, Special, TEST, Value,
};
use crate::code_metrics::language::Language;
use crate::code_metrics::mask;
use crate::code_metrics::metrics::{FunctionKind, Share};
use tree_sitter::Node;

pub(super) static RUST: Rules = Rules {
    language: Language::Rust,
    grammar: || tree_sitter_rust_orchard::LANGUAGE.into(),
    kinds: &[
        ("function_item", FUNCTION | STATEMENT),
        ("struct_item", CLASS | STATEMENT),
        ("enum_item", CLASS | STATEMENT),
        ("union_item", CLASS | STATEMENT),
        ("trait_item", CLASS | STATEMENT),
        ("impl_item", METHODS | STATEMENT),
        ("if_expression", NESTS),
        ("for_expression", NESTS),
        ("while_expression", NESTS),
        ("loop_expression", NESTS),
        ("match_expression", NESTS),
        ("match_block", SPECIAL),
        ("token_tree", SPECIAL),
        ("closure_parameters", SPECIAL),
        ("reference_expression", SPECIAL),
        ("reference_pattern", SPECIAL),
        ("reference_type", SPECIAL),
        ("let_declaration", SPECIAL | STATEMENT),
        ("expression_statement", STATEMENT),
        ("const_item", STATEMENT),
        ("static_item", STATEMENT),
        ("type_item", STATEMENT),
        ("mod_item", STATEMENT),
        ("macro_definition", STATEMENT),
        ("use_declaration", IMPORT | STATEMENT),
        ("extern_crate_declaration", IMPORT | STATEMENT),
        ("attributes", ATTRIBUTE),
        ("attribute_item", ATTRIBUTE | TEST | SKIP),
        ("line_outer_doc_comment", COMMENT | SKIP),
        ("block_outer_doc_comment", COMMENT | SKIP),
        ("line_comment", COMMENT | SKIP),
        ("block_comment", COMMENT | SKIP),
    ],
    tokens: &[
        ("if", DECISION),
        ("for", DECISION),
        ("while", DECISION),
        ("where", DECISION),
        ("&&", DECISION),
        ("||", DECISION),
        ("?", DECISION),
    ],
    doc_comments: &["///", "/**", "//!"],
    signature,
    special,
    masked: mask::rust,
    is_test,
    ..PLAIN
};

/// Every parameter has a type; a return without one is `()`.
fn signature(look: &Look<'_, '_>) -> Signature {
    let typed = look.node.child_by_field_name("parameters").map_or(0, |p| p.named_child_count() as u32);
    let attributes = look.node.child_by_field_name("attributes");
    let hints = if look.node.kind() == "function_item" {
        Share { with: typed + 1, of: typed + 1 }
    } else {
        Share::default()
    };
    Signature {
        name: look.field("name"),
        hints,
        docstring: attributes.is_some_and(has_doc),
        rows_before: attributes.map_or(0, |attributes| rows_before(look.node, attributes)),
        ..Signature::default()
    }
}

fn has_doc(attributes: Node<'_>) -> bool {
    let mut cursor = attributes.walk();
    attributes.named_children(&mut cursor).any(|child| child.kind().ends_with("_doc_comment"))
}

/// An item begins where its attributes end.
fn rows_before(item: Node<'_>, attributes: Node<'_>) -> u32 {
    let mut next = attributes.next_sibling();
    while let Some(node) = next.filter(Node::is_extra) {
        next = node.next_sibling();
    }
    let begins = next.map_or(item.start_position(), |node| node.start_position());
    begins.row.saturating_sub(item.start_position().row) as u32
}

fn special(look: &Look<'_, '_>) -> Special {
    if look.node.kind() == "token_tree" {
        return in_macro(look);
    }
    let decisions = match look.node.kind() {
        "match_block" => {
            let mut cursor = look.node.walk();
            let arms = look.node.named_children(&mut cursor).filter(|n| n.kind() == "match_arm").count();
            arms.saturating_sub(1) as u32
        }
        "let_declaration" => u32::from(look.node.child_by_field_name("alternative").is_some()),
        // `||` and `&&` are one token to lizard also where they are two here.
        "closure_parameters" => u32::from(look.node.byte_range().len() == 2),
        kind @ ("reference_expression" | "reference_pattern" | "reference_type") => {
            let at = look.node.start_byte();
            u32::from(look.source.get(at..at + 2) == Some(b"&&") && look.parent != kind)
        }
        _ => 0,
    };
    Special { decisions, ..Special::default() }
}

/// A macro's arguments are a list of tokens; functions and matches are found in it all the same.
fn in_macro(look: &Look<'_, '_>) -> Special {
    let mut special = Special::default();
    let (mut function, mut matching, mut after_fn) = (None, false, false);
    let mut cursor = look.node.walk();
    for token in look.node.children(&mut cursor) {
        match token.kind() {
            "fn" => after_fn = true,
            "identifier" if after_fn => (function, after_fn) = (Some(look.text(token)), false),
            "match" => matching = true,
            ";" => (function, matching) = (None, false),
            "token_tree" if look.source.get(token.start_byte()) == Some(&b'{') => {
                if matching {
                    special.decisions += arms(token).saturating_sub(1);
                    matching = false;
                } else if let Some(name) = function.take() {
                    let measured = Some(FunctionKind::Function);
                    special.values.push(Value { start: token.start_byte(), name, measured });
                }
            }
            _ => after_fn = false,
        }
    }
    special
}

fn arms(tokens: Node<'_>) -> u32 {
    let mut cursor = tokens.walk();
    tokens.children(&mut cursor).filter(|token| token.kind() == "=>").count() as u32
}

/// `#[test]`, `#[tokio::test]`, `#[rstest]` and the like.
fn is_test(look: &Look<'_, '_>) -> bool {
    if look.node.kind() != "attribute_item" {
        return false;
    }
    let text = look.text(look.node);
    let path = text.trim_start_matches(['#', '[', ' ']).split(['(', ']', '=']).next().unwrap_or_default();
    path.trim_end().rsplit("::").next().is_some_and(|last| last.ends_with("test"))
}
