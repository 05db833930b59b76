//! The Rust that pages print is compiled here. Nothing runs it: it needs a component.

use std::error::Error;

use f0_learning_client::{
    ActivePolicy, Clock, DEFAULT_REFRESH, Db, NewObservation, Outcome, Recorder, RecorderOptions,
    SamplingPolicy, choose, connection_from_env,
};

/// What a component brings along.
struct Request {
    session: String,
}
struct Answer;

async fn serve_default(_: Request) -> Result<Answer, Box<dyn Error>> {
    Ok(Answer)
}

async fn call(_: &str, _: Request) -> (Answer, Outcome, f64) {
    (Answer, Outcome::Success, 234.0)
}

#[expect(dead_code, reason = "only compiled")]
#[expect(clippy::disallowed_methods, reason = "a component reads its own environment")]
#[expect(unused_variables, reason = "the reader uses them")]
async fn readme() -> Result<(), Box<dyn Error>> {
    // begin crates/client/README.md
    let db = Db::connect(&connection_from_env(|name| std::env::var(name).ok())?).await?;
    let policy = ActivePolicy::follow(db.clone(), "router-core", DEFAULT_REFRESH).await?;
    let options = RecorderOptions { sampling: SamplingPolicy::KEEP_ALL, ..Default::default() };
    let recorder = Recorder::start(db, options, Clock::system());

    let serve = async |request: Request| -> Result<Answer, Box<dyn Error>> {
        let Some(active) = policy.current() else { return serve_default(request).await };
        let choice = choose(&active, &request.session); // the same unit always gets the same version
        let arm = choice.draw_random().ok_or("the policy has no valid modelWeights")?;
        let (answer, outcome, ms) = call(&arm.name, request).await;
        let observation = NewObservation::new(format!("router:{}", arm.name), outcome, ms);
        recorder.record(observation.under(&choice)).await?;
        Ok(answer)
    };

    recorder.close().await; // before the process ends: writes what is queued
    // end
    Ok(())
}

#[expect(dead_code, reason = "only compiled")]
#[expect(clippy::disallowed_methods, reason = "a component reads its own environment")]
#[expect(unused_variables, reason = "the reader uses them")]
async fn integration() -> Result<(), Box<dyn Error>> {
    // begin docs/integration.md
    use f0_learning_client::{
        ActivePolicy, Clock, DEFAULT_REFRESH, Db, NewObservation, Outcome, Recorder,
        RecorderOptions, choose, connection_from_env,
    };

    let db = Db::connect(&connection_from_env(|name| std::env::var(name).ok())?).await?;
    let policy = ActivePolicy::follow(db.clone(), "router-core", DEFAULT_REFRESH).await?;
    let recorder = Recorder::start(db, RecorderOptions::default(), Clock::system());

    // For each request:
    if let Some(active) = policy.current() {
        let choice = choose(&active, "session-42"); // the candidate of an experiment, or the active version
        if let Some(arm) = choice.draw_random() {
            let observation = NewObservation {
                cost_usd: Some(0.023),
                ..NewObservation::new(format!("router:{}", arm.name), Outcome::Success, 234.0)
            };
            recorder.record(observation.under(&choice)).await?;
        }
    }
    // Before the process ends, write what is still queued:
    let report = recorder.close().await;
    // end
    Ok(())
}

/// The words between `begin` of a page and `end` in this file.
fn compiled(page: &str) -> Vec<&'static str> {
    let (_, after) = include_str!("printed.rs").split_once(&format!("// begin {page}\n")).unwrap();
    after.split_once("// end\n").unwrap().0.split_whitespace().collect()
}

#[test]
fn the_rust_of_the_pages_is_what_is_compiled_here() {
    let pages = [
        ("crates/client/README.md", include_str!("../../README.md")),
        ("docs/integration.md", include_str!("../../../../docs/integration.md")),
    ];
    for (page, text) in pages {
        let blocks: Vec<_> = text.split("```rust,ignore\n").skip(1).collect();
        assert_eq!(blocks.len(), 1, "{page} prints another block: compile it here");
        let block = blocks[0].split_once("```").unwrap().0;
        // The formatter may break lines elsewhere.
        assert_eq!(block.split_whitespace().collect::<Vec<_>>(), compiled(page), "{page}");
    }
}
