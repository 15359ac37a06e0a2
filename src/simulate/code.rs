//! Short programs such as an agent would write; they parse and run.

use super::random::Draw;
use super::snippets::{HTML, PYTHON, RUST, SCRIPT, SQL, Snippet};

/// A program with the ending of its file.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) text: String,
    pub(super) ending: &'static str,
}

/// What fills the gaps of a snippet.
struct Filling<'a> {
    noun: &'a str,
    number: u32,
    typed: bool,
    documented: bool,
}

/// A program in `language` about `noun`: one to all of the language's snippets, with or without
/// types, documentation and tests.
pub(super) fn program(language: &str, noun: &str, draw: &mut Draw) -> Program {
    let (snippets, ending): (&[Snippet], _) = match language {
        "python" => (&PYTHON, "py"),
        "typescript" => (&SCRIPT, "ts"),
        "javascript" => (&SCRIPT, "js"),
        "sql" => (&SQL, "sql"),
        "html" => (&HTML, "html"),
        _ => (&RUST, "rs"),
    };
    let typed = match language {
        "python" => draw.chance(0.7),
        language => language != "javascript",
    };
    let filling = Filling { noun, number: 10 + draw.below(90), typed, documented: draw.chance(0.65) };
    let tested = draw.chance(0.4);
    let first = draw.below(snippets.len() as u32) as usize;
    let count = 1 + draw.below(snippets.len() as u32) as usize;
    let chosen = || snippets.iter().cycle().skip(first).take(count);
    let mut text = String::with_capacity(2048);
    for (n, snippet) in chosen().enumerate() {
        // What two snippets need is written once.
        if !chosen().take(n).any(|earlier| earlier.needs == snippet.needs) {
            fill(&mut text, snippet.needs, &filling);
        }
    }
    for snippet in chosen() {
        fill(&mut text, snippet.body, &filling);
    }
    if tested {
        let (open, close) = match ending {
            "rs" => ("\n#[cfg(test)]\nmod tests {\n    use super::*;\n", "}\n"),
            _ => ("", ""),
        };
        text.push_str(open);
        for snippet in chosen() {
            fill(&mut text, snippet.test, &filling);
        }
        text.push_str(close);
    }
    Program { text, ending }
}

/// Writes `snippet` with its gaps filled: `~n` the noun, `~N` the same with a capital, `~k` a
/// number from 10 to 99, `~(…~)` only where typed, `~<…~>` only where documented.
fn fill(out: &mut String, snippet: &str, filling: &Filling<'_>) {
    let mut parts = snippet.split('~');
    out.push_str(parts.next().unwrap_or_default());
    let mut silent = false;
    for part in parts {
        let Some(mark) = part.chars().next() else { continue };
        match mark {
            '(' => silent = !filling.typed,
            '<' => silent = !filling.documented,
            ')' | '>' => silent = false,
            _ if silent => continue,
            'n' => out.push_str(filling.noun),
            'N' => {
                let (head, tail) = filling.noun.split_at(1);
                out.push(head.as_bytes()[0].to_ascii_uppercase() as char);
                out.push_str(tail);
            }
            'k' => {
                out.push((b'0' + (filling.number / 10) as u8) as char);
                out.push((b'0' + (filling.number % 10) as u8) as char);
            }
            other => out.push(other),
        }
        if !silent {
            out.push_str(&part[mark.len_utf8()..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;

    #[test]
    fn programs_are_filled_balanced_and_varied() {
        for language in ["python", "javascript", "typescript", "sql", "html", "rust"] {
            let made: std::collections::BTreeSet<_> = (0..500)
                .map(|n| program(language, "order", &mut Draw::new(3, Purpose::Code, n)).text)
                .collect();
            assert!(made.len() > 150, "{language}: {}", made.len());
            for text in &made {
                assert!(!text.contains('~') && text.ends_with('\n'), "{text}");
                for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
                    assert_eq!(text.matches(open).count(), text.matches(close).count(), "{text}");
                }
                assert!((3..200).contains(&text.lines().count()));
            }
        }
    }

    #[test]
    fn gaps_are_filled() {
        let filled = |typed, documented| {
            let mut out = String::new();
            let filling = Filling { noun: "order", number: 10, typed, documented };
            fill(&mut out, "f(~n~(: ~N~)) ~<# all ~ns~>= ~k", &filling);
            out
        };
        assert_eq!(filled(true, true), "f(order: Order) # all orders= 10");
        assert_eq!(filled(false, false), "f(order) = 10");
    }
}
