//! `config`: the documents of `config`, read, checked, compared and changed as a whole. What is valid is
//! decided by the rules that the service reads them by.

mod edit;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use f0_learning::store::{ConfigDocument, Store, StoredConfig, check_config, seed_text};
use f0_learning_core::plural::count;
use f0_learning_core::policy::{ParamChange, parse_assignment};
use serde_json::{Map, Value, json};

use super::changes::{self, ChangeOptions};
use super::output::{self, Shown, Style, number};
use super::{format, prompt};

type Content = Map<String, Value>;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a document, or whether each of them is valid
    Get {
        /// flags, reward_config, tuning or scoring
        #[arg(value_parser = document)]
        document: Option<ConfigDocument>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Change a document: shows what changes, asks, and writes it with its audit entry
    Set(Set),
    /// Check a stored document or a file; exit with 1 if it is invalid
    Validate {
        /// flags, reward_config, tuning or scoring; all that are stored by default
        #[arg(value_parser = document)]
        document: Option<ConfigDocument>,
        /// A JSON file with the content; `-` for standard input
        file: Option<PathBuf>,
    },
    /// Show what differs from a stored document to a file with the whole content, or to what `seed` writes
    Diff {
        /// flags, reward_config, tuning or scoring
        #[arg(value_parser = document)]
        document: ConfigDocument,
        /// A JSON file with the whole content; `-` for standard input
        file: Option<PathBuf>,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, Args)]
pub struct Set {
    /// flags, reward_config, tuning or scoring
    #[arg(value_parser = document)]
    document: ConfigDocument,
    /// What to change, as guard.alpha=0.01; null removes a field
    #[arg(value_name = "PATH=VALUE", value_parser = parse_assignment, required_unless_present = "file")]
    assignments: Vec<(String, Value)>,
    /// A JSON file with the whole content; `-` for standard input
    #[arg(long, conflicts_with = "assignments")]
    file: Option<PathBuf>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

fn document(text: &str) -> Result<ConfigDocument, String> {
    let name = text.strip_prefix("config/").unwrap_or(text);
    let found = ConfigDocument::ALL.iter().copied().find(|it| it.id() == name);
    found.ok_or_else(|| "expected flags, reward_config, tuning or scoring".to_owned())
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::Get { document: Some(document), shown } => get(store, document, shown).await,
        Command::Get { document: None, shown } => list(store, shown).await,
        Command::Set(options) => set(store, options).await,
        Command::Validate { document, file } => validate(store, document, file.as_deref()).await,
        Command::Diff { document, file, shown } => {
            diff(store, document, file.as_deref(), shown).await
        }
    }
}

async fn get(store: &Store, document: ConfigDocument, shown: Shown) -> Result<()> {
    let StoredConfig { content, problem, .. } = store.config(document).await?;
    if let Some(problem) = problem {
        complain!("warning: {problem}");
    }
    let Some(content) = content else {
        bail!("{} does not exist, so that the defaults apply: `seed` writes them", document.path());
    };
    match shown.data() {
        Some(data) => data.print(&content),
        None => {
            output::print_json(&content)?;
            Ok(())
        }
    }
}

/// Whether a document is valid, in words.
fn state(stored: &StoredConfig) -> String {
    match (&stored.problem, &stored.content) {
        (Some(problem), _) => problem.clone(),
        (None, None) => "missing: the defaults apply".to_owned(),
        (None, Some(_)) => "valid".to_owned(),
    }
}

async fn all(store: &Store) -> Result<Vec<StoredConfig>> {
    let mut found = Vec::new();
    for document in ConfigDocument::ALL {
        found.push(store.config(*document).await?);
    }
    Ok(found)
}

async fn list(store: &Store, shown: Shown) -> Result<()> {
    let found = all(store).await?;
    let version = |it: &StoredConfig| {
        let version = it.content.as_ref().and_then(|content| content.get("version"));
        version.and_then(Value::as_str).unwrap_or(format::NONE).to_owned()
    };
    if let Some(data) = shown.data() {
        let row = |it: &StoredConfig| json!({ "document": it.document.path(), "state": state(it), "content": it.content });
        return data.print(&found.iter().map(row).collect::<Vec<_>>());
    }
    let mut table = output::table(&["document", "version", "state"]);
    for it in &found {
        table.add_row([it.document.path().to_owned(), version(it), state(it)]);
    }
    output::print(&table);
    Ok(())
}

async fn set(store: &Store, options: Set) -> Result<()> {
    let Set { document, assignments, file, yes, change } = options;
    let stored = store.config(document).await?;
    let content = match &file {
        Some(path) => read(path)?,
        None => {
            let mut content = stored.content.clone().unwrap_or_default();
            for (path, value) in assignments {
                edit::put(&mut content, &path, value);
            }
            content
        }
    };
    check_config(document, &content)?;
    let changes = stored.changes_to(&content);
    if changes.is_empty() && stored.content.is_some() {
        say!("{}: unchanged, nothing was written", document.path());
        return Ok(());
    }
    print(&changes, ["stored", "new"]);
    let question = format!("change {}?", document.path());
    if !yes && !prompt::confirmed(store, &question)? {
        bail!("not confirmed: nothing was changed");
    }
    let intent = change.intent(store).await?;
    // What was shown is what is replaced: a change of another person in between is refused.
    changes::print(store.change_config(document, &content, Some(&stored.seen), &intent).await)
}

async fn validate(
    store: &Store,
    document: Option<ConfigDocument>,
    file: Option<&Path>,
) -> Result<()> {
    let problems: Vec<String> = match (document, file) {
        (Some(document), Some(file)) => {
            check_config(document, &read(file)?)?;
            say!("{} is valid as {}", file.display(), document.path());
            return Ok(());
        }
        (Some(document), None) => {
            let stored = store.config(document).await?;
            say!("{}: {}", document.path(), state(&stored));
            stored.problem.into_iter().collect()
        }
        (None, _) => {
            let found = all(store).await?;
            for it in &found {
                let (style, mark) = match it.problem {
                    Some(_) => (Style::Bad, "FAIL"),
                    None => (Style::Good, "ok  "),
                };
                output::print_marked(
                    style,
                    mark,
                    &format!("  {}: {}", it.document.path(), state(it)),
                );
            }
            found.into_iter().filter_map(|it| it.problem).collect()
        }
    };
    match problems.len() {
        0 => Ok(()),
        n => bail!("{} of project {} cannot be used", count(n, "document"), store.project()),
    }
}

async fn diff(
    store: &Store,
    document: ConfigDocument,
    file: Option<&Path>,
    shown: Shown,
) -> Result<()> {
    let (other, name) = match file {
        Some(file) => (read(file)?, file.display().to_string()),
        None => (seed(document)?, "seed".to_owned()),
    };
    let changes = store.config(document).await?.changes_to(&other);
    if let Some(data) = shown.data() {
        return data.print(&changes);
    }
    if changes.is_empty() {
        say!("{} and {name} are equal", document.path());
        return Ok(());
    }
    print(&changes, ["stored", &name]);
    if file.is_some() && changes.iter().any(|it| it.to.is_none()) {
        say!(
            "what {name} lacks would be removed: `config set {0} --file` replaces the whole document; \
             `config set {0} PATH=VALUE` changes single fields",
            document.id()
        );
    }
    Ok(())
}

fn seed(document: ConfigDocument) -> Result<Content> {
    let text = seed_text(document.path()).context("this version seeds no such document")?;
    Ok(serde_json::from_str(text)?)
}

fn print(changes: &[ParamChange], [from, to]: [&str; 2]) {
    let mut table = output::table(&["field", from, to, "change"]).optional(&["change"]);
    let text = |value: Option<&Value>| value.map_or(format::NONE.to_owned(), ToString::to_string);
    for change in changes {
        table.add_row([
            change.path.as_str().into(),
            text(change.from.as_ref()).into(),
            text(change.to.as_ref()).into(),
            number(change.delta().map_or_else(String::new, |delta| format!("{delta:+.4}"))),
        ]);
    }
    output::print(&table);
}

fn read(path: &Path) -> Result<Content> {
    let shown = path.display();
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.with_context(|| format!("cannot read {shown}"))?;
    serde_json::from_str(&text).with_context(|| format!("invalid {shown}: expected a JSON object"))
}
