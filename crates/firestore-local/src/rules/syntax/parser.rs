//! Statements: `rules_version`, `service`, `match`, `allow`, `function`.

use super::ast::{Allow, File, Function, Match, Method, Position, Segment, Version};
use super::error::SyntaxError;
use super::lexer::{Lexer, Token, is_word};

/// Limits of the language, from "Structuring Cloud Firestore security rules".
const MAX_MATCH_DEPTH: usize = 10;
const MAX_LETS: usize = 10;
const MAX_PARAMETERS: usize = 7;

pub struct Parser<'s> {
    pub lexer: Lexer<'s>,
    /// The next token and its offset, once it is read.
    peeked: Option<(Token, usize)>,
    pub expressions: usize,
    /// How many expressions enclose the next one.
    pub nesting: usize,
    allows: usize,
}

impl<'s> Parser<'s> {
    pub fn new(source: &'s str) -> Self {
        Self { lexer: Lexer::new(source), peeked: None, expressions: 0, nesting: 0, allows: 0 }
    }

    pub fn peek(&mut self) -> Result<&Token, SyntaxError> {
        if self.peeked.is_none() {
            self.peeked = Some(self.lexer.next()?);
        }
        Ok(self.peeked.as_ref().map_or(&Token::End, |(token, _)| token))
    }

    /// The offset of the next token.
    pub fn offset(&mut self) -> Result<usize, SyntaxError> {
        self.peek()?;
        Ok(self.peeked.as_ref().map_or(self.lexer.offset, |(_, offset)| *offset))
    }

    pub fn position(&mut self) -> Result<Position, SyntaxError> {
        let offset = self.offset()?;
        Ok(self.lexer.position(offset))
    }

    pub fn advance(&mut self) -> Result<Token, SyntaxError> {
        self.peek()?;
        Ok(self.peeked.take().map_or(Token::End, |(token, _)| token))
    }

    /// Gives the next token back to the lexer, to read characters.
    pub fn rewind(&mut self) {
        if let Some((_, offset)) = self.peeked.take() {
            self.lexer.offset = offset;
        }
    }

    pub fn is_symbol(&mut self, symbol: &str) -> Result<bool, SyntaxError> {
        Ok(matches!(self.peek()?, Token::Symbol(found) if *found == symbol))
    }

    pub fn take_symbol(&mut self, symbol: &str) -> Result<bool, SyntaxError> {
        let found = self.is_symbol(symbol)?;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub fn is_word(&mut self, word: &str) -> Result<bool, SyntaxError> {
        Ok(matches!(self.peek()?, Token::Word(found) if found == word))
    }

    fn take_word(&mut self, word: &str) -> Result<bool, SyntaxError> {
        let found = self.is_word(word)?;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// The error that something else was expected here.
    pub fn expected(&mut self, what: &str) -> SyntaxError {
        let offset = match self.offset() {
            Ok(offset) => offset,
            Err(error) => return error,
        };
        let got = self.peek().map(ToString::to_string).unwrap_or_default();
        self.lexer.error(offset, format!("expected {what}, got {got}"))
    }

    pub fn expect_symbol(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.take_symbol(symbol)? { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    pub fn expect_name(&mut self, what: &str) -> Result<String, SyntaxError> {
        match self.peek()? {
            Token::Word(word) if !RESERVED.contains(&word.as_str()) => {
                let word = word.clone();
                self.advance()?;
                Ok(word)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A `;`, which may be left out before `}`.
    fn end_statement(&mut self) -> Result<(), SyntaxError> {
        if self.take_symbol(";")? || self.is_symbol("}")? {
            return Ok(());
        }
        Err(self.expected("`;` or an operator"))
    }

    pub fn file(mut self) -> Result<File, SyntaxError> {
        let mut file = File::default();
        if self.take_word("rules_version")? {
            self.expect_symbol("=")?;
            file.version = match self.peek()? {
                Token::Text(version) if version == "1" => Version::One,
                Token::Text(version) if version == "2" => Version::Two,
                _ => return Err(self.expected("'1' or '2'")),
            };
            self.advance()?;
            self.take_symbol(";")?;
        }
        while self.is_word("function")? {
            file.functions.push(self.function()?);
        }
        let at = self.position()?;
        if !self.take_word("service")? {
            return Err(self.expected("`service`"));
        }
        if !(self.take_word("cloud")? && self.take_symbol(".")? && self.take_word("firestore")?) {
            return Err(self.expected("`cloud.firestore`"));
        }
        self.expect_symbol("{")?;
        file.service = self.block(at, Vec::new(), 0)?;
        while self.is_word("function")? {
            file.functions.push(self.function()?);
        }
        if *self.peek()? != Token::End {
            return Err(self.expected("the end of the file"));
        }
        file.expressions = self.expressions;
        file.allows = self.allows;
        Ok(file)
    }

    /// The body of a service or a match, after its `{`.
    fn block(
        &mut self,
        at: Position,
        pattern: Vec<Segment>,
        depth: usize,
    ) -> Result<Match, SyntaxError> {
        let mut block = Match { at, pattern, ..Match::default() };
        loop {
            if self.take_symbol("}")? {
                return Ok(block);
            }
            if self.is_word("match")? {
                block.matches.push(self.match_block(depth + 1)?);
            } else if self.is_word("function")? {
                block.functions.push(self.function()?);
            } else if depth > 0 && self.is_word("allow")? {
                block.allows.push(self.allow()?);
            } else {
                let expected = if depth > 0 {
                    "`match`, `allow`, `function` or `}`"
                } else {
                    "`match`, `function` or `}`"
                };
                return Err(self.expected(expected));
            }
        }
    }

    fn match_block(&mut self, depth: usize) -> Result<Match, SyntaxError> {
        let at = self.position()?;
        if depth > MAX_MATCH_DEPTH {
            let offset = self.offset()?;
            let message = format!("expected at most {MAX_MATCH_DEPTH} nested match statements");
            return Err(self.lexer.error(offset, message));
        }
        self.advance()?;
        let pattern = self.pattern()?;
        self.expect_symbol("{")?;
        self.block(at, pattern, depth)
    }

    /// The path of a match. It is read by characters, because ids may hold other characters than
    /// words.
    fn pattern(&mut self) -> Result<Vec<Segment>, SyntaxError> {
        if !self.is_symbol("/")? {
            return Err(self.expected("a path that begins with `/`"));
        }
        self.rewind();
        let mut segments = Vec::new();
        while self.lexer.peek_char() == Some('/') {
            self.lexer.bump();
            if self.lexer.peek_char() == Some('{') {
                self.lexer.bump();
                segments.push(self.wildcard()?);
            } else {
                let start = self.lexer.offset;
                let text =
                    self.lexer.take_while(|it| !it.is_whitespace() && !"/{}$;*?".contains(it));
                if text.is_empty() {
                    return Err(self.lexer.error(start, "expected a segment of a path or `{`"));
                }
                segments.push(Segment::Literal(text.to_owned()));
            }
        }
        Ok(segments)
    }

    /// The rest of `{name}` or `{name=**}`.
    fn wildcard(&mut self) -> Result<Segment, SyntaxError> {
        let start = self.lexer.offset;
        let name = self.lexer.take_while(is_word).to_owned();
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(self.lexer.error(start, "expected the name of a wildcard"));
        }
        let start = self.lexer.offset;
        let tail = self.lexer.take_while(|symbol| !symbol.is_whitespace() && symbol != '}');
        let segment = match tail {
            "" | "=*" => Segment::Single(name),
            "=**" => Segment::Recursive(name),
            other => {
                let message = format!("expected `}}` or `=**}}`, got `{other}`");
                return Err(self.lexer.error(start, message));
            }
        };
        self.expect_symbol("}")?;
        Ok(segment)
    }

    fn allow(&mut self) -> Result<Allow, SyntaxError> {
        let at = self.position()?;
        self.advance()?;
        let mut methods = Vec::new();
        loop {
            let named = match self.peek()? {
                Token::Word(word) => Method::named(word),
                _ => None,
            };
            let Some(named) = named else {
                return Err(
                    self.expected("a method: read, write, get, list, create, update or delete")
                );
            };
            self.advance()?;
            methods.extend_from_slice(named);
            if !self.take_symbol(",")? {
                break;
            }
        }
        let mut condition = None;
        if self.take_symbol(":")? {
            if !self.take_word("if")? {
                return Err(self.expected("`if`"));
            }
            condition = Some(self.expression()?);
        }
        if condition.is_none() && !self.is_symbol(";")? && !self.is_symbol("}")? {
            return Err(self.expected("`:`, `,` or `;`"));
        }
        self.end_statement()?;
        let index = self.allows;
        self.allows += 1;
        Ok(Allow { index, at, methods, condition })
    }

    fn function(&mut self) -> Result<Function, SyntaxError> {
        let at = self.position()?;
        self.advance()?;
        let name = self.expect_name("the name of a function")?;
        self.expect_symbol("(")?;
        let mut parameters: Vec<String> = Vec::new();
        while !self.take_symbol(")")? {
            if !parameters.is_empty() {
                self.expect_symbol(",")?;
            }
            let offset = self.offset()?;
            let parameter = self.expect_name("the name of a parameter or `)`")?;
            if parameters.contains(&parameter) {
                let message = format!("expected another name: parameter `{parameter}` exists");
                return Err(self.lexer.error(offset, message));
            }
            if parameters.len() == MAX_PARAMETERS {
                let message = format!("expected at most {MAX_PARAMETERS} parameters");
                return Err(self.lexer.error(offset, message));
            }
            parameters.push(parameter);
        }
        self.expect_symbol("{")?;
        let mut lets: Vec<(String, _)> = Vec::new();
        while self.is_word("let")? {
            let offset = self.offset()?;
            if lets.len() == MAX_LETS {
                let message = format!("expected at most {MAX_LETS} let bindings in a function");
                return Err(self.lexer.error(offset, message));
            }
            self.advance()?;
            let name = self.expect_name("the name of a variable")?;
            if parameters.contains(&name) || lets.iter().any(|(other, _)| *other == name) {
                let message = format!("expected another name: variable `{name}` exists");
                return Err(self.lexer.error(offset, message));
            }
            self.expect_symbol("=")?;
            lets.push((name, self.expression()?));
            self.end_statement()?;
        }
        if !self.take_word("return")? {
            return Err(self.expected("`let` or `return`"));
        }
        let result = self.expression()?;
        self.end_statement()?;
        self.expect_symbol("}")?;
        Ok(Function { at, name, parameters, lets, result })
    }
}

/// Words that cannot be names.
const RESERVED: [&str; 12] = [
    "allow", "function", "if", "in", "is", "let", "match", "return", "service", "true", "false",
    "null",
];
