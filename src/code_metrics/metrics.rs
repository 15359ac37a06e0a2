//! What is found in generated code.

use super::language::Language;
use serde::{Deserialize, Serialize};

/// Metrics of a piece of code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CodeMetrics {
    /// The language; of several blocks that of the largest.
    pub language: Language,
    /// How sure that is, 0 to 1; 1 where a hint says so.
    pub language_confidence: f64,
    /// Basis of the numbers.
    pub basis: Basis,
    /// Lines by kind.
    pub lines: Lines,
    /// Deepest nesting: of control structures within a function where the code was parsed, of
    /// indentation where it was not.
    pub max_nesting: u32,
    /// Validity of its syntax.
    pub syntax: Syntax,
    /// Definitions in it; `None` where it was not parsed.
    pub structure: Option<Structure>,
}

/// What metrics rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Basis {
    /// All of the code was parsed.
    Parsed,
    /// The lines that a patch adds were parsed, as far as they can be without the rest.
    AddedLines,
    /// Lines only: the language is unknown, or left out of this build.
    UnknownLanguage,
    /// Lines only: the code is larger than the limit, or more work than the time budget stands for.
    TooLarge,
    /// Lines only: brackets or tags are nested deeper than the limit.
    TooDeep,
    /// Lines only: the clock ran out, twenty times later than the time budget says; on a machine with less to do
    /// the same code may be parsed.
    OutOfTime,
}

/// Lines by kind; a line may hold code and a comment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lines {
    /// All lines.
    pub physical: u32,
    /// Statements; for Python radon's `lloc`. `None` where the code was not parsed.
    pub logical: Option<u32>,
    /// Lines with a comment; for Python radon's `comments`. `None` where the code was not parsed.
    pub comment: Option<u32>,
    /// Lines of white space.
    pub blank: u32,
}

/// Whether code can be read as its language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Syntax {
    /// No error was found.
    Valid,
    /// Errors were found.
    Invalid {
        /// How many places.
        errors: u32,
        /// The first one's line, from 1.
        first_line: u32,
    },
    /// It cannot be told: not parsed, a part of a file, or a dialect that the grammar does not know.
    Unsure,
}

/// What code defines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Structure {
    /// Cyclomatic complexity; `None` for markup and style sheets.
    pub cyclomatic: Option<Cyclomatic>,
    /// Each function, in the order of the text.
    pub functions: Vec<FunctionMetrics>,
    /// Functions that are not methods, closures with them.
    pub num_functions: u32,
    /// Methods.
    pub num_methods: u32,
    /// Classes, and what is like one: structs, traits, interfaces, enums.
    pub num_classes: u32,
    /// Parameters and returns that could carry a type, and those that do.
    pub type_hints: Share,
    /// Named functions, methods and classes, and those with a docstring or doc comment.
    pub docstrings: Share,
    /// Tests, by the conventions of the language's usual test frameworks.
    pub num_tests: u32,
    /// Import statements.
    pub num_imports: u32,
    /// Lines of the longest function.
    pub longest_function: u32,
}

/// Cyclomatic complexity of a text (McCabe 1976).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cyclomatic {
    /// One, and every decision; for Python radon's `total_complexity`.
    pub total: u32,
    /// Mean over the functions; 0 where there are none.
    pub mean: f64,
    /// That of the most complex function; 0 where there are none.
    pub max: u32,
}

/// How many of some things have a property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Those that have it.
    pub with: u32,
    /// All of them.
    pub of: u32,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FunctionMetrics {
    /// Its name; empty where it has none.
    pub name: String,
    /// Kind of function.
    pub kind: FunctionKind,
    /// Its first line, from 1.
    pub line: u32,
    /// Its last line.
    pub end_line: u32,
    /// Its cyclomatic complexity, from 1.
    pub complexity: u32,
}

/// Kinds of function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FunctionKind {
    /// A function, named or not.
    Function,
    /// A function of a class.
    Method,
    /// Code of a class that runs by itself: a field's initial value, a static block. ESLint
    /// measures it like a function.
    Initializer,
}

impl Share {
    /// Whether any has it.
    pub(crate) fn any(self) -> bool {
        self.with > 0
    }

    fn add(&mut self, other: Self) {
        self.with += other.with;
        self.of += other.of;
    }
}

impl CodeMetrics {
    /// Metrics of nothing but lines.
    pub(super) fn text(
        basis: Basis,
        language: Language,
        confidence: f64,
        lines: Lines,
        nesting: u32,
    ) -> Self {
        Self {
            language,
            language_confidence: confidence,
            basis,
            lines,
            max_nesting: nesting,
            syntax: Syntax::Unsure,
            structure: None,
        }
    }

    /// Adds a block that begins `offset` lines further down.
    pub(super) fn absorb(&mut self, mut block: Self, offset: u32) {
        if block.lines.physical > self.lines.physical {
            (self.language, self.language_confidence) = (block.language, block.language_confidence);
        }
        if self.structure.is_none() || (block.basis != Basis::Parsed && block.structure.is_some()) {
            self.basis = block.basis;
        }
        self.lines.physical += block.lines.physical;
        self.lines.blank += block.lines.blank;
        self.lines.logical = sum(self.lines.logical, block.lines.logical);
        self.lines.comment = sum(self.lines.comment, block.lines.comment);
        self.max_nesting = self.max_nesting.max(block.max_nesting);
        self.syntax = match (&self.structure, &block.structure) {
            (_, None) => self.syntax,
            (None, Some(_)) => block.syntax.shifted(offset),
            (Some(_), Some(_)) => self.syntax.and(block.syntax.shifted(offset)),
        };
        if let Some(structure) = &mut block.structure {
            structure.functions.iter_mut().for_each(|f| {
                f.line += offset;
                f.end_line += offset;
            });
        }
        self.structure = match (self.structure.take(), block.structure) {
            (Some(mut sum), Some(more)) => {
                sum.absorb(more);
                Some(sum)
            }
            (some, None) | (None, some) => some,
        };
    }
}

impl Structure {
    fn absorb(&mut self, other: Self) {
        let totals = [self.cyclomatic, other.cyclomatic]
            .into_iter()
            .flatten()
            .map(|c| c.total - 1)
            .reduce(|a, b| a + b);
        self.functions.extend(other.functions);
        self.cyclomatic = totals.map(|decisions| Cyclomatic::of(1 + decisions, &self.functions));
        self.num_functions += other.num_functions;
        self.num_methods += other.num_methods;
        self.num_classes += other.num_classes;
        self.type_hints.add(other.type_hints);
        self.docstrings.add(other.docstrings);
        self.num_tests += other.num_tests;
        self.num_imports += other.num_imports;
        self.longest_function = self.longest_function.max(other.longest_function);
    }
}

impl Cyclomatic {
    pub(super) fn of(total: u32, functions: &[FunctionMetrics]) -> Self {
        let sum: u64 = functions.iter().map(|f| u64::from(f.complexity)).sum();
        let mean = if functions.is_empty() { 0.0 } else { sum as f64 / functions.len() as f64 };
        Self { total, mean, max: functions.iter().map(|f| f.complexity).max().unwrap_or(0) }
    }
}

impl Syntax {
    fn shifted(self, offset: u32) -> Self {
        match self {
            Self::Invalid { errors, first_line } => Self::Invalid { errors, first_line: first_line + offset },
            other => other,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Invalid { errors, first_line }, Self::Invalid { errors: more, .. }) => {
                Self::Invalid { errors: errors + more, first_line }
            }
            (invalid @ Self::Invalid { .. }, _) | (_, invalid @ Self::Invalid { .. }) => invalid,
            (Self::Valid, Self::Valid) => Self::Valid,
            _ => Self::Unsure,
        }
    }
}

fn sum(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (some, None) | (None, some) => some,
    }
}
