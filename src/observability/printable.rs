//! Text that is safe to show. Names, reasons, notes and errors come from documents that others write.
//! Raw, a character of theirs could move the cursor of a terminal, hide or reverse what stands around
//! it, or end a line and forge the next one. Everything that the process prints or logs passes here.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character changes what is seen instead of being seen: controls (C0, DEL and C1, among
/// them ESC and CSI), marks of direction (Unicode Standard Annex #9), line and paragraph separators,
/// and characters without a width.
pub const fn is_hidden(symbol: char) -> bool {
    matches!(
        symbol,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text in one line: `\n`, `\r` and `\t` for these, `\u{1b}` for any other hidden character.
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, |into, symbol| match symbol {
        '\n' | '\r' | '\t' => into.extend(symbol.escape_default()),
        other => into.extend(other.escape_unicode()),
    })
}

/// The same with the ends of lines as they are, for texts that were put together from [`line()`]s.
pub fn lines(text: &str) -> Cow<'_, str> {
    replaced(
        text,
        |it| it != '\n' && is_hidden(it),
        |into, symbol| {
            into.extend(symbol.escape_unicode());
        },
    )
}

/// JSON with every hidden character as JSON escapes it (RFC 8259, section 7). Outside of its texts,
/// JSON has none but the ends of lines.
pub fn json(text: &str) -> Cow<'_, str> {
    replaced(
        text,
        |it| it != '\n' && is_hidden(it),
        |into, symbol| {
            for unit in symbol.encode_utf16(&mut [0; 2]) {
                let _ = write!(into, "\\u{unit:04x}");
            }
        },
    )
}

/// YAML whose texts are quoted as in JSON: the same, but for characters beyond 16 bits, which YAML
/// escapes with a sequence of their own (YAML 1.2, section 5.7).
pub fn yaml(text: &str) -> Cow<'_, str> {
    replaced(
        text,
        |it| it != '\n' && is_hidden(it),
        |into, symbol| {
            let _ = match u32::from(symbol) {
                code @ 0..=0xffff => write!(into, "\\u{code:04x}"),
                code => write!(into, "\\U{code:08x}"),
            };
        },
    )
}

fn replaced(
    text: &str,
    is_replaced: impl Fn(char) -> bool,
    replace: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for symbol in text.chars() {
        match is_replaced(symbol) {
            true => replace(&mut shown, symbol),
            false => shown.push(symbol),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\u{1b}]0;x\u{7}\r\n\u{9b}2K\u{202e}b\u{2066}c\u{200b}\u{2028}\u{e0041}é";

    #[test]
    fn no_hidden_character_is_left() {
        for shown in [line(HOSTILE), lines(HOSTILE), json(HOSTILE), yaml(HOSTILE)] {
            assert!(!shown.chars().any(|it| it != '\n' && is_hidden(it)), "{shown}");
            assert!(shown.ends_with('é'), "{shown}");
        }
        assert!(!line(HOSTILE).contains('\n'));
        assert_eq!(lines("a\nb").as_ref(), "a\nb");
        assert_eq!(line("a\u{1b}\nb").as_ref(), "a\\u{1b}\\nb");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json(&text)).unwrap(), value);
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(line("0.600 → 0.500 – ok"), Cow::Borrowed(_)));
    }
}
