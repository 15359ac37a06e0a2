//! Broken code is the normal case: any bytes are measured in bounded time, without a panic.
#![allow(clippy::unwrap_used)]

use devmatrix_ml::code_metrics::{Basis, CodeMetrics, CodeOptions, Syntax, analyze, analyze_with};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const SAMPLES: &[(&str, &str)] = &[
    ("py", include_str!("code/sample.py")),
    ("js", include_str!("code/sample.js")),
    ("ts", include_str!("code/sample.ts")),
    ("tsx", include_str!("code/sample.tsx")),
    ("rs", include_str!("code/sample.rs")),
    ("go", include_str!("code/sample.go")),
    ("java", include_str!("code/Sample.java")),
    ("sql", "CREATE TABLE a (b int);\nSELECT CASE WHEN a AND b THEN 1 END FROM (SELECT 2) c; -- d\n"),
    ("html", "<!DOCTYPE html><html><body><p class=\"a\">b<br/></p><script>x()</script></body></html>"),
    ("css", "@media print { a:hover > b { color: #fff; margin: 0 } } /* c */ .d::before { content: '}' }"),
];

fn hold(metrics: &CodeMetrics, code: &[u8]) {
    let lines = metrics.lines;
    assert!(lines.blank <= lines.physical, "{lines:?}");
    assert!((0.0..=1.0).contains(&metrics.language_confidence));
    if let Syntax::Invalid { errors, first_line } = metrics.syntax {
        assert!(errors > 0 && first_line > 0);
    }
    assert_eq!(
        metrics.structure.is_some(),
        matches!(metrics.basis, Basis::Parsed | Basis::AddedLines),
        "{:?}",
        String::from_utf8_lossy(code)
    );
    let Some(structure) = &metrics.structure else { return };
    assert!(structure.type_hints.with <= structure.type_hints.of);
    assert!(structure.docstrings.with <= structure.docstrings.of);
    assert!(structure.functions.iter().all(|f| f.complexity >= 1 && f.line >= 1 && f.end_line >= f.line));
    if let Some(cyclomatic) = structure.cyclomatic {
        assert!(cyclomatic.total >= 1 && cyclomatic.mean <= f64::from(cyclomatic.max));
    }
}

#[test]
fn samples_cut_at_any_byte_are_measured() {
    for (hint, code) in SAMPLES {
        for end in 0..=code.len() {
            hold(&analyze(&code.as_bytes()[..end], Some(hint)), &code.as_bytes()[..end]);
        }
    }
}

/// Truncation loses no function before the cut, unless a bracket or string is open across it.
#[test]
fn functions_before_a_cut_keep_their_numbers() {
    let code = SAMPLES[0].1;
    let whole = analyze(code, Some("py")).structure.unwrap().functions;
    let cut = code.find("def asserts").unwrap();
    let part = analyze(&code[..cut], Some("py")).structure.unwrap().functions;
    assert_eq!(part[..], whole[..part.len()]);
    assert!(part.len() >= 6);
}

fn mutated(random: &mut Pcg64Mcg, code: &[u8]) -> Vec<u8> {
    let mut code = code.to_vec();
    if code.len() > 300 && random.random_bool(0.9) {
        let start = random.random_range(0..code.len() - 200);
        code = code[start..start + random.random_range(1..200)].to_vec();
    }
    for _ in 0..random.random_range(0..6) {
        let at = random.random_range(0..=code.len());
        match random.random_range(0..6) {
            0 => code.insert(at, random.next_u32() as u8),
            1 if at < code.len() => drop(code.remove(at)),
            2 if at < code.len() => code[at] = random.next_u32() as u8,
            3 => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                code.splice(at..at, piece.bytes());
            }
            4 => {
                let piece: Vec<_> = code[at..].iter().copied().take(random.random_range(0..40)).collect();
                code.extend(piece);
            }
            _ => code.truncate(at),
        }
    }
    code
}

const PIECES: &[&str] = &[
    "\0",
    "\u{feff}",
    "\r\n",
    "\r",
    "\t",
    "((((((((",
    "}}}}}}",
    "```",
    "```python\n",
    "\n@@ -1,3 +1,9 @@\n+",
    "--- a\n+++ b\n",
    "'''",
    "\"\"\"",
    "/*",
    "*/",
    "//",
    "#",
    "\\\n",
    "`${",
    "<div>",
    "</",
    "=>",
    "?.",
    "fn ",
    "def ",
    "class ",
    "match ",
    "case ",
    "\u{202e}",
    "é",
    "🦀",
    "\u{0301}",
    "@",
    "::",
    "lambda:",
    "async ",
    "{{",
    ";;;;",
];

/// Measures mutated samples; `DEVMATRIX_FUZZ=1000000` sets their number.
#[test]
fn mutated_code_never_panics() {
    let runs: u32 = std::env::var("DEVMATRIX_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(60_000);
    let mut random = Pcg64Mcg::seed_from_u64(7);
    for _ in 0..runs {
        let (hint, code) = SAMPLES[random.random_range(0..SAMPLES.len())];
        let code = mutated(&mut random, code.as_bytes());
        let hint = random.random_bool(0.9).then_some(hint);
        hold(&analyze(&code, hint), &code);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_measured(code in proptest::collection::vec(any::<u8>(), 0..400), hint in proptest::option::of(".{0,12}")) {
        hold(&analyze(&code, hint.as_deref()), &code);
        for (hint, _) in SAMPLES {
            hold(&analyze(&code, Some(hint)), &code);
        }
    }

    #[test]
    fn blank_lines_around_change_nothing_but_lines(before in 1_u32..5) {
        for (hint, code) in SAMPLES {
            let alone = analyze(code, Some(hint));
            let below = analyze(format!("{}{code}", "\n".repeat(before as usize)), Some(hint));
            prop_assert_eq!(below.lines.physical, alone.lines.physical + before);
            prop_assert_eq!(below.syntax, alone.syntax);
            let (alone, below) = (alone.structure.unwrap(), below.structure.unwrap());
            prop_assert_eq!(alone.cyclomatic, below.cyclomatic);
            prop_assert_eq!(alone.type_hints, below.type_hints);
        }
    }
}

#[test]
fn line_ends_marks_and_nul_change_no_number() {
    for (hint, code) in SAMPLES {
        let plain = analyze(code, Some(hint));
        let windows = analyze(code.replace('\n', "\r\n"), Some(hint));
        let marked = analyze(format!("\u{feff}{code}"), Some(hint));
        for other in [&windows, &marked] {
            assert_eq!(other.lines, plain.lines, "{hint}");
            let (a, b) = (other.structure.as_ref().unwrap(), plain.structure.as_ref().unwrap());
            assert_eq!(
                (a.cyclomatic, a.num_classes, a.docstrings),
                (b.cyclomatic, b.num_classes, b.docstrings),
                "{hint}"
            );
        }
        let old = analyze(code.replace('\n', "\r"), Some(hint));
        assert_eq!(old.lines, plain.lines, "{hint}");
        hold(&analyze(code.replace(' ', "\0"), Some(hint)), code.as_bytes());
    }
}

#[test]
fn oversized_code_is_rejected_by_limit() {
    let hints: Vec<_> = SAMPLES.iter().map(|(hint, _)| *hint).collect();
    let large = "x = 1\n".repeat(20 << 20 >> 2);
    for hint in &hints {
        let metrics = analyze(&large, Some(hint));
        assert_eq!((metrics.basis, metrics.lines.physical), (Basis::TooLarge, 20 << 20 >> 2));
        assert_eq!(analyze("(".repeat(100_000), Some(hint)).basis, Basis::TooDeep);
        let line = analyze("x".repeat(5 << 20), Some(hint));
        assert_eq!((line.basis, line.lines.physical), (Basis::TooLarge, 1));
    }
}

/// Inputs on which parsers are slow end at the time limit, on a small stack.
#[test]
fn slow_inputs_end_in_time() {
    let slow = || {
        let inputs = [
            ("html", "<div>".repeat(100_000)),
            ("js", "the quick brown fox, it jumps over \"the\" lazy dog. ".repeat(20_000)),
            ("py", "if x:\n ".repeat(60_000)),
            ("py", (0..3000).map(|i| format!("{}if x:\n", " ".repeat(i))).collect()),
            ("rs", "fn f<".repeat(100_000)),
            ("java", "a<b<".repeat(100_000)),
            ("ts", "a?b:".repeat(100_000)),
            ("sql", "select (case when ".repeat(900)),
            ("css", "a{".repeat(900)),
            ("go", "!-".repeat(300_000)),
            ("js", "`${".repeat(900)),
            ("ts", format!("for (a {}of b) {{", "as ".repeat(300_000))),
            ("ts", "export default function () ".repeat(60_000)),
            ("py", format!("{}x{} ?", "[*".repeat(900), "]".repeat(900)) + &"\n?".repeat(100_000)),
            ("go", "new(new(a), ".repeat(900)),
            ("rs", "struct A { b: u8 = 1 ".repeat(900)),
        ];
        for (hint, code) in inputs {
            hold(&analyze(&code, Some(hint)), code.as_bytes());
        }
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(slow).unwrap().join().unwrap();
}

#[test]
fn a_spent_budget_leaves_the_lines_and_the_next_analysis_alone() {
    let mut options = CodeOptions::default();
    options.time_budget = std::time::Duration::ZERO;
    for (hint, code) in SAMPLES {
        let long = code.repeat(20);
        let metrics = analyze_with(&options, &long, Some(hint));
        assert_eq!((metrics.basis, metrics.syntax), (Basis::OutOfTime, Syntax::Unsure), "{hint}");
        assert!(metrics.lines.physical > 0 && metrics.structure.is_none());
        let after = analyze(code, Some(hint));
        assert_eq!(after.basis, Basis::Parsed);
        assert_eq!(after, analyze(code, Some(hint)));
    }
}
