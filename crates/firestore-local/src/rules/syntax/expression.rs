//! Expressions, by precedence.

use super::ast::{Binary, Expr, Kind, PathPart, Position};
use super::error::SyntaxError;
use super::lexer::Token;
use super::parser::Parser;
use crate::rules::value::{TYPES, Value};

/// The most levels of nested expressions. It bounds the stack, not the language.
const MAX_DEPTH: usize = 80;

type Parsed = Result<Expr, SyntaxError>;

/// The operators that take two values, with their precedence. A higher one binds tighter.
fn binary(token: &Token) -> Option<(Binary, u8)> {
    let found = match token {
        Token::Symbol("*") => (Binary::Multiply, 5),
        Token::Symbol("/") => (Binary::Divide, 5),
        Token::Symbol("%") => (Binary::Modulo, 5),
        Token::Symbol("+") => (Binary::Add, 4),
        Token::Symbol("-") => (Binary::Subtract, 4),
        Token::Symbol("<") => (Binary::Less, 3),
        Token::Symbol("<=") => (Binary::LessOrEqual, 3),
        Token::Symbol(">") => (Binary::Greater, 3),
        Token::Symbol(">=") => (Binary::GreaterOrEqual, 3),
        Token::Word(word) if word == "in" => (Binary::In, IN),
        Token::Symbol("==") => (Binary::Equal, 1),
        Token::Symbol("!=") => (Binary::NotEqual, 1),
        _ => return None,
    };
    Some(found)
}

/// The precedence of `in` and `is`: below the comparisons, above `==`.
const IN: u8 = 2;

impl Parser<'_> {
    pub fn expression(&mut self) -> Parsed {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let parsed = self.ternary();
        self.nesting -= 1;
        parsed
    }

    fn too_deep(&mut self) -> SyntaxError {
        match self.offset() {
            Ok(offset) => self.lexer.error(
                offset,
                format!("expected at most {MAX_DEPTH} levels of nested expressions"),
            ),
            Err(error) => error,
        }
    }

    fn node(&mut self, at: Position, kind: Kind) -> Parsed {
        let deepest = |all: &[Expr]| all.iter().map(|it| it.depth).max().unwrap_or(0);
        let below = match &kind {
            Kind::Literal(_) | Kind::Variable(_) => 0,
            Kind::List(all) | Kind::And(all) | Kind::Or(all) | Kind::Call(_, all) => deepest(all),
            Kind::Map(all) => all.iter().map(|(k, v)| k.depth.max(v.depth)).max().unwrap_or(0),
            Kind::Path(parts) => parts
                .iter()
                .map(|part| if let PathPart::Value(value) = part { value.depth } else { 0 })
                .max()
                .unwrap_or(0),
            Kind::Not(one) | Kind::Negate(one) | Kind::Is(one, _) | Kind::Member(one, _) => {
                one.depth
            }
            Kind::Binary(_, a, b) | Kind::Index(a, b) => a.depth.max(b.depth),
            Kind::Ternary(a, b, c) | Kind::Range(a, b, c) => a.depth.max(b.depth).max(c.depth),
            Kind::Method(on, _, all) => on.depth.max(deepest(all)),
        };
        let depth = below + 1;
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let id = self.expressions;
        self.expressions += 1;
        Ok(Expr { id, at, depth, kind })
    }

    fn ternary(&mut self) -> Parsed {
        let condition = self.or()?;
        if !self.take_symbol("?")? {
            return Ok(condition);
        }
        let yes = self.expression()?;
        self.expect_symbol(":")?;
        let no = self.expression()?;
        let at = condition.at;
        self.node(at, Kind::Ternary(Box::new(condition), Box::new(yes), Box::new(no)))
    }

    fn or(&mut self) -> Parsed {
        let first = self.and()?;
        if !self.is_symbol("||")? {
            return Ok(first);
        }
        let at = first.at;
        let mut all = vec![first];
        while self.take_symbol("||")? {
            all.push(self.and()?);
        }
        self.node(at, Kind::Or(all))
    }

    fn and(&mut self) -> Parsed {
        let first = self.operation(1)?;
        if !self.is_symbol("&&")? {
            return Ok(first);
        }
        let at = first.at;
        let mut all = vec![first];
        while self.take_symbol("&&")? {
            all.push(self.operation(1)?);
        }
        self.node(at, Kind::And(all))
    }

    /// Operators of at least this precedence. All of them group to the left.
    fn operation(&mut self, lowest: u8) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let at = left.at;
            if lowest <= IN && self.is_word("is")? {
                self.advance()?;
                let kind = match self.peek()? {
                    Token::Word(word) if TYPES.contains(&word.as_str()) => word.clone(),
                    _ => return Err(self.expected(&format!("a type: {}", TYPES.join(", ")))),
                };
                self.advance()?;
                left = self.node(at, Kind::Is(Box::new(left), kind))?;
                continue;
            }
            match binary(self.peek()?) {
                Some((operator, precedence)) if precedence >= lowest => {
                    self.advance()?;
                    let right = self.operation(precedence + 1)?;
                    let kind = Kind::Binary(operator, Box::new(left), Box::new(right));
                    left = self.node(at, kind)?;
                }
                _ => return Ok(left),
            }
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.position()?;
        let wrap: fn(Box<Expr>) -> Kind = if self.take_symbol("!")? {
            Kind::Not
        } else if self.take_symbol("-")? {
            Kind::Negate
        } else {
            return self.postfix();
        };
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let operand = self.unary()?;
        self.nesting -= 1;
        self.node(at, wrap(Box::new(operand)))
    }

    fn postfix(&mut self) -> Parsed {
        let mut value = self.primary()?;
        loop {
            let at = value.at;
            if self.take_symbol(".")? {
                let name = match self.advance()? {
                    Token::Word(name) => name,
                    _ => return Err(self.expected("the name of a field or a method after `.`")),
                };
                let kind = if self.take_symbol("(")? {
                    Kind::Method(Box::new(value), name, self.list(")")?)
                } else {
                    Kind::Member(Box::new(value), name)
                };
                value = self.node(at, kind)?;
            } else if self.take_symbol("[")? {
                let index = self.expression()?;
                let kind = if self.take_symbol(":")? {
                    let end = self.expression()?;
                    Kind::Range(Box::new(value), Box::new(index), Box::new(end))
                } else {
                    Kind::Index(Box::new(value), Box::new(index))
                };
                self.expect_symbol("]")?;
                value = self.node(at, kind)?;
            } else {
                return Ok(value);
            }
        }
    }

    /// Expressions up to a closing symbol.
    fn list(&mut self, end: &str) -> Result<Vec<Expr>, SyntaxError> {
        let mut all = Vec::new();
        while !self.take_symbol(end)? {
            if !all.is_empty() {
                if !self.take_symbol(",")? {
                    return Err(self.expected(&format!("`,` or `{end}`")));
                }
                if self.take_symbol(end)? {
                    break;
                }
            }
            all.push(self.expression()?);
        }
        Ok(all)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.position()?;
        let literal = match self.peek()? {
            Token::Int(number) => Some(Value::Int(*number)),
            Token::Float(number) => Some(Value::Float(*number)),
            Token::Text(text) => Some(Value::text(text)),
            Token::Bytes(bytes) => Some(Value::Bytes(bytes.as_slice().into())),
            Token::Word(word) => match word.as_str() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                "null" => Some(Value::Null),
                _ => None,
            },
            _ => None,
        };
        if let Some(literal) = literal {
            self.advance()?;
            return self.node(at, Kind::Literal(literal));
        }
        if self.take_symbol("(")? {
            let inner = self.expression()?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        if self.take_symbol("[")? {
            let all = self.list("]")?;
            return self.node(at, Kind::List(all));
        }
        if self.take_symbol("{")? {
            return self.map(at);
        }
        if self.is_symbol("/")? {
            return self.path(at);
        }
        let name = self.expect_name("an expression")?;
        let kind = if self.take_symbol("(")? {
            Kind::Call(name, self.list(")")?)
        } else {
            Kind::Variable(name)
        };
        self.node(at, kind)
    }

    fn map(&mut self, at: Position) -> Parsed {
        let mut all = Vec::new();
        while !self.take_symbol("}")? {
            if !all.is_empty() {
                if !self.take_symbol(",")? {
                    return Err(self.expected("`,` or `}`"));
                }
                if self.take_symbol("}")? {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_symbol(":")?;
            all.push((key, self.expression()?));
        }
        self.node(at, Kind::Map(all))
    }

    /// A path such as `/databases/$(database)/documents/users/alice`.
    fn path(&mut self, at: Position) -> Parsed {
        self.rewind();
        let mut parts = Vec::new();
        while self.lexer.peek_char() == Some('/') && !self.lexer.rest().starts_with("//") {
            self.lexer.bump();
            let start = self.lexer.offset;
            if self.lexer.rest().starts_with("$(") {
                self.lexer.offset += 2;
                parts.push(PathPart::Value(self.expression()?));
                // The next token may be read only after the path.
                if !self.is_symbol(")")? {
                    return Err(self.expected("`)`"));
                }
                self.rewind();
                self.lexer.bump();
                continue;
            }
            // The id of the default database, `(default)`, is the only one with parentheses.
            let text = if self.lexer.rest().starts_with("(default)") {
                self.lexer.offset += "(default)".len();
                "(default)"
            } else {
                self.lexer.take_while(is_path_symbol)
            };
            if text.is_empty() {
                return Err(self.lexer.error(start, "expected a segment of a path or `$(`"));
            }
            parts.push(PathPart::Literal(text.to_owned()));
        }
        self.node(at, Kind::Path(parts))
    }
}

fn is_path_symbol(symbol: char) -> bool {
    symbol.is_alphanumeric() || "_-.~%@+".contains(symbol)
}
