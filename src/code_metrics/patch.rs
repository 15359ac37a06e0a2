//! Generated patches: the lines that a unified diff adds, by file.

use super::lines;

/// Lines that a patch adds to a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Added {
    /// The file's path, as the patch gives it.
    pub(super) path: String,
    /// The added lines.
    pub(super) code: Vec<u8>,
}

/// The files of a unified diff with what it adds; `None` where `text` is none.
pub(super) fn added(text: &[u8]) -> Option<Vec<Added>> {
    if !is_patch(text) {
        return None;
    }
    let mut files: Vec<Added> = Vec::new();
    let (mut old_left, mut new_left) = (0_u64, 0_u64);
    for line in lines::rows(text) {
        if old_left > 0 || new_left > 0 {
            match line.first() {
                Some(b'+') => {
                    new_left = new_left.saturating_sub(1);
                    if let Some(file) = files.last_mut() {
                        file.code.extend_from_slice(&line[1..]);
                        file.code.push(b'\n');
                    }
                }
                Some(b'-') => old_left = old_left.saturating_sub(1),
                Some(b'\\') => {}
                _ => (old_left, new_left) = (old_left.saturating_sub(1), new_left.saturating_sub(1)),
            }
        } else if let Some(path) = line.strip_prefix(b"+++ ") {
            files.push(Added { path: path_of(path), code: Vec::new() });
        } else if let Some(hunk) = line.strip_prefix(b"@@ ") {
            (old_left, new_left) = sizes(hunk);
            if files.is_empty() {
                files.push(Added::default());
            }
        }
    }
    Some(files)
}

/// Returns whether the first line that is not blank belongs to a patch.
pub(super) fn begins(text: &[u8]) -> bool {
    let first = lines::rows(text).find(|line| !line.iter().all(|b| lines::is_space(*b))).unwrap_or_default();
    let starts = [&b"diff "[..], b"--- ", b"Index: ", b"From ", b"```", b"~~~"];
    starts.iter().any(|start| first.starts_with(start)) || is_hunk(first)
}

/// A patch has a header of two lines, or begins with a hunk.
fn is_patch(text: &[u8]) -> bool {
    let mut previous: &[u8] = b"";
    for (row, line) in lines::rows(text).take(FIRST_LINES).enumerate() {
        let headed = previous.starts_with(b"--- ") && line.starts_with(b"+++ ");
        if headed || (row == 0 && is_hunk(line)) {
            return true;
        }
        previous = line;
    }
    false
}

/// A patch shows itself within so many lines.
const FIRST_LINES: usize = 200;

fn is_hunk(line: &[u8]) -> bool {
    line.strip_prefix(b"@@ -").is_some_and(|rest| rest.windows(3).any(|w| w == b" @@"))
}

fn path_of(field: &[u8]) -> String {
    let path = String::from_utf8_lossy(&field[..field.len().min(4096)]);
    let path = path.split('\t').next().unwrap_or_default().trim();
    path.strip_prefix("b/").unwrap_or(path).to_owned()
}

/// Old and new lines of `-a,b +c,d @@ …`; a count left out is 1.
fn sizes(hunk: &[u8]) -> (u64, u64) {
    let text = String::from_utf8_lossy(&hunk[..hunk.len().min(100)]);
    let mut parts = text.split(' ').map(|part| match part.split_once(',') {
        Some((_, count)) => count.parse().unwrap_or(0),
        None => 1,
    });
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_lines_are_taken_by_file() {
        let patch = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,3 @@\n a\n-b\n+c\n+--- d\n--- a/y.go\n+++ b/y.go\n@@ -0,0 +1 @@\n+package y\n\\ No newline at end of file\n";
        let files = added(patch.as_bytes()).unwrap();
        let parts: Vec<_> =
            files.iter().map(|f| (f.path.as_str(), String::from_utf8_lossy(&f.code))).collect();
        assert_eq!(parts, [("x.py", "c\n--- d\n".into()), ("y.go", "package y\n".into())]);
        assert_eq!(added(b"--- \n"), None);
        assert_eq!(added(b"x = 1\n+++ b\n"), None);
    }
}
