//! Whether what was printed looks as a page says: figures, times and bars may differ, words may not.

/// Whether lines of a page are among those that were printed, in their order, where `...` stands for
/// anything.
pub fn has_lines(printed: &str, expected: &[String]) -> bool {
    let mut lines = printed.lines();
    expected.iter().filter(|it| *it != "...").all(|it| lines.any(|line| is_like(line, it)))
}

fn is_like(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    for (index, part) in pattern.split("...").map(str::trim).enumerate() {
        let Some(at) = rest.find(part) else { return false };
        if index == 0 && !rest.trim_start().starts_with(part) {
            return false;
        }
        rest = &rest[at + part.len()..];
    }
    pattern.ends_with("...") || rest.trim().is_empty()
}

/// The first line of a sample whose shape was not printed after those before it.
pub fn missing<'a>(printed: &str, sample: &'a str) -> Option<&'a str> {
    let printed = shape(printed);
    let mut rest = printed.as_str();
    let lines = sample.lines().filter(|line| !line.trim().is_empty() && line.trim() != "...");
    for line in lines {
        let wanted = shape(line);
        match rest.find(&wanted) {
            Some(at) => rest = &rest[at + wanted.len()..],
            None => return Some(line),
        }
    }
    None
}

/// The units of times, of which a page may show another than what was printed.
const UNITS: [&str; 8] = ["s", "min", "h", "d", "minutes", "hours", "days", "ms"];

/// The text with `#` for each number, `AGE` for each age, and one space for spaces, ends of lines and bars.
fn shape(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(is_gap).filter(|it| !it.is_empty()).map(figures) {
        let ends_age = word.starts_with("ago") && words.last().is_some_and(|it| it == "UNIT");
        match word.trim_matches(['(', ')', ';', '.', ',']) {
            _ if ends_age => {
                let count = words.len().checked_sub(2).map(|at| words.split_off(at)).unwrap();
                words.push(count[0].replace('#', "AGE") + word.trim_start_matches("ago"));
            }
            "now" => words.push(word.replace("now", "AGE")),
            bare if UNITS.contains(&bare) => words.push(word.replace(bare, "UNIT")),
            _ => words.push(singular(&word)),
        }
    }
    words.join(" ")
}

/// A page may show another number of the same: `1 checkpoint`, `2 checkpoints`, `3 policies`.
fn singular(word: &str) -> String {
    let (bare, rest) = word.split_at(word.trim_end_matches([')', ';', '.', ',']).len());
    match (bare.strip_suffix("ies"), bare.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y{rest}"),
        (None, Some(stem)) => format!("{stem}{rest}"),
        (None, None) => word.to_owned(),
    }
}

/// Spaces, and the parts of intervals that are drawn.
fn is_gap(symbol: char) -> bool {
    symbol.is_whitespace() || ('\u{2500}'..='\u{25ff}').contains(&symbol)
}

fn figures(word: &str) -> String {
    let (mut kept, mut symbols) = (String::new(), word.chars().peekable());
    while let Some(symbol) = symbols.next() {
        let is_followed = symbols.peek().is_some_and(char::is_ascii_digit);
        match symbol {
            '0'..='9' if kept.ends_with('#') => {}
            '0'..='9' => kept.push('#'),
            '.' | ',' | ':' if kept.ends_with('#') && is_followed => {}
            _ => kept.push(symbol),
        }
    }
    kept
}

#[test]
fn a_sample_has_the_shape_of_what_was_printed() {
    let sample = "at 2026-11-28 12:42 (19 s ago)\n  a  1  ├──●──┤ 12.5%\n...\nmoved now\n";
    let printed = "at 2027-01-03 09:00 (2 min ago)\nextra\na 1,234 ├●┤   7%\nmoved 3 s ago\n";
    assert_eq!(missing(printed, sample), None);
    assert_eq!(missing("1 policy, 1 checkpoint", "3 policies, 2 checkpoints"), None);
    assert_eq!(missing(printed, "extra\nat 2026-11-28"), Some("at 2026-11-28"));
    assert_eq!(missing(printed, "a 1 b"), Some("a 1 b"));
    let lines = ["x ... y".to_owned(), "...".to_owned(), "z".to_owned()];
    assert!(has_lines("x 1 y\nb\nz\n", &lines) && !has_lines("z\nx y\n", &lines));
}
