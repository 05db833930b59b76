//! The flags and environment variables of the schedule: one of each for every job.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use f0_learning::jobs::JobName;
use f0_learning::jobs::scheduler::Schedule;

#[derive(Debug)]
pub struct Timers {
    pub schedule: Schedule,
}

impl Args for Timers {
    fn augment_args(command: Command) -> Command {
        command.args(JobName::ALL.iter().map(|job| {
            Arg::new(job.cron_flag())
                .long(job.cron_flag())
                .env(job.cron_variable())
                .value_name(job.cron_variable())
                .default_value(job.default_cron())
                .help(format!(
                    "When to {}: cron expression of six fields, seconds first, in UTC",
                    job.purpose()
                ))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Timers {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut timers = Self { schedule: Schedule::default() };
        timers.update_from_arg_matches(matches)?;
        Ok(timers)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for job in JobName::ALL {
            if let Some(expression) = matches.get_one::<String>(job.cron_flag()) {
                self.schedule = std::mem::take(&mut self.schedule).with(*job, expression);
            }
        }
        Ok(())
    }
}
