//! Log lines: text in a terminal, JSON for Cloud Logging in a container. Values pass [`printable`], so
//! that a stored text neither controls the terminal nor forges a line.

use std::fmt;
use std::io::IsTerminal;

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::printable;

/// What a command logs unless `RUST_LOG` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Level info: what the service does.
    Info,
    /// Level warn: only problems, so that they do not hide a command's output.
    Warnings,
}

/// Starts logging to standard error. `RUST_LOG` sets the filter; `json` selects Cloud Logging's
/// format.
pub fn start(verbosity: Verbosity, json: bool) {
    let default = match verbosity {
        Verbosity::Info => "warn,f0_learning=info",
        Verbosity::Warnings => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        lines.event_format(CloudLogging).init();
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
        lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
    }
}

/// One JSON object a line, with the special fields of Cloud Logging's structured logging
/// (`severity`, `message`, `time`) and the event's own fields.
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
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let mut line = fields.0;
        line.insert("severity".to_owned(), Json::from(severity(*event.metadata().level())));
        #[expect(clippy::disallowed_methods, reason = "a log line has the time of the machine")]
        let time = chrono::Utc::now().to_rfc3339();
        line.insert("time".to_owned(), Json::from(time));
        line.insert("target".to_owned(), Json::from(event.metadata().target()));
        writeln!(writer, "{}", printable::json(&Json::Object(line).to_string()))
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
