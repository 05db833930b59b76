//! Numbers with their nouns, and with verbs that agree: `1 policy waits`, `2 policies wait`.

use std::fmt::Display;

/// `1 record`, `2 records`, `0 policies`. The last word of `noun` gets the ending.
pub fn count(n: impl Display, noun: &str) -> String {
    let n = n.to_string();
    match n.as_str() {
        "1" => format!("1 {noun}"),
        _ => format!("{n} {}", plural(noun)),
    }
}

/// The same with a verb: `1 record waits`, `2 records wait`.
pub fn clause(n: impl Display, noun: &str, verb: &str) -> String {
    let n = n.to_string();
    let ending = if n == "1" { "s" } else { "" };
    format!("{} {verb}{ending}", count(n, noun))
}

/// The verb for a passive: `was` for one, `were` for others.
pub fn were(n: impl Display) -> &'static str {
    if n.to_string() == "1" { "was" } else { "were" }
}

fn plural(noun: &str) -> String {
    let is_vowel = |letter: Option<char>| letter.is_some_and(|it| "aeiou".contains(it));
    if let Some(stem) = noun.strip_suffix('y')
        && !is_vowel(stem.chars().next_back())
    {
        return format!("{stem}ies");
    }
    let hisses = ["s", "x", "ch", "sh"].iter().any(|it| noun.ends_with(it));
    format!("{noun}{}", if hisses { "es" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_agrees_with_its_number() {
        assert_eq!(count(1, "record"), "1 record");
        assert_eq!(count(0, "policy"), "0 policies");
        assert_eq!(count(2, "day"), "2 days");
        assert_eq!(count(2, "late pass"), "2 late passes");
        assert_eq!(count(format_args!("{:.0}", 1.2), "action"), "1 action");
        assert_eq!(clause(1, "observation", "wait"), "1 observation waits");
        assert_eq!(clause(3, "observation", "wait"), "3 observations wait");
        assert_eq!((were(1), were(2)), ("was", "were"));
    }
}
