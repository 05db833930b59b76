//! Why a rules file is refused.

use super::ast::Position;

/// A rules file does not follow the language or exceeds one of its limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", at.line, at.column)]
pub struct SyntaxError {
    pub at: Position,
    pub message: String,
}
