//! JavaScript and TypeScript that tree-sitter-javascript 0.25.0 and tree-sitter-typescript 0.23.2 do not know.

use super::Mask;
use super::tokens::{MOST_TOKENS, Style, Tokens};

/// A text that these grammars read, with the same decisions and functions.
pub(in super::super) fn masked(code: &[u8]) -> Option<Vec<u8>> {
    let tokens = Tokens::of(code, Style::Script);
    let mut mask = Mask::of(&tokens);
    ampersands(&mut mask);
    for at in 0..tokens.all.len() {
        match tokens.text(at) {
            b"<" => signature(&mut mask, at),
            b"*" => generator(&mut mask, at),
            b"?." => instantiated_call(&mut mask, at),
            b"?" => fraction(&mut mask, at),
            b"[" => index(&mut mask, at),
            b"{" => pattern(&mut mask, at),
            b"for" => for_head(&mut mask, at),
            b"using" => using(&mut mask, at),
            b"import" => import(&mut mask, at),
            b"export" => export(&mut mask, at),
            b"with" | b"assert" => attributes(&mut mask, at),
            b"in" | b"out" => variance(&mut mask, at),
            b"accessor" => accessor(&mut mask, at),
            // A block holds what `global` does.
            b"global" if tokens.text(at + 1) == b"{" && tokens.before(at) != b"declare" => mask.blank(at, at),
            b"as" | b"satisfies" => update(&mut mask, at),
            _ => {}
        }
        name(&mut mask, at);
        template(&mut mask, at);
    }
    mask.finish()
}

/// The grammars know no `&` in JSX but that of `&amp;`, though `Q & A` and `href="?a=1&b=2"` are
/// valid: `|` stands for it, which is as good in a type or an expression, since neither operator
/// counts.
fn ampersands(mask: &mut Mask<'_>) {
    let code = mask.tokens.code;
    let is = |at: Option<usize>, byte| at.and_then(|at| code.get(at)) == Some(&byte);
    for (at, _) in code.iter().enumerate().filter(|(_, byte)| **byte == b'&') {
        let doubled = is(at.checked_sub(1), b'&') || is(Some(at + 1), b'&');
        if !doubled && !is(Some(at + 1), b'=') {
            mask.text[at] = b'|';
        }
    }
}

/// `in`, `out` and `in out` before a type parameter.
fn variance(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let in_list = match tokens.before(at) {
        b"<" | b"," => true,
        b"in" | b"out" | b"const" => {
            at >= 2 && matches!(tokens.before(at - 1), b"<" | b"," | b"in" | b"const")
        }
        _ => false,
    };
    let named = tokens.is_word(at + 1) && !matches!(tokens.text(at + 1), b"in" | b"of" | b"extends" | b"as");
    if in_list && named {
        mask.blank(at, at);
    }
}

/// A generic signature on a line of its own ends the member before it: `a: A<B>` is not called by `<C>(…)`.
fn signature(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let ended = at > 0 && (tokens.is_word(at - 1) || matches!(tokens.before(at), b">" | b")" | b"]" | b"}"));
    if !tokens.begins_line(at)
        || (!ended && !tokens.is_text(at.saturating_sub(1)))
        || !is_in_members(tokens, at)
    {
        return;
    }
    if tokens.closing_angle(at).is_some_and(|close| tokens.text(close + 1) == b"(") {
        mask.end_before(at);
    }
}

/// Returns whether the innermost bracket is a brace that does not open a block.
fn is_in_members(tokens: &Tokens<'_>, at: usize) -> bool {
    let Some(open) = tokens.all[at].inside.filter(|open| tokens.text(*open) == b"{") else { return false };
    !matches!(tokens.before(open), b")" | b"else" | b"try" | b"finally" | b"do" | b";" | b"}" | b"{" | b"")
}

/// `*name()` on a line of its own after a field without a semicolon.
fn generator(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let named = tokens.is_word(at + 1) && tokens.text(at + 2) == b"(";
    let body =
        named.then(|| tokens.partner(at + 2)).flatten().is_some_and(|close| tokens.text(close + 1) == b"{");
    if tokens.begins_line(at) && body && is_in_members(tokens, at) {
        mask.end_before(at);
    }
}

/// `f<T>?.()`.
fn instantiated_call(mask: &mut Mask<'_>, at: usize) {
    let open = at.checked_sub(1).filter(|close| mask.tokens.text(*close) == b">");
    if let Some(open) = open.and_then(|close| mask.tokens.opening_angle(close)) {
        mask.blank(open, at - 1);
    }
}

/// `a?.5:b`.
fn fraction(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    if tokens.text(at + 1) == b"." && tokens.text(at + 2).first().is_some_and(u8::is_ascii_digit) {
        mask.put(at + 1, b"0");
    }
}

/// `static [key: string]: T`, and signatures without a type: `[key: string];`, `[K in T]`.
fn index(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    if !tokens.is_word(at + 1) || !matches!(tokens.text(at + 2), b":" | b"in") {
        return;
    }
    let static_at =
        at.checked_sub(1).map(|at| if tokens.text(at) == b"readonly" { at.saturating_sub(1) } else { at });
    if let Some(place) = static_at.filter(|place| tokens.text(*place) == b"static") {
        mask.blank(place, place);
    }
    let Some(close) = tokens.partner(at) else { return };
    let first = if tokens.before(at) == b"readonly" { at - 1 } else { at };
    let member = tokens.all[at].inside.is_some_and(|open| tokens.text(open) == b"{")
        && matches!(tokens.before(first), b"{" | b";" | b",");
    let ends = matches!(tokens.text(close + 1), b"}" | b";" | b",");
    if member && ends {
        mask.blank(at, at);
        mask.blank(close, close);
        mask.put(at + 2, b":");
    }
}

/// `for (using a of b)`, `for (await using a of b)` and the usual form.
fn for_head(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let open = if tokens.text(at + 1) == b"await" { at + 2 } else { at + 1 };
    let using = if tokens.text(open + 1) == b"await" { open + 2 } else { open + 1 };
    if tokens.text(open + 1) == b"using" && tokens.text(open + 2) == b"of" {
        // A name here.
        mask.rename(open + 1);
    }
    let declares =
        tokens.text(using) == b"using" && tokens.is_word(using + 1) && tokens.text(using + 1) != b"of";
    if tokens.text(open) == b"(" && declares && matches!(tokens.text(using + 2), b"of" | b"=" | b":") {
        mask.put(using, b"const");
        if using > open + 1 {
            mask.blank(open + 1, open + 1);
        }
    }
}

/// `using a = b()` and `await using a = b()`.
fn using(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let named = tokens.is_word(at + 1) && !tokens.begins_line(at + 1);
    if !named || !matches!(tokens.text(at + 2), b"=" | b":") || matches!(tokens.before(at), b"." | b"?.") {
        return;
    }
    mask.put(at, b"const");
    if tokens.before(at) == b"await" {
        mask.blank(at - 1, at - 1);
    }
}

/// `import defer * as a`, `import source a from`, `import.defer(…)`, `import('a').B<C>`, and names of all kinds.
fn import(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    match tokens.text(at + 1) {
        b"defer" if tokens.text(at + 2) == b"*" => mask.blank(at + 1, at + 1),
        b"source" if tokens.is_word(at + 2) && tokens.text(at + 3) == b"from" => mask.blank(at + 1, at + 1),
        b"." if matches!(tokens.text(at + 2), b"defer" | b"source") => mask.blank(at + 1, at + 2),
        b"(" if tokens.is_text(at + 2) => imported_type(mask, at),
        _ => specifiers(mask, at + 1),
    }
}

fn imported_type(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let Some(close) = tokens.partner(at + 1) else { return };
    let mut end = close;
    while tokens.text(end + 1) == b"." && tokens.is_word(end + 2) {
        end += 2;
    }
    if end > close {
        mask.blank(at, close + 1);
        if is_reserved(tokens.text(close + 2)) {
            mask.rename(close + 2);
        }
    }
}

/// `export type *`, `export import type`, `export default abstract class`, `export { a as null }`.
fn export(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let rest = [tokens.text(at + 1), tokens.text(at + 2), tokens.text(at + 3)];
    match rest {
        [b"type", b"*", _] => mask.blank(at + 1, at + 1),
        [b"import", b"type", _] => {
            mask.blank(at, at);
            mask.blank(at + 2, at + 2);
        }
        [b"default", b"abstract", b"class"] => mask.blank(at + 2, at + 2),
        [b"default", b"function", b"("] if is_bodiless(tokens, at + 3) => {
            mask.put_over(at + 1, at + 2, b"function f");
        }
        _ => {}
    }
    let star = if rest[0] == b"type" { at + 2 } else { at + 1 };
    if tokens.text(star) == b"*" && tokens.text(star + 1) == b"as" && is_reserved(tokens.text(star + 2)) {
        mask.rename(star + 2);
    }
    specifiers(mask, at + 1);
}

/// Returns whether the function whose parameters begin at a place is declared only: `export default function (): A;`.
fn is_bodiless(tokens: &Tokens<'_>, open: usize) -> bool {
    let Some(mut at) = tokens.partner(open) else { return false };
    for _ in 0..MOST_TOKENS {
        at += 1;
        let is_type =
            matches!(tokens.before(at), b":" | b"|" | b"&" | b"=>" | b"<" | b"," | b"is" | b"extends");
        match tokens.text(at) {
            b"" | b";" => return true,
            b"{" if !is_type => return false,
            b"(" | b"[" | b"{" => match tokens.partner(at) {
                Some(close) => at = close,
                None => return false,
            },
            _ if tokens.begins_line(at) && !is_type && tokens.is_word(at) => return true,
            _ => {}
        }
    }
    false
}

/// `({ a, b }: C) => D` as a type: the grammar takes what is in the brackets for a type.
fn pattern(mask: &mut Mask<'_>, open: usize) {
    let tokens = mask.tokens;
    let is_parameter = matches!(tokens.before(open), b"(" | b",")
        && tokens.all[open].inside.is_some_and(|around| tokens.text(around) == b"(");
    let Some(close) = tokens.partner(open).filter(|_| is_parameter) else { return };
    let typed = if tokens.text(close + 1) == b"?" { close + 2 } else { close + 1 };
    // Default values count.
    let plain =
        (open + 1..close).all(|at| tokens.is_word(at) || matches!(tokens.text(at), b"," | b":" | b"..."));
    if plain && tokens.text(typed) == b":" {
        mask.put_over(open, close, b"x");
    }
}

/// Names in the braces of an import or export may be reserved words.
fn specifiers(mask: &mut Mask<'_>, first: usize) {
    let tokens = mask.tokens;
    let mut open = if tokens.text(first) == b"type" { first + 1 } else { first };
    if tokens.is_word(open) && tokens.text(open + 1) == b"," {
        open += 2;
    }
    let Some(close) = tokens.partner(open).filter(|_| tokens.text(open) == b"{") else { return };
    for place in open + 1..close {
        if is_reserved(tokens.text(place)) && tokens.text(place) != b"default" {
            mask.rename(place);
        }
    }
}

/// `with { type: 'json' }` behind an export; also the older `assert { … }`.
fn attributes(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let sourced = at >= 2 && tokens.is_text(at - 1) && matches!(tokens.before(at - 1), b"from" | b"import");
    let Some(close) = tokens.partner(at + 1).filter(|_| sourced && tokens.text(at + 1) == b"{") else {
        return;
    };
    let pairs = (at + 2..close).all(|place| match (place - at - 2) % 4 {
        0 => tokens.is_word(place) || tokens.is_text(place),
        1 => tokens.text(place) == b":",
        2 => tokens.is_text(place),
        _ => tokens.text(place) == b",",
    });
    if pairs && matches!((close - at - 2) % 4, 0 | 3) {
        mask.blank(at, close);
    }
}

/// `a++ as T`: an update counts for nothing. `for (a as T of b)`: nor does a type.
fn update(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let head = tokens.all[at].inside.filter(|open| matches!(tokens.before(*open), b"for" | b"await"));
    if let Some(close) = head.and_then(|open| tokens.partner(open)) {
        let end =
            (at + 2..close).take(MOST_TOKENS).find(|place| matches!(tokens.text(*place), b"of" | b"in"));
        mask.blank(at, end.map_or(0, |end| end - 1));
    }
    if at >= 2 && matches!(tokens.before(at), b"+" | b"-") && tokens.before(at) == tokens.before(at - 1) {
        mask.blank(at - 2, at - 1);
    }
}

/// `static accessor a`: the grammar knows `accessor` alone.
fn accessor(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let member = tokens.is_word(at + 1) || tokens.is_text(at + 1) || tokens.text(at + 1) == b"[";
    if !member || tokens.begins_line(at + 1) {
        return;
    }
    let mut modifier = at;
    while matches!(tokens.before(modifier), b"static" | b"abstract" | b"override" | b"readonly" | b"declare")
    {
        modifier -= 1;
        mask.blank(modifier, modifier);
    }
}

/// Words that mean something in some places only are names elsewhere.
fn name(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let (before, next) = (tokens.before(at), tokens.text(at + 1));
    let begins = tokens.begins_line(at)
        || matches!(
            before,
            b"{" | b"}"
                | b";"
                | b","
                | b"."
                | b"?."
                | b"static"
                | b"async"
                | b"public"
                | b"private"
                | b"protected"
                | b"abstract"
                | b"override"
                | b"get"
                | b"set"
                | b"*"
        );
    let called = begins && matches!(next, b"(" | b"<");
    let ends = matches!(next, b"=" | b":" | b"?" | b"!" | b";" | b"," | b"}" | b")" | b".");
    let is_name = match tokens.text(at) {
        b"abstract" | b"accessor" | b"declare" | b"override" | b"readonly" | b"public" | b"private"
        | b"protected" | b"out" | b"global" | b"using" | b"satisfies" | b"asserts" | b"unique" | b"infer"
        | b"is" | b"type" | b"namespace" | b"module" | b"static" | b"get" | b"set" => ends || called,
        // Behind a value it is an operator.
        b"as" => {
            !matches!(before, b")" | b"]" | b"}" | b">" | b"!" | b"*" | b"+" | b"-")
                && !tokens.is_text(at.saturating_sub(1))
                && (!tokens.is_word(at.saturating_sub(1))
                    || matches!(before, b"let" | b"const" | b"var" | b"return" | b"of"))
        }
        // A tag of JSX.
        b"this" => matches!(before, b"<" | b"/") && next == b".",
        b"yield" => matches!(next, b"=>" | b")" | b"]" | b"}"),
        b"in" | b"instanceof" => begins && matches!(next, b":" | b"?" | b"(") && is_in_members(tokens, at),
        _ => false,
    };
    // What imports and exports call by these names the grammars know.
    if is_name && !matches!(before, b"import" | b"export") {
        mask.rename(at);
    }
}

/// Escapes in templates that are types, and templates behind type arguments.
fn template(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let text = tokens.text(at);
    let start = tokens.all[at].start;
    if !tokens.is_text(at) {
        return;
    }
    for (place, _) in text.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        mask.text[start + place] = b' ';
    }
    if !matches!(text.first(), Some(b'`' | b'}')) {
        return;
    }
    let mut place = 0;
    while place + 1 < text.len() {
        if text[place] == b'\\' {
            mask.text[start + place] = b' ';
            if text[place + 1] != b'\n' {
                mask.text[start + place + 1] = b' ';
            }
            place += 1;
        }
        place += 1;
    }
    if text[0] == b'`' && tokens.before(at) == b">" {
        let open = tokens.opening_angle(at - 1).filter(|open| *open > 0 && tokens.is_word(open - 1));
        if let Some(open) = open {
            mask.blank(open, at - 1);
        }
    }
}

fn is_reserved(word: &[u8]) -> bool {
    matches!(
        word,
        b"break"
            | b"case"
            | b"catch"
            | b"class"
            | b"const"
            | b"continue"
            | b"debugger"
            | b"default"
            | b"delete"
            | b"do"
            | b"else"
            | b"enum"
            | b"export"
            | b"extends"
            | b"false"
            | b"finally"
            | b"for"
            | b"function"
            | b"if"
            | b"import"
            | b"in"
            | b"instanceof"
            | b"new"
            | b"null"
            | b"return"
            | b"super"
            | b"switch"
            | b"this"
            | b"throw"
            | b"true"
            | b"try"
            | b"typeof"
            | b"var"
            | b"void"
            | b"while"
            | b"with"
            | b"yield"
            | b"await"
            | b"static"
            | b"let"
    )
}
