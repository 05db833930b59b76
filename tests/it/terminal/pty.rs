//! What a person sees on a terminal: colours, questions, views that refresh, progress; and what a shell is
//! told when the person ends a command.

use std::process::{Command, Stdio};

use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::PolicyStatus;
use serde_json::json;

use crate::collection;
use crate::support::process::{BINARY, environment, text};
use crate::support::pty::{
    CTRL_C, CTRL_D, Dimensions, Ended, Redirected, Terminal, USUAL, on_store,
};
use crate::support::{
    START, document, draft, fields, put, put_arm, record, score, seeded_store, statuses, tune,
};

/// Whether a text has the control sequence that sets a colour (SGR of ECMA-48).
fn has_colours(text: &str) -> bool {
    let mut sequences = text.split("\u{1b}[").skip(1);
    let is_parameter = |it: char| it.is_ascii_digit() || it == ';';
    sequences.any(|it| it.trim_start_matches(is_parameter).starts_with('m'))
}

const HALF: Dimensions = (24, 80);
const NARROW: Dimensions = (24, 40);

/// A command that logs what it did.
const LOGS: &[&str] = &["score", "--settle-ms", "0"];

/// Runs a command to its end, with variables of the shell.
async fn ended(store: &Store, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = on_store(store, arguments).await;
    command.envs(variables.iter().copied());
    blocking(move || Terminal::start(command, USUAL).end()).await
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn colours_are_seen_on_a_terminal_that_does_not_refuse_them() {
    let store = seeded_store().await;
    for arguments in [&["status"][..], &["policies", "list"], &["doctor"]] {
        let seen = ended(&store, arguments, &[]).await;
        assert!(has_colours(&seen.raw), "{arguments:?}: {}", seen.raw);
        for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let seen = ended(&store, arguments, &[variable]).await;
            assert!(!has_colours(&seen.raw), "{arguments:?} {variable:?}: {:?}", seen.raw);
            assert_eq!(seen.code(), 0, "{arguments:?}: {}", seen.screen);
        }
        let seen = ended(&store, arguments, &[("NO_COLOR", "")]).await;
        assert!(has_colours(&seen.raw), "an empty NO_COLOR says nothing: {}", seen.raw);
    }
}

#[tokio::test]
async fn log_lines_follow_the_same_rule() {
    let store = seeded_store().await;
    for (variable, expected) in [("LANG", true), ("NO_COLOR", false), ("TERM", false)] {
        let value = if variable == "TERM" { "dumb" } else { "C" };
        let mut command = on_store(&store, &["status"]).await;
        command.env("RUST_LOG", "debug").env(variable, value);
        let redirected = Redirected { stdout: Some(Stdio::null()), ..Redirected::default() };
        let seen = blocking(|| Terminal::start_redirected(command, USUAL, redirected).end()).await;
        assert!(seen.raw.contains("DEBUG"), "{}", seen.raw);
        assert_eq!(has_colours(&seen.raw), expected, "{variable}: {}", seen.raw);
    }
}

#[tokio::test]
async fn an_output_that_goes_elsewhere_has_no_colours_beside_a_terminal() {
    let store = seeded_store().await;
    for arguments in [&["status"][..], &["policies", "list"], &["--help"], &["top"]] {
        let command = on_store(&store, arguments).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        let stdout = Some(file.reopen().unwrap().into());
        let redirected = Redirected { stdout, ..Redirected::default() };
        let seen = blocking(|| Terminal::start_redirected(command, USUAL, redirected).end()).await;
        let written = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(seen.code(), 0, "{arguments:?}: {}", seen.screen);
        assert!(!written.is_empty() && !has_colours(&written), "{arguments:?}: {written:?}");
    }
}

/// A store whose draft has a proven gain, and a check that failed since.
async fn store_with_a_warned_draft() -> Store {
    let store = seeded_store().await;
    for (arm, reward) in [("gemini", 0.8), ("claude", 0.5), ("gpt-5", 0.3)] {
        put_arm(&store, arm, reward, 900).await;
    }
    tune(&store, START).await;
    let id = "router-core@1.0.1";
    let mut draft = document(&store, collection::POLICIES, id).await.unwrap();
    let failed = json!({ "name": "sampleRatio", "passed": false, "detail": "an arm is missing" });
    draft["evidence"]["checks"].as_array_mut().unwrap().push(failed);
    put(&store, collection::POLICIES, id, fields(&json!(draft))).await;
    store
}

/// What is on the screen when it asks, and what is left after an answer.
async fn answered(store: &Store, arguments: &[&str], keys: &'static str) -> (String, Ended) {
    let command = on_store(store, arguments).await;
    blocking(move || {
        let terminal = Terminal::start(command, USUAL);
        let question = terminal.wait_to_show("[y/N]");
        terminal.type_keys(keys);
        (question, terminal.end())
    })
    .await
}

/// Answers that are not a yes, and the exit code.
const REFUSALS: [(&str, i32); 5] =
    [("n\n", 1), ("\n", 1), ("yep\n", 1), (CTRL_D, 1), (CTRL_C, 130)];

#[tokio::test]
async fn an_activation_is_asked_for_with_its_project_gain_and_failed_checks() {
    let store = store_with_a_warned_draft().await;
    let activate = ["policies", "activate", "router-core@1.0.1"];
    for (keys, code) in REFUSALS {
        let (question, left) = answered(&store, &activate, keys).await;
        let asked = "activate router-core@1.0.1 and replace 1.0.0? [y/N]";
        assert!(question.contains(&format!("project {}: {asked}", store.project())), "{question}");
        assert!(question.contains("expected gain +"), "{question}");
        assert!(question.contains("FAILED check sampleRatio: an arm is missing"), "{question}");
        assert_eq!(left.code(), code, "{keys:?}: {}", left.screen);
        // The error has a line of its own, also after the end of the input.
        let error = "\nerror: not confirmed: router-core@1.0.1 stays a draft";
        assert_eq!(left.screen.contains(error), code == 1, "{keys:?}: {}", left.screen);
        let all = statuses(&store, "router-core").await;
        assert_eq!(all[&"1.0.1".parse().unwrap()], PolicyStatus::Draft, "{keys:?}");
    }
    let (_, left) = answered(&store, &activate, "y\n").await;
    assert_eq!(left.code(), 0, "{}", left.screen);
    let all = statuses(&store, "router-core").await;
    assert_eq!(all[&"1.0.1".parse().unwrap()], PolicyStatus::Active);
}

#[tokio::test]
async fn a_configuration_or_a_policy_that_is_not_confirmed_is_not_written() {
    let store = seeded_store().await;
    let before = document(&store, collection::CONFIG, "tuning").await.unwrap();
    let set = ["config", "set", "tuning", "guard.maxDays=7"];
    let create = ["policies", "create", "--id", "ranker", "--weights", "a=0.5,b=0.5"];
    for (keys, code) in REFUSALS {
        let (question, left) = answered(&store, &set, keys).await;
        let asked = format!("project {}: change config/tuning? [y/N]", store.project());
        assert!(question.contains(&asked) && question.contains("guard.maxDays"), "{question}");
        assert_eq!(left.code(), code, "{keys:?}: {}", left.screen);
        let (question, left) = answered(&store, &create, keys).await;
        assert!(question.contains(&format!("of project {}", store.project())), "{question}");
        assert_eq!(left.code(), code, "{keys:?}: {}", left.screen);
    }
    assert_eq!(document(&store, collection::CONFIG, "tuning").await.unwrap(), before);
    assert!(statuses(&store, "ranker").await.is_empty());
    assert_eq!(answered(&store, &set, "yes\n").await.1.code(), 0);
    assert_eq!(answered(&store, &create, "Y\n").await.1.code(), 0);
    let after = document(&store, collection::CONFIG, "tuning").await.unwrap();
    assert_eq!(after["guard"]["maxDays"], 7);
    assert_eq!(statuses(&store, "ranker").await.len(), 1);
}

#[tokio::test]
async fn a_question_is_seen_although_the_output_goes_to_a_file() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let command = on_store(&store, &["policies", "activate", "router-core@1.0.1"]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let stdout = Some(file.reopen().unwrap().into());
    let redirected = Redirected { stdout, ..Redirected::default() };
    let left = blocking(|| {
        let terminal = Terminal::start_redirected(command, USUAL, redirected);
        terminal.wait_to_show("activate router-core@1.0.1 and replace 1.0.0? [y/N]");
        terminal.type_keys("y\n");
        terminal.end()
    })
    .await;
    assert_eq!(left.code(), 0, "{}", left.screen);
}

/// The widest row of a table, which the emulator would show whole if the terminal had wrapped it.
fn widest(screen: &str) -> usize {
    let rows = screen.lines().filter(|line| line.starts_with(' '));
    rows.map(|line| line.chars().count()).max().unwrap()
}

/// A view redraws in place, follows the size of the terminal, and leaves the cursor visible.
async fn check_view(store: &Store, arguments: &[&str], seen: &'static str) {
    let slow = on_store(store, &[arguments, &["--every", "3600"]].concat()).await;
    let fast = on_store(store, &[arguments, &["--every", "1"]].concat()).await;
    let left = blocking(move || {
        let terminal = Terminal::start(fast, USUAL);
        let footer = "every 1 s; press Ctrl-C to stop";
        terminal.wait_until("three frames", |_| terminal.count(footer) > 2);
        let screen = terminal.wait_to_show(footer);
        assert_eq!(screen.matches(footer).count(), 1, "a frame replaces the last one: {screen}");
        assert!(screen.contains(seen) && !terminal.hides_cursor(), "{screen}");
        terminal.type_keys(CTRL_C);
        terminal.end()
    })
    .await;
    assert_eq!((left.code(), left.hides_cursor), (130, false), "{}", left.screen);
    assert!(left.screen.contains(seen), "the last frame stays: {}", left.screen);

    let left = blocking(move || {
        let terminal = Terminal::start(slow, USUAL);
        let footer = "press Ctrl-C to stop";
        terminal.wait_to_show(footer);
        for (frames, size) in [(2, HALF), (3, NARROW)] {
            terminal.resize(size);
            terminal.wait_until("a frame of the new size", |_| terminal.count(footer) == frames);
            let screen = terminal.wait_to_show(footer);
            assert!(widest(&screen) <= size.1.into(), "{screen}");
            assert!(screen.contains(seen) && screen.matches(footer).count() == 1, "{screen}");
        }
        terminal.type_keys(CTRL_C);
        terminal.end()
    })
    .await;
    assert_eq!((left.code(), left.hides_cursor), (130, false), "{}", left.screen);
}

#[tokio::test]
async fn top_refreshes_and_fits_the_terminal() {
    let store = seeded_store().await;
    let now = store.now().await.unwrap();
    record(&store, "router:gpt-5", Outcome::Success, 5.0, now - 1_000).await;
    score(&store, now).await;
    check_view(&store, &["top"], "project demo-test").await;
}

#[tokio::test]
async fn a_watched_list_refreshes_and_fits_the_terminal() {
    let store = seeded_store().await;
    for n in 1..40 {
        draft(&store, &format!("1.0.{n}"), "1.0.0").await;
    }
    // It is higher than the terminal: the heading stays, and what has no room is counted.
    check_view(&store, &["policies", "list", "--watch"], "no room for").await;
}

#[tokio::test]
async fn a_dumb_terminal_gets_one_frame() {
    let store = seeded_store().await;
    let seen = ended(&store, &["top"], &[("TERM", "dumb")]).await;
    assert_eq!(seen.code(), 0, "{}", seen.screen);
    assert!(seen.screen.contains("no component has statistics"), "{}", seen.screen);
}

/// A file with this many observations.
fn observations(count: i64) -> tempfile::NamedTempFile {
    let (file, now) = (tempfile::NamedTempFile::new().unwrap(), Clock::system().now());
    let line = |n: i64| {
        let ts = now - n;
        json!({ "id": format!("o-{n}"), "ts": ts, "component": "c", "outcome": "success", "durationMs": 5 })
    };
    let lines: String = (0..count).map(|n| format!("{}\n", line(n))).collect();
    std::fs::write(file.path(), lines).unwrap();
    file
}

/// What a bar of progress says.
const BAR: &str = "importing (bytes)";

#[tokio::test]
async fn progress_is_drawn_on_a_terminal_and_cleared() {
    let store = seeded_store().await;
    let file = observations(2_000);
    let arguments = ["observations", "import", file.path().to_str().unwrap()];
    for size in [USUAL, NARROW] {
        let command = on_store(&store, &arguments).await;
        let left = blocking(move || Terminal::start(command, size).end()).await;
        assert_eq!(left.code(), 0, "{}", left.screen);
        assert!(left.raw.contains(BAR), "{}", left.raw);
        assert!(!left.screen.contains(BAR) && !left.hides_cursor, "{}", left.screen);
        assert!(left.screen.contains("2000 lines: "), "{}", left.screen);
    }
    let dumb = ended(&store, &arguments, &[("TERM", "dumb")]).await;
    assert!(!dumb.raw.contains(BAR) && dumb.code() == 0, "{}", dumb.raw);

    let command = on_store(&store, &arguments).await;
    let redirected = Redirected { stderr: Some(Stdio::null()), ..Redirected::default() };
    let left = blocking(|| Terminal::start_redirected(command, USUAL, redirected).end()).await;
    assert!(!left.raw.contains(BAR) && left.code() == 0, "{}", left.raw);
}

#[tokio::test]
async fn an_import_that_is_interrupted_leaves_the_terminal_as_it_was() {
    let store = seeded_store().await;
    let file = observations(40_000);
    let command =
        on_store(&store, &["observations", "import", file.path().to_str().unwrap()]).await;
    let left = blocking(move || {
        let terminal = Terminal::start(command, USUAL);
        terminal.wait_to_show(BAR);
        terminal.type_keys(CTRL_C);
        terminal.end()
    })
    .await;
    assert_eq!((left.code(), left.hides_cursor), (130, false), "{}", left.screen);
}

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The exit code of a program that must not have panicked.
async fn code_of(store: &Store, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> i32 {
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(environment(store).await).stdin(Stdio::null());
    command.stdout(stdout).stderr(stderr);
    let output = blocking(move || command.spawn().unwrap().wait_with_output().unwrap()).await;
    let error = text(&output.stderr);
    assert!(!error.contains("panicked"), "{arguments:?}: {error}");
    output.status.code().unwrap_or_else(|| panic!("{arguments:?}: {:?}", output.status))
}

#[tokio::test]
async fn a_reader_that_closes_the_pipe_ends_a_command_in_order() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let commands: [&[&str]; 9] = [
        &["status"],
        &["status", "--output", "yaml"],
        &["policies", "list", "--watch"],
        &["policies", "list", "--json"],
        &["audit"],
        &["top"],
        &["--help"],
        &["completions", "bash"],
        &["simulate"],
    ];
    for arguments in commands {
        assert_eq!(code_of(&store, arguments, closed(), Stdio::piped()).await, 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn an_error_on_a_closed_stderr_still_has_its_exit_code() {
    let store = seeded_store().await;
    let cases: [(&[&str], i32); 4] = [
        (&["policies", "show", "none"], 1),
        (&["observations", "import", "/none"], 1),
        (&["no-command"], 2),
        (LOGS, 0),
    ];
    let now = store.now().await.unwrap();
    record(&store, "c", Outcome::Success, 5.0, now).await;
    for (arguments, code) in cases {
        let found = code_of(&store, arguments, Stdio::null(), closed()).await;
        assert_eq!(found, code, "{arguments:?}");
    }
}
