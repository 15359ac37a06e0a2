//! Parsing within a budget, by parsers that each thread keeps.

use super::budget::Budget;
use super::metrics::Basis;
use super::rules::{ALL, Compiled};
use std::cell::RefCell;
use std::ops::ControlFlow;
use tree_sitter::{ParseOptions, Parser, Tree};

thread_local! {
    static PARSERS: RefCell<Vec<Option<Parser>>> = const { RefCell::new(Vec::new()) };
}

/// The text is handed over in parts of so many bytes.
const CHUNK: usize = 32 << 10;

/// The syntax tree of `code`, or what there is too much of.
pub(super) fn parse(compiled: &Compiled, code: &[u8], budget: &Budget) -> Result<Tree, Basis> {
    PARSERS.with_borrow_mut(|parsers| {
        parsers.resize_with(ALL.len(), || None);
        let slot = parsers.get_mut(compiled.place()).ok_or(Basis::UnknownLanguage)?;
        let parser = match slot {
            Some(parser) => parser,
            None => slot.insert(parser_for(compiled).ok_or(Basis::UnknownLanguage)?),
        };
        let stopped = RefCell::new(None);
        let goes_on = |at, after_error| match budget.step(at, after_error) {
            Ok(()) => stopped.borrow().is_none(),
            Err(basis) => {
                stopped.borrow_mut().get_or_insert(basis);
                false
            }
        };
        // What no token begins with is passed over without a report: when the budget ends, so does the text.
        let mut read = |at: usize, _| match code.get(at..) {
            Some(rest) if at < CHUNK || goes_on(at, false) => &rest[..rest.len().min(CHUNK)],
            _ => &[],
        };
        let mut progress = |state: &tree_sitter::ParseState| {
            let goes_on = goes_on(state.current_byte_offset(), state.has_error());
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let tree = parser.parse_with_options(&mut read, None, Some(options));
        match (tree, stopped.into_inner()) {
            (Some(tree), None) => Ok(tree),
            (_, stopped) => {
                // Else the next text would go on where this one was left.
                parser.reset();
                Err(stopped.unwrap_or(Basis::OutOfTime))
            }
        }
    })
}

fn parser_for(compiled: &Compiled) -> Option<Parser> {
    let mut parser = Parser::new();
    parser.set_language(&compiled.grammar).ok().map(|()| parser)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code_metrics::language::Language;
    use crate::code_metrics::rules;
    use std::time::Duration;

    #[test]
    fn the_work_that_code_takes_is_the_same_each_time() {
        let code = "def f(a):\n    return a or [b for b in a if b]\n".repeat(2000);
        let compiled = rules::of(Language::Python).unwrap();
        let ends = |steps| {
            let budget = Budget::of_steps(steps);
            parse(compiled, code.as_bytes(), &budget).map(|tree| tree.root_node().has_error())
        };
        let (mut least, mut most) = (0, 100_000);
        while least + 1 < most {
            let middle = u64::midpoint(least, most);
            if ends(middle).is_ok() { most = middle } else { least = middle }
        }
        for _ in 0..3 {
            assert_eq!((ends(least), ends(most)), (Err(Basis::TooLarge), Ok(false)), "{most} steps");
        }
        assert_eq!(
            parse(compiled, b"x", &Budget::of(Duration::ZERO)).map(|_| ()),
            Ok(()),
            "less than one step"
        );
    }
}
