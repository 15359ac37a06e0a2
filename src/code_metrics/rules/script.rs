//! JavaScript and TypeScript, counted as ESLint's rule `complexity` does (variant "classic").

use super::{
    ATTRIBUTE, CLASS, COMMENT, DECISION, FUNCTION, IMPORT, INITIALIZER, Look, NESTS, OUTSIDE, PLAIN, Roles,
    Rules, SKIP, SPECIAL, STATEMENT, Signature, Special, TEST, Value,
};
use crate::code_metrics::language::Language;
use crate::code_metrics::mask;
use crate::code_metrics::metrics::{FunctionKind, Share};
use tree_sitter::Node;

pub(super) static JAVASCRIPT: Rules = Rules {
    language: Language::JavaScript,
    grammar: || tree_sitter_javascript::LANGUAGE.into(),
    kinds: JAVASCRIPT_KINDS,
    tokens: TOKENS,
    doc_comments: &["/**"],
    signature: |look| Signature { name: look.field("name"), ..Signature::default() },
    special,
    masked: mask::script,
    is_test,
    ..PLAIN
};

pub(super) static TYPESCRIPT: Rules = Rules {
    language: Language::TypeScript,
    grammar: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
    kinds: TYPESCRIPT_KINDS,
    tokens: TYPED_TOKENS,
    signature: typed_signature,
    ..JAVASCRIPT
};

pub(super) static TSX: Rules =
    Rules { language: Language::Tsx, grammar: || tree_sitter_typescript::LANGUAGE_TSX.into(), ..TYPESCRIPT };

macro_rules! tokens {
    ($($more:expr),*) => {
        &[
            ("&&", DECISION),
            ("||", DECISION),
            ("??", DECISION),
            ("&&=", DECISION),
            ("||=", DECISION),
            ("??=", DECISION),
            $($more),*
        ]
    };
}

const TOKENS: &[(&str, Roles)] = tokens!();

/// TypeScript's grammar has a keyword where JavaScript's has an `optional_chain`.
const TYPED_TOKENS: &[(&str, Roles)] = tokens!(("?.", DECISION));

macro_rules! kinds {
    ($($more:expr),* $(,)?) => {
        &[
            ("if_statement", DECISION | NESTS | STATEMENT),
            ("ternary_expression", DECISION),
            ("for_statement", DECISION | NESTS | STATEMENT),
            ("for_in_statement", DECISION | NESTS | STATEMENT),
            ("while_statement", DECISION | NESTS | STATEMENT),
            ("do_statement", DECISION | NESTS | STATEMENT),
            ("try_statement", NESTS | STATEMENT),
            ("switch_statement", NESTS | STATEMENT),
            ("catch_clause", DECISION),
            ("switch_case", DECISION),
            // Default values, of parameters and of destructured ones.
            ("assignment_pattern", DECISION),
            ("object_assignment_pattern", DECISION),
            ("function_declaration", FUNCTION | STATEMENT),
            ("generator_function_declaration", FUNCTION | STATEMENT),
            ("function_expression", FUNCTION),
            ("generator_function", FUNCTION),
            ("arrow_function", FUNCTION),
            ("method_definition", FUNCTION | STATEMENT),
            ("class_declaration", CLASS | STATEMENT),
            ("class", CLASS),
            ("class_static_block", INITIALIZER),
            ("decorator", OUTSIDE | ATTRIBUTE),
            ("computed_property_name", OUTSIDE),
            ("variable_declarator", SPECIAL),
            ("assignment_expression", SPECIAL),
            ("pair", SPECIAL),
            ("call_expression", TEST),
            ("import_statement", IMPORT | STATEMENT),
            ("lexical_declaration", STATEMENT),
            ("variable_declaration", STATEMENT),
            ("expression_statement", STATEMENT),
            ("return_statement", STATEMENT),
            ("throw_statement", STATEMENT),
            ("break_statement", STATEMENT),
            ("continue_statement", STATEMENT),
            ("debugger_statement", STATEMENT),
            ("comment", COMMENT | SKIP),
            $($more),*
        ]
    };
}

const JAVASCRIPT_KINDS: &[(&str, Roles)] =
    kinds!(("field_definition", SPECIAL | STATEMENT), ("optional_chain", DECISION),);

const TYPESCRIPT_KINDS: &[(&str, Roles)] = kinds!(
    ("public_field_definition", SPECIAL | STATEMENT),
    ("required_parameter", SPECIAL),
    ("optional_parameter", SPECIAL),
    ("abstract_class_declaration", CLASS | STATEMENT),
    ("interface_declaration", CLASS | STATEMENT),
    ("enum_declaration", CLASS | STATEMENT),
    ("type_alias_declaration", STATEMENT),
    ("function_signature", STATEMENT),
);

fn typed_signature(look: &Look<'_, '_>) -> Signature {
    let mut hints = Share::default();
    // A constructor's and a setter's return have no type to write.
    let name = look.field("name");
    let setter = look.node.child(0).is_some_and(|n| n.kind() == "set");
    if !setter && name != "constructor" && !matches!(look.node.kind(), "class" | "class_declaration") {
        hints.of = 1;
        hints.with = u32::from(look.node.child_by_field_name("return_type").is_some());
    }
    if look.node.child_by_field_name("parameter").is_some() {
        hints.of += 1; // `x => …`
    }
    if let Some(parameters) = look.node.child_by_field_name("parameters") {
        let mut cursor = parameters.walk();
        for parameter in parameters.named_children(&mut cursor).filter(|n| n.kind().ends_with("_parameter")) {
            hints.of += 1;
            hints.with += u32::from(parameter.child_by_field_name("type").is_some());
        }
    }
    Signature { name, hints, ..Signature::default() }
}

fn special(look: &Look<'_, '_>) -> Special {
    let field = |name| look.node.child_by_field_name(name);
    match look.node.kind() {
        "required_parameter" | "optional_parameter" => {
            Special { decisions: u32::from(field("value").is_some()), ..Special::default() }
        }
        "field_definition" | "public_field_definition" => {
            let value = |v: Node<'_>| named(v, look, &["property", "name"], Some(FunctionKind::Initializer));
            // ESLint passes over `accessor x = …`.
            let initial = field("value").filter(|_| !is_accessor(look));
            Special { values: initial.map(value).into_iter().collect(), ..Special::default() }
        }
        _ => {
            let value = field("value").or_else(|| field("right")).filter(|n| is_function(*n));
            let value = value.map(|v| named(v, look, &["name", "key", "left"], None));
            Special { values: value.into_iter().collect(), ..Special::default() }
        }
    }
}

fn named(value: Node<'_>, look: &Look<'_, '_>, fields: &[&str], measured: Option<FunctionKind>) -> Value {
    let name = fields.iter().map(|name| look.field(name)).find(|text| !text.is_empty()).unwrap_or_default();
    Value { start: value.start_byte(), name, measured }
}

fn is_accessor(look: &Look<'_, '_>) -> bool {
    let mut cursor = look.node.walk();
    look.node.children(&mut cursor).any(|child| child.kind() == "accessor")
}

fn is_function(node: Node<'_>) -> bool {
    matches!(node.kind(), "arrow_function" | "function_expression" | "generator_function" | "class")
}

/// `it("…", …)` and `test("…", …)` of Jest, Vitest and Mocha, with `.only`, `.each(…)` and the like.
fn is_test(look: &Look<'_, '_>) -> bool {
    if look.node.kind() != "call_expression" {
        return false;
    }
    let head = look.source.get(look.node.start_byte()..).unwrap_or_default();
    if !(head.starts_with(b"it") || head.starts_with(b"test")) {
        return false;
    }
    let named = look.node.child_by_field_name("function").map(|f| look.text(f)).unwrap_or_default();
    let base = named.split(['.', '(', '`']).next().unwrap_or_default();
    let first = look.node.child_by_field_name("arguments").and_then(|a| a.named_child(0));
    let titled = first.is_some_and(|n| matches!(n.kind(), "string" | "template_string"));
    matches!(base, "it" | "test") && titled
}
