//! A page of the documentation: its fenced blocks, and the commands that are typed in them.

use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The title of the section that it is in.
    pub section: String,
    /// What follows the fence; empty for a sample of output.
    pub language: String,
    pub text: String,
    /// The line of the page on which the text begins.
    pub line: usize,
}

/// A line that is typed into a shell, and what the page prints below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    pub line: String,
    pub printed: Vec<String>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folders of the repository that are made by tools, or hold what others wrote.
const NOT_OURS: [&str; 4] = ["target", "node_modules", "dist", "build"];

/// The paths of all pages of the repository, relative to its root.
pub fn all() -> Vec<String> {
    let (mut folders, mut pages) = (vec![PathBuf::new()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir && !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if !is_dir && name.ends_with(".md") {
                pages.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    pages.sort();
    pages
}

pub fn text(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

pub fn blocks(page: &str) -> Vec<Block> {
    blocks_of(&text(page))
}

fn blocks_of(text: &str) -> Vec<Block> {
    let (mut section, mut found, mut open) = (String::new(), Vec::new(), None::<(Block, usize)>);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                let (language, section) = (language.trim().to_owned(), section.clone());
                let block = Block { section, language, text: String::new(), line: number + 2 };
                open = Some((block, line.len() - line.trim_start().len()));
            }
            (Some(_), Some("")) => found.extend(open.take().map(|(block, _)| block)),
            (Some((block, indent)), _) => {
                let own = line.char_indices().take_while(|(at, it)| *at < *indent && *it == ' ');
                block.text += &line[own.count()..];
                block.text.push('\n');
            }
            (None, None) => {
                if let Some(title) = line.strip_prefix('#') {
                    title.trim_start_matches('#').trim().clone_into(&mut section);
                }
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

impl Block {
    pub fn is_typed(&self) -> bool {
        ["sh", "console", "bash"].contains(&self.language.as_str())
    }

    /// What is typed, in order. If a line has a prompt (`$ `), lines without one are what is printed.
    pub fn typed(&self) -> Vec<Typed> {
        let has_prompts = self.text.lines().any(|line| line.starts_with("$ "));
        let (mut found, mut open) = (Vec::<Typed>::new(), false);
        for line in self.text.lines() {
            let command = match line.strip_prefix("$ ") {
                Some(command) => command,
                None if has_prompts && !open => {
                    found.last_mut().unwrap().printed.push(line.to_owned());
                    continue;
                }
                None => line,
            };
            match found.last_mut().filter(|_| open) {
                Some(last) => last.line += &format!("\n{command}"),
                None => found.push(Typed { line: command.to_owned(), printed: Vec::new() }),
            }
            open = is_open(&found.last().unwrap().line);
        }
        found.retain(|it| !it.line.trim().is_empty());
        found
    }
}

/// Whether a command goes on in the next line.
fn is_open(command: &str) -> bool {
    let last = command.lines().last().unwrap_or_default();
    let is_loop = command.starts_with("for ") && last != "done";
    last.ends_with('\\') || is_loop
}

#[test]
fn a_page_is_read_as_people_read_it() {
    let page = "# A\n```console\n$ a \\\n  b\nsaid\n$ c\n```\n## B\n   ```sh\n   d # e\n   for x\n   do\n   done\n   f\n   ```\n\n```\nout\n```\n";
    let blocks = blocks_of(page);
    let typed = |line: &str, printed: &[&str]| Typed {
        line: line.to_owned(),
        printed: printed.iter().map(|it| (*it).to_owned()).collect(),
    };
    assert_eq!(blocks[0].typed(), [typed("a \\\n  b", &["said"]), typed("c", &[])]);
    assert_eq!((blocks[1].section.as_str(), blocks[1].line), ("B", 10));
    let expected = [typed("d # e", &[]), typed("for x\ndo\ndone", &[]), typed("f", &[])];
    assert_eq!(blocks[1].typed(), expected);
    assert!(!blocks[2].is_typed() && blocks[2].text == "out\n");
}
