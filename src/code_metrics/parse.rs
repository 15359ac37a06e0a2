//! Parsing within a time budget, by parsers that each thread keeps.

use super::budget::Budget;
use super::rules::{ALL, Compiled};
use std::cell::RefCell;
use std::ops::ControlFlow;
use tree_sitter::{ParseOptions, Parser, Tree};

thread_local! {
    static PARSERS: RefCell<Vec<Option<Parser>>> = const { RefCell::new(Vec::new()) };
}

/// The text is handed over in parts of so many bytes.
const CHUNK: usize = 32 << 10;

/// The syntax tree of `code`; `None` when the time runs out.
pub(super) fn parse(compiled: &Compiled, code: &[u8], budget: &Budget) -> Option<Tree> {
    PARSERS.with_borrow_mut(|parsers| {
        parsers.resize_with(ALL.len(), || None);
        let slot = parsers.get_mut(compiled.place())?;
        let parser = match slot {
            Some(parser) => parser,
            None => slot.insert(parser_for(compiled)?),
        };
        // What no token begins with is passed over without a look at the clock: then the text ends.
        let mut read = |at: usize, _| match code.get(at..) {
            Some(rest) if at < CHUNK || !budget.ends_parsing() => &rest[..rest.len().min(CHUNK)],
            _ => &[],
        };
        let mut progress = |_: &tree_sitter::ParseState| {
            if budget.ends_parsing() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let tree = parser.parse_with_options(&mut read, None, Some(options));
        let tree = tree.filter(|tree| tree.root_node().end_byte() >= code.len() || !budget.ends_parsing());
        if tree.is_none() {
            // Else the next text would go on where this one was left.
            parser.reset();
        }
        tree
    })
}

fn parser_for(compiled: &Compiled) -> Option<Parser> {
    let mut parser = Parser::new();
    parser.set_language(&compiled.grammar).ok().map(|()| parser)
}
