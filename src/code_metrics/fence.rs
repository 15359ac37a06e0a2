//! Answers in Markdown: the code between fences.

use super::lines;

/// A fenced block.
#[derive(Debug, PartialEq)]
pub(super) struct Block<'a> {
    /// What stands behind the opening fence, up to a space.
    pub(super) info: &'a str,
    pub(super) code: &'a [u8],
    /// The row on which the code begins, from 0.
    pub(super) row: u32,
}

/// The fenced blocks of `text` (CommonMark 0.31, 4.5), the last to the end where it is not closed;
/// and whether the text begins with one.
pub(super) fn blocks(text: &[u8]) -> (Vec<Block<'_>>, bool) {
    let mut blocks = Vec::new();
    if !has_fence(text) {
        return (blocks, false);
    }
    let (mut open, mut at, mut begins, mut before) = (None::<Open<'_>>, 0, false, false);
    for (row, line) in lines::rows(text).enumerate() {
        let next = (at + line.len() + 1).min(text.len());
        match (&open, fence(line)) {
            (Some(fence), Some((mark, length, info)))
                if mark == fence.mark && length >= fence.length && info.is_empty() =>
            {
                blocks.push(Block { info: fence.info, code: &text[fence.start..at], row: fence.row });
                open = None;
            }
            (None, Some((mark, length, info))) => {
                begins |= blocks.is_empty() && !before;
                open = Some(Open { mark, length, info, start: next, row: row as u32 + 1 });
            }
            (None, None) => before |= line.iter().any(|b| !lines::is_space(*b)),
            _ => {}
        }
        at = next;
    }
    if let Some(fence) = open {
        blocks.push(Block { info: fence.info, code: &text[fence.start..], row: fence.row });
    }
    (blocks, begins)
}

/// Most texts have none: a look at every line's first mark is quick.
fn has_fence(text: &[u8]) -> bool {
    text.windows(3).any(|w| w == b"```" || w == b"~~~")
}

struct Open<'a> {
    mark: u8,
    length: usize,
    info: &'a str,
    start: usize,
    row: u32,
}

/// The mark, length and info of a fence; indented by at most three spaces.
fn fence(line: &[u8]) -> Option<(u8, usize, &str)> {
    let indent = line.iter().take(4).take_while(|b| **b == b' ').count();
    let line = line.get(indent..).filter(|_| indent <= 3)?;
    let mark = *line.first().filter(|b| matches!(b, b'`' | b'~'))?;
    let length = line.iter().take_while(|b| **b == mark).count();
    let info = std::str::from_utf8(&line[length..]).ok()?.trim();
    let name = info.split([' ', '\t', '{', ',']).next().unwrap_or_default();
    (length >= 3 && !(mark == b'`' && info.contains('`'))).then_some((mark, length, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_closed_or_not() {
        let (found, begins) = blocks(b"Sure:\n\n```python\nx = 1\n```\nand\n~~~\ny\n```\n~~~\n```js\nz");
        assert!(!begins);
        let parts: Vec<_> =
            found.iter().map(|b| (b.info, std::str::from_utf8(b.code).unwrap(), b.row)).collect();
        assert_eq!(parts, [("python", "x = 1\n", 3), ("", "y\n```\n", 7), ("js", "z", 11)]);
        assert!(blocks(b"\n```\nx\n```\n").1);
        assert!(blocks(b"a `b` ``` c\n    ```\n").0.is_empty());
    }
}
