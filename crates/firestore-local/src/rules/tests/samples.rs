//! A dozen rules files of different kinds, each with its cases.

use super::testing::{parse, run};
use super::*;

macro_rules! samples {
    ($($name:ident),* $(,)?) => {
        /// The texts of all samples.
        pub const ALL: [&str; [$(stringify!($name)),*].len()] =
            [$(include_str!(concat!("samples/", stringify!($name), ".rules"))),*];

        $(
            #[test]
            fn $name() {
                let rules = include_str!(concat!("samples/", stringify!($name), ".rules"));
                let cases = include_str!(concat!("samples/", stringify!($name), ".jsonl"));
                let rules = Ruleset::parse(rules).unwrap_or_else(|error| panic!("{error}"));
                let report = run(&rules, &parse(cases).unwrap()).unwrap();
                assert_eq!(report.failed().count(), 0, "{report}");
                let open: Vec<_> = report.coverage.iter().filter(|line| line.outcomes.yes == 0).collect();
                assert!(open.is_empty(), "never true: {open:?}");
            }
        )*
    };
}

samples!(
    chat,
    content_owner,
    counters,
    feature_flags,
    forum,
    inventory,
    invitations,
    locked,
    multi_tenant,
    profiles,
    rate_limit,
    shop,
    surveys,
);
