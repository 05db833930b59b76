//! The trace that a request belongs to, for its log lines: `traceparent` (W3C Trace Context) or
//! `X-Cloud-Trace-Context`, which Google's load balancers set.

use std::sync::OnceLock;

/// The trace of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    id: String,
    /// 16 hexadecimal digits.
    span: Option<String>,
    sampled: bool,
}

tokio::task_local! {
    static CURRENT: Trace;
}

/// In whose project Cloud Logging looks for traces.
static PROJECT: OnceLock<String> = OnceLock::new();

/// Sets the project of the traces. The first call counts.
pub fn set_project(project: &str) {
    let _ = PROJECT.set(project.to_owned());
}

/// Runs a request; the log lines of its task name the trace.
pub async fn within<T>(trace: Option<Trace>, request: impl Future<Output = T>) -> T {
    match trace {
        Some(trace) => CURRENT.scope(trace, request).await,
        None => request.await,
    }
}

/// The trace of the current task, as the special fields of Cloud Logging's structured logging.
pub fn fields() -> Vec<(&'static str, serde_json::Value)> {
    let Ok(Trace { id, span, sampled }) = CURRENT.try_with(Clone::clone) else { return Vec::new() };
    let trace = match PROJECT.get() {
        Some(project) => format!("projects/{project}/traces/{id}"),
        None => id,
    };
    let mut fields = vec![("logging.googleapis.com/trace", trace.into())];
    fields.extend(span.map(|span| ("logging.googleapis.com/spanId", span.into())));
    fields.push(("logging.googleapis.com/trace_sampled", sampled.into()));
    fields
}

impl Trace {
    /// The trace that the headers of a request name; `None` if they name none, or not in the form of
    /// their specification.
    pub fn of_headers(traceparent: Option<&str>, cloud: Option<&str>) -> Option<Self> {
        traceparent.and_then(Self::of_traceparent).or_else(|| Self::of_cloud(cloud?))
    }

    /// `00-TRACE-SPAN-FLAGS`; later versions may append fields.
    fn of_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, id, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_version = is_hex(version, 2) && version != "ff";
        let is_whole = version != "00" || parts.next().is_none();
        if !is_version || !is_whole || !is_id(id, 32) || !is_id(span, 16) || !is_hex(flags, 2) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { id: id.to_owned(), span: Some(span.to_owned()), sampled })
    }

    /// `TRACE/SPAN;o=OPTIONS`; the span, a decimal number, and the options may be missing.
    fn of_cloud(text: &str) -> Option<Self> {
        let (path, options) = text.split_once(';').unwrap_or((text, ""));
        let (id, span) = path.split_once('/').unwrap_or((path, ""));
        let id = id.to_ascii_lowercase();
        let span = span.parse::<u64>().ok().filter(|span| *span > 0);
        is_id(&id, 32).then(|| Self {
            id,
            span: span.map(|span| format!("{span:016x}")),
            sampled: options == "o=1",
        })
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// Ids are not all zeros.
fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|it| it != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn trace(span: Option<&str>, sampled: bool) -> Option<Trace> {
        Some(Trace { id: ID.to_owned(), span: span.map(str::to_owned), sampled })
    }

    #[test]
    fn both_headers_are_read_and_traceparent_comes_first() {
        let parent = format!("00-{ID}-00f067aa0ba902b7-01");
        let found = Trace::of_headers(Some(&parent), Some("0123"));
        assert_eq!(found, trace(Some("00f067aa0ba902b7"), true));
        let cloud = |rest: &str| Trace::of_headers(None, Some(&format!("{ID}{rest}")));
        assert_eq!(cloud("/1;o=1"), trace(Some("0000000000000001"), true));
        assert_eq!(cloud("/1;o=0"), trace(Some("0000000000000001"), false));
        assert_eq!(cloud(""), trace(None, false));
        let later = format!("01-{ID}-00f067aa0ba902b7-00-more");
        assert_eq!(Trace::of_headers(Some(&later), None), trace(Some("00f067aa0ba902b7"), false));
    }

    #[test]
    fn what_is_not_a_trace_names_none() {
        let zeros = "0".repeat(32);
        for parent in [
            String::new(),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{ID}-0000000000000000-01"),
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{ID}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            format!("00-{ID}\u{1b}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(Trace::of_headers(Some(&parent), None), None, "{parent}");
        }
        assert_eq!(Trace::of_headers(None, Some("trace/1;o=1")), None);
    }

    #[tokio::test]
    async fn only_a_request_with_a_trace_has_fields() {
        assert!(within(None, async { fields() }).await.is_empty());
        let found = within(trace(Some("00f067aa0ba902b7"), true), async { fields() }).await;
        assert!(found[0].1.as_str().unwrap().ends_with(ID));
        assert_eq!(found[1], ("logging.googleapis.com/spanId", "00f067aa0ba902b7".into()));
        assert_eq!(found[2], ("logging.googleapis.com/trace_sampled", true.into()));
    }
}
