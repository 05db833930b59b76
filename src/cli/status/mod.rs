//! `status`: what a person who returns to a project wants to know first.

mod load;

use anyhow::Result;
use clap::Args;
use f0_learning::store::Store;
use f0_learning_core::document::FlagsState;
use f0_learning_core::experiment::Kind;

use super::condition;
use super::format;
use super::output::{self, Shown, Style};
use load::{Status, Waiting};

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    shown: Shown,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let status = Status::read(store).await?;
    match options.shown.data() {
        Some(data) => data.print(&status),
        None => {
            print(&status);
            Ok(())
        }
    }
}

fn print(it: &Status) {
    output::heading(&format!(
        "project {} ({}), {} UTC",
        it.project,
        it.database,
        format::time(it.now)
    ));
    flags(it);
    let backlog = condition::backlog(it.scoring.backlog);
    let moved = it.scoring.moved_at.map_or("never".to_owned(), |at| format::ago(at, it.now));
    say!("  scoring     {backlog} to score; the cursor moved {moved}");
    let pass = it.last_pass.map_or("never".to_owned(), |at| format::time_ago(at, it.now));
    say!("  last pass   {pass}; {}", condition::MARKED_HOURLY);
    say!("  quarantine  {}", it.quarantine());
    active(it);
    waiting(it);
    watched(it);
    troubles(it);
    say!();
    match &it.next {
        Some(command) => say!("next: {command}"),
        None => say!("nothing waits; `f0-learning top` shows the components"),
    }
}

fn flags(it: &Status) {
    let (style, text) = match &it.flags {
        FlagsState::Set(_) if !it.flags.tuning_enabled() => {
            (Style::Warning, "off: the kill switch is set")
        }
        FlagsState::Set(_) if it.flags.auto_activation_enabled() => {
            (Style::Good, "on; the service publishes versions within approved envelopes")
        }
        FlagsState::Set(_) => (Style::Good, "on; a person activates what is proposed"),
        _ => (Style::Bad, "off: the flags cannot be read"),
    };
    say_part!("  learning    ");
    output::print_marked(style, text, "");
}

fn active(it: &Status) {
    say!();
    output::heading("active");
    if it.active.is_empty() {
        say!("  no policy has a version that is active");
    }
    for policy in &it.active {
        let pinned = if policy.pinned { ", pinned" } else { "" };
        let since = policy
            .since
            .map_or("".to_owned(), |at| format!(", since {}", format::time_ago(at, it.now)));
        say!("  {}{since}{pinned}", policy.name);
    }
}

fn waiting(it: &Status) {
    say!();
    output::heading("waits for a person");
    if it.waiting.is_empty() {
        say!("  nothing");
    }
    for Waiting { what, since, by, command, .. } in &it.waiting {
        say!("  {what} ({by}, {})", format::ago(*since, it.now));
        say!("      {command}");
    }
    if it.has_more_drafts {
        say!("  and more drafts: `f0-learning policies list --status draft`");
    }
}

fn watched(it: &Status) {
    if it.watched.is_empty() {
        return;
    }
    say!();
    output::heading("tested and watched");
    for experiment in &it.watched {
        let what = match experiment.kind {
            Kind::Ab => format!("tested with {:.0}% of the units", experiment.share * 100.0),
            Kind::Watch => "watched since its activation".to_owned(),
        };
        let started = format::ago(experiment.started_at, it.now);
        say!("  {} against {}, {what} ({started})", experiment.candidate, experiment.control);
        say!("      f0-learning experiments show {}", experiment.id);
        if let Some(note) = &experiment.note {
            output::print_marked(Style::Warning, "      note ", note);
        }
    }
}

fn troubles(it: &Status) {
    say!();
    output::heading("wrong");
    if it.troubles.is_empty() {
        say!("  nothing that these reads show; `f0-learning doctor` tries more");
    }
    for trouble in &it.troubles {
        let (style, mark) = match trouble.is_urgent {
            true => (Style::Bad, "  FAIL  "),
            false => (Style::Warning, "  warn  "),
        };
        output::print_marked(style, mark, &trouble.what);
        if let Some(command) = &trouble.command {
            say!("        {command}");
        }
    }
}
