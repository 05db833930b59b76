//! `clock`: the time of Firestore and of the last pass, and what to do where passes refuse it.

use anyhow::Result;
use clap::Subcommand;
use f0_learning::jobs::Time;
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::time::Utc;
use serde_json::json;

use super::output::Shown;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the time of Firestore, of the last pass and of this machine, and whether passes run
    Show {
        #[command(flatten)]
        shown: Shown,
    },
    /// Take Firestore's time as right: passes run again, however far it is from the last pass
    Accept,
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    let times = store.pass_times().await?;
    let last = times.last.map_or_else(|| "never".to_owned(), |last| Utc(last).to_string());
    match command {
        Command::Show { shown } if shown.data().is_some() => {
            let refused = Time::from(store.clone()).check(times).err();
            let all = json!({
                "firestore": times.now,
                "lastPass": times.last,
                "machine": Clock::system().now(),
                "refused": refused.map(|it| it.to_string()),
            });
            shown.data().map_or(Ok(()), |data| data.print(&all))?;
        }
        Command::Show { .. } => {
            say!("Firestore     {}", Utc(times.now));
            say!("last pass     {last}");
            say!("this machine  {}", Utc(Clock::system().now()));
            Time::from(store.clone()).check(times)?;
            say!("passes run");
        }
        Command::Accept => {
            store.mark_pass(times.now).await?;
            say!("accepted {}; the last pass was {last}", Utc(times.now));
        }
    }
    Ok(())
}
