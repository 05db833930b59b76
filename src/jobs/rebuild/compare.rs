//! Where stored statistics and a recount differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::DateTime;
use serde::Serialize;
use serde_json::Value as Json;

use crate::store::{ComponentStats, Sums, remedy};
use f0_learning_core::estimate::Moments;
use f0_learning_core::stats::{Samples, Series, Tally, WindowStats};
use firestore_kit::value::{self, Fields};

/// How far two means may differ that were computed from the same observations: a series that became too
/// large keeps fewer weights, which rounds.
const ROUNDING: f64 = 1e-9;

/// A figure that is stored differently than it is recounted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The component or the version, as `component x` or `version x@1.0.0`.
    pub of: String,
    /// The window, or the time at which the bucket of the timeline starts.
    pub place: String,
    pub field: String,
    pub stored: String,
    pub recounted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, place, field, stored, recounted } = self;
        write!(f, "{of}, {place}: {field} is stored as {stored}, recounted as {recounted}")
    }
}

/// Figures by place and field.
type Figures = BTreeMap<(String, String), Json>;

/// The differences between two statistics of the same kind. The series must be as of the same time.
pub(super) fn differences(of: &str, stored: &Sums, recounted: &Sums) -> Vec<Difference> {
    let (stored, recounted) = (figures(stored), figures(recounted));
    compare(of, &stored, &recounted)
}

fn compare(of: &str, stored: &Figures, recounted: &Figures) -> Vec<Difference> {
    let keys: BTreeSet<_> = stored.keys().chain(recounted.keys()).collect();
    let zero = Json::from(0);
    let differing = keys.into_iter().filter_map(|key| {
        let [a, b] = [stored, recounted].map(|figures| figures.get(key).unwrap_or(&zero));
        (!is_same(a, b)).then(|| Difference {
            of: of.to_owned(),
            place: key.0.clone(),
            field: key.1.clone(),
            stored: text(a),
            recounted: text(b),
        })
    });
    differing.collect()
}

fn text(figure: &Json) -> String {
    if figure.is_null() { "unknown".to_owned() } else { figure.to_string() }
}

fn is_same(a: &Json, b: &Json) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= ROUNDING * a.abs().max(b.abs()).max(1.0),
        _ => a == b,
    }
}

fn figures(sums: &Sums) -> Figures {
    match sums {
        Sums::Series(series) => figures_of_series(series),
        Sums::Tally(tally) => figures_of_tally(tally),
    }
}

fn figures_of_series(series: &Series) -> Figures {
    let mut figures = Figures::new();
    for (window, stats) in series.windows() {
        add_window(&mut figures, window.as_str(), &stats);
    }
    for (start, _, samples) in series.timeline().spans() {
        add_samples(&mut figures, &bucket(start), samples);
    }
    figures
}

fn figures_of_tally(tally: &Tally) -> Figures {
    let mut figures = Figures::new();
    add_window(&mut figures, "all", &tally.stats());
    add_samples(&mut figures, "samples", tally.samples());
    for (component, log) in tally.rewards().into_iter().flatten() {
        figures.insert((format!("rewards of {component}"), "n".to_owned()), log.n().into());
    }
    figures
}

fn bucket(start: i64) -> String {
    let time = DateTime::from_timestamp_millis(start).unwrap_or_default();
    format!("bucket {}", time.format("%Y-%m-%dT%H:%MZ"))
}

fn add_window(figures: &mut Figures, place: &str, stats: &WindowStats) {
    let Ok(Json::Object(fields)) = serde_json::to_value(stats) else { return };
    figures.extend(fields.into_iter().map(|(field, figure)| ((place.to_owned(), field), figure)));
}

fn add_samples(figures: &mut Figures, place: &str, samples: &Samples) {
    let mut add = |field: &str, figure: Json| {
        figures.insert((place.to_owned(), field.to_owned()), figure);
    };
    add("rewards", samples.reward.n().into());
    add("outcomes", samples.success.n().into());
    add("costs", samples.cost.n().into());
    add("latencies", samples.latency.n().into());
    add("rejected", samples.rejected.into());
    add("reward", mean(samples.reward.moments()));
    add("success", mean(samples.success.moments()));
    add("cost", mean(samples.cost.moments()));
    add("latency", mean(samples.latency.moments()));
}

fn mean(moments: Moments) -> Json {
    if moments.weight > 0.0 { (moments.sum / moments.weight).into() } else { 0.into() }
}

/// The differences between the documents of the windows and the series that they were written with.
pub(super) fn window_differences(
    of: &str,
    stored: &Series,
    documents: &[(String, Fields)],
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut shown = BTreeSet::new();
    for (name, fields) in documents {
        let document: ComponentStats = match value::from_fields(fields) {
            Ok(document) => document,
            Err(error) => {
                found.push(unreadable(of, name, &error.to_string()));
                continue;
            }
        };
        shown.insert(document.window);
        // One that was not renewed yet describes an earlier time.
        if document.ts != stored.now() {
            continue;
        }
        let (mut a, mut b) = (Figures::new(), Figures::new());
        let window = document.window;
        add_window(&mut a, window.as_str(), &document.stats);
        add_window(&mut b, window.as_str(), &stored.window(window));
        found.extend(
            compare(of, &a, &b)
                .into_iter()
                .map(|it| Difference { field: format!("{} of {name}", it.field), ..it }),
        );
    }
    for (window, stats) in stored.windows() {
        let is_named = documents.iter().any(|(name, _)| name.ends_with(window.as_str()));
        if stats.n + stats.rejected > 0 && !shown.contains(&window) && !is_named {
            found.push(Difference {
                of: of.to_owned(),
                place: window.as_str().to_owned(),
                field: "n".to_owned(),
                stored: "no document".to_owned(),
                recounted: stats.n.to_string(),
            });
        }
    }
    found
}

/// A document that cannot be read.
pub(super) fn unreadable(of: &str, document: &str, why: &str) -> Difference {
    Difference {
        of: of.to_owned(),
        place: document.to_owned(),
        field: "document".to_owned(),
        stored: format!("unreadable ({why}; {})", remedy(document)),
        recounted: "readable".to_owned(),
    }
}
