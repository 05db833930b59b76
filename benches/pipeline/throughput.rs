//! The rate of scoring compared with the raw ceiling of the same reads and writes, and the bill of
//! a large pass.

use f0_learning::jobs::score::{ScoreJob, ScoreOptions};

use crate::load::{COMPONENTS, DAY_END, Load};
use crate::server::Server;
use crate::{ROUNDS, Result, ceiling, connect, median, rate, score};

/// Each round measures ceiling and pass on the same load of the machine, in alternating order.
pub async fn run(total: usize) -> Result<()> {
    for durable in [false, true] {
        let server = Server::start(durable)?;
        let (mut ceilings, mut passes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let project = format!("demo-score-{round}");
            let store = connect(&server, &project).await?;
            Load::last_hour(total).write(&store).await?;
            // The first query makes the local Firestore build its index, which belongs to neither.
            ScoreJob::new(store.clone(), ScoreOptions::default()).backlog(DAY_END).await?;
            let (ceiling, pass) = if round % 2 == 0 {
                let ceiling = ceiling::run(&server, &project).await?;
                (ceiling, score(&store, total).await?)
            } else {
                let pass = score(&store, total).await?;
                (ceiling::run(&server, &project).await?, pass)
            };
            let (ceiling, pass) = (rate(total, ceiling), rate(total, pass));
            eprintln!("round {round}: ceiling {ceiling:.0}/s, scoring {pass:.0}/s");
            ceilings.push(ceiling);
            passes.push(pass);
            ratios.push(pass / ceiling);
        }
        println!(
            "{:<10} {total} observations: scoring {:.0}/s, raw ceiling {:.0}/s, ratio {:.2} \
             (medians of {ROUNDS} rounds)",
            if durable { "durable" } else { "in memory" },
            median(passes),
            median(ceilings),
            median(ratios),
        );
        server.stop()?;
    }
    Ok(())
}

pub async fn billing() -> Result<()> {
    const TOTAL: usize = 20_000;
    let server = Server::start(false)?;
    let store = connect(&server, "demo-billing").await?;
    Load::last_hour(TOTAL).write(&store).await?;
    let before = server.billed().await?;
    score(&store, TOTAL).await?;
    let billed = server.billed().await? - before;
    println!(
        "{TOTAL} observations over {COMPONENTS} components: {billed}: {:.1} billed operations per \
         1,000 observations",
        billed.total() as f64 * 1_000.0 / TOTAL as f64
    );
    server.stop()
}
