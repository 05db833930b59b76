//! Log lines: text in a terminal, JSON for Cloud Logging in a container. Values pass [`printable`], so
//! that a stored text neither controls the terminal nor forges a line.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{printable, trace};

/// What a command logs unless `RUST_LOG` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Level info: what the service does.
    Info,
    /// Level warn: only problems, so that they do not hide a command's output.
    Warnings,
    /// Level error, each as a sentence: for a command that tells in its own words what happens.
    Sentences,
}

/// The client of Firestore logs every failed request as an error. Those that matter are retried, and
/// returned to the code that made them, which reports them with what they were for.
const CLIENT: &str = "gcloud_sdk=off";

/// Starts logging to standard error. `RUST_LOG` sets the filter; `json` selects Cloud Logging's
/// format. A line that cannot be written is lost.
pub fn start(verbosity: Verbosity, json: bool, colours: bool) {
    let default = match verbosity {
        Verbosity::Info => "warn,f0_learning=info",
        Verbosity::Warnings => "warn",
        Verbosity::Sentences => "error",
    };
    let asked = EnvFilter::try_from_default_env().ok();
    let is_story = verbosity == Verbosity::Sentences && asked.is_none();
    let filter = asked.unwrap_or_else(|| EnvFilter::new(format!("{default},{CLIENT}")));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let lines = lines.log_internal_errors(false);
    if json {
        lines.event_format(CloudLogging).init();
    } else if is_story {
        lines.event_format(Sentences::default()).init();
    } else {
        let fields = format::debug_fn(|writer, field, value| {
            let value = format!("{value:?}");
            let value = printable::line(&value);
            match field.name() {
                "message" => write!(writer, "{value}"),
                name => write!(writer, "{name}={value}"),
            }
        });
        let lines = lines.fmt_fields(fields.delimited(" "));
        lines.with_ansi(colours).with_target(false).init();
    }
}

/// One JSON object a line, with the special fields of Cloud Logging's structured logging
/// (`severity`, `message` with the cause, `time`, and the trace of a request) and the event's own fields.
struct CloudLogging;

impl<S, N> FormatEvent<S, N> for CloudLogging
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = fields_of(event);
        line.extend(trace::fields().into_iter().map(|(name, value)| (name.to_owned(), value)));
        line.insert("severity".to_owned(), Json::from(severity(*event.metadata().level())));
        #[expect(clippy::disallowed_methods, reason = "a log line has the time of the machine")]
        let time = chrono::Utc::now().to_rfc3339();
        line.insert("time".to_owned(), Json::from(time));
        line.insert("target".to_owned(), Json::from(event.metadata().target()));
        writeln!(writer, "{}", printable::json(&Json::Object(line).to_string()))
    }
}

/// What went wrong, without time and level, and once where it happens again and again.
#[derive(Default)]
struct Sentences {
    last: Mutex<String>,
}

impl<S, N> FormatEvent<S, N> for Sentences
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = fields_of(event);
        let text = |name| line.get(name).and_then(Json::as_str);
        let job = text("job").map_or(String::new(), |job| format!("{job}: "));
        let said = format!("  trouble: {job}{}", text("message").unwrap_or_default());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == said {
            return Ok(());
        }
        writeln!(writer, "{}", printable::line(&said))?;
        *last = said;
        Ok(())
    }
}

/// The fields of an event, with the cause in the message.
fn fields_of(event: &Event<'_>) -> Map<String, Json> {
    let mut fields = Fields(Map::new());
    event.record(&mut fields);
    name_cause(&mut fields.0);
    fields.0
}

/// Lists of log lines show only the message.
fn name_cause(line: &mut Map<String, Json>) {
    let text = |name| line.get(name).and_then(Json::as_str);
    let (message, error) = (text("message").unwrap_or_default(), text("error"));
    if let Some(error) = error
        && !message.contains(error)
    {
        let message = format!("{message}: {error}");
        line.insert("message".to_owned(), Json::from(message));
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

struct Fields(Map<String, Json>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Json::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Json::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), Json::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), Json::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), Json::from(value));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::observability::trace::{Trace, within};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged in a format.
    async fn written<F>(format: F, work: impl Future<Output = ()>) -> String
    where
        F: FormatEvent<tracing_subscriber::Registry, format::DefaultFields> + Send + Sync + 'static,
    {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::INFO)
            .with_writer(move || writer.clone())
            .event_format(format)
            .finish();
        let _default = tracing::subscriber::set_default(subscriber);
        work.await;
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that a future logs for Cloud Logging.
    async fn logged(work: impl Future<Output = ()>) -> Vec<Json> {
        let text = written(CloudLogging, work).await;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_story_is_told_what_went_wrong_in_a_sentence_and_once() {
        let text = written(Sentences::default(), async {
            for _ in 0..2 {
                tracing::error!(error = "no route\nto host", job = "score", "pass failed");
            }
            tracing::error!("gone");
        });
        assert_eq!(
            text.await,
            "  trouble: score: pass failed: no route\\nto host\n  trouble: gone\n"
        );
    }

    #[tokio::test]
    async fn the_message_has_the_cause_once() {
        let lines = logged(async {
            tracing::error!(error = "no route\nto host", job = "score", "pass failed");
            tracing::warn!(error = "gone", "it is gone");
        });
        let lines = lines.await;
        assert_eq!(lines[0]["message"], "pass failed: no route\nto host");
        assert_eq!((&lines[0]["severity"], &lines[0]["job"]), (&"ERROR".into(), &"score".into()));
        assert_eq!(
            (&lines[1]["severity"], &lines[1]["message"]),
            (&"WARNING".into(), &"it is gone".into())
        );
    }

    #[tokio::test]
    async fn a_line_of_a_request_names_its_trace_and_no_other_line_does() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let lines = logged(async {
            within(Trace::of_headers(Some(parent), None), async { tracing::info!("in") }).await;
            tracing::info!("out");
        });
        let lines = lines.await;
        let trace = lines[0]["logging.googleapis.com/trace"].as_str().unwrap();
        assert!(trace.ends_with("4bf92f3577b34da6a3ce929d0e0e4736"), "{trace}");
        assert_eq!(lines[0]["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
        assert_eq!(lines[1].get("logging.googleapis.com/trace"), None);
    }
}
