//! Short programs such as an agent would write.

use rand::{Rng, RngExt};

/// A program in `language` about `subject`; its parts vary with `rng`.
pub(super) fn program(language: &str, subject: &str, rng: &mut impl Rng) -> (String, &'static str) {
    let functions = rng.random_range(1..=4);
    let branches = rng.random_range(0..=3);
    match language {
        "python" => (python(subject, functions, branches, rng.random_bool(0.7)), "py"),
        "typescript" => (script(subject, functions, branches, true), "ts"),
        "javascript" => (script(subject, functions, branches, false), "js"),
        "sql" => (sql(subject, functions), "sql"),
        "html" => (html(subject, functions), "html"),
        _ => (rust(subject, functions, branches), "rs"),
    }
}

fn python(subject: &str, functions: usize, branches: usize, documented: bool) -> String {
    let mut code = String::from("from typing import Optional\n\n");
    for f in 0..functions {
        code += &format!("\ndef {subject}_{f}(value: Optional[int]) -> int:\n");
        if documented {
            code += &format!("    \"\"\"Handle {subject} {f}.\"\"\"\n");
        }
        for b in 0..branches {
            code += &format!("    if value == {b}:\n        return {b}\n");
        }
        code += "    return value or 0\n";
    }
    code + &format!("\n\ndef test_{subject}():\n    assert {subject}_0(None) == 0\n")
}

fn script(subject: &str, functions: usize, branches: usize, typed: bool) -> String {
    let (argument, result) = if typed { (": number", ": number") } else { ("", "") };
    let mut code = String::new();
    for f in 0..functions {
        code += &format!("export function {subject}{f}(value{argument}){result} {{\n");
        for b in 0..branches {
            code += &format!("  if (value === {b}) {{\n    return {b};\n  }}\n");
        }
        code += "  return value;\n}\n\n";
    }
    code
}

fn sql(subject: &str, columns: usize) -> String {
    let list: Vec<_> = (0..columns).map(|c| format!("    field_{c} TEXT NOT NULL")).collect();
    format!(
        "CREATE TABLE {subject} (\n    id INTEGER PRIMARY KEY,\n{}\n);\n\nSELECT id FROM {subject};\n",
        list.join(",\n")
    )
}

fn html(subject: &str, items: usize) -> String {
    let list: String = (0..items).map(|i| format!("    <li>{subject} {i}</li>\n")).collect();
    format!("<!doctype html>\n<html>\n<body>\n  <ul>\n{list}  </ul>\n</body>\n</html>\n")
}

fn rust(subject: &str, functions: usize, branches: usize) -> String {
    let mut code = String::new();
    for f in 0..functions {
        code += &format!(
            "/// Handles {subject}.\npub fn {subject}_{f}(value: u32) -> u32 {{\n    match value {{\n"
        );
        for b in 0..branches {
            code += &format!("        {b} => {},\n", b + 1);
        }
        code += "        other => other,\n    }\n}\n\n";
    }
    code
}
