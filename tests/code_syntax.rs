//! Source code of today: what the languages' own parsers take is valid, and counts in full.
#![allow(clippy::unwrap_used)]

use devmatrix_ml::code_metrics::{Basis, CodeMetrics, CodeOptions, Language, Syntax, analyze, analyze_with};
use std::time::Duration;

fn measured(code: &str, hint: &str) -> CodeMetrics {
    let mut options = CodeOptions::default();
    options.time_budget = Duration::from_mins(1);
    analyze_with(&options, code, Some(hint))
}

/// Names and complexities of the functions of valid code.
fn functions(code: &str, hint: &str) -> Vec<(String, u32)> {
    let metrics = measured(code, hint);
    assert_eq!((metrics.basis, metrics.syntax), (Basis::Parsed, Syntax::Valid), "{code}");
    metrics.structure.unwrap().functions.into_iter().map(|f| (f.name, f.complexity)).collect()
}

fn named(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
    expected.iter().map(|(name, complexity)| ((*name).to_owned(), *complexity)).collect()
}

fn valid(codes: &[&str], hint: &str) {
    for code in codes {
        assert_eq!(measured(code, hint).syntax, Syntax::Valid, "{hint}: {code}");
    }
}

fn invalid(codes: &[&str], hint: &str) {
    for code in codes {
        let syntax = measured(code, hint).syntax;
        assert!(matches!(syntax, Syntax::Invalid { .. }), "{hint}: {code}");
    }
}

/// `CPython` 3.13 to 3.15 take these; radon 6.0.1 gives the figures.
#[test]
fn python_may_indent_lines_in_brackets_as_it_likes() {
    let code = "def a(x, y):\n    if (x and\ny):  # here\n        return [\ny, '''\n#''',  # there\n]\n    return x or 1\n\ndef b(\n): pass\n";
    assert_eq!(functions(code, "py"), named(&[("a", 4), ("b", 1)]));
    let metrics = measured(code, "py");
    assert_eq!((metrics.lines.physical, metrics.lines.comment), (11, Some(2)));
    let functions = metrics.structure.unwrap().functions;
    assert_eq!((functions[0].end_line, functions[1].line, functions[1].end_line), (8, 10, 11));
    valid(
        &[
            "class A:\n    def f(self,\na, b):\n        return {\n'a': 1}\n    def g(self): pass\n",
            "def f():\n    if x:\n        s = f(a,\n\"\"\"\ntext\n\"\"\",\nb)\n    else:\n        pass\n",
        ],
        "py",
    );
    invalid(&["def f():\n    return (\n1\n", "if (a and\nb):\nc\n", "x = [1,\n2)\n"], "py");
}

#[test]
fn python_of_the_last_releases_is_valid() {
    assert_eq!(
        functions("def first[T = int](a: T or None = 1) -> T | None: return a if a else 1\n", "py"),
        named(&[("first", 2)])
    );
    valid(
        &[
            "type Pair[K, V = str] = dict[K, V]\n",
            "class A[T: (int, str) = int, *Ts = *tuple[int], **P = [int, str]](B): pass\n",
            "try:\n    pass\nexcept A, B:\n    pass\nexcept C, D, E:\n    pass\n",
            "try:\n    pass\nexcept* A, B:\n    pass\n",
            "x = t'a{b}c{d!r:>{e}}' + rt'x' + Tr'y'\n",
            "lazy import a.b as c\nlazy from d import e\nlazy = 1\n",
            "x = [*a for a in b]; y = {**c for c in d}; z = {*e for e in f}; w = (*g for g in h)\n",
            "x: int or None = 3\ndef f(a: b or c, *d: not e) -> g and h: pass\n",
        ],
        "py",
    );
    invalid(&["def f[T =](): pass\n", "x = [*a, for b in c]\n", "lazy import\n"], "py");
}

/// typescript-eslint's parser takes these; ESLint 10.15.0 gives the figures.
#[test]
fn typescript_types_of_all_kinds_are_valid() {
    let code = "export const at: {\n  <A>(index: number): (list: A[]) => Found<A>\n<A>(list: A[], index: number): Found<A>\n} = dual(2, (list, index) => list[index] || none)\nfunction f(a) { return a?.b }\n";
    assert_eq!(functions(code, "ts"), named(&[("", 2), ("f", 2)]));
    assert_eq!(measured(code, "ts").structure.unwrap().functions[1].line, 5);
    valid(
        &[
            "interface A<in T> {}\ninterface B<out T> {}\ntype C<in out T, const U extends string> = T;\nclass D<in T, out U> {}\n",
            "type Two<\n  in Input,\n  out Output = never\n> = (x: Input) => Output;\n",
            "export type * from './a';\nexport type * as B from './b';\nexport import type C = require('c');\n",
            "let a: import('x').Box<T>;\nlet b: (import('y').Z | undefined)[];\nlet c: import('z').W[] = d;\n",
            "type A = {\n  a: string\n  <B>(b: B): void\n  in: string\n  static: number\n}\n",
            "interface A { abstract: string; readonly: number; accessor(): void; out: string; is(): boolean; get?: B }\n",
            "type A = readonly [state: S, values: ReadonlyArray<B>] | readonly [one: S];\n",
            "class A { static [key: string]: any; readonly [k: number]: string }\n",
            "type A = `Missing \\`Self\\` in ${B}`;\nconst a = sql<{ n: number }>`SELECT ${b}`.c;\nconst d = e<string>?.(f);\n",
            "declare module 'a' {\n  global {\n    interface B { c: string }\n  }\n}\n",
            "import { null as a, default as b } from 'c';\nexport { a as null, b as catch };\nexport * as default from 'd';\n",
            "export default function (): {\n  a: B;\n};\ntype C = ({ d }: { d: number }) => E;\ndeclare const f: ({ g, h: i }?: J) => K;\n",
            "declare(a); abstract.b; using(c); accessor(d); module.e = 1;\nlet as = f ? 1 : [];\n",
        ],
        "ts",
    );
    invalid(
        &[
            "type A<in> extends = B;\n",
            "export type * './a';\n",
            "interface A { <B>(b: B: void }\n",
            "let a: import('x').<T>;\n",
            "class A { static [key: string: any }\n",
        ],
        "ts",
    );
}

#[test]
fn scripts_may_use_and_dispose() {
    let code = "function before(a) { return a ? 1 : 2 }\nasync function lost(a) {\n  for (using d of a) { if (d) break; }\n  for (await using e of a) { }\n  for (using of a) {}\n  await using f = g(), h = i || j;\n  return a || 1;\n}\nfunction after(a) { return a && 1 }\n";
    let expected = named(&[("before", 2), ("lost", 7), ("after", 2)]);
    assert_eq!(functions(code, "ts"), expected);
    assert_eq!(functions(code, "js"), expected);
    assert_eq!(
        functions(
            "class A { static accessor a = b || 1; override readonly accessor c = 1; accessor; abstract = d && 1; readonly() {} }",
            "ts"
        ),
        named(&[("abstract", 2), ("readonly", 1)])
    );
    valid(
        &[
            "const nothing = 1;\nexport { nothing as null, nothing as 'a b', nothing as catch };\n",
            "export * from 'a' with { type: 'json' };\nexport { b } from 'c' with { type: 'json' };\nimport d from 'e' with { type: 'json' };\n",
            "import defer * as a from 'b';\nimport.defer('c');\nimport source d from 'e';\n",
            "let a = b?.5:1;\nlet c = d?.e;\n",
        ],
        "mjs",
    );
    invalid(
        &[
            "for (using a b) {}\n",
            "export { a as };\n",
            "export * from 'a' with { type: };\n",
            "import defer from;\n",
        ],
        "mjs",
    );
    assert_eq!(measured("const a = (x++ as T) || <b>A & B</b>;", "tsx").syntax, Syntax::Valid);
}

/// rustc 1.95 takes these.
#[cfg(feature = "code-rust")]
#[test]
fn rust_of_today_is_valid() {
    let code = "unsafe extern \"C\" {\n    safe fn cosine(x: f64) -> f64;\n    safe static LIMIT: u32;\n}\n\n/// Says.\n#[inline]\nfn g(x: bool) -> u8 { if x { 1 } else { 2 } }\n";
    assert_eq!(functions(code, "rs"), named(&[("g", 2)]));
    let structure = measured(code, "rs").structure.unwrap();
    assert_eq!(
        (structure.functions[0].line, structure.longest_function),
        (8, 1),
        "attributes stand before it"
    );
    assert_eq!((structure.docstrings.with, structure.docstrings.of), (1, 1));
    valid(
        &[
            "fn f() { match x { A { #[cfg(b)] x, .. } => 3, #[cfg(c)] y => 4 } }\n",
            "struct A where u8: Copy;\nstruct B<T>(T) where T: Copy;\n",
            "fn f() { let raw = 1; match raw { raw @ (1 | 2) => raw, _ => &raw const raw as u8 } }\n",
            "struct A { a: u8 = if B { 1 } else { 2 }, b: Vec<u8>, c: u8 = 3 }\n",
            "fn f() -> impl Trait + use<'a, T> { let c = async || 1; let x = const { 1 + 2 }; }\n",
            "fn f() { u16!(match x { A => 1 }); let y = 0..[1, 2][i]; }\n",
            "trait A where mac!(Self): Send, { const B: &'static str; }\n",
            "macro_rules! a { ($m:ident, $) => { 1 }; ($m:ident, .) => { 2 }; }\n",
            "fn f() { let a = r##\"raw \"# const\"##; /* a /* b */ raw */ }\n",
        ],
        "rs",
    );
    invalid(&["unsafe extern { safe fn f() -> }\n", "struct A where u8: Copy\n", "fn f() { raw @ }\n"], "rs");
}

/// javac 25 takes these.
#[cfg(feature = "code-java")]
#[test]
fn java_of_today_is_valid() {
    let compact = "record Compact(int a, int b) {\n    Compact {\n        if (a < 0 || b < 0) throw new E();\n        for (int i = 0; i < a; i++) { if (i > b) b++; }\n    }\n}\n";
    assert_eq!(functions(compact, "java"), named(&[("Compact", 5)]));
    assert_eq!(measured(compact, "java").structure.unwrap().num_methods, 1);
    valid(
        &[
            "class A { int f(Object o) { return switch (o) { case Shapes.Dot(int x, var y) -> 1; case A.B(C(int z), D(var w)) when z > 1 -> 2; default -> 3; }; } }\n",
            "class A { int f(Object o) { return switch (o) { case final String s -> 1; default -> 2; }; } }\n",
            "class A { int f(Object o) { return switch (o) { case Box(_) -> 1; case Pair(_, var _) -> 3; default -> 5; }; } void g() { for (var _ : l) m((_, v) -> {}); } }\n",
            "import module java.base;\nclass A extends B { A(int x) { if (x < 0) throw new E(); super(x); } }\n",
            "void main() { IO.println(\"x\"); }\n",
        ],
        "java",
    );
    invalid(
        &[
            "class A { int f(Object o) { return switch (o) { case Dot(int x -> 1; }; } }\n",
            "record A(int a) { A { if (a) } }\n",
        ],
        "java",
    );
}

/// gofmt 1.27 takes these.
#[cfg(feature = "code-go")]
#[test]
fn go_of_today_is_valid() {
    let code = "package a\n\nfunc (r *Rand) N[Int intType](n Int) Int {\n\tif n <= 0 {\n\t\treturn *new(n + 1)\n\t}\n\treturn n\n}\n";
    assert_eq!(functions(code, "go"), named(&[("N", 2)]));
    valid(
        &[
            "package a\nvar x = new(1)\nvar y = new(f(2))\nvar z = new([]int{1})\nvar w = new(\"a\" + b)\nvar v = new(map[string]struct{})\nvar t = new([]struct{}{})\nvar s = make(map[*T]struct{}, 1)\nvar u = new(func() int { return 1 }())\n",
            "package a\nfunc f() {\n\tmake := g\n\t_ = make(100)\n\t_ = make(n - 1)\n}\n",
        ],
        "go",
    );
    invalid(&["package a\nvar x = new(1\n", "package a\nfunc (r R) N[T any(n T) {}\n"], "go");
}

#[test]
fn code_in_lists_and_quotes_is_that_of_the_answer() {
    let listed = "1. Make the file:\n\n   ```python\n   def f(x):\n       if x:\n           return 1\n       return 2\n   ```\n\n2. Run it.\n";
    let quoted =
        "> Here:\n>\n> ````py\n> def f(x):\n>     '''\n> ```\n>     '''\n>     return x or 2\n> ````\n";
    for (answer, line, physical) in [(listed, 4, 4), (quoted, 4, 5)] {
        for hint in [None, Some("python")] {
            let metrics = analyze(answer, hint);
            assert_eq!((metrics.language, metrics.syntax), (Language::Python, Syntax::Valid), "{answer}");
            assert_eq!(metrics.lines.physical, physical);
            let functions = metrics.structure.unwrap().functions;
            assert_eq!((functions[0].line, functions[0].complexity), (line, 2));
        }
    }
}

#[test]
fn a_source_file_that_holds_a_patch_is_a_source_file() {
    let patch = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n";
    let python = format!(
        "PATCH = \"\"\"\\\n{patch}\"\"\"\n\n\ndef f(x):\n    if x:\n        return 1\n    return 2\n"
    );
    let script = format!("const patch = `\n{patch}`;\nexport const f = (x) => x || 1;\n");
    for (code, hint) in [(&python, Some("src/x.py")), (&python, None), (&script, Some("javascript"))] {
        let metrics = analyze(code, hint);
        assert_eq!((metrics.basis, metrics.syntax), (Basis::Parsed, Syntax::Valid), "{code}");
        assert_eq!(metrics.structure.unwrap().functions[0].complexity, 2);
    }
    let answer = format!("Apply this:\n\n{patch}");
    assert_eq!(analyze(&answer, Some("x.py")).basis, Basis::AddedLines);
    assert_eq!(analyze(patch, Some("x.py")).basis, Basis::AddedLines);
}
