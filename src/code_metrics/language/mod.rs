//! Which language a text is in: by its file's name, by what the host calls it, by what it looks like.

mod signs;

use serde::{Deserialize, Serialize};
use signs::SIGNS;

/// A language that is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Language {
    /// Python 3.
    Python,
    /// JavaScript, JSX too.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Java.
    Java,
    /// SQL, of any dialect.
    Sql,
    /// HTML.
    Html,
    /// CSS.
    Css,
    /// Anything else.
    Other,
}

/// A language with how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Detected {
    pub(super) language: Language,
    /// 0 to 1; 1 where a host or a file's name says so.
    pub(super) confidence: f64,
}

/// Names and file extensions, in lower case.
const NAMES: &[(Language, &[&str])] = &[
    (Language::Python, &["python", "python3", "py", "pyi", "pyw", "py3"]),
    (Language::JavaScript, &["javascript", "js", "jsx", "mjs", "cjs", "node", "ecmascript"]),
    (Language::TypeScript, &["typescript", "ts", "mts", "cts"]),
    (Language::Tsx, &["tsx", "typescriptreact"]),
    (Language::Rust, &["rust", "rs"]),
    (Language::Go, &["go", "golang"]),
    (Language::Java, &["java"]),
    (Language::Sql, &["sql", "postgresql", "postgres", "mysql", "sqlite", "plpgsql", "ddl"]),
    (Language::Html, &["html", "htm", "xhtml"]),
    (Language::Css, &["css"]),
];

/// Other languages whose names are known, so that nothing is guessed for them.
const OTHERS: &[&str] = &[
    "bash",
    "sh",
    "shell",
    "zsh",
    "console",
    "text",
    "txt",
    "plaintext",
    "json",
    "yaml",
    "yml",
    "toml",
    "xml",
    "md",
    "markdown",
    "c",
    "h",
    "cpp",
    "c++",
    "hpp",
    "cs",
    "csharp",
    "ruby",
    "rb",
    "php",
    "kotlin",
    "kt",
    "swift",
    "scala",
    "dart",
    "lua",
    "perl",
    "r",
    "elixir",
    "haskell",
    "dockerfile",
    "makefile",
    "ini",
    "scss",
    "sass",
    "less",
    "vue",
    "svelte",
    "graphql",
    "proto",
    "powershell",
    "ps1",
    "diff",
    "patch",
];

impl Language {
    /// The language of a name (`Python`), a file's name or path (`src/app.tsx`) or an extension
    /// (`.go`). `None` for what is not known.
    pub(crate) fn from_hint(hint: &str) -> Option<Self> {
        let name = hint.trim().rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default();
        if name.len() > 32 {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let found = NAMES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(l, _)| *l);
        found.or_else(|| OTHERS.contains(&name.as_str()).then_some(Self::Other))
    }
}

/// The language of `code`, by `hint` where that names one, else by its looks.
pub(super) fn detect(code: &[u8], hint: Option<&str>) -> Detected {
    match hint.and_then(Language::from_hint) {
        Some(Language::TypeScript) if !is_ts_file(hint) && looks_like_jsx(code) => {
            Detected { language: Language::Tsx, confidence: 1.0 }
        }
        Some(language) => Detected { language, confidence: 1.0 },
        None => by_looks(&code[..code.len().min(LOOKED_AT)]),
    }
}

/// The looks are judged by this many bytes at the start.
const LOOKED_AT: usize = 16 * 1024;

fn is_ts_file(hint: Option<&str>) -> bool {
    hint.is_some_and(|h| h.trim_end().to_ascii_lowercase().ends_with(".ts"))
}

fn looks_like_jsx(code: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&code[..code.len().min(LOOKED_AT)]);
    let mut lines = head.lines().map(str::trim_start).filter(|line| !is_comment(line));
    lines.any(|line| line.contains("/>") || line.contains("</"))
}

/// Comments are no code; neither are their continuation lines, `* like this`.
fn is_comment(line: &str) -> bool {
    let goes_on = line.strip_prefix('*').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '/']));
    line.starts_with("//") || line.starts_with("/*") || (goes_on && !line.starts_with("* {"))
}

/// The looks are judged by this many lines.
const MOST_LINES: usize = 200;

/// Scores below this are no language.
const LEAST_SCORE: f64 = 1.5;

fn by_looks(head: &[u8]) -> Detected {
    let text = String::from_utf8_lossy(head);
    let mut scores = [0.0; NAMES.len() + 1];
    let place = |language| NAMES.iter().position(|(l, _)| *l == language).unwrap_or(NAMES.len());
    for line in text.lines().take(MOST_LINES) {
        let line = line.trim();
        if line.is_empty() || is_comment(line) {
            continue;
        }
        let line = &line[..line.floor_char_boundary(200)];
        let lower = line.to_ascii_lowercase();
        for sign in SIGNS {
            let lowered = matches!(sign.language, Language::Sql | Language::Html);
            if sign.is_in(if lowered { &lower } else { line }) {
                scores[place(sign.language)] += sign.weight;
            }
        }
    }
    // A page begins with a tag, and holds scripts and styles; a script may hold tags.
    if text.trim_start().starts_with('<') {
        let page = scores[place(Language::Html)];
        if page > 0.0 && scores[place(Language::Other)] < 4.0 {
            scores = [0.0; NAMES.len() + 1];
            scores[place(Language::Html)] = page;
        }
    } else {
        scores[place(Language::Html)] = 0.0;
    }
    typed_script(&mut scores, place(Language::JavaScript), place(Language::TypeScript));
    let total: f64 = scores.iter().sum();
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    match best.and_then(|(at, score)| Some((NAMES.get(at)?.0, *score))) {
        Some((language, score)) if score >= LEAST_SCORE => {
            let language = match language {
                Language::TypeScript if looks_like_jsx(head) => Language::Tsx,
                language => language,
            };
            Detected { language, confidence: 0.95 * score / total }
        }
        _ => Detected { language: Language::Other, confidence: 0.0 },
    }
}

/// What speaks for JavaScript speaks for TypeScript too, once enough speaks for types.
fn typed_script(scores: &mut [f64], script: usize, typed: usize) {
    if scores[typed] >= 1.5 && scores[script] > 0.0 {
        scores[typed] += std::mem::take(&mut scores[script]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_names_paths_and_extensions() {
        let of = Language::from_hint;
        assert_eq!(of("Python"), Some(Language::Python));
        assert_eq!(of("src/app/Page.tsx"), Some(Language::Tsx));
        assert_eq!(of(".go"), Some(Language::Go));
        assert_eq!(of("C:\\x\\Main.java"), Some(Language::Java));
        assert_eq!(of("bash"), Some(Language::Other));
        assert_eq!(of("fortran-77"), None);
        assert_eq!(of(&"x".repeat(1000)), None);
    }

    #[test]
    fn looks_tell_languages_apart() {
        let cases = [
            (Language::Python, "import os\n\ndef run(self, x):\n    if x:\n        return os.getcwd()\n"),
            (
                Language::JavaScript,
                "const x = require('y');\nmodule.exports = function (a) {\n  return a === 1;\n};\n",
            ),
            (
                Language::TypeScript,
                "export interface A { b: string }\nconst f = (a: number): void => {\n};\n",
            ),
            (
                Language::Tsx,
                "type P = { a: string };\nexport const A = (p: P) => {\n  return <div>{p.a}</div>;\n};\n",
            ),
            (Language::Rust, "use std::fmt;\npub fn a(x: &mut u8) -> Result<(), ()> {\n    Ok(())\n}\n"),
            (Language::Go, "package main\n\nfunc main() {\n\tx := 1\n\tfmt.Println(x)\n}\n"),
            (Language::Java, "package com.x;\npublic class A {\n    private int b;\n}\n"),
            (Language::Sql, "SELECT a FROM b\nWHERE c = 1;\n"),
            (Language::Html, "<!DOCTYPE html>\n<html><body></body></html>"),
            (Language::Css, ".a {\n  color: red;\n}\n"),
        ];
        for (language, code) in cases {
            let found = detect(code.as_bytes(), None);
            assert_eq!(found.language, language, "{code}");
            assert!(found.confidence > 0.4 && found.confidence < 1.0, "{language:?} {}", found.confidence);
        }
        assert_eq!(detect(b"Dear all, we met and talked.", None).language, Language::Other);
    }

    #[test]
    fn a_few_lines_are_enough() {
        let cases = [
            (Language::Python, "total = [n ** 2 for n in range(9)]\nprint(total)"),
            (Language::JavaScript, "class Cart {\n  constructor() {\n    this.lines = [];\n  }\n}"),
            (Language::TypeScript, "const names: Map<string, Name> = new Map();"),
            (Language::Rust, "struct Size {\n    width: f64,\n}"),
            (Language::Rust, "#[derive(Debug)]\nenum Kind {\n    Whole(u8),\n}"),
            (Language::Go, "type Area interface {\n\tSize() float64\n}"),
            (Language::Java, "interface Area {\n    double size();\n}"),
            (Language::Java, "public int twice(int a) {\n    return a * 2;\n}"),
            (Language::Sql, "DROP TABLE IF EXISTS carts;"),
            (Language::Html, "<nav class=\"top\">\n  <a href=\"/\">Start</a>\n</nav>"),
            (
                Language::Html,
                "<!DOCTYPE html>\n<script>\nconst a = () => {\n  console.log(1);\n};\n</script>",
            ),
            (Language::Css, "ul li {\n  list-style: none;\n}"),
            (Language::Other, "Select the file from the list.\nUpdate it if needed."),
            (Language::Other, "#include <stdio.h>\n\nint main(void) {\n    return 0;\n}"),
            (Language::Other, "FROM node:20\nWORKDIR /app\nRUN npm ci"),
            (Language::Other, "<?php\nfunction f($x) {\n    return $x;\n}"),
        ];
        for (language, code) in cases {
            assert_eq!(detect(code.as_bytes(), None).language, language, "{code}");
        }
        let commented =
            "/**\n * Sums {@link a}:\n * body { not this }\n */\nexport const sum = (a: number) => a;\n";
        assert_eq!(detect(commented.as_bytes(), None).language, Language::TypeScript);
        let compared = "// a </b\nexport const sum = (a: number) => a;\n";
        assert_eq!(detect(compared.as_bytes(), Some("typescript")).language, Language::TypeScript);
    }
}
