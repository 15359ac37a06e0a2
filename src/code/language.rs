//! Which language a text is in: by its file's name, by what the host calls it, by what it looks like.

use serde::{Deserialize, Serialize};

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
    pub fn from_hint(hint: &str) -> Option<Self> {
        let name = hint.trim().rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default();
        if name.len() > 32 {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let found = NAMES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(l, _)| *l);
        found.or_else(|| OTHERS.contains(&name.as_str()).then_some(Self::Other))
    }

    /// Whether its code is parsed in this build; the features `code-…` decide.
    pub fn is_parsed(self) -> bool {
        super::rules::of(self).is_some()
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
    let head = &code[..code.len().min(LOOKED_AT)];
    head.windows(2).any(|w| w == b"/>" || w == b"</")
}

/// What a line of a language begins with or holds, and how much that says.
struct Sign {
    language: Language,
    starts: &'static [&'static str],
    holds: &'static [&'static str],
    weight: f64,
}

const fn sign(
    language: Language,
    starts: &'static [&'static str],
    holds: &'static [&'static str],
    weight: f64,
) -> Sign {
    Sign { language, starts, holds, weight }
}

/// A line speaks for a language when it starts with one of `starts` (where there are any) and holds
/// one of `holds` (likewise).
const SIGNS: &[Sign] = &[
    sign(Language::Python, &["def ", "async def ", "class "], &["):", ") ->", ":"], 3.0),
    sign(Language::Python, &["from "], &[" import "], 3.0),
    sign(Language::Python, &["import "], &[], 0.7),
    sign(
        Language::Python,
        &["elif ", "except", "if __name__", "@property", "#!/usr/bin/env python"],
        &[],
        3.0,
    ),
    sign(Language::Python, &["if ", "for ", "while ", "with ", "try:", "else:"], &[":"], 1.0),
    sign(Language::Python, &[], &["self.", "print("], 0.7),
    sign(Language::JavaScript, &["function ", "async function ", "export "], &["{", "=>", "("], 2.0),
    sign(Language::JavaScript, &["const ", "let ", "var "], &["=", ";"], 1.5),
    sign(Language::JavaScript, &[], &["=> {", "===", "!==", "console.log", "require("], 1.5),
    sign(Language::JavaScript, &["import "], &[" from '", " from \"", "} from"], 3.0),
    sign(Language::JavaScript, &["module.exports", "});", "'use strict'"], &[], 2.0),
    sign(
        Language::TypeScript,
        &["interface ", "export interface ", "type ", "export type ", "enum "],
        &["{", "="],
        3.0,
    ),
    sign(
        Language::TypeScript,
        &[],
        &[": string", ": number", ": boolean", ": void", ": Promise<", "as const"],
        3.0,
    ),
    sign(Language::TypeScript, &["private ", "public ", "protected ", "readonly "], &[": "], 2.0),
    sign(
        Language::Rust,
        &["fn ", "pub fn ", "impl ", "impl<", "pub struct ", "pub enum ", "pub(crate)"],
        &[],
        3.0,
    ),
    sign(Language::Rust, &["use "], &["::", ";"], 2.0),
    sign(Language::Rust, &["let mut ", "#[", "mod ", "match ", "pub mod "], &[], 2.5),
    sign(Language::Rust, &[], &["-> Result<", "&mut ", "&self", "println!(", "::new("], 2.0),
    sign(Language::Go, &["package "], &[], 1.5),
    sign(Language::Go, &["func "], &["{"], 3.0),
    sign(Language::Go, &[], &[":= ", "if err != nil", "fmt."], 2.5),
    sign(Language::Go, &["type "], &[" struct {", " interface {"], 3.0),
    sign(
        Language::Java,
        &["public class ", "public interface ", "public final class ", "public enum "],
        &[],
        4.0,
    ),
    sign(Language::Java, &["package ", "import "], &[";"], 1.0),
    sign(Language::Java, &["import java", "package com.", "package org."], &[], 3.0),
    sign(
        Language::Java,
        &["public ", "private ", "protected ", "@Override", "static "],
        &["(", ";", "@"],
        1.2,
    ),
    sign(Language::Java, &[], &["System.out.", "new ArrayList", "throws "], 2.0),
    sign(
        Language::Sql,
        &["select ", "insert into ", "create table ", "alter table ", "update ", "delete from "],
        &[],
        3.0,
    ),
    sign(
        Language::Sql,
        &[
            "create index",
            "create unique",
            "create or replace",
            "drop ",
            "with ",
            "from ",
            "where ",
            "join ",
            "left join ",
            "group by ",
            "order by ",
            "on conflict",
        ],
        &[],
        1.0,
    ),
    sign(
        Language::Html,
        &["<!doctype html", "<html", "<head", "<body", "<div", "<p>", "<script", "<meta", "<ul", "<h1"],
        &[],
        3.0,
    ),
    sign(Language::Html, &["</"], &[">"], 1.0),
    sign(Language::Css, &["@media", "@import", ":root", "@keyframes"], &[], 3.0),
    sign(Language::Css, &[".", "#", "body", "html", "a:", "h1", "*"], &["{"], 1.5),
    sign(
        Language::Css,
        &["color:", "margin", "padding", "display:", "font", "background", "width:", "border"],
        &[":"],
        1.5,
    ),
];

/// Scores below this are no language.
const LEAST_SCORE: f64 = 2.0;

fn by_looks(head: &[u8]) -> Detected {
    let text = String::from_utf8_lossy(head);
    let mut scores = [0.0; NAMES.len()];
    let place = |language| NAMES.iter().position(|(l, _)| *l == language);
    for line in text.lines().take(400) {
        let line = line.trim_start();
        let line = &line[..line.floor_char_boundary(200)];
        let lower = line.to_ascii_lowercase();
        for sign in SIGNS {
            let line =
                if matches!(sign.language, Language::Sql | Language::Html) { lower.as_str() } else { line };
            let starts = sign.starts.is_empty() || sign.starts.iter().any(|s| line.starts_with(s));
            let holds = sign.holds.is_empty() || sign.holds.iter().any(|s| line.contains(s));
            if let Some(at) = place(sign.language).filter(|_| starts && holds) {
                scores[at] += sign.weight;
            }
        }
    }
    typed_script(&mut scores, place(Language::JavaScript), place(Language::TypeScript));
    let total: f64 = scores.iter().sum();
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    match best {
        Some((at, score)) if *score >= LEAST_SCORE => {
            let language = match NAMES[at].0 {
                Language::TypeScript if looks_like_jsx(head) => Language::Tsx,
                language => language,
            };
            Detected { language, confidence: 0.95 * score / total }
        }
        _ => Detected { language: Language::Other, confidence: 0.0 },
    }
}

/// What speaks for JavaScript speaks for TypeScript too, once something speaks for types.
fn typed_script(scores: &mut [f64], script: Option<usize>, typed: Option<usize>) {
    if let (Some(script), Some(typed)) = (script, typed)
        && scores[typed] > 0.0
        && scores[script] > 0.0
    {
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
}
