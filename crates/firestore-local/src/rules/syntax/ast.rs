//! The syntax tree of a rules file.

use std::fmt;

use crate::rules::value::Value;

/// A place in a rules file. Both numbers start at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A request method that rules allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    List,
    Create,
    Update,
    Delete,
}

impl Method {
    pub const ALL: [Self; 5] = [Self::Get, Self::List, Self::Create, Self::Update, Self::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The methods that a word of an `allow` statement stands for.
    pub fn named(word: &str) -> Option<&'static [Self]> {
        Some(match word {
            "read" => &[Self::Get, Self::List],
            "write" => &[Self::Create, Self::Update, Self::Delete],
            "get" => &[Self::Get],
            "list" => &[Self::List],
            "create" => &[Self::Create],
            "update" => &[Self::Update],
            "delete" => &[Self::Delete],
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Multiply,
    Divide,
    Modulo,
    Add,
    Subtract,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Equal,
    NotEqual,
}

/// An expression. Its id is its index in the coverage of the rules.
#[derive(Debug)]
pub struct Expr {
    pub id: usize,
    pub at: Position,
    pub depth: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Literal(Value),
    Variable(String),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Path(Vec<PathPart>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Is(Box<Expr>, String),
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    Member(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Range(Box<Expr>, Box<Expr>, Box<Expr>),
    /// A function of the file, or a global one.
    Call(String, Vec<Expr>),
    /// A method of a value, or a function of a namespace.
    Method(Box<Expr>, String, Vec<Expr>),
}

#[derive(Debug)]
pub enum PathPart {
    Literal(String),
    Value(Expr),
}

#[derive(Debug)]
pub struct Function {
    pub at: Position,
    pub name: String,
    pub parameters: Vec<String>,
    pub lets: Vec<(String, Expr)>,
    pub result: Expr,
}

/// A segment of the path of a `match`.
#[derive(Debug)]
pub enum Segment {
    Literal(String),
    /// `{name}`: one segment.
    Single(String),
    /// `{name=**}`: any number of segments.
    Recursive(String),
}

impl Segment {
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Single(name) | Self::Recursive(name) => Some(name),
        }
    }
}

#[derive(Debug)]
pub struct Allow {
    /// The index among all `allow` statements of the file.
    pub index: usize,
    pub at: Position,
    pub methods: Vec<Method>,
    pub condition: Option<Expr>,
}

/// A `match` block. The block of a service has an empty pattern.
#[derive(Debug, Default)]
pub struct Match {
    pub at: Position,
    pub pattern: Vec<Segment>,
    pub functions: Vec<Function>,
    pub allows: Vec<Allow>,
    pub matches: Vec<Match>,
}

/// The version of the language. Version 1 differs in recursive wildcards: they match at least one
/// segment, and only at the end of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    One,
    Two,
}

#[derive(Debug, Default)]
pub struct File {
    pub version: Version,
    /// Functions outside of the service.
    pub functions: Vec<Function>,
    pub service: Match,
    pub expressions: usize,
    pub allows: usize,
}
