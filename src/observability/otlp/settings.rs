//! The variables of OpenTelemetry that say where metrics are exported to.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// A variable that is set, but invalid.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("invalid {variable}: expected {expected}, got `{got}`")]
    Invalid { variable: &'static str, expected: &'static str, got: String },

    /// The value may hold a credential, and is not shown.
    #[error("invalid {variable}: expected {expected}")]
    Secret { variable: &'static str, expected: &'static str },
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub endpoint: Url,
    pub headers: HeaderMap,
    /// How long one export may take.
    pub timeout: Duration,
    pub interval: Duration,
    /// Attributes of the resource; `service.name` is among them.
    pub resource: Vec<(String, String)>,
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

impl Settings {
    /// `None` if no endpoint is named, or if exports are turned off by `OTEL_SDK_DISABLED` or
    /// `OTEL_METRICS_EXPORTER`.
    ///
    /// # Errors
    /// A variable is invalid, or asks for what this exporter does not do.
    pub fn from_env(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SettingsError> {
        let set = |name: &str| {
            variable(name).map(|it| it.trim().to_owned()).filter(|text| !text.is_empty())
        };
        // The variable of the signal goes before the one of all signals.
        let either = |signal: &'static str, all: &'static str| {
            set(signal).map(|it| (signal, it)).or_else(|| set(all).map(|it| (all, it)))
        };
        let disabled = set("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let exporter = set("OTEL_METRICS_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
        let Some((name, endpoint)) = either(METRICS_ENDPOINT, ENDPOINT) else { return Ok(None) };
        if disabled || !exporter.split(',').any(|it| it.trim() == "otlp") {
            return Ok(None);
        }
        if let Some((name, protocol)) =
            either("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        {
            only(name, "http/protobuf", protocol)?;
        }
        if let Some((name, compression)) =
            either("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
        {
            only(name, "none", compression)?;
        }
        let headers = either("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS");
        let timeout = either("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
        let interval = set("OTEL_METRIC_EXPORT_INTERVAL")
            .map(|value| milliseconds("OTEL_METRIC_EXPORT_INTERVAL", &value));
        let timeout = timeout.map(|(name, value)| milliseconds(name, &value));
        Ok(Some(Self {
            endpoint: address(name, endpoint)?,
            headers: headers.map_or_else(
                || Ok(HeaderMap::new()),
                |(name, value)| parsed_headers(name, &value),
            )?,
            timeout: timeout.transpose()?.unwrap_or(Duration::from_secs(10)),
            interval: interval.transpose()?.unwrap_or(Duration::from_secs(60)),
            resource: resource(set("OTEL_RESOURCE_ATTRIBUTES"), set("OTEL_SERVICE_NAME"))?,
        }))
    }
}

fn only(variable: &'static str, expected: &'static str, got: String) -> Result<(), SettingsError> {
    if got == expected {
        return Ok(());
    }
    Err(SettingsError::Invalid { variable, expected, got })
}

/// The path of the signal is appended to the endpoint of all signals, and not to its own.
fn address(variable: &'static str, mut text: String) -> Result<Url, SettingsError> {
    let expected = "a URL of http or https";
    if variable == ENDPOINT {
        text = format!("{}/v1/metrics", text.trim_end_matches('/'));
    }
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(SettingsError::Secret { variable, expected }),
    }
}

fn milliseconds(variable: &'static str, text: &str) -> Result<Duration, SettingsError> {
    match text.parse() {
        Ok(value @ 1..=86_400_000) => Ok(Duration::from_millis(value)),
        _ => Err(SettingsError::Invalid {
            variable,
            expected: "milliseconds, 1 to 86400000",
            got: text.to_owned(),
        }),
    }
}

/// `key=value` pairs with commas between them; values are percent-encoded.
fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((key.trim().to_owned(), value.into_owned()))
    })
}

fn parsed_headers(variable: &'static str, text: &str) -> Result<HeaderMap, SettingsError> {
    let invalid = || SettingsError::Secret {
        variable,
        expected: "NAME=VALUE pairs of HTTP headers with commas between them",
    };
    let mut headers = HeaderMap::new();
    for pair in pairs(text) {
        let (name, value) = pair.ok_or_else(invalid)?;
        let name = HeaderName::try_from(name).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn resource(
    attributes: Option<String>,
    service: Option<String>,
) -> Result<Vec<(String, String)>, SettingsError> {
    let attributes = attributes.unwrap_or_default();
    let named: Option<Vec<_>> = pairs(&attributes).collect();
    let mut resource = named.ok_or_else(|| SettingsError::Invalid {
        variable: "OTEL_RESOURCE_ATTRIBUTES",
        expected: "KEY=VALUE pairs with commas between them",
        got: attributes.clone(),
    })?;
    if let Some(service) = service {
        resource.retain(|(key, _)| key != "service.name");
        resource.push(("service.name".to_owned(), service));
    }
    let mut default = |key: &str, value: &str| {
        if !resource.iter().any(|(it, _)| it == key) {
            resource.push((key.to_owned(), value.to_owned()));
        }
    };
    default("service.name", "f0-learning");
    default("service.version", env!("CARGO_PKG_VERSION"));
    Ok(resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(set: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let find = |name: &str| {
            set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_env(find).map_err(|error| error.to_string())
    }

    fn endpoint(set: &[(&str, &str)]) -> String {
        from(set).unwrap().unwrap().endpoint.to_string()
    }

    #[test]
    fn the_path_is_appended_to_the_endpoint_of_all_signals_alone() {
        assert_eq!(endpoint(&[(ENDPOINT, "http://c:4318")]), "http://c:4318/v1/metrics");
        assert_eq!(endpoint(&[(ENDPOINT, "http://c:4318/x/")]), "http://c:4318/x/v1/metrics");
        let both = [(ENDPOINT, "http://c:4318"), (METRICS_ENDPOINT, "https://m/own")];
        assert_eq!(endpoint(&both), "https://m/own");
    }

    #[test]
    fn nothing_is_exported_without_an_endpoint_or_where_it_is_turned_off() {
        let off = [
            &[][..],
            &[(ENDPOINT, " ")],
            &[(ENDPOINT, "http://c"), ("OTEL_SDK_DISABLED", "True")],
            &[(ENDPOINT, "http://c"), ("OTEL_METRICS_EXPORTER", "none")],
            &[(ENDPOINT, "http://c"), ("OTEL_METRICS_EXPORTER", "prometheus")],
        ];
        for set in off {
            assert!(from(set).unwrap().is_none(), "{set:?}");
        }
        let several = [(ENDPOINT, "http://c"), ("OTEL_METRICS_EXPORTER", "prometheus,otlp")];
        assert!(from(&several).unwrap().is_some());
    }

    #[test]
    fn headers_and_attributes_are_decoded() {
        let settings = from(&[
            (ENDPOINT, "http://c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc, x-tenant=7"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,deployment.environment.name=a%2Cb"),
            ("OTEL_SERVICE_NAME", "learning"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.headers["authorization"], "Bearer abc");
        assert_eq!(settings.headers["x-tenant"], "7");
        assert!(!format!("{settings:?}").contains("abc"), "{settings:?}");
        assert_eq!(settings.interval, Duration::from_secs(5));
        let resource: Vec<_> =
            settings.resource.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let version = format!("service.version={}", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            resource,
            ["deployment.environment.name=a,b", "service.name=learning", &version]
        );
    }

    #[test]
    fn an_invalid_variable_is_named_and_a_secret_is_not_shown() {
        let cases = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "expected http/protobuf, got `grpc`"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "expected none, got `gzip`"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "expected milliseconds"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0", "expected milliseconds"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Bearer secret", "expected NAME=VALUE"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://secret", "expected a URL"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "expected KEY=VALUE"),
        ];
        for (name, value, reason) in cases {
            let error = from(&[(ENDPOINT, "http://c"), (name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("invalid {name}: {reason}")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
