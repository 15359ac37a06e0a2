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
    let head = String::from_utf8_lossy(&code[..code.len().min(LOOKED_AT)]);
    let mut lines = head.lines().map(str::trim_start).filter(|line| !is_comment(line));
    lines.any(|line| line.contains("/>") || line.contains("</"))
}

/// What a comment says is no code; neither is what goes on in one, `* like this`.
fn is_comment(line: &str) -> bool {
    let goes_on = line.strip_prefix('*').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '/']));
    line.starts_with("//") || line.starts_with("/*") || (goes_on && !line.starts_with("* {"))
}

/// What a line of a language begins with, holds and ends with, and how much that says.
struct Sign {
    language: Language,
    starts: &'static [&'static str],
    holds: &'static [&'static str],
    ends: &'static [&'static str],
    lacks: &'static [&'static str],
    weight: f64,
}

/// Words in the order of [`Sign`]'s fields; none where it does not matter.
type Words = &'static [&'static str];

const fn sign(language: Language, weight: f64, starts: Words, holds: Words) -> Sign {
    Sign { language, starts, holds, ends: &[], lacks: &[], weight }
}

impl Sign {
    const fn ends(mut self, ends: Words) -> Self {
        self.ends = ends;
        self
    }

    const fn lacks(mut self, lacks: Words) -> Self {
        self.lacks = lacks;
        self
    }

    fn is_in(&self, line: &str) -> bool {
        let any =
            |words: Words, found: &dyn Fn(&str) -> bool| words.is_empty() || words.iter().any(|w| found(w));
        any(self.starts, &|w| line.starts_with(w))
            && any(self.ends, &|w| line.ends_with(w))
            && any(self.holds, &|w| line.contains(w))
            && !self.lacks.iter().any(|w| line.contains(w))
    }
}

/// A line without the white space around it speaks for a language when it starts with one of
/// `starts`, holds one of `holds`, ends with one of `ends` and has none of `lacks`; SQL and HTML
/// are compared in lower case. What speaks for languages that are not told apart is here too.
const SIGNS: &[Sign] = {
    use Language::{Css, Go, Html, Java, JavaScript, Other, Python, Rust, Sql, TypeScript};
    &[
        sign(Python, 3.0, &["def ", "async def "], &["("]).ends(&[":", "pass", "..."]),
        sign(Python, 2.0, &["def ", "async def "], &["("]).lacks(&["{", "}"]),
        sign(Python, 3.0, &["class "], &[]).ends(&[":"]),
        sign(Python, 3.0, &["from "], &[" import "]),
        sign(Python, 0.7, &["import "], &[]).lacks(&[";", "\"", "'", "{", "*"]),
        sign(Python, 2.0, &["import "], &[" as "]).lacks(&["\"", "'", "*"]),
        sign(
            Python,
            2.0,
            &[
                "import os",
                "import sys",
                "import re",
                "import json",
                "import math",
                "import time",
                "import random",
                "import logging",
                "import asyncio",
                "import typing",
                "import numpy",
                "import pandas",
                "import pytest",
            ],
            &[],
        )
        .lacks(&[";", "\"", "'"]),
        sign(
            Python,
            3.0,
            &[
                "elif ",
                "except:",
                "except ",
                "if __name__",
                "@property",
                "@dataclass",
                "@staticmethod",
                "@classmethod",
                "@pytest",
                "@app.",
                "@router.",
                "#!/usr/bin/env python",
                "#!/usr/bin/python",
            ],
            &[],
        ),
        sign(Python, 1.5, &["if ", "for ", "while ", "with ", "async with ", "async for "], &[])
            .ends(&[":"])
            .lacks(&["{", ";"]),
        sign(Python, 1.5, &["try:", "else:", "finally:"], &[]),
        sign(Python, 1.5, &["print("], &[]).lacks(&[";"]),
        sign(Python, 0.7, &[], &["self.", "print("]),
        sign(
            Python,
            1.5,
            &[],
            &[
                " in range(",
                " in enumerate(",
                ".items()",
                "__init__",
                "lambda ",
                " is None",
                " is not None",
                " not in ",
                " = None",
                " = True",
                " = False",
                "return None",
                "return True",
                "return False",
                "self,",
                "self)",
                "(f\"",
                "(f'",
                " = f\"",
                " = f'",
                "**kwargs",
            ],
        )
        .lacks(&[";"]),
        sign(Python, 1.5, &[], &[" for "]).ends(&["]", ")", "}"]).lacks(&["{ ", ";", "//"]),
        sign(JavaScript, 2.0, &["function ", "async function ", "function* "], &["{", "=>", "("]),
        sign(JavaScript, 2.0, &["export "], &["{", "=>", "(", " from "]),
        sign(JavaScript, 1.5, &["const ", "let ", "var "], &["=", ";"]),
        sign(
            JavaScript,
            1.5,
            &[],
            &[
                "=> {",
                ") => ",
                "===",
                "!==",
                "console.",
                "require(",
                "document.",
                "window.",
                "useState(",
                "useEffect(",
                "await fetch(",
                ".addEventListener(",
                ".forEach(",
                ".then(",
                "new Promise",
                "JSON.",
                "undefined",
                "typeof ",
                "localStorage.",
                "for (const ",
                "for (let ",
                "Object.keys(",
                "Object.entries(",
                "Array.",
                "async (",
            ],
        ),
        sign(JavaScript, 1.0, &[], &[" => ", "this.", "${"]),
        sign(JavaScript, 3.0, &["import "], &[" from '", " from \"", "} from"]),
        sign(
            JavaScript,
            2.5,
            &["module.exports", "});", "'use strict'", "constructor(", "'use client'", "\"use client\""],
            &[],
        ),
        sign(JavaScript, 2.0, &["describe(", "it('", "it(\"", "test('", "test(\"", "expect("], &[]),
        sign(JavaScript, 1.0, &["class "], &[]).ends(&["{"]),
        sign(JavaScript, 0.5, &["if (", "while (", "for (", "} else", "return "], &[]).ends(&["{", ";"]),
        sign(TypeScript, 2.0, &["interface ", "enum "], &["{"]),
        sign(
            TypeScript,
            3.0,
            &["export interface ", "export type ", "export enum ", "const enum "],
            &["{", "="],
        ),
        sign(TypeScript, 2.5, &["type "], &[" = "]),
        sign(
            TypeScript,
            3.0,
            &["declare ", "export declare ", "import type ", "export abstract class "],
            &[],
        ),
        sign(
            TypeScript,
            3.0,
            &[],
            &[
                ": string",
                ": number",
                ": boolean",
                ": void",
                ": Promise<",
                ": any",
                ": unknown",
                "as const",
                " as any",
                " as unknown",
                "?: ",
                ": Record<",
                ": Array<",
                ": Map<",
                ": React.",
                "useState<",
                "useRef<",
                "<T>(",
                "<T,>",
                ": T)",
                "keyof ",
                "satisfies ",
                "<string",
                "<number",
            ],
        )
        .lacks(&[" ?: "]),
        sign(
            TypeScript,
            2.0,
            &["private ", "public ", "protected ", "readonly ", "constructor(private"],
            &[": "],
        ),
        sign(TypeScript, 1.5, &["abstract class "], &[]),
        sign(TypeScript, 2.0, &["abstract "], &["): "]),
        sign(TypeScript, 2.0, &["@Injectable(", "@Component(", "@Controller(", "@Input("], &[]),
        sign(
            Rust,
            3.0,
            &[
                "fn ",
                "pub fn ",
                "async fn ",
                "pub async fn ",
                "impl ",
                "impl<",
                "pub struct ",
                "pub enum ",
                "pub trait ",
                "pub(crate)",
                "pub mod ",
                "pub use ",
                "unsafe fn ",
                "macro_rules! ",
            ],
            &[],
        )
        .lacks(&[") error {"]),
        sign(Rust, 2.5, &["let mut ", "#[", "#!["], &[]),
        sign(Rust, 2.5, &["mod "], &[]).ends(&[";", "{"]),
        sign(Rust, 2.0, &["use "], &["::", ";"]).lacks(&["\\", "'", "\""]),
        sign(Rust, 2.5, &["match "], &[]).ends(&["{"]),
        sign(Rust, 2.0, &["struct ", "trait ", "enum "], &[]).ends(&["{", ";"]).lacks(&[":", "};"]),
        sign(Rust, 0.8, &["let "], &[]).ends(&[";"]),
        sign(
            Rust,
            2.0,
            &[],
            &[
                "-> Result<",
                "-> Option<",
                "-> Self",
                "-> i",
                "-> u",
                "-> bool {",
                "&mut ",
                "&self",
                "println!(",
                "format!(",
                "vec![",
                "::new(",
                ": i32",
                ": i64",
                ": u8",
                ": u32",
                ": u64",
                ": f32",
                ": f64",
                ": usize",
                ": &str",
                ": &'",
                ": Vec<",
                ": Option<",
                ": HashMap<",
                ".unwrap()",
                ".await?",
                "::<",
                "assert_eq!(",
                "Some(",
                "Ok(",
                "Err(",
                "anyhow::",
                "?;",
            ],
        ),
        sign(Go, 2.0, &["package "], &[]).lacks(&[";", ".", "="]),
        sign(Go, 3.0, &["func "], &[]).ends(&["{", "}"]).lacks(&["->"]),
        sign(Go, 3.0, &["func (", "import (", "go func", "defer ", "if err != nil", "if err :="], &[]),
        sign(Go, 2.0, &["import \""], &[]).ends(&["\""]),
        sign(
            Go,
            2.0,
            &[],
            &[
                ":= ",
                "fmt.",
                "make(",
                "map[string]",
                "[]string",
                "[]int",
                "[]byte",
                "chan ",
                "http.ResponseWriter",
            ],
        )
        .lacks(&["::"]),
        sign(Go, 5.0, &["type "], &[" struct {", " interface {", " struct{"]),
        sign(
            Java,
            3.0,
            &[
                "public class ",
                "public interface ",
                "public final class ",
                "public enum ",
                "public abstract class ",
                "public record ",
                "public sealed ",
                "public static void main",
            ],
            &[],
        ),
        sign(Java, 3.0, &["record ", "sealed interface "], &["("]).ends(&["}", "{"]),
        sign(Java, 1.0, &["package ", "import "], &[]).ends(&[";"]).lacks(&["'", "\"", "{"]),
        sign(
            Java,
            3.0,
            &["import java", "import static ", "import org.", "import com.", "package com.", "package org."],
            &[],
        )
        .ends(&[";"]),
        sign(Java, 1.5, &["public ", "private ", "protected ", "static ", "final ", "abstract "], &[" "])
            .ends(&[";", "{", "}"])
            .lacks(&[": ", ") {}", "=>", "&"]),
        sign(
            Java,
            1.5,
            &["int ", "double ", "long ", "float ", "char ", "boolean ", "void ", "String ", "Integer "],
            &[],
        )
        .ends(&[";", "{"]),
        sign(Java, 1.0, &["void ", "boolean ", "String ", "double "], &["("]).ends(&[";", "{"]),
        sign(
            Java,
            2.0,
            &[
                "@Override",
                "@Test",
                "@Autowired",
                "@GetMapping",
                "@PostMapping",
                "@RestController",
                "@Service",
                "@Entity",
                "@SpringBoot",
            ],
            &[],
        ),
        sign(Java, 2.0, &["List<", "Map<", "Set<", "Optional<", "for (String ", "for (int "], &[" "])
            .lacks(&["=>"]),
        sign(
            Java,
            2.0,
            &[],
            &[
                "System.out.",
                "new ArrayList",
                "new HashMap",
                ") throws ",
                "Integer.",
                "Exception e)",
                "Exception(",
                "String[]",
                "(String ",
            ],
        ),
        sign(Java, 0.7, &["class "], &[]).ends(&["{"]),
        sign(
            Sql,
            3.0,
            &[
                "insert into ",
                "create table ",
                "alter table ",
                "delete from ",
                "create index",
                "create unique",
                "create or replace",
                "create view",
                "create function",
                "create trigger",
                "create type",
                "create extension",
                "create schema",
                "create database",
                "drop table",
                "drop index",
                "drop view",
                "drop function",
                "truncate ",
                "explain select ",
                "explain analyze ",
                "on conflict",
                "grant select ",
                "grant all ",
                "revoke ",
            ],
            &[],
        ),
        sign(Sql, 3.0, &["select "], &[" from ", "*", ",", "(", ";", "."])
            .lacks(&[". ", "({", " the ", " it "]),
        sign(Sql, 1.5, &["select "], &[]).lacks(&[".", " the ", " it "]),
        sign(Sql, 2.0, &["select"], &[]).ends(&["select", "select distinct"]),
        sign(Sql, 2.0, &["update "], &[" set "]),
        sign(Sql, 1.2, &["update ", "set "], &[]).lacks(&[" the ", " it "]),
        sign(Sql, 2.0, &["group by ", "order by ", "left join ", "inner join ", "begin;", "commit;"], &[]),
        sign(
            Sql,
            1.0,
            &["with ", "from ", "where ", "join ", "having ", "values ", "limit ", "returning "],
            &[],
        )
        .lacks(&[":", " import "]),
        sign(
            Sql,
            1.5,
            &[],
            &["primary key", "not null", "varchar(", " references ", "language plpgsql", "count(*)"],
        ),
        sign(
            Html,
            3.0,
            &[
                "<!doctype html",
                "<html",
                "<head",
                "<body",
                "<div",
                "<p>",
                "<script",
                "<meta",
                "<ul",
                "<h1",
                "<h2",
                "<form",
                "<table",
                "<section",
                "<nav",
                "<main",
                "<header",
                "<footer",
                "<style",
                "<button",
                "<span",
                "<input",
                "<a ",
                "<img",
                "<article",
            ],
            &[],
        ),
        sign(Html, 1.0, &["<"], &[">"]).lacks(&["<?", "<-", "<<"]),
        sign(
            Css,
            3.0,
            &["@media", "@import url", ":root", "@keyframes", "@font-face", "@tailwind", "@supports"],
            &[],
        ),
        sign(Css, 1.7, &[".", "#", "* {", "*,", "*:", "::", "["], &["{"])
            .lacks(&["=>", ") {", "#{", "#[", "function"]),
        sign(
            Css,
            1.7,
            &[
                "body", "html", "a ", "a:", "a.", "h1", "h2", "h3", "h4", "p ", "p,", "ul", "ol ", "li",
                "div", "span", "button", "input", "table", "tr ", "td", "th ", "img", "nav", "header",
                "footer", "main ", "section", "form ", "label ", "select ", "textarea", "article", "from {",
                "to {", "0% {",
            ],
            &["{"],
        )
        .lacks(&["=", ") {", "=>", "${"]),
        sign(
            Css,
            1.5,
            &[
                "color:",
                "margin",
                "padding",
                "display:",
                "font",
                "background",
                "width:",
                "height:",
                "border",
                "position:",
                "flex",
                "grid",
                "gap:",
                "align-",
                "justify-",
                "text-",
                "list-style",
                "transform:",
                "transition",
                "animation",
                "box-",
                "cursor:",
                "opacity:",
                "z-index",
                "overflow",
                "max-",
                "min-",
                "line-height",
                "letter-spacing",
                "content:",
                "--",
                "outline",
                "top:",
                "left:",
            ],
            &[":"],
        )
        .ends(&[";", "}"]),
        sign(
            Css,
            1.0,
            &[],
            &[
                "{ color:",
                "{ margin",
                "{ padding",
                "{ display:",
                "{ font",
                "{ background",
                "{ box-",
                "{ border",
                "{ text-",
                "{ width:",
            ],
        ),
        // Languages that are not told apart, and prose.
        sign(Other, 6.0, &["<?", "#include", "#!/bin/", "#!/usr/bin/env bash", "#define ", "#pragma "], &[]),
        sign(
            Other,
            4.0,
            &[
                "using System",
                "using namespace ",
                "import 'package:",
                "import Foundation",
                "import SwiftUI",
                "import UIKit",
                "import kotlin",
                "data class ",
                "fun ",
                "namespace ",
                "defmodule ",
                "<template",
                "<script setup",
                "@interface ",
                "$ ",
            ],
            &[],
        )
        .lacks(&["namespace "]),
        sign(Other, 2.5, &["namespace "], &[]).lacks(&["{"]),
        sign(
            Other,
            3.0,
            &[
                "echo ",
                "puts ",
                "require '",
                "val ",
                "sudo ",
                "npm ",
                "pip ",
                "git ",
                "curl ",
                "cd ",
                "RUN ",
                "WORKDIR ",
                "CMD ",
                "COPY ",
                "ENTRYPOINT ",
                "printf(",
                "int main(",
                "foreach (",
                "attr_",
            ],
            &[],
        ),
        sign(Other, 2.5, &["end", "fi", "done", "esac"], &[])
            .ends(&["end", "fi", "done", "esac"])
            .lacks(&[" "]),
        sign(Other, 2.5, &["$"], &["$"]).lacks(&["$(", "${"]),
        sign(
            Other,
            2.0,
            &[],
            &["Console.Write", "{ get; ", "cout <<", " do |", "std::cout", "$this->", " ?: ", "\tpublic:"],
        ),
        sign(Other, 1.5, &["\""], &["\": "]),
        sign(
            Other,
            2.0,
            &[],
            &[
                "NULL",
                "char *",
                "size_t",
                "unsigned ",
                "uint8_t",
                "uint32_t",
                "int32_t",
                "(void)",
                "static inline",
                "sizeof(",
                "->",
            ],
        )
        .lacks(&[" -> ", "->(", "//", "*/"]),
        sign(Other, 1.5, &["["], &["]"]).ends(&["]"]),
        sign(Other, 1.5, &["- "], &[]),
        sign(Other, 1.5, &[], &[" "]).ends(&[".", "!", "?"]).lacks(&["#", "//", "*", "--", "\"\"\"", "<"]),
    ]
};

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
