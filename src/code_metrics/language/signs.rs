//! What gives a language away: the beginnings of its lines, and what they hold.

use super::Language;

/// A line without the white space around it speaks for a language when it starts with one of
/// `starts`, holds one of `holds`, ends with one of `ends` and has none of `lacks`; SQL and HTML
/// are compared in lower case. What speaks for languages that are not told apart is here too.
#[rustfmt::skip] // a table: one sign after the other
pub(super) const SIGNS: &[Sign] = {
    use Language::{Css, Go, Html, Java, JavaScript, Other, Python, Rust, Sql, TypeScript};
    &[
        sign(Python, 3.0, &["def ", "async def "], &["("]).ends(&[":", "pass", "..."]),
        sign(Python, 2.0, &["def ", "async def "], &["("]).lacks(&["{", "}"]),
        sign(Python, 3.0, &["class "], &[]).ends(&[":"]),
        sign(Python, 3.0, &["from "], &[" import "]),
        sign(Python, 0.7, &["import "], &[]).lacks(&[";", "\"", "'", "{", "*"]),
        sign(Python, 2.0, &["import "], &[" as "]).lacks(&["\"", "'", "*"]),
        sign(Python, 2.0, &["import os", "import sys", "import re", "import json", "import math",
            "import time", "import random", "import logging", "import asyncio", "import typing",
            "import numpy", "import pandas", "import pytest"], &[]).lacks(&[";", "\"", "'"]),
        sign(Python, 3.0, &["elif ", "except:", "except ", "if __name__", "@property", "@dataclass",
            "@staticmethod", "@classmethod", "@pytest", "@app.", "@router.", "#!/usr/bin/env python",
            "#!/usr/bin/python"], &[]),
        sign(Python, 1.5, &["if ", "for ", "while ", "with ", "async with ", "async for "],
            &[]).ends(&[":"]).lacks(&["{", ";"]),
        sign(Python, 1.5, &["try:", "else:", "finally:"], &[]),
        sign(Python, 1.5, &["print("], &[]).lacks(&[";"]),
        sign(Python, 0.7, &[], &["self.", "print("]),
        sign(Python, 1.5, &[], &[" in range(", " in enumerate(", ".items()", "__init__", "lambda ",
            " is None", " is not None", " not in ", " = None", " = True", " = False", "return None",
            "return True", "return False", "self,", "self)", "(f\"", "(f'", " = f\"", " = f'",
            "**kwargs"]).lacks(&[";"]),
        sign(Python, 1.5, &[], &[" for "]).ends(&["]", ")", "}"]).lacks(&["{ ", ";", "//"]),
        sign(JavaScript, 2.0, &["function ", "async function ", "function* "], &["{", "=>", "("]),
        sign(JavaScript, 2.0, &["export "], &["{", "=>", "(", " from "]),
        sign(JavaScript, 1.5, &["const ", "let ", "var "], &["=", ";"]),
        sign(JavaScript, 1.5, &[], &["=> {", ") => ", "===", "!==", "console.", "require(", "document.",
            "window.", "useState(", "useEffect(", "await fetch(", ".addEventListener(", ".forEach(", ".then(",
            "new Promise", "JSON.", "undefined", "typeof ", "localStorage.", "for (const ", "for (let ",
            "Object.keys(", "Object.entries(", "Array.", "async ("]),
        sign(JavaScript, 1.0, &[], &[" => ", "this.", "${"]),
        sign(JavaScript, 3.0, &["import "], &[" from '", " from \"", "} from"]),
        sign(JavaScript, 2.5, &["module.exports", "});", "'use strict'", "constructor(", "'use client'",
            "\"use client\""], &[]),
        sign(JavaScript, 2.0, &["describe(", "it('", "it(\"", "test('", "test(\"", "expect("], &[]),
        sign(JavaScript, 1.0, &["class "], &[]).ends(&["{"]),
        sign(JavaScript, 0.5, &["if (", "while (", "for (", "} else", "return "], &[]).ends(&["{", ";"]),
        sign(TypeScript, 2.0, &["interface ", "enum "], &["{"]),
        sign(TypeScript, 3.0, &["export interface ", "export type ", "export enum ", "const enum "], &["{",
            "="]),
        sign(TypeScript, 2.5, &["type "], &[" = "]),
        sign(TypeScript, 3.0, &["declare ", "export declare ", "import type ", "export abstract class "],
            &[]),
        sign(TypeScript, 3.0, &[], &[": string", ": number", ": boolean", ": void", ": Promise<", ": any",
            ": unknown", "as const", " as any", " as unknown", "?: ", ": Record<", ": Array<", ": Map<",
            ": React.", "useState<", "useRef<", "<T>(", "<T,>", ": T)", "keyof ", "satisfies ", "<string",
            "<number"]).lacks(&[" ?: "]),
        sign(TypeScript, 2.0, &["private ", "public ", "protected ", "readonly ", "constructor(private"],
            &[": "]),
        sign(TypeScript, 1.5, &["abstract class "], &[]),
        sign(TypeScript, 2.0, &["abstract "], &["): "]),
        sign(TypeScript, 2.0, &["@Injectable(", "@Component(", "@Controller(", "@Input("], &[]),
        sign(Rust, 3.0, &["fn ", "pub fn ", "async fn ", "pub async fn ", "impl ", "impl<", "pub struct ",
            "pub enum ", "pub trait ", "pub(crate)", "pub mod ", "pub use ", "unsafe fn ", "macro_rules! "],
            &[]).lacks(&[") error {"]),
        sign(Rust, 2.5, &["let mut ", "#[", "#!["], &[]),
        sign(Rust, 2.5, &["mod "], &[]).ends(&[";", "{"]),
        sign(Rust, 2.0, &["use "], &["::", ";"]).lacks(&["\\", "'", "\""]),
        sign(Rust, 2.5, &["match "], &[]).ends(&["{"]),
        sign(Rust, 2.0, &["struct ", "trait ", "enum "], &[]).ends(&["{", ";"]).lacks(&[":", "};"]),
        sign(Rust, 0.8, &["let "], &[]).ends(&[";"]),
        sign(Rust, 2.0, &[], &["-> Result<", "-> Option<", "-> Self", "-> i", "-> u", "-> bool {", "&mut ",
            "&self", "println!(", "format!(", "vec![", "::new(", ": i32", ": i64", ": u8", ": u32", ": u64",
            ": f32", ": f64", ": usize", ": &str", ": &'", ": Vec<", ": Option<", ": HashMap<", ".unwrap()",
            ".await?", "::<", "assert_eq!(", "Some(", "Ok(", "Err(", "anyhow::", "?;"]),
        sign(Go, 2.0, &["package "], &[]).lacks(&[";", ".", "="]),
        sign(Go, 3.0, &["func "], &[]).ends(&["{", "}"]).lacks(&["->"]),
        sign(Go, 3.0, &["func (", "import (", "go func", "defer ", "if err != nil", "if err :="], &[]),
        sign(Go, 2.0, &["import \""], &[]).ends(&["\""]),
        sign(Go, 2.0, &[], &[":= ", "fmt.", "make(", "map[string]", "[]string", "[]int", "[]byte", "chan ",
            "http.ResponseWriter"]).lacks(&["::"]),
        sign(Go, 5.0, &["type "], &[" struct {", " interface {", " struct{"]),
        sign(Java, 3.0, &["public class ", "public interface ", "public final class ", "public enum ",
            "public abstract class ", "public record ", "public sealed ", "public static void main"], &[]),
        sign(Java, 3.0, &["record ", "sealed interface "], &["("]).ends(&["}", "{"]),
        sign(Java, 1.0, &["package ", "import "], &[]).ends(&[";"]).lacks(&["'", "\"", "{"]),
        sign(Java, 3.0, &["import java", "import static ", "import org.", "import com.", "package com.",
            "package org."], &[]).ends(&[";"]),
        sign(Java, 1.5, &["public ", "private ", "protected ", "static ", "final ", "abstract "],
            &[" "]).ends(&[";", "{", "}"]).lacks(&[": ", ") {}", "=>", "&"]),
        sign(Java, 1.5, &["int ", "double ", "long ", "float ", "char ", "boolean ", "void ", "String ",
            "Integer "], &[]).ends(&[";", "{"]),
        sign(Java, 1.0, &["void ", "boolean ", "String ", "double "], &["("]).ends(&[";", "{"]),
        sign(Java, 2.0, &["@Override", "@Test", "@Autowired", "@GetMapping", "@PostMapping",
            "@RestController", "@Service", "@Entity", "@SpringBoot"], &[]),
        sign(Java, 2.0, &["List<", "Map<", "Set<", "Optional<", "for (String ", "for (int "],
            &[" "]).lacks(&["=>"]),
        sign(Java, 2.0, &[], &["System.out.", "new ArrayList", "new HashMap", ") throws ", "Integer.",
            "Exception e)", "Exception(", "String[]", "(String "]),
        sign(Java, 0.7, &["class "], &[]).ends(&["{"]),
        sign(Sql, 3.0, &["insert into ", "create table ", "alter table ", "delete from ", "create index",
            "create unique", "create or replace", "create view", "create function", "create trigger",
            "create type", "create extension", "create schema", "create database", "drop table", "drop index",
            "drop view", "drop function", "truncate ", "explain select ", "explain analyze ", "on conflict",
            "grant select ", "grant all ", "revoke "], &[]),
        sign(Sql, 3.0, &["select "], &[" from ", "*", ",", "(", ";", "."]).lacks(&[". ", "({", " the ",
            " it "]),
        sign(Sql, 1.5, &["select "], &[]).lacks(&[".", " the ", " it "]),
        sign(Sql, 2.0, &["select"], &[]).ends(&["select", "select distinct"]),
        sign(Sql, 2.0, &["update "], &[" set "]),
        sign(Sql, 1.2, &["update ", "set "], &[]).lacks(&[" the ", " it "]),
        sign(Sql, 2.0, &["group by ", "order by ", "left join ", "inner join ", "begin;", "commit;"], &[]),
        sign(Sql, 1.0, &["with ", "from ", "where ", "join ", "having ", "values ", "limit ", "returning "],
            &[]).lacks(&[":", " import "]),
        sign(Sql, 1.5, &[], &["primary key", "not null", "varchar(", " references ", "language plpgsql",
            "count(*)"]),
        sign(Html, 3.0, &["<!doctype html", "<html", "<head", "<body", "<div", "<p>", "<script", "<meta",
            "<ul", "<h1", "<h2", "<form", "<table", "<section", "<nav", "<main", "<header", "<footer",
            "<style", "<button", "<span", "<input", "<a ", "<img", "<article"], &[]),
        sign(Html, 1.0, &["<"], &[">"]).lacks(&["<?", "<-", "<<"]),
        sign(Css, 3.0, &["@media", "@import url", ":root", "@keyframes", "@font-face", "@tailwind",
            "@supports"], &[]),
        sign(Css, 1.7, &[".", "#", "* {", "*,", "*:", "::", "["], &["{"]).lacks(&["=>", ") {", "#{", "#[",
            "function"]),
        sign(Css, 1.7, &["body", "html", "a ", "a:", "a.", "h1", "h2", "h3", "h4", "p ", "p,", "ul", "ol ",
            "li", "div", "span", "button", "input", "table", "tr ", "td", "th ", "img", "nav", "header",
            "footer", "main ", "section", "form ", "label ", "select ", "textarea", "article", "from {",
            "to {", "0% {"], &["{"]).lacks(&["=", ") {", "=>", "${"]),
        sign(Css, 1.5, &["color:", "margin", "padding", "display:", "font", "background", "width:", "height:",
            "border", "position:", "flex", "grid", "gap:", "align-", "justify-", "text-", "list-style",
            "transform:", "transition", "animation", "box-", "cursor:", "opacity:", "z-index", "overflow",
            "max-", "min-", "line-height", "letter-spacing", "content:", "--", "outline", "top:", "left:"],
            &[":"]).ends(&[";", "}"]),
        sign(Css, 1.0, &[], &["{ color:", "{ margin", "{ padding", "{ display:", "{ font", "{ background",
            "{ box-", "{ border", "{ text-", "{ width:"]),
        // Languages that are not told apart, and prose.
        sign(Other, 6.0, &["<?", "#include", "#!/bin/", "#!/usr/bin/env bash", "#define ", "#pragma "], &[]),
        sign(Other, 4.0, &["using System", "using namespace ", "import 'package:", "import Foundation",
            "import SwiftUI", "import UIKit", "import kotlin", "data class ", "fun ", "namespace ",
            "defmodule ", "<template", "<script setup", "@interface ", "$ "], &[]).lacks(&["namespace "]),
        sign(Other, 2.5, &["namespace "], &[]).lacks(&["{"]),
        sign(Other, 3.0, &["echo ", "puts ", "require '", "val ", "sudo ", "npm ", "pip ", "git ", "curl ",
            "cd ", "RUN ", "WORKDIR ", "CMD ", "COPY ", "ENTRYPOINT ", "printf(", "int main(", "foreach (",
            "attr_"], &[]),
        sign(Other, 2.5, &["end", "fi", "done", "esac"], &[]).ends(&["end", "fi", "done",
            "esac"]).lacks(&[" "]),
        sign(Other, 2.5, &["$"], &["$"]).lacks(&["$(", "${"]),
        sign(Other, 2.0, &[], &["Console.Write", "{ get; ", "cout <<", " do |", "std::cout", "$this->",
            " ?: ", "\tpublic:"]),
        sign(Other, 1.5, &["\""], &["\": "]),
        sign(Other, 2.0, &[], &["NULL", "char *", "size_t", "unsigned ", "uint8_t", "uint32_t", "int32_t",
            "(void)", "static inline", "sizeof(", "->"]).lacks(&[" -> ", "->(", "//", "*/"]),
        sign(Other, 1.5, &["["], &["]"]).ends(&["]"]),
        sign(Other, 1.5, &["- "], &[]),
        sign(Other, 1.5, &[], &[" "]).ends(&[".", "!", "?"]).lacks(&["#", "//", "*", "--", "\"\"\"", "<"]),
    ]
};

/// Beginnings, contents and ends of a language's lines, each with its weight of evidence.
pub(super) struct Sign {
    pub(super) language: Language,
    pub(super) starts: &'static [&'static str],
    pub(super) holds: &'static [&'static str],
    pub(super) ends: &'static [&'static str],
    pub(super) lacks: &'static [&'static str],
    pub(super) weight: f64,
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

    pub(super) fn is_in(&self, line: &str) -> bool {
        let any =
            |words: Words, found: &dyn Fn(&str) -> bool| words.is_empty() || words.iter().any(|w| found(w));
        any(self.starts, &|w| line.starts_with(w))
            && any(self.ends, &|w| line.ends_with(w))
            && any(self.holds, &|w| line.contains(w))
            && !self.lacks.iter().any(|w| line.contains(w))
    }
}
