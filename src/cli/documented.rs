//! The commands that README.md and docs print: each is one that this program takes.

use std::path::{Path, PathBuf};

use clap::Parser as _;

use super::Arguments;

/// A command of a page, for the message where it is wrong.
#[derive(Debug)]
struct Printed {
    page: PathBuf,
    words: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, and every page of `docs` and `deploy`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "deploy"] {
        let found = std::fs::read_dir(root().join(folder)).unwrap().map(|it| it.unwrap().path());
        pages.extend(found.filter(|it| it.extension().is_some_and(|it| it == "md")));
    }
    pages.sort();
    pages
}

/// The lines of the blocks that are typed into a shell; a line that ends in a backslash goes on.
fn typed(text: &str) -> Vec<String> {
    let (mut lines, mut is_typed, mut open) = (Vec::<String>::new(), false, false);
    for line in text.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            is_typed = !is_typed && ["sh", "console", "bash"].contains(&language);
            open = false;
            continue;
        }
        if !is_typed {
            continue;
        }
        let (part, goes_on) = line.strip_suffix('\\').map_or((line, false), |it| (it, true));
        match lines.last_mut().filter(|_| open) {
            Some(last) => *last += part,
            None => lines.push(part.to_owned()),
        }
        open = goes_on;
    }
    lines
}

/// The words of a line up to what the shell does with its output; quotes keep spaces together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for symbol in line.chars() {
        match (symbol, quote) {
            (_, Some(end)) if symbol == end => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(symbol),
            ('\'' | '"', None) => {
                quote = Some(symbol);
                word.get_or_insert_default();
            }
            ('|' | '>' | ';' | '&', None) => break,
            ('#', None) if word.is_none() => break,
            (it, None) if it.is_whitespace() => words.extend(word.take()),
            (_, None) => word.get_or_insert_default().push(symbol),
        }
    }
    words.extend(word);
    words
}

/// The arguments of this program in a line, if the line runs it.
fn arguments(line: &str) -> Option<Vec<String>> {
    let words = words(line);
    let words: Vec<_> = words.into_iter().skip_while(|it| it.contains('=')).collect();
    let program = match words.first()?.as_str() {
        "f0-learning" => 0,
        "cargo" if words.get(1)? == "run" => {
            // A run of another package is not a run of this one.
            let at = words.iter().position(|it| it == "--")?;
            if words[..at]
                .iter()
                .any(|it| ["-p", "--package", "--bin", "--example"].contains(&it.as_str()))
            {
                return None;
            }
            at
        }
        _ => return None,
    };
    Some(words[program + 1..].to_vec())
}

fn printed() -> Vec<Printed> {
    let of_page = |page: PathBuf| {
        let text = std::fs::read_to_string(&page).unwrap();
        let lines = typed(&text).into_iter().filter_map(|line| arguments(&line));
        lines.map(|words| Printed { page: page.clone(), words }).collect::<Vec<_>>()
    };
    pages().into_iter().flat_map(of_page).collect()
}

#[test]
fn every_printed_command_is_one_that_this_program_takes() {
    let all = printed();
    assert!(all.len() > 30, "the pages print more commands than {}", all.len());
    let mut wrong = Vec::new();
    for Printed { page, words } in &all {
        let typed = std::iter::once("f0-learning").chain(words.iter().map(String::as_str));
        if let Err(error) = Arguments::try_parse_from(typed)
            && error.use_stderr()
        {
            wrong.push(format!("{}: {}: {error}", page.display(), words.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_is_read_as_a_shell_reads_it() {
    let found = arguments("A=1 f0-learning rebuild --document 'a/x|y' | head # all");
    assert_eq!(found.unwrap(), ["rebuild", "--document", "a/x|y"]);
    assert_eq!(arguments("cargo run -- stats --json > x").unwrap(), ["stats", "--json"]);
    assert_eq!(arguments("cargo run -p other -- x"), None);
    assert_eq!(arguments("gcloud run"), None);
    assert_eq!(typed("```sh\na \\\n b\n```\nc\n```\nd\n```\n"), ["a b"]);
}
