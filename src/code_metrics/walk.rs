//! One pass over a syntax tree, without recursion, in the order of the text.

use super::budget::Budget;
use super::metrics::{Basis, Cyclomatic, FunctionKind, FunctionMetrics, Share, Structure};
use super::rules::{
    ATTRIBUTE, CLASS, COMMENT, Compiled, DECISION, FUNCTION, IMPORT, INITIALIZER, Look, METHODS, NESTS,
    OUTSIDE, Roles, SKIP, SPECIAL, STATEMENT, Signature, TEST, Value,
};
use tree_sitter::{Node, Tree, TreeCursor};

/// Findings of one pass.
pub(super) struct Walked {
    pub(super) structure: Structure,
    pub(super) logical: u32,
    pub(super) comment: u32,
    pub(super) max_nesting: u32,
    /// Places that break the grammar or a rule beyond it, and the first one's row, from 0.
    pub(super) errors: u32,
    pub(super) first_error: Option<u32>,
}

/// Walks the tree of `parsed`, which is `source` or a mask of it.
pub(super) fn walk(
    compiled: &'static Compiled,
    tree: &Tree,
    parsed: &[u8],
    source: &[u8],
    budget: &Budget,
) -> Result<Walked, Basis> {
    let mut cursor = tree.walk();
    let mut walker = Walker::new(compiled, source, tree.root_node().has_error());
    walker.line_ends = moved_line_ends(parsed, source);
    let mut visited = 0_u32;
    loop {
        visited += 1;
        if visited.is_multiple_of(NODES_A_LOOK) {
            budget.walk(u64::from(NODES_A_LOOK))?;
        }
        let below = walker.enter(&cursor);
        if below && cursor.goto_first_child() {
            walker.depth += 1;
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Ok(walker.finish());
            }
            walker.depth -= 1;
        }
    }
}

/// The budget is looked at once in so many nodes.
const NODES_A_LOOK: u32 = 512;

/// Where decisions are counted: the module, nowhere, or a function.
const MODULE: usize = 0;
const NOWHERE: usize = 1;
const FIRST_FUNCTION: usize = 2;

/// Surroundings of the node.
struct Frame {
    depth: usize,
    /// Where decisions go.
    target: usize,
    kind: FrameKind,
    /// Control structures open when it began.
    nesting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Module,
    Class,
    /// To radon a class in a class counts apart, one in a function not at all.
    InnerClass,
    DroppedClass,
    Function,
    /// A part of a function that belongs to what is around it.
    Outside,
}

/// A function's contribution to the total.
#[derive(Clone, Copy)]
enum Adds {
    /// Its decisions.
    Decisions,
    /// One more: radon counts a class's methods whole.
    Whole,
    Nothing,
}

struct Walker<'s> {
    compiled: &'static Compiled,
    source: &'s [u8],
    has_errors: bool,
    depth: usize,
    /// Kinds of the nodes above.
    path: Vec<u16>,
    frames: Vec<Frame>,
    /// Depths of the control structures that are open.
    nests: Vec<usize>,
    /// Decisions by target.
    decisions: Vec<u32>,
    adds: Vec<Adds>,
    functions: Vec<FunctionMetrics>,
    structure: Structure,
    /// Values that are still to come, the next one last.
    values: Vec<Value>,
    /// The name of the value that begins here.
    name: String,
    /// A doc comment waits for what comes next; then it is what ends at this byte.
    doc: Doc,
    logical: u32,
    comment: u32,
    last_comment_row: Option<usize>,
    max_nesting: usize,
    errors: u32,
    first_error: Option<u32>,
    /// The line ends of the source, where those of the parsed text are others.
    line_ends: Option<Vec<usize>>,
}

/// The places of the line ends, where a mask took some of them away.
fn moved_line_ends(parsed: &[u8], source: &[u8]) -> Option<Vec<usize>> {
    let ends = |text: &[u8]| text.split(|b| *b == b'\n').count();
    let moved = !std::ptr::eq(parsed, source) && ends(parsed) != ends(source);
    moved.then(|| source.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).collect())
}

#[derive(Clone, Copy, PartialEq)]
enum Doc {
    None,
    Waiting,
    For(usize),
}

impl<'s> Walker<'s> {
    fn new(compiled: &'static Compiled, source: &'s [u8], has_errors: bool) -> Self {
        let module = Frame { depth: 0, target: MODULE, kind: FrameKind::Module, nesting: 0 };
        Self {
            compiled,
            source,
            has_errors,
            depth: 0,
            path: Vec::with_capacity(64),
            frames: vec![module],
            nests: Vec::new(),
            decisions: vec![0; FIRST_FUNCTION],
            adds: Vec::new(),
            functions: Vec::new(),
            structure: Structure::default(),
            values: Vec::new(),
            name: String::new(),
            doc: Doc::None,
            logical: 0,
            comment: 0,
            last_comment_row: None,
            max_nesting: 0,
            errors: 0,
            first_error: None,
            line_ends: None,
        }
    }

    /// Takes in the node under the cursor; whether to go below it.
    fn enter(&mut self, cursor: &TreeCursor<'_>) -> bool {
        let node = cursor.node();
        let kind = node.kind_id();
        let parent = self.depth.checked_sub(1).and_then(|up| self.path.get(up)).copied();
        self.path.truncate(self.depth);
        self.path.push(kind);
        self.leave();
        if self.has_errors && (node.is_error() || node.is_missing()) {
            self.note_error(node);
        }
        let mut roles = self.compiled.roles(kind);
        if self.has_errors && roles & SKIP != 0 && node.has_error() && !node.is_missing() {
            // It is below, where nobody looks.
            self.note_error(node);
        }
        if self.compiled.rules.radon && self.is_head(cursor) {
            self.push(FrameKind::Outside, NOWHERE);
        }
        self.name_value(node);
        if roles & !SKIP == 0 {
            self.document(node, roles);
            return roles == 0;
        }
        if roles & NESTS != 0 && self.is_else_if(cursor, kind, parent) {
            roles &= !NESTS;
        }
        self.document(node, roles);
        self.count(node, roles);
        if roles & METHODS != 0 {
            self.push(FrameKind::Class, self.target());
        }
        if roles & (SPECIAL | TEST | FUNCTION | CLASS | INITIALIZER | OUTSIDE) != 0 {
            let parent = parent.and_then(|id| self.compiled.grammar.node_kind_for_id(id)).unwrap_or_default();
            self.look(node, parent, roles);
        }
        roles & SKIP == 0
    }

    /// Returns whether the node is a value that its parent described.
    fn name_value(&mut self, node: Node<'_>) {
        self.name.clear();
        while self.values.last().is_some_and(|value| value.start < node.start_byte()) {
            self.values.pop();
        }
        if let Some(value) = self.values.pop_if(|value| value.start == node.start_byte()) {
            match value.measured {
                Some(kind) => self.function(node, kind, value.name, 0),
                None => self.name = value.name,
            }
        }
    }

    /// Closes what ended before the node.
    fn leave(&mut self) {
        while self.frames.len() > 1 && self.frames.last().is_some_and(|f| f.depth >= self.depth) {
            self.frames.pop();
        }
        while self.nests.last().is_some_and(|depth| *depth >= self.depth) {
            self.nests.pop();
        }
    }

    fn count(&mut self, node: Node<'_>, roles: Roles) {
        if roles & DECISION != 0 {
            self.decide(1);
        }
        self.structure.num_imports += u32::from(roles & IMPORT != 0);
        self.logical += u32::from(roles & STATEMENT != 0);
        if roles & COMMENT != 0 {
            let (first, last) = (self.row(node), node.end_position());
            // A line comment may end at the start of the next row.
            let last = if last.column == 0 && last.row > first { last.row - 1 } else { self.end_row(node) };
            let first = self.last_comment_row.map_or(first, |row| first.max(row + 1));
            self.comment += (last + 1).saturating_sub(first) as u32;
            self.last_comment_row = Some(last.max(self.last_comment_row.unwrap_or(0)));
        }
        if roles & NESTS != 0 {
            self.nests.push(self.depth);
            let within = self.frames.last().map_or(0, |f| f.nesting);
            self.max_nesting = self.max_nesting.max(self.nests.len().saturating_sub(within));
        }
    }

    fn look(&mut self, node: Node<'_>, parent: &'static str, roles: Roles) {
        let rules = self.compiled.rules;
        let around = self.frames.last().map_or(FrameKind::Module, |f| f.kind);
        let in_class = matches!(around, FrameKind::Class | FrameKind::InnerClass | FrameKind::DroppedClass);
        let look = Look { node, parent, source: self.source, in_class };
        if roles & OUTSIDE != 0 {
            self.outside();
        }
        if roles & SPECIAL != 0 {
            let special = (rules.special)(&look);
            self.decide(special.decisions);
            if special.faulty {
                self.note_error(node);
            }
            // The outer ones come later in the text, so that they stay below.
            self.values.extend(special.values.into_iter().rev());
        }
        if roles & INITIALIZER != 0 {
            self.function(node, FunctionKind::Initializer, String::new(), 0);
        }
        let defines = roles & (FUNCTION | CLASS) != 0;
        if (roles & TEST != 0 || roles & FUNCTION != 0) && (rules.is_test)(&look) {
            self.structure.num_tests += 1;
        }
        if !defines {
            return;
        }
        let mut signature = (rules.signature)(&look);
        if signature.no_body {
            return;
        }
        if signature.faulty {
            self.note_error(node);
        }
        if signature.name.is_empty() {
            signature.name = std::mem::take(&mut self.name);
        }
        self.describe(node, &signature);
        if roles & CLASS != 0 {
            self.class(around);
        } else {
            let kind = if in_class { FunctionKind::Method } else { FunctionKind::Function };
            self.function(node, kind, signature.name, signature.rows_before);
        }
    }

    /// Reads its documentation and the types of its parameters.
    fn describe(&mut self, node: Node<'_>, signature: &Signature) {
        self.structure.type_hints.with += signature.hints.with;
        self.structure.type_hints.of += signature.hints.of;
        let commented = matches!(self.doc, Doc::For(end) if node.start_byte() < end);
        if commented {
            self.doc = Doc::None;
        }
        if !signature.name.is_empty() {
            let with = u32::from(commented || signature.docstring);
            let docstrings = &mut self.structure.docstrings;
            *docstrings = Share { with: docstrings.with + with, of: docstrings.of + 1 };
        }
    }

    fn class(&mut self, around: FrameKind) {
        self.structure.num_classes += 1;
        let target = self.target();
        match around {
            _ if !self.compiled.rules.radon => self.push(FrameKind::Class, target),
            FrameKind::Module => self.push(FrameKind::Class, target),
            FrameKind::Class | FrameKind::InnerClass => self.push(FrameKind::InnerClass, NOWHERE),
            _ => self.push(FrameKind::DroppedClass, NOWHERE),
        }
    }

    fn function(&mut self, node: Node<'_>, kind: FunctionKind, name: String, rows_before: u32) {
        let around = self.frames.last().map_or(FrameKind::Module, |f| f.kind);
        match kind {
            FunctionKind::Function => self.structure.num_functions += 1,
            FunctionKind::Method => self.structure.num_methods += 1,
            FunctionKind::Initializer => {}
        }
        let line = self.row(node) as u32 + rows_before + 1;
        let end_line = self.end_row(node) as u32 + 1;
        if kind != FunctionKind::Initializer {
            let lines = &mut self.structure.longest_function;
            *lines = (*lines).max(end_line - line + 1);
        }
        let dropped =
            self.compiled.rules.radon && self.frames.iter().any(|f| f.kind == FrameKind::DroppedClass);
        if dropped {
            self.push(FrameKind::Function, NOWHERE);
            return;
        }
        self.adds.push(match around {
            _ if !self.compiled.rules.radon => Adds::Decisions,
            FrameKind::Module => Adds::Decisions,
            FrameKind::Class => Adds::Whole,
            _ => Adds::Nothing,
        });
        self.decisions.push(0);
        self.functions.push(FunctionMetrics { name, kind, line, end_line, complexity: 1 });
        self.push(FrameKind::Function, self.decisions.len() - 1);
    }

    /// A part of a function's head that is worked out where the function is defined.
    fn outside(&mut self) {
        let direct =
            self.frames.last().is_some_and(|f| f.kind == FrameKind::Function && f.depth + 1 == self.depth);
        if direct && self.frames.len() >= 2 {
            let target = self.frames[self.frames.len() - 2].target;
            self.push(FrameKind::Outside, target);
        }
    }

    /// Returns whether the node is a direct part of a function or class, but not of its body.
    fn is_head(&self, cursor: &TreeCursor<'_>) -> bool {
        let direct =
            self.frames.last().is_some_and(|f| f.depth + 1 == self.depth && f.kind != FrameKind::Module);
        direct && cursor.field_name() != Some("body")
    }

    /// An `else if` is no deeper than its `if`.
    fn is_else_if(&self, cursor: &TreeCursor<'_>, kind: u16, parent: Option<u16>) -> bool {
        let name = |id| self.compiled.grammar.node_kind_for_id(id).unwrap_or_default();
        name(kind).starts_with("if_")
            && (parent.is_some_and(|id| name(id) == "else_clause")
                || (parent == Some(kind) && cursor.field_name() == Some("alternative")))
    }

    /// A doc comment documents what comes right after it.
    fn document(&mut self, node: Node<'_>, roles: Roles) {
        if roles & COMMENT != 0 {
            let rules = self.compiled.rules;
            let text = self.source.get(node.start_byte()..).unwrap_or_default();
            if rules.doc_comments.iter().any(|start| text.starts_with(start.as_bytes())) {
                self.doc = Doc::Waiting;
            }
        } else if self.doc == Doc::Waiting && roles & ATTRIBUTE == 0 && node.is_named() {
            self.doc = Doc::For(node.end_byte());
        }
    }

    fn target(&self) -> usize {
        self.frames.last().map_or(MODULE, |f| f.target)
    }

    fn decide(&mut self, more: u32) {
        let target = self.target();
        self.decisions[target] += more;
    }

    fn push(&mut self, kind: FrameKind, target: usize) {
        self.frames.push(Frame { depth: self.depth, target, kind, nesting: self.nests.len() });
    }

    fn note_error(&mut self, node: Node<'_>) {
        self.errors += 1;
        let row = self.row(node) as u32;
        self.first_error = Some(self.first_error.map_or(row, |first| first.min(row)));
    }

    /// The row of the source on which a node begins, from 0.
    fn row(&self, node: Node<'_>) -> usize {
        self.row_of(node.start_byte(), node.start_position().row)
    }

    fn end_row(&self, node: Node<'_>) -> usize {
        self.row_of(node.end_byte(), node.end_position().row)
    }

    fn row_of(&self, byte: usize, parsed: usize) -> usize {
        self.line_ends.as_ref().map_or(parsed, |ends| ends.partition_point(|end| *end < byte))
    }

    fn finish(mut self) -> Walked {
        let mut total = 1 + self.decisions[MODULE];
        for ((function, decisions), adds) in
            self.functions.iter_mut().zip(&self.decisions[FIRST_FUNCTION..]).zip(&self.adds)
        {
            function.complexity = 1 + decisions;
            total += match adds {
                Adds::Decisions => *decisions,
                Adds::Whole => decisions + 1,
                Adds::Nothing => 0,
            };
        }
        let mut structure = self.structure;
        let counts = self.compiled.rules.has_complexity;
        structure.cyclomatic = counts.then(|| Cyclomatic::of(total, &self.functions));
        structure.functions = self.functions;
        Walked {
            structure,
            logical: self.logical,
            comment: self.comment,
            max_nesting: self.max_nesting as u32,
            errors: self.errors,
            first_error: self.first_error,
        }
    }
}
