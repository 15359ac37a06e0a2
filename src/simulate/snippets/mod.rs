//! The pieces that programs are made of; `code::fill` says what the marks mean.

mod html;
mod python;
mod rust;
mod script;
mod sql;

pub(super) use html::HTML;
pub(super) use python::PYTHON;
pub(super) use rust::RUST;
pub(super) use script::SCRIPT;
pub(super) use sql::SQL;

/// One piece.
#[derive(Debug)]
pub(super) struct Snippet {
    /// What must stand at the top of the file.
    pub(super) needs: &'static str,
    pub(super) body: &'static str,
    pub(super) test: &'static str,
}
