//! The request of OTLP, `ExportMetricsServiceRequest`, as far as the metrics need it. The numbers of the
//! fields are those of `opentelemetry/proto/metrics/v1/metrics.proto`, which are stable.

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

use super::exposition::{Family, Kind, Sample, families};

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(message, repeated, tag = "1")]
    pub resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(string, optional, tag = "1")]
    pub string: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub description: String,
    #[prost(string, tag = "3")]
    pub unit: String,
    #[prost(oneof = "Data", tags = "5, 7, 9")]
    pub data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Data {
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
}

#[derive(Clone, PartialEq, Message)]
pub struct Gauge {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<Number>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Sum {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<Number>,
    #[prost(enumeration = "Temporality", tag = "2")]
    pub temporality: i32,
    #[prost(bool, tag = "3")]
    pub is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<Distribution>,
    #[prost(enumeration = "Temporality", tag = "2")]
    pub temporality: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Temporality {
    Unspecified = 0,
    Delta = 1,
    Cumulative = 2,
}

#[derive(Clone, PartialEq, Message)]
pub struct Number {
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    #[prost(double, optional, tag = "4")]
    pub value: Option<f64>,
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Distribution {
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    pub bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    pub explicit_bounds: Vec<f64>,
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_data_points: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Since when the values count, and when they were read, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub start_nanos: u64,
    pub end_nanos: u64,
}

pub fn request(text: &str, resource: &[(String, String)], interval: Interval) -> Request {
    let metrics = families(text).iter().filter_map(|family| metric(family, interval)).collect();
    let (name, version) = ("f0-learning".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let scope_metrics = vec![ScopeMetrics { scope: Some(Scope { name, version }), metrics }];
    let attributes = resource.iter().map(|(key, value)| attribute(key, value)).collect();
    let resource = Some(Resource { attributes });
    Request { resource_metrics: vec![ResourceMetrics { resource, scope_metrics }] }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { string: Some(value.to_owned()) });
    KeyValue { key: key.to_owned(), value }
}

/// `None` if it has no value.
fn metric(family: &Family<'_>, interval: Interval) -> Option<Metric> {
    if family.samples.is_empty() {
        return None;
    }
    let points = || family.samples.iter().map(|sample| number(sample, interval)).collect();
    let temporality = Temporality::Cumulative.into();
    let data = match family.kind {
        Kind::Gauge => Data::Gauge(Gauge { points: points() }),
        Kind::Counter => Data::Sum(Sum { points: points(), temporality, is_monotonic: true }),
        Kind::Histogram => {
            Data::Histogram(Histogram { points: distributions(family, interval), temporality })
        }
    };
    let name = match family.kind {
        Kind::Counter => format!("{}_total", family.name),
        Kind::Gauge | Kind::Histogram => family.name.to_owned(),
    };
    let (description, unit) = (family.help.to_owned(), unit(family.unit));
    Some(Metric { name, description, unit, data: Some(data) })
}

/// A unit as UCUM writes it.
fn unit(name: &str) -> String {
    match name {
        "" => String::new(),
        "seconds" => "s".to_owned(),
        "ratio" => "1".to_owned(),
        other => format!("{{{other}}}"),
    }
}

fn number(sample: &Sample<'_>, interval: Interval) -> Number {
    Number {
        start_time_unix_nano: interval.start_nanos,
        time_unix_nano: interval.end_nanos,
        value: Some(sample.value),
        attributes: attributes(sample),
    }
}

/// The labels without the bound of a bucket.
fn labels<'a>(sample: &'a Sample<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let labels = sample.labels.iter().filter(|(name, _)| *name != "le");
    labels.map(|(name, value)| (*name, value.as_str()))
}

fn attributes(sample: &Sample<'_>) -> Vec<KeyValue> {
    labels(sample).map(|(name, value)| attribute(name, value)).collect()
}

/// The samples of a histogram, joined by their labels. OTLP counts each bucket by itself; the text
/// counts it with all below.
fn distributions(family: &Family<'_>, interval: Interval) -> Vec<Distribution> {
    let mut joined: BTreeMap<Vec<(&str, &str)>, Distribution> = BTreeMap::new();
    for sample in &family.samples {
        let point = joined.entry(labels(sample).collect()).or_insert_with(|| Distribution {
            start_time_unix_nano: interval.start_nanos,
            time_unix_nano: interval.end_nanos,
            attributes: attributes(sample),
            ..Distribution::default()
        });
        match sample.name.strip_prefix(family.name) {
            Some("_sum") => point.sum = Some(sample.value),
            Some("_count") => point.count = count(sample.value),
            Some("_bucket") => add_bucket(point, sample),
            _ => {}
        }
    }
    joined.into_values().collect()
}

fn add_bucket(point: &mut Distribution, sample: &Sample<'_>) {
    let bound = sample.labels.iter().find(|(name, _)| *name == "le");
    let Some(bound) = bound.and_then(|(_, bound)| bound.parse::<f64>().ok()) else { return };
    let below: u64 = point.bucket_counts.iter().sum();
    point.bucket_counts.push(count(sample.value).saturating_sub(below));
    // The last bucket, up to infinity, has no bound of its own.
    if bound.is_finite() {
        point.explicit_bounds.push(bound);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole")]
fn count(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP f0_passes Passes.
# TYPE f0_passes counter
f0_passes_total{job_name=\"score\",outcome=\"failed\"} 3
# HELP f0_took_seconds Durations.
# TYPE f0_took_seconds histogram
# UNIT f0_took_seconds seconds
f0_took_seconds_sum{job_name=\"score\"} 7.5
f0_took_seconds_count{job_name=\"score\"} 6
f0_took_seconds_bucket{le=\"0.5\",job_name=\"score\"} 1
f0_took_seconds_bucket{le=\"2.0\",job_name=\"score\"} 4
f0_took_seconds_bucket{le=\"+Inf\",job_name=\"score\"} 6
# HELP f0_empty Nothing yet.
# TYPE f0_empty gauge
# EOF
";

    fn metrics() -> Vec<Metric> {
        let interval = Interval { start_nanos: 1, end_nanos: 2 };
        let mut request = request(TEXT, &[("service.name".into(), "f0".into())], interval);
        request.resource_metrics.remove(0).scope_metrics.remove(0).metrics
    }

    #[test]
    fn a_counter_is_a_cumulative_monotonic_sum_with_its_name_of_metrics() {
        let passes = &metrics()[0];
        assert_eq!(passes.name, "f0_passes_total");
        let Some(Data::Sum(sum)) = &passes.data else { panic!("{passes:?}") };
        assert_eq!((sum.temporality(), sum.is_monotonic), (Temporality::Cumulative, true));
        assert_eq!(sum.points[0].value, Some(3.0));
        assert_eq!(
            sum.points[0].attributes,
            [attribute("job_name", "score"), attribute("outcome", "failed")]
        );
    }

    #[test]
    fn a_histogram_counts_each_bucket_by_itself() {
        let took = &metrics()[1];
        assert_eq!((took.name.as_str(), took.unit.as_str()), ("f0_took_seconds", "s"));
        let Some(Data::Histogram(histogram)) = &took.data else { panic!("{took:?}") };
        let [point] = &histogram.points[..] else { panic!("{histogram:?}") };
        assert_eq!(point.bucket_counts, [1, 3, 2]);
        assert_eq!(point.explicit_bounds, [0.5, 2.0]);
        assert_eq!((point.count, point.sum), (6, Some(7.5)));
        assert_eq!(point.attributes, [attribute("job_name", "score")]);
    }

    #[test]
    fn a_family_without_a_value_is_left_out() {
        assert_eq!(metrics().len(), 2);
    }
}
