//! Answers in Markdown: the code between fences.

use super::lines;
use std::borrow::Cow;

/// A fenced block.
#[derive(Debug, PartialEq)]
pub(super) struct Block<'a> {
    /// What stands behind the opening fence, up to a space.
    pub(super) info: &'a str,
    /// Its lines, without what makes them a part of a list or a quote.
    pub(super) code: Cow<'a, [u8]>,
    /// The row on which the code begins, from 0.
    pub(super) row: u32,
}

/// The fenced blocks of `text` (CommonMark 0.31, 4.5), in quotes and lists too, the last to the end where it is
/// not closed; and whether the text begins with one.
///
/// In a list a block ends with its fence alone: answers often indent less than CommonMark asks for.
pub(super) fn blocks(text: &[u8]) -> (Vec<Block<'_>>, bool) {
    let (mut blocks, mut begins, mut before) = (Vec::new(), false, false);
    if !has_fence(text) {
        return (blocks, false);
    }
    let (mut open, mut at, mut items) = (None::<Open<'_>>, 0, Vec::new());
    for (row, line) in lines::rows(text).enumerate() {
        let next = (at + line.len() + 1).min(text.len());
        // A quote ends with its marks, and what it holds with it.
        open = match open {
            Some(fence) if quotes(line, fence.quotes).is_none() => {
                blocks.push(fence.close(text, at));
                None
            }
            open => open,
        };
        match &mut open {
            Some(fence) => {
                let rest = quotes(line, fence.quotes).unwrap_or_default();
                let closes = fence_at(rest.trim_ascii_start()).filter(|_| indent(rest) <= fence.indent + 3);
                match closes {
                    Some((mark, length, "")) if mark == fence.mark && length >= fence.length => {
                        blocks.extend(open.take().map(|fence| fence.close(text, at)));
                    }
                    _ => fence.add(text, rest, at, next),
                }
            }
            None => match opening(line, &mut items) {
                Some(mut fence) => {
                    begins |= blocks.is_empty() && !before;
                    (fence.start, fence.row) = (next, row as u32 + 1);
                    open = Some(fence);
                }
                None => before |= line.iter().any(|b| !lines::is_space(*b)),
            },
        }
        at = next;
    }
    blocks.extend(open.map(|fence| fence.close(text, text.len())));
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
    /// Marks of quotes before it.
    quotes: usize,
    /// Its column behind them: as many spaces are no part of its lines.
    indent: usize,
    start: usize,
    row: u32,
    /// The lines so far, where something was taken off one of them.
    lines: Option<Vec<u8>>,
}

impl<'a> Open<'a> {
    /// Takes in the line of `text` from `at` to `next`, of which `rest` is behind the marks of quotes.
    fn add(&mut self, text: &[u8], rest: &[u8], at: usize, next: usize) {
        let kept = unindented(rest, self.indent);
        let end = if text[..next].ends_with(b"\n") { next - 1 } else { next };
        if self.lines.is_none() && kept.len() < end - at {
            self.lines = Some(text[self.start..at].to_vec());
        }
        if let Some(lines) = &mut self.lines {
            lines.extend_from_slice(kept);
            lines.extend_from_slice(&text[end..next]);
        }
    }

    fn close(self, text: &'a [u8], end: usize) -> Block<'a> {
        let code = self.lines.map_or(Cow::Borrowed(&text[self.start.min(end)..end]), Cow::Owned);
        Block { info: self.info, code, row: self.row }
    }
}

/// The fence that a line opens. `items` are the columns of the contents of the list items around it.
fn opening<'a>(line: &'a [u8], items: &mut Vec<usize>) -> Option<Open<'a>> {
    let (mut rest, mut quotes) = (line, 0);
    while let Some(inner) = quote(rest) {
        (rest, quotes) = (inner, quotes + 1);
    }
    let mut column = indent(rest);
    let mut text = rest.trim_ascii_start();
    if text.is_empty() {
        return None;
    }
    items.retain(|item| *item <= column);
    while let Some(width) = marker(text) {
        let spaces = indent(&text[width..]);
        text = text[width..].trim_ascii_start();
        // Five spaces or more are one, and an indented block.
        column += width + if text.is_empty() || spaces > 4 { 1 } else { spaces };
        items.push(column);
    }
    let (mark, length, info) = fence_at(text)?;
    let within = column - items.last().copied().unwrap_or(0).min(column);
    let row = 0;
    (within <= 3).then_some(Open { mark, length, info, quotes, indent: column, start: 0, row, lines: None })
}

/// Bytes of a list item's marker: `-`, `*`, `+`, `1.`, `2)`.
fn marker(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take(10).take_while(|b| b.is_ascii_digit()).count();
    let width = match text.get(digits)? {
        b'-' | b'*' | b'+' if digits == 0 => 1,
        b'.' | b')' if (1..=9).contains(&digits) => digits + 1,
        _ => return None,
    };
    matches!(text.get(width), None | Some(b' ' | b'\t')).then_some(width)
}

/// A line without so many marks of quotes; `None` where it has fewer.
fn quotes(line: &[u8], marks: usize) -> Option<&[u8]> {
    (0..marks).try_fold(line, |rest, _| quote(rest))
}

/// A line without the mark of a quote and the space behind it.
fn quote(line: &[u8]) -> Option<&[u8]> {
    let rest = line.trim_ascii_start().strip_prefix(b">").filter(|_| indent(line) <= 3)?;
    Some(rest.strip_prefix(b" ").unwrap_or(rest))
}

/// The column of the first character; a tab goes to the next multiple of four.
fn indent(line: &[u8]) -> usize {
    let mut column = 0;
    for byte in line {
        match byte {
            b' ' => column += 1,
            b'\t' => column = column / 4 * 4 + 4,
            _ => break,
        }
    }
    column
}

/// A line without at most so many columns of white space.
fn unindented(line: &[u8], columns: usize) -> &[u8] {
    let (mut column, mut at) = (0, 0);
    while column < columns {
        match line.get(at) {
            Some(b' ') => column += 1,
            Some(b'\t') if column / 4 * 4 + 4 <= columns => column = column / 4 * 4 + 4,
            _ => break,
        }
        at += 1;
    }
    &line[at..]
}

/// The mark, length and info of the fence at the start of a text.
fn fence_at(line: &[u8]) -> Option<(u8, usize, &str)> {
    let mark = *line.first().filter(|b| matches!(b, b'`' | b'~'))?;
    let length = line.iter().take_while(|b| **b == mark).count();
    let info = std::str::from_utf8(&line[length..]).ok()?.trim();
    let name = info.split([' ', '\t', '{', ',']).next().unwrap_or_default();
    (length >= 3 && !(mark == b'`' && info.contains('`'))).then_some((mark, length, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(String, String, u32)> {
        let text_of =
            |b: Block<'_>| (b.info.to_owned(), String::from_utf8(b.code.into_owned()).unwrap(), b.row);
        blocks(text.as_bytes()).0.into_iter().map(text_of).collect()
    }

    fn block(info: &str, code: &str, row: u32) -> (String, String, u32) {
        (info.to_owned(), code.to_owned(), row)
    }

    #[test]
    fn blocks_are_found_closed_or_not() {
        let text = "Sure:\n\n```python\nx = 1\n```\nand\n~~~\ny\n```\n~~~\n```js\nz";
        assert!(!blocks(text.as_bytes()).1);
        assert_eq!(of(text), [block("python", "x = 1\n", 3), block("", "y\n```\n", 7), block("js", "z", 11)]);
        assert!(blocks(b"\n```\nx\n```\n").1);
        assert_eq!(of("a `b` ``` c\n    ```\n"), []);
        assert_eq!(
            of("````md\n```py\nx\n```\n````\n"),
            [block("md", "```py\nx\n```\n", 1)],
            "a longer fence"
        );
    }

    #[test]
    fn the_indentation_of_lists_is_taken_off() {
        let nested = "1. Make:\n\n   ```python\n   def f():\n       pass\n\n   ```\n\n2. Run:\n   - as\n\n     ~~~ sh\n     ls\n  x\n     ~~~\n";
        let expected = [block("python", "def f():\n    pass\n\n", 3), block("sh", "ls\nx\n", 12)];
        assert_eq!(of(nested), expected);
        assert_eq!(
            of("- ```py\n  x\n  ```\n10) ```js\n    y\n    ```\n"),
            [block("py", "x\n", 1), block("js", "y\n", 4)]
        );
        assert_eq!(of("*\t```py\n\tx\n\t\ty\n\t```\n"), [block("py", "x\n\ty\n", 1)]);
        assert_eq!(of("1. a\n\n    ```py\n    x\n    ```\n"), [block("py", "x\n", 3)], "one space too many");
        assert_eq!(of("  ```py\n   x\n y\n  ```\n"), [block("py", " x\ny\n", 1)]);
    }

    #[test]
    fn the_marks_of_quotes_are_taken_off() {
        assert_eq!(
            of("> Do:\n>\n> ```py\n> if a:\n>     b\n>\n> ```\nx\n"),
            [block("py", "if a:\n    b\n\n", 3)]
        );
        assert_eq!(of("> - ```py\n>   a\nb\n"), [block("py", "a\n", 1)], "the quote ends, and the block");
        assert_eq!(of(">> ~~~\n>> a\n> b\n"), [block("", "a\n", 1)]);
        assert_eq!(of("> ```py\n> a\n>  b"), [block("py", "a\n b", 1)]);
    }
}
