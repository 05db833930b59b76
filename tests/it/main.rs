//! Integration tests: each works on a project of its own in a local Firestore, through the same
//! code as production, and steps the jobs by hand at times that it chooses.
//!
//! Which tests guard which invariant of `ARCHITECTURE.md`:
//!
//! | invariant | tests |
//! |---|---|
//! | 1. each valid observation gets one reward and is counted once | [`races`] (crashes, concurrent workers), [`shards`] (shards, leases), [`reconcile`] (late observations), [`once`] (documents that are written again), [`scoring`] (windows, bill), [`binary`] (`serve` and `dev` killed), [`effects`] (tallies of versions) |
//! | 2. each invalid observation is quarantined with its reason | [`scoring`], [`reconcile`] |
//! | 3. one version is active, and its params never change | [`transitions`], [`rivals`] (concurrent admins and tuner), [`experiment_races`] (with experiments and the guard), [`kills`] (the process killed) |
//! | 4. a change and its audit entry are one commit | [`transitions`], [`rivals`], [`experiment_races`], [`kills`], [`tuning`]; `assert_sound` replays the trail in most other tests |
//! | 5. with learning disabled the job proposes and activates nothing | [`tuning`], [`auto_activation`], [`experiments`] |
//! | 6. weights are non-negative, sum to exactly 1, and keep floor and step bound | [`tuning`], [`specification`]; `crates/core` (`tuning`, and `tests/lab` over many histories) |
//!
//! The simulation in `tests/sim` checks all six on random sequences of steps.
//!
//! Everything else:
//!
//! | subject | tests |
//! |---|---|
//! | the HTTP API and its authentication | [`api`], [`credentials`], [`wear`] (slow, idle and misdirected clients) |
//! | the pages for a browser | [`page`] |
//! | the command line and the process | [`binary`], [`decisions`], [`terminal`] |
//! | experiments and the guard | [`experiments`], [`experiments_by_hand`] (documents changed without the service) |
//! | what people decide holds, and the reasons that they are given | [`people`] |
//! | decisions of the tuner | [`allocation`] (by belief), [`envelope`] (what a person approved once), [`evidence`] (what must not fool it), [`month`] (replayed), [`propensity`] (off-policy evidence), [`trace`] (the bundled trace) |
//! | the client library | [`collector`] |
//! | documents that cannot be read, and types that JSON lacks | [`damaged`], [`state_damage`] (each kind of state document), [`repairs`] (each by the command that its error names) |
//! | recounts of statistics | [`rebuild`] (exact beside running workers and crashes), [`repairs`] |
//! | what earlier versions stored | [`formats`] |
//! | metrics of what waits and changes, notifications | [`measure`], [`notify`] |
//! | retention and archives | [`retention`], [`buckets`] |
//! | wrong clocks of workers | [`clocks`] (leases, passes, timers), [`implausible`] (times that no pass takes, times of changes) |
//! | what README.md and the other pages print | [`printed`] (commands are run, samples compared), [`runbook`] (alerts lead to it) |
//! | deployed indexes and rules | [`deployment`], [`indexes`], [`resharding`] (the procedure of docs/scale.md) |
//! | forged audit entries, extreme observations, hostile texts | [`hostile`] |
//! | what documents and floods may cost | [`memory`] (of the process), [`constant_cost`] (of what never changes), [`hostile_day`] (honest figures beside hostile components) |
//!
//! [`support`] is the harness, and [`collection`] has the names of the collections.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod allocation;
mod api;
mod auto_activation;
mod binary;
mod buckets;
mod clocks;
mod collection;
mod collector;
mod config;
mod constant_cost;
mod credentials;
mod damaged;
mod decisions;
mod deployed_rules;
mod deployment;
mod effects;
mod envelope;
mod evidence;
mod experiment_races;
mod experiments;
mod experiments_by_hand;
mod formats;
mod hostile;
mod hostile_day;
mod implausible;
mod imports;
mod indexes;
mod jwt;
mod kills;
mod measure;
mod memory;
mod month;
mod notify;
mod once;
mod otlp;
mod page;
mod people;
mod printed;
mod propensity;
mod races;
mod rebuild;
mod reconcile;
mod repairs;
mod resharding;
mod retention;
mod rivals;
mod runbook;
mod scoring;
mod security_rules;
mod shards;
mod specification;
mod state_damage;
mod support;
mod terminal;
mod trace;
mod transitions;
mod tuning;
mod wear;
