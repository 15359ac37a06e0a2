//! Code metrics against the reference tools, in plain code, Markdown and patches, in every language.
#![allow(clippy::unwrap_used)]

use devmatrix_ml::code_metrics::{
    Basis, CodeMetrics, CodeOptions, FunctionKind, Language, Syntax, analyze, analyze_with,
};
use std::collections::BTreeMap;
use std::time::Duration;

fn sample(name: &str) -> CodeMetrics {
    let path = format!("{}/tests/code/{name}", env!("CARGO_MANIFEST_DIR"));
    // A machine that runs tests on every core may be slow.
    let mut options = CodeOptions::default();
    options.time_budget = Duration::from_mins(1);
    analyze_with(&options, std::fs::read(path).unwrap(), Some(name))
}

/// Reads the figures of radon 6.0.1, lizard 1.24.3 and ESLint 10.15.0 (`benches/compare_code_metrics.sh samples`).
fn reference() -> BTreeMap<String, Vec<(u32, u32)>> {
    let mut numbers = BTreeMap::<String, Vec<(u32, u32)>>::new();
    for line in include_str!("code/numbers.tsv").lines() {
        let parts: Vec<_> = line.split('\t').collect();
        numbers
            .entry(parts[0].to_owned())
            .or_default()
            .push((parts[1].parse().unwrap(), parts[2].parse().unwrap()));
    }
    numbers
}

#[test]
fn the_complexity_of_every_function_equals_the_reference_tools() {
    let reference = reference();
    for name in [
        "sample.py",
        "sample.js",
        "sample.jsx",
        "sample.ts",
        "sample.tsx",
        "sample.rs",
        "sample.go",
        "Sample.java",
    ] {
        let metrics = sample(name);
        assert_eq!((metrics.basis, metrics.syntax), (Basis::Parsed, Syntax::Valid), "{name}");
        let functions = metrics.structure.unwrap().functions;
        // lizard reports the line of an annotated method's name.
        let key = |line: u32| if name == "Sample.java" { 0 } else { line };
        let mut ours: Vec<_> = functions.iter().map(|f| (key(f.line), f.complexity)).collect();
        let mut theirs: Vec<_> = reference[name].iter().map(|(line, c)| (key(*line), *c)).collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn totals_and_lines_of_python_equal_radons() {
    let (metrics, reference) = (sample("sample.py"), reference());
    let of = |what: &str| reference[&format!("sample.py {what}")][0].1;
    assert_eq!(metrics.structure.unwrap().cyclomatic.unwrap().total, of("total"));
    assert_eq!(metrics.lines.logical, Some(of("logical")));
    assert_eq!(metrics.lines.comment, Some(of("comments")));
}

#[test]
fn definitions_are_counted_in_every_language() {
    let counts = |name: &str| {
        let s = sample(name).structure.unwrap();
        (s.num_functions, s.num_methods, s.num_classes, s.num_tests, s.num_imports)
    };
    assert_eq!(counts("sample.py"), (14, 4, 3, 1, 2));
    assert_eq!(counts("sample.ts"), (7, 4, 3, 0, 1));
    assert_eq!(counts("sample.rs"), (6, 2, 3, 2, 1));
    assert_eq!(counts("sample.go"), (7, 1, 2, 1, 2));
    assert_eq!(counts("Sample.java"), (0, 8, 2, 1, 2));
    let script = sample("sample.js").structure.unwrap();
    assert_eq!((script.num_tests, script.num_imports, script.num_classes), (2, 1, 2));
    let initializers = script.functions.iter().filter(|f| f.kind == FunctionKind::Initializer).count();
    assert_eq!(initializers, 5, "four fields with a value and a static block");
    assert!(
        script.functions.iter().any(|f| f.name == "nested")
            && script.functions.iter().any(|f| f.name == "area")
    );
}

#[test]
fn type_hints_and_docstrings_are_ratios() {
    let python =
        analyze("def f(a: int, b=1, *, c: str = '') -> int:\n    '''Says.'''\n    return a\n", Some("py"));
    let structure = python.structure.unwrap();
    assert_eq!((structure.type_hints.with, structure.type_hints.of), (3, 4));
    assert_eq!((structure.docstrings.with, structure.docstrings.of), (1, 1));
    let method = analyze("class A:\n    def f(self, a): pass\n", Some("py")).structure.unwrap();
    assert_eq!((method.type_hints.of, method.docstrings.of, method.docstrings.with), (2, 2, 0));
    let fixed = analyze("class A:\n    @staticmethod\n    def f(a): f'{a}'\n", Some("py")).structure.unwrap();
    assert_eq!((fixed.type_hints.of, fixed.docstrings.with), (2, 0), "no receiver, no docstring");
    let script = analyze("/** Says. */\nexport const f = (a: number, b): void => {};\n", Some("ts"))
        .structure
        .unwrap();
    assert_eq!((script.type_hints.with, script.type_hints.of), (2, 3));
    assert_eq!((script.docstrings.with, script.docstrings.of), (1, 1));
    assert_eq!(analyze("x => x", Some("js")).structure.unwrap().type_hints.of, 0);
    let rust = analyze("/// Says.\n#[inline]\npub fn f() {}\nfn g() {}\n", Some("rs")).structure.unwrap();
    assert_eq!((rust.docstrings.with, rust.docstrings.of), (1, 2));
}

#[test]
fn syntax_is_valid_invalid_or_unsure() {
    let of = |code: &str, hint: &str| analyze(code, Some(hint)).syntax;
    let invalid = |syntax| matches!(syntax, Syntax::Invalid { .. });
    assert_eq!(of("def f():\n    return 1\n", "py"), Syntax::Valid);
    assert_eq!(of("x = 1\ndef f(:\n    return 1\n", "py"), Syntax::Invalid { errors: 1, first_line: 2 });
    for broken in [
        "if a:\nb = 1\n",
        "def f():\n",
        "  x = 1\n",
        "try:\n    a()\nb()\n",
        "def f(a=1, b): pass\n",
        "if a:\n    b\n  c\n",
        "print 'a'\n",
        "exec 'a' in b\n",
        "raise A, 'b'\n",
        "if a <> b: pass\n",
        "a = 0777\n",
        "a = 10L\n",
        "def f(a, (b, c)): pass\n",
        "def f(*): pass\n",
        "def f(**a, b): pass\n",
        "def f(a, /, b, /): pass\n",
        "f(a=1, b)\n",
        "f(**a, *b)\n",
        "assert f(a b)\n",
        "@f(a b)\ndef g(): pass\n",
        "a = b not c\n",
    ] {
        assert!(invalid(of(broken, "py")), "{broken}");
    }
    for sound in [
        "print >>a, b\n",
        "exec(a)\n",
        "a = 00 + 0_0 + 0777j + 08.5\n",
        "def f(a, /, b, *, c=1, d, **e): pass\n",
        "f(a, *b, c=1, \\\n  *d, **e)\n",
        "def f(a=1, # b\n  *, \\\n  c): pass\n",
        "a = f'{b['c']} {f'{d or 'e'}'}'\n",
    ] {
        assert_eq!(of(sound, "py"), Syntax::Valid, "{sound}");
    }
    assert!(invalid(of("function f( { return 1; }", "js")));
    assert!(invalid(of("func main() {", "go")));
    assert_eq!(of("const a = <a href=\"?b=1&c=2\">d & e{f && g}</a>;", "jsx"), Syntax::Valid);
    assert_eq!(of("type A = B & C; const a = <p>d&e</p>;", "tsx"), Syntax::Valid);
    assert_eq!(of("export default abstract class { abstract a(): void; }", "ts"), Syntax::Valid);
    assert!(invalid(of("const a = b & ;", "jsx")));
    assert_eq!(of("SELECT a FROM b;", "sql"), Syntax::Valid);
    assert_eq!(of("PRAGMA foreign_keys = ON @@ nonsense;", "sql"), Syntax::Unsure, "perhaps a dialect");
    assert_eq!(of("anything", "cobol"), Syntax::Unsure);
}

#[test]
fn markdown_code_blocks_are_extracted_and_summed() {
    let answer = "Here it is:\n\n```python\ndef f(x):\n    return x or 1\n```\n\nand the page\n\n```ts\nconst g = (a?: number) => a ?? 1;\n```\nDone.\n";
    let metrics = analyze(answer, None);
    let structure = metrics.structure.unwrap();
    assert_eq!(
        (metrics.lines.physical, metrics.syntax, metrics.language),
        (3, Syntax::Valid, Language::Python)
    );
    let found: Vec<_> = structure.functions.iter().map(|f| (f.name.as_str(), f.line, f.complexity)).collect();
    assert_eq!(found, [("f", 4, 2), ("g", 11, 2)]);
    assert_eq!(structure.cyclomatic.unwrap().total, 3);
    let cut_off = analyze("```python\ndef f():\n    retur", Some("python"));
    assert_eq!(cut_off.structure.unwrap().num_functions, 1);
    let document = "def f():\n    '''\n```\nnot code\n```\n    '''\n    return 1\n";
    assert_eq!(analyze(document, Some("x.py")).lines.physical, 7, "a docstring may hold fences");
    let shell = analyze("```bash\nls\n```\n```python\nx = 1\n```\n", None);
    assert_eq!((shell.lines.physical, shell.syntax), (2, Syntax::Valid));
}

#[test]
fn added_lines_of_patches_are_measured() {
    let patch = "diff --git a/app/f.py b/app/f.py\n--- a/app/f.py\n+++ b/app/f.py\n@@ -1,3 +1,5 @@\n import os\n-x = 1\n+def f(a):\n+    return a if a else 1\n+\n y = 2\n";
    for text in [patch.to_owned(), format!("```diff\n{patch}```\n")] {
        let metrics = analyze(text, Some("python"));
        assert_eq!((metrics.basis, metrics.syntax), (Basis::AddedLines, Syntax::Unsure));
        assert_eq!((metrics.lines.physical, metrics.lines.blank), (3, 1));
        assert_eq!(metrics.structure.unwrap().functions[0].complexity, 2);
    }
}

#[test]
fn unparsed_languages_get_line_counts_only() {
    let metrics = analyze("key:\n  - a\n  - b:\n      c\n\n", Some("config.yaml"));
    assert_eq!((metrics.basis, metrics.structure.is_none()), (Basis::UnknownLanguage, true));
    assert_eq!((metrics.lines.physical, metrics.lines.blank, metrics.max_nesting), (5, 1, 2));
    assert_eq!(metrics.lines.logical, None);
}

#[test]
fn markup_has_nesting_and_no_complexity() {
    let page = analyze("<html><body><div><p>x</p></div></body></html>\n", Some("index.html"));
    let structure = page.structure.unwrap();
    assert_eq!((structure.cyclomatic, page.max_nesting, structure.num_functions), (None, 4, 0));
    let style = analyze("@media print { a { color: red; } }\n", Some("css"));
    assert_eq!((style.max_nesting, style.lines.logical), (2, Some(3)));
}

#[test]
fn nesting_counts_control_structures_and_else_if_chains_once() {
    let depth = |code: &str, hint: &str| analyze(code, Some(hint)).max_nesting;
    assert_eq!(depth("if (a) {} else if (b) {} else if (c) { if (d) {} }", "js"), 2);
    assert_eq!(
        depth("for a in b:\n    if a:\n        pass\n    elif b:\n        with c:\n            pass\n", "py"),
        3
    );
    assert_eq!(depth("func f() { if a { } else if b { } else if c { } }", "go"), 1);
    assert_eq!(depth("class A { void f() { if (a) {} else if (b) {} } }", "java"), 1);
    assert_eq!(depth("fn f() { if a {} else if b {} else { loop {} } }", "rs"), 2);
    assert_eq!(depth("if (a) { (() => { if (b) {} })() }", "js"), 1, "a nested function starts at depth 0");
}
