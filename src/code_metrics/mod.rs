//! What is in generated code: lines, complexity, functions, types, documentation, tests, errors.
//!
//! Code is parsed by tree-sitter, which makes something of broken code too, and counted by the
//! rules of the tools that are known for it: Python as radon counts, JavaScript and TypeScript as
//! ESLint's `complexity`, Rust, Go and Java as lizard. Every table in `rules/` says which it
//! follows.
//!
//! ```
//! use devmatrix_ml::code_metrics::{Cyclomatic, Language, Syntax, analyze};
//! let code = "def greet(name: str) -> str:\n    return f'Hello, {name}' if name else 'Hello'\n";
//! let metrics = analyze(code, Some("app/greet.py"));
//! assert_eq!((metrics.language, metrics.syntax), (Language::Python, Syntax::Valid));
//! let structure = metrics.structure.unwrap();
//! assert_eq!(structure.functions[0].complexity, 2);
//! assert!(matches!(structure.cyclomatic, Some(Cyclomatic { max: 2, .. })));
//! assert_eq!((structure.type_hints.with, structure.type_hints.of), (2, 2));
//! ```

mod budget;
mod fence;
mod language;
mod lines;
mod mask;
mod metrics;
mod parse;
mod patch;
mod python_lines;
mod rules;
mod walk;

pub use language::Language;
pub use metrics::{
    Basis, CodeMetrics, Cyclomatic, FunctionKind, FunctionMetrics, Lines, Share, Structure, Syntax,
};

use budget::Budget;
use language::{Detected, detect};
use std::borrow::Cow;
use std::time::Duration;

/// Bounds of an analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeOptions {
    /// Code of more bytes is not parsed: its lines are counted.
    pub max_bytes: usize,
    /// Nor is code whose brackets, or tags, are nested deeper than this.
    pub max_depth: usize,
    /// Nor what is more work than a machine does in this time when it does nothing else. The work is counted in
    /// steps of the parser, so that load changes nothing; the clock ends an analysis after twenty times as long.
    pub time_budget: Duration,
}

impl Default for CodeOptions {
    fn default() -> Self {
        Self { max_bytes: 2 << 20, max_depth: 1000, time_budget: Duration::from_millis(100) }
    }
}

/// Measures `code` with the usual bounds.
///
/// `hint` is a language's name, a file's path or an extension; without one that is known the
/// language is guessed. Markdown answers are unwrapped and their blocks summed; of a unified diff
/// the added lines are measured. Any bytes get an answer; [`CodeMetrics::basis`] says what it rests
/// on. It takes well under a millisecond for a few kilobytes, and no more work than
/// [`CodeOptions::time_budget`] stands for; parsers are kept by thread.
pub fn analyze(code: impl AsRef<[u8]>, hint: Option<&str>) -> CodeMetrics {
    analyze_with(&CodeOptions::default(), code, hint)
}

/// Measures `code` within the bounds of `options`.
pub fn analyze_with(options: &CodeOptions, code: impl AsRef<[u8]>, hint: Option<&str>) -> CodeMetrics {
    let budget = Budget::of(options.time_budget);
    let code = code.as_ref();
    let code = code.strip_prefix(b"\xef\xbb\xbf").unwrap_or(code);
    if code.len() > options.max_bytes {
        return text(Basis::TooLarge, detect(code, hint), code);
    }
    let code = &unix_lines(code)[..];
    if let Some(files) = patch::added(code) {
        // A source file may hold a patch in a string.
        let whole = detect(code, hint);
        if !patch::begins(code) && whole.language != Language::Other {
            let found = of_code(options, code, whole, &budget);
            if found.syntax == Syntax::Valid {
                return found;
            }
        }
        return of_patch(options, &files, hint, &budget);
    }
    let (blocks, begins) = fence::blocks(code);
    if blocks.is_empty() {
        return of_code(options, code, detect(code, hint), &budget);
    }
    if !begins {
        // A file may hold fences: in a docstring, in a Markdown document.
        let whole = detect(code, hint);
        let found = of_code(options, code, whole, &budget);
        let is_document = hint.is_some() && whole.confidence == 1.0 && whole.language == Language::Other;
        if found.syntax == Syntax::Valid || is_document {
            return found;
        }
    }
    of_blocks(options, &blocks, hint, &budget)
}

/// The sum over Markdown's fenced blocks.
fn of_blocks(
    options: &CodeOptions,
    blocks: &[fence::Block<'_>],
    hint: Option<&str>,
    budget: &Budget,
) -> CodeMetrics {
    let mut sum = text(Basis::UnknownLanguage, detect(b"", hint), b"");
    for block in blocks {
        let named = Some(block.info).filter(|info| Language::from_hint(info).is_some());
        let found = match patch::added(&block.code) {
            Some(files) => of_patch(options, &files, named, budget),
            None => of_code(options, &block.code, detect(&block.code, named.or(hint)), budget),
        };
        sum.absorb(found, block.row);
    }
    sum
}

/// The sum over a patch's files; a new file's lines, too, are a part of something.
fn of_patch(
    options: &CodeOptions,
    files: &[patch::Added],
    hint: Option<&str>,
    budget: &Budget,
) -> CodeMetrics {
    let mut sum = text(Basis::AddedLines, detect(b"", hint), b"");
    for file in files {
        let named = Some(file.path.as_str()).filter(|path| Language::from_hint(path).is_some());
        let found = of_code(options, &file.code, detect(&file.code, named.or(hint)), budget);
        sum.absorb(found, 0);
    }
    sum.syntax = Syntax::Unsure;
    if sum.structure.is_some() {
        sum.basis = Basis::AddedLines;
    }
    sum
}

fn of_code(options: &CodeOptions, code: &[u8], detected: Detected, budget: &Budget) -> CodeMetrics {
    let Some(compiled) = rules::of(detected.language) else {
        return text(Basis::UnknownLanguage, detected, code);
    };
    let is_page = detected.language == Language::Html;
    if lines::is_deeper(code, options.max_depth)
        || (is_page && lines::has_deeper_tags(code, options.max_depth))
    {
        return text(Basis::TooDeep, detected, code);
    }
    let walked = |parsed: &[u8]| {
        parse::parse(compiled, parsed, budget)
            .and_then(|tree| walk::walk(compiled, &tree, parsed, code, budget))
    };
    let mut found = match walked(code) {
        Ok(found) => found,
        Err(basis) => return text(basis, detected, code),
    };
    let mut is_sure = compiled.rules.strict;
    if found.errors > 0
        && let Some(masked) = (compiled.rules.masked)(code)
    {
        match walked(&masked) {
            Ok(better) if better.errors < found.errors => found = better,
            Ok(_) => {}
            Err(Basis::OutOfTime) => return text(Basis::OutOfTime, detected, code),
            // The errors may be the grammar's.
            Err(_) => is_sure = false,
        }
    }
    let (mut lines, _) = lines::count(code);
    if detected.language == Language::Python {
        let python = python_lines::read(code);
        (found.logical, found.comment) = (python.logical, python.comment);
        found.errors += python.errors;
        found.first_error = found.first_error.into_iter().chain(python.first_error).min();
    }
    (lines.logical, lines.comment) = (Some(found.logical), Some(found.comment));
    let syntax = match found.first_error {
        None => Syntax::Valid,
        Some(row) if is_sure => Syntax::Invalid { errors: found.errors, first_line: row + 1 },
        Some(_) => Syntax::Unsure,
    };
    CodeMetrics {
        language: detected.language,
        language_confidence: detected.confidence,
        basis: Basis::Parsed,
        lines,
        max_nesting: found.max_nesting,
        syntax,
        structure: Some(found.structure),
    }
}

fn text(basis: Basis, detected: Detected, code: &[u8]) -> CodeMetrics {
    let (lines, nesting) = lines::count(code);
    CodeMetrics::text(basis, detected.language, detected.confidence, lines, nesting)
}

/// Line ends of the oldest Macintosh, where there are no others.
fn unix_lines(code: &[u8]) -> Cow<'_, [u8]> {
    if code.contains(&b'\n') || !code.contains(&b'\r') {
        return Cow::Borrowed(code);
    }
    Cow::Owned(code.iter().map(|b| if *b == b'\r' { b'\n' } else { *b }).collect())
}
