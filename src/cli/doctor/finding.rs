//! What one check found.

use serde::Serialize;

use crate::cli::output::Style;

/// In the order of what matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Ok,
    /// It could not be found out; nothing suggests that it is wrong.
    NotChecked,
    Warn,
    Fail,
}

impl Verdict {
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok | Self::NotChecked => 0,
            Self::Warn => 1,
            Self::Fail => 2,
        }
    }

    pub const fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "-",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    pub const fn style(self) -> Style {
        match self {
            Self::Ok => Style::Good,
            Self::NotChecked => Style::Faint,
            Self::Warn => Style::Warning,
            Self::Fail => Style::Bad,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub name: String,
    pub verdict: Verdict,
    pub detail: String,
    /// What to do about it.
    pub action: Option<String>,
}

impl Finding {
    pub fn new(name: &str, verdict: Verdict, detail: impl ToString) -> Self {
        Self { name: name.to_owned(), verdict, detail: detail.to_string(), action: None }
    }

    pub fn ok(name: &str, detail: impl ToString) -> Self {
        Self::new(name, Verdict::Ok, detail)
    }

    pub fn fail(name: &str, detail: impl ToString, action: &str) -> Self {
        Self::new(name, Verdict::Fail, detail).with_action(action)
    }

    #[must_use]
    pub fn with_action(self, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..self }
    }
}
