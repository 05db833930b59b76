//! Compares what is stored with a recount, without changing anything.

use super::compare::{differences, unreadable, window_differences};
use super::recount::Recount;
use super::{Basis, RebuildJob, Result, VerifyReport, time_of};
use crate::store::{StateKind, Statistic, StoreError, Sums, state_path};

/// Documents of state checked together.
const PAGE: usize = 500;

impl RebuildJob {
    /// Compares every series and tally, or the series of one component, with a recount as of the same
    /// moment. Scoring may continue meanwhile.
    pub async fn verify(&self, component: Option<&str>, now: i64) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let statistics = match component {
            Some(component) => vec![Statistic::Series(component.to_owned())],
            None => {
                self.check_documents(&mut report).await?;
                self.store.statistics().await?
            }
        };
        if !report.differences.is_empty() && self.is_counting_damaged().await? {
            return Ok(report);
        }
        let basis = self.basis().await?;
        for some in statistics.chunks(super::TOGETHER) {
            for (statistic, archived) in self.archived(some, &basis, now).await?.1 {
                report.add(self.compare(&statistic, &archived, &basis).await?);
            }
        }
        Ok(report)
    }

    /// Whether it cannot be known what is counted.
    async fn is_counting_damaged(&self) -> Result<bool> {
        match self.store.stored_statistic(&Statistic::Series(String::new())).await {
            Ok(_) => Ok(false),
            Err(StoreError::Decode { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn compare(
        &self,
        statistic: &Statistic,
        archived: &Recount,
        basis: &Basis,
    ) -> Result<VerifyReport> {
        let mut report = VerifyReport { verified: 1, ..VerifyReport::default() };
        let of = statistic.to_string();
        let stored = self.store.stored_statistic(statistic).await?;
        let mut counted = match stored.counted {
            Ok(counted) => counted,
            Err(damaged) => {
                let damaged = damaged.iter().map(|(path, why)| unreadable(&of, path, why));
                report.differences.extend(damaged);
                return Ok(report);
            }
        };
        if let Sums::Series(series) = &counted.sums {
            report.differences.extend(window_differences(&of, series, &stored.windows));
        }
        // Both as of the same time, which never goes back.
        let now = archived.now().max(time_of(&counted.sums).unwrap_or(i64::MIN));
        if let Sums::Series(series) = &mut counted.sums {
            series.advance(now);
        }
        let mut recount = archived.clone();
        recount.merge(self.recount(statistic, &stored.cut, basis, now).await?);
        report.totals.add(recount.totals);
        let stamp = counted.scored_under.as_ref();
        let recounted = recount.finish(&basis.config, stamp);
        report.differences.extend(differences(&of, &counted.sums, &recounted.sums));
        Ok(report)
    }

    /// The documents of state that cannot be read, other than statistics.
    async fn check_documents(&self, report: &mut VerifyReport) -> Result<()> {
        for damage in self.store.counting_damage().await? {
            report.differences.push(unreadable("counting", &damage.0, &damage.1));
        }
        let mut after = None;
        loop {
            let (ids, next) = self.store.state_ids(after.as_deref(), PAGE).await?;
            for id in ids {
                let document = state_path(&id);
                if StateKind::of_id(&id) == StateKind::Unknown {
                    report.unknown.push(document);
                } else if let Some(why) = self.store.state_damage(&id).await? {
                    report.differences.push(unreadable("state", &document, &why));
                }
            }
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
