//! Python, counted as radon 6.0.1 does (`radon.visitors.ComplexityVisitor`).

use super::{
    CLASS, COMMENT, DECISION, FUNCTION, IMPORT, Look, NESTS, Rules, SKIP, SPECIAL, STATEMENT, Signature,
    Special,
};
use crate::code_metrics::language::Language;
use crate::code_metrics::mask;
use crate::code_metrics::metrics::Share;
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
        ("argument_list", SPECIAL),
        ("integer", SPECIAL),
        ("print_statement", SPECIAL),
        ("exec_statement", SPECIAL),
        ("raise_statement", SPECIAL),
        ("import_statement", IMPORT | STATEMENT),
        ("import_from_statement", IMPORT | STATEMENT),
        ("future_import_statement", IMPORT | STATEMENT),
        ("comment", COMMENT | SKIP),
    ],
    // Python 2's inequality.
    tokens: &[("<>", SPECIAL)],
    radon: true,
    strict: true,
    has_complexity: true,
    doc_comments: &[],
    signature,
    special,
    masked: mask::python,
    is_test: |look| look.field("name").starts_with(if look.in_class { "test" } else { "test_" }),
};

fn signature(look: &Look<'_, '_>) -> Signature {
    let body = look.node.child_by_field_name("body");
    let mut signature = Signature {
        name: look.field("name"),
        docstring: body.is_some_and(|body| begins_with_string(look, body)),
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

/// Returns the name of a method's first parameter, where it is not a static method.
const RECEIVERS: &[&str] = &["self", "cls", "_self", "_cls", "mcs", "mcls", "metacls", "klass", "this", "_"];

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
        let receiver = place == 0
            && look.in_class
            && parameter.kind() == "identifier"
            && RECEIVERS.contains(&look.text(parameter).as_str());
        hints.with += u32::from(typed);
        hints.of += u32::from(typed || (plain && !receiver));
    }
    hints
}

/// Returns whether the parameters stand in an order that Python does not take.
fn misordered(parameters: Node<'_>) -> bool {
    let mut cursor = parameters.walk();
    let (mut defaults, mut slash, mut star, mut awaits_name, mut ended) = (false, false, false, false, false);
    let named = parameters.named_children(&mut cursor).filter(|n| !n.is_extra());
    for (place, parameter) in named.enumerate() {
        let splat = match parameter.kind() {
            "typed_parameter" => parameter.named_child(0).map_or("", |n| n.kind()),
            kind => kind,
        };
        let faulty = match splat {
            "positional_separator" => place == 0 || std::mem::replace(&mut slash, true) || star,
            "list_splat_pattern" => std::mem::replace(&mut star, true),
            "keyword_separator" => {
                awaits_name = true;
                std::mem::replace(&mut star, true)
            }
            "dictionary_splat_pattern" => std::mem::replace(&mut ended, true) || awaits_name,
            // Python 2 took them apart.
            "tuple_pattern" => true,
            "default_parameter" | "typed_default_parameter" => {
                (defaults, awaits_name) = (true, false);
                ended
            }
            "identifier" => {
                awaits_name = false;
                ended || (defaults && !star)
            }
            _ => false,
        };
        if faulty || (ended && splat != "dictionary_splat_pattern") {
            return true;
        }
    }
    awaits_name
}

/// Returns whether an argument without a name follows one with a name, or any but those follow `**`.
fn misplaced(arguments: Node<'_>) -> bool {
    if arguments.named_child_count() < 2 {
        return false;
    }
    let mut cursor = arguments.walk();
    let (mut named, mut unpacked) = (false, false);
    for argument in arguments.named_children(&mut cursor).filter(|n| !n.is_extra()) {
        match argument.kind() {
            "keyword_argument" => named = true,
            "dictionary_splat" => unpacked = true,
            "list_splat" if unpacked => return true,
            "list_splat" | "ERROR" => {}
            _ if named || unpacked => return true,
            _ => {}
        }
    }
    false
}

/// Returns whether it is a number of Python 2: `0777`, `10L`.
fn is_old_number(look: &Look<'_, '_>) -> bool {
    let digits = look.source.get(look.node.byte_range()).unwrap_or_default();
    match digits {
        [.., b'l' | b'L'] => true,
        [b'0', b'0'..=b'9', ..] => {
            digits.iter().any(|b| matches!(b, b'1'..=b'9')) && !matches!(digits, [.., b'j' | b'J'])
        }
        _ => false,
    }
}

/// Bytes and formatted strings document nothing.
fn begins_with_string(look: &Look<'_, '_>, body: Node<'_>) -> bool {
    let mut cursor = body.walk();
    let first = body.named_children(&mut cursor).find(|n| n.kind() != "comment");
    let value = first.filter(|n| n.kind() == "expression_statement").and_then(|n| n.named_child(0));
    value.is_some_and(|n| {
        let prefix = look.source.get(n.start_byte()..).unwrap_or_default().iter();
        let mut prefix = prefix.take(2).take_while(|b| b.is_ascii_alphabetic());
        matches!(n.kind(), "string" | "concatenated_string")
            && !prefix.any(|b| matches!(b.to_ascii_lowercase(), b'b' | b'f' | b't'))
    })
}

fn special(look: &Look<'_, '_>) -> Special {
    let mut special = Special::default();
    match look.node.kind() {
        "argument_list" => special.faulty = misplaced(look.node),
        "integer" => special.faulty = is_old_number(look),
        // `print >>file, x` is an expression, if a useless one.
        "print_statement" => special.faulty = !has_child(look.node, &["chevron"]),
        "raise_statement" => special.faulty = has_child(look.node, &["expression_list"]),
        "exec_statement" | "<>" => special.faulty = true,
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

/// Returns whether a case is a bare name or `_`, in brackets or not.
fn takes_all(case: Node<'_>) -> bool {
    let mut cursor = case.walk();
    let mut subgroups = case.named_children(&mut cursor).filter(|n| n.kind() == "case_pattern");
    let (Some(mut pattern), None) = (subgroups.next(), subgroups.next()) else { return false };
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

/// Returns whether a `try`'s `else` comes after `except*`.
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
