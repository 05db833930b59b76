//! What README.md and the other pages print is true: every command is run in the order of its page, with
//! the built binary and on a real store, and prints what the page says. `table` has what placeholders stand
//! for, and the commands that cannot run here.

mod page;
mod shape;
mod snippets;
mod table;
mod world;
mod worlds;

use page::{Block, Typed};
use table::{NOT_RUN, RUN, SAMPLES_ELSEWHERE};
use world::World;

/// The pages with commands that are run, a test each.
macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                walk($page).await;
            }
        )*
    };
}

pages! {
    the_commands_of_the_readme_do_what_it_says: "README.md",
    the_commands_on_the_local_firestore_do_what_its_readme_says: "crates/firestore-local/README.md",
    the_commands_on_terraform_do_what_the_page_says: "deploy/terraform/README.md",
    the_commands_on_monitoring_do_what_the_page_says: "deploy/monitoring/README.md",
    the_commands_on_allocation_do_what_the_page_says: "docs/allocation.md",
    the_requests_of_the_api_do_what_the_page_says: "docs/api.md",
    the_commands_on_configuration_do_what_the_page_says: "docs/configuration.md",
    the_commands_on_deployment_do_what_the_page_says: "docs/deploy.md",
    the_commands_on_evidence_do_what_the_page_says: "docs/evidence.md",
    the_commands_on_experiments_do_what_the_page_says: "docs/experiments.md",
    the_commands_on_imports_do_what_the_page_says: "docs/import.md",
    the_commands_of_the_laboratory_do_what_the_page_says: "docs/laboratory.md",
    the_commands_on_metrics_do_what_the_page_says: "docs/metrics.md",
    the_commands_of_operations_do_what_the_page_says: "docs/operations.md",
    the_commands_on_recovery_do_what_the_page_says: "docs/recovery.md",
    the_commands_of_the_runbook_do_what_it_says: "docs/runbook.md",
    the_commands_on_the_terminal_do_what_the_page_says: "docs/terminal.md",
    the_commands_on_the_trace_do_what_the_page_says: "docs/trace.md",
}

/// What becomes of a line that is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sets,
    Runs,
    Listed(&'static str),
    Unknown,
}

/// A line without the variables that are set for it alone.
fn without_variables(line: &str) -> &str {
    let is_variable = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|it| it.chars().all(|it| it.is_ascii_uppercase() || it == '_'))
    };
    match line.split_once(' ') {
        Some((word, rest)) if is_variable(word) => without_variables(rest),
        _ => line,
    }
}

fn kind(line: &str) -> Kind {
    let command = without_variables(line);
    let sets = line.starts_with("export ") || line.starts_with("URL=$(");
    let listed = NOT_RUN.iter().find(|(start, _)| command.starts_with(start));
    match listed {
        _ if sets => Kind::Sets,
        Some((start, _)) => Kind::Listed(start),
        None if RUN.iter().any(|it| command.starts_with(it)) => Kind::Runs,
        None => Kind::Unknown,
    }
}

/// Runs the commands of a page in their order.
async fn walk(page: &str) {
    let blocks = page::blocks(page);
    let mut world = World::new(page).await;
    world.write_files();
    worlds::of_page(&mut world, page).await;
    let (mut section, mut faults, mut shown) = (String::new(), Vec::new(), String::new());
    for block in &blocks {
        if block.is_typed() && section != block.section {
            section.clone_from(&block.section);
            worlds::of_section(&mut world, page, &section).await;
        }
        let place = format!("{page}, line {}", block.line);
        if block.is_typed() {
            shown.clear();
            for typed in block.typed() {
                shown += &run(&mut world, &typed, &place, &mut faults).await;
            }
        } else if block.language.is_empty()
            && !is_compared_elsewhere(block)
            && let Some(line) = shape::missing(&shown, &block.text)
        {
            faults.push(format!("{place}: `{line}` is not printed, but:\n{shown}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn is_compared_elsewhere(block: &Block) -> bool {
    SAMPLES_ELSEWHERE.iter().any(|(first, _)| block.text.starts_with(first))
}

/// Runs a line; what it printed.
async fn run(world: &mut World, typed: &Typed, place: &str, faults: &mut Vec<String>) -> String {
    let Typed { line, printed } = typed;
    match kind(line) {
        Kind::Sets => world.export(line),
        Kind::Runs => {
            if line.contains("curl ") && !world.has_service() {
                world.serve().await;
            }
            let done = world.run(line).await;
            let is_error = printed.iter().any(|it| it.starts_with("error: "));
            if (done.code != 0) != is_error {
                faults.push(format!("{place}: `{line}` exits with {}:\n{}", done.code, done.shown));
            } else if !shape::has_lines(&done.shown, printed)
                && shape::missing(&done.shown, &printed.join("\n")).is_some()
            {
                let shown = &done.shown;
                faults.push(format!("{place}: `{line}` prints\n{shown}\nand not {printed:#?}"));
            }
            return done.shown;
        }
        Kind::Listed(_) | Kind::Unknown => {}
    }
    String::new()
}

/// All lines that are typed, with their pages.
fn all_typed() -> Vec<(String, Typed)> {
    let of_page = |page: String| {
        let blocks = page::blocks(&page).into_iter().filter(Block::is_typed);
        let typed: Vec<Typed> = blocks.flat_map(|it| it.typed()).collect();
        typed.into_iter().map(move |it| (page.clone(), it))
    };
    page::all().into_iter().flat_map(of_page).collect()
}

#[test]
fn every_printed_command_is_run_or_listed_with_the_reason() {
    let (mut faults, mut used) = (Vec::new(), Vec::new());
    let all = all_typed();
    assert!(all.len() > 100, "the pages print more commands than {}", all.len());
    for (page, Typed { line, .. }) in &all {
        match kind(line) {
            Kind::Unknown => faults.push(format!("{page}: `{line}` is neither run nor listed")),
            Kind::Runs if !PAGES.contains(&page.as_str()) => {
                faults.push(format!("{page}: `{line}` is not run: add the page to `pages!`"));
            }
            Kind::Listed(start) => used.push(start),
            Kind::Runs | Kind::Sets => {}
        }
        if !World::is_readable(line) {
            faults.push(format!("{page}: bash cannot read `{line}`"));
        }
    }
    let unused = NOT_RUN.iter().filter(|(start, _)| !used.contains(start));
    faults.extend(unused.map(|(start, _)| format!("no page prints `{start}`")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
