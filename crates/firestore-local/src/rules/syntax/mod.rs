//! The syntax of rules files: text to tokens, tokens to a tree, and the checks that need no request.

pub mod ast;
mod check;
pub mod error;
mod expression;
mod lexer;
mod parser;

use ast::File;
pub use check::for_each_child;
use error::SyntaxError;

/// The maximum size of a rules file.
const MAX_BYTES: usize = 256 << 10;

/// Parses a rules file and checks its names and its limits.
pub fn parse(source: &str) -> Result<File, SyntaxError> {
    if source.len() > MAX_BYTES {
        let message = format!("expected at most {MAX_BYTES} bytes of rules, got {}", source.len());
        return Err(SyntaxError { at: ast::Position { line: 1, column: 1 }, message });
    }
    let file = parser::Parser::new(source).file()?;
    check::check(&file)?;
    Ok(file)
}
