//! The environment, read only here and by clap.

/// A variable; `None` where it is not set or not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
