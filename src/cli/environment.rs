//! The only place that reads environment variables; everything else takes arguments.

#[expect(clippy::disallowed_methods, reason = "the home of the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
