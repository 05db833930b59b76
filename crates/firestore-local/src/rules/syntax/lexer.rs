//! Splits a rules file into tokens.

use std::fmt;

use super::ast::Position;
use super::error::SyntaxError;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Word(String),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Symbol(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Int(number) => write!(f, "`{number}`"),
            Self::Float(number) => write!(f, "`{number}`"),
            Self::Text(_) => f.write_str("a string"),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::Symbol(symbol) => write!(f, "`{symbol}`"),
            Self::End => f.write_str("the end of the file"),
        }
    }
}

/// Longer symbols first, so that `==` is not read as two `=`.
const SYMBOLS: [&str; 29] = [
    "==", "!=", "<=", ">=", "&&", "||", "=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ";",
    ",", ".", "(", ")", "[", "]", "{", "}", "$", "&", "|",
];

#[derive(Clone, Debug)]
pub struct Lexer<'s> {
    source: &'s str,
    pub offset: usize,
}

impl<'s> Lexer<'s> {
    pub fn new(source: &'s str) -> Self {
        Self { source, offset: 0 }
    }

    pub fn position(&self, offset: usize) -> Position {
        let before = self.source.get(..offset).unwrap_or(self.source);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
        }
    }

    pub fn error(&self, offset: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { at: self.position(offset), message: message.into() }
    }

    pub fn rest(&self) -> &'s str {
        self.source.get(self.offset..).unwrap_or_default()
    }

    /// The next character, without skipping anything.
    pub fn peek_char(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn bump(&mut self) -> Option<char> {
        let symbol = self.peek_char()?;
        self.offset += symbol.len_utf8();
        Some(symbol)
    }

    pub fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest.find(|symbol| !wanted(symbol)).unwrap_or(rest.len());
        self.offset += end;
        &rest[..end]
    }

    /// Skips white space and comments.
    pub fn skip(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.take_while(char::is_whitespace);
            let rest = self.rest();
            if rest.starts_with("//") {
                self.take_while(|symbol| symbol != '\n');
            } else if rest.starts_with("/*") {
                match rest.find("*/") {
                    Some(end) => self.offset += end + 2,
                    None => return Err(self.error(self.offset, "expected `*/` after `/*`")),
                }
            } else {
                return Ok(());
            }
        }
    }

    /// The next token and its offset.
    pub fn next(&mut self) -> Result<(Token, usize), SyntaxError> {
        self.skip()?;
        let start = self.offset;
        let Some(first) = self.peek_char() else { return Ok((Token::End, start)) };
        let quoted_bytes = self.rest().starts_with("b'") || self.rest().starts_with("b\"");
        let token = match first {
            '\'' | '"' => Token::Text(self.text()?),
            'b' if quoted_bytes => {
                self.bump();
                Token::Bytes(self.text()?.into_bytes())
            }
            '0'..='9' => self.number()?,
            first if first.is_ascii_alphabetic() || first == '_' => {
                Token::Word(self.take_while(is_word).to_owned())
            }
            _ => {
                let rest = self.rest();
                let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
                let symbol = symbol.ok_or_else(|| {
                    self.error(
                        start,
                        format!("expected a statement or an expression, got {first:?}"),
                    )
                })?;
                self.offset += symbol.len();
                Token::Symbol(symbol)
            }
        };
        Ok((token, start))
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let start = self.offset;
        if let Some(digits) = self.rest().strip_prefix("0x").or(self.rest().strip_prefix("0X")) {
            let end = digits.find(|symbol: char| !symbol.is_ascii_hexdigit());
            let digits = &digits[..end.unwrap_or(digits.len())];
            self.offset += 2 + digits.len();
            return i64::from_str_radix(digits, 16)
                .map(Token::Int)
                .map_err(|_| self.error(start, "expected a hexadecimal number of 64 bits"));
        }
        self.take_while(|symbol| symbol.is_ascii_digit());
        let mut is_float = false;
        let mut rest = self.rest().chars();
        if rest.next() == Some('.') && rest.next().is_some_and(|digit| digit.is_ascii_digit()) {
            is_float = true;
            self.bump();
            self.take_while(|symbol| symbol.is_ascii_digit());
        }
        if self.peek_char().is_some_and(|symbol| matches!(symbol, 'e' | 'E')) {
            is_float = true;
            self.bump();
            if self.peek_char().is_some_and(|symbol| matches!(symbol, '+' | '-')) {
                self.bump();
            }
            self.take_while(|symbol| symbol.is_ascii_digit());
        }
        let text = &self.source[start..self.offset];
        let malformed = |_| self.error(start, format!("expected a number, got `{text}`"));
        if is_float {
            text.parse().map(Token::Float).map_err(|error: std::num::ParseFloatError| {
                self.error(start, format!("expected a number, got `{text}`: {error}"))
            })
        } else {
            text.parse().map(Token::Int).map_err(|error: std::num::ParseIntError| malformed(error))
        }
    }

    /// A string in quotes.
    fn text(&mut self) -> Result<String, SyntaxError> {
        let start = self.offset;
        let quote = self.bump();
        let mut text = String::new();
        loop {
            let at = self.offset;
            match self.bump() {
                None | Some('\n') => {
                    let quote = quote.unwrap_or('\'');
                    return Err(
                        self.error(start, format!("expected {quote} at the end of a string"))
                    );
                }
                symbol if symbol == quote => return Ok(text),
                Some('\\') => text.push(self.escape(at)?),
                Some(symbol) => text.push(symbol),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<char, SyntaxError> {
        let malformed = |lexer: &Self| {
            lexer.error(
                at,
                "expected an escape sequence: \\\\ \\' \\\" \\` \\? \\/ \\a \\b \\f \\n \\r \\t \\v \
                 \\0 \\xNN \\uNNNN or \\UNNNNNNNN",
            )
        };
        let digits = match self.bump() {
            Some(symbol @ ('\\' | '\'' | '"' | '`' | '?' | '/')) => return Ok(symbol),
            Some('a') => return Ok('\u{7}'),
            Some('b') => return Ok('\u{8}'),
            Some('f') => return Ok('\u{c}'),
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some('v') => return Ok('\u{b}'),
            Some('0') => return Ok('\0'),
            Some('x' | 'X') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(malformed(self)),
        };
        let code = self.rest().get(..digits).and_then(|text| u32::from_str_radix(text, 16).ok());
        let symbol = code.and_then(char::from_u32).ok_or_else(|| malformed(self))?;
        self.offset += digits;
        Ok(symbol)
    }
}

pub fn is_word(symbol: char) -> bool {
    symbol.is_ascii_alphanumeric() || symbol == '_'
}
