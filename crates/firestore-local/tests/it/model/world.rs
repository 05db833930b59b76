//! The documents of the model, and changes to them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tonic::Code;

use crate::support::Client;
use crate::support::random::Random;
use crate::support::v1::{Value, Write};
use crate::support::values::{Fields, array, boolean, double, int, null, text};
use crate::support::writes::{When, exists, increment, mask, put, remove, transform};

/// The kinds of values that the model supports.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    Null,
    Bool(bool),
    Int(i32),
    Half(f64),
    Text(String),
    List(Vec<Val>),
}

impl Val {
    pub fn random(random: &mut Random) -> Self {
        match random.below(12) {
            0 => Self::Null,
            1 => Self::Bool(random.one_in(2)),
            2 | 3 => Self::Half(small(random) + 0.5),
            4 => Self::Half(small(random)),
            5 | 6 => Self::Text(["", "a", "aa", "b", "é", "\u{0}"][random.below(6)].to_owned()),
            7 | 8 => Self::List((0..random.below(4)).map(|_| Self::plain(random)).collect()),
            _ => Self::Int(i32::try_from(random.below(7)).unwrap() - 3),
        }
    }

    /// A value that is neither null nor a list.
    pub fn plain(random: &mut Random) -> Self {
        loop {
            match Self::random(random) {
                Self::Null | Self::List(_) => {}
                plain => return plain,
            }
        }
    }

    pub fn value(&self) -> Value {
        match self {
            Self::Null => null(),
            Self::Bool(flag) => boolean(*flag),
            Self::Int(number) => int(i64::from(*number)),
            Self::Half(number) => double(*number),
            Self::Text(string) => text(string),
            Self::List(elements) => array(elements.iter().map(Self::value)),
        }
    }

    /// The rank of the value's type. Values of different types sort by type.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Half(_) => 2,
            Self::Text(_) => 3,
            Self::List(_) => 4,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(f64::from(*number)),
            Self::Half(number) => Some(*number),
            _ => None,
        }
    }

    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::List(a), Self::List(b)) => {
                let differing = a.iter().zip(b).map(|(a, b)| a.order(b)).find(|o| o.is_ne());
                differing.unwrap_or(a.len().cmp(&b.len()))
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.partial_cmp(&b).expect("no NaN here"),
                _ => self.kind().cmp(&other.kind()),
            },
        }
    }

    pub fn same(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

fn small(random: &mut Random) -> f64 {
    f64::from(i32::try_from(random.below(5)).unwrap() - 2)
}

pub type Doc = BTreeMap<String, Val>;

pub fn to_fields(doc: &Doc) -> Fields {
    doc.iter().map(|(name, value)| (name.clone(), value.value())).collect()
}

pub const COLLECTIONS: [&str; 4] = ["c", "d", "c/1/c", "d/2/c"];
pub const FIELDS: [&str; 3] = ["a", "b", "t"];

pub fn random_path(random: &mut Random) -> String {
    let choices = if random.one_in(3) { COLLECTIONS.len() } else { 1 };
    let collection = COLLECTIONS[random.below(choices)];
    format!("{collection}/{}", random.below(12))
}

#[derive(Clone, Debug)]
enum Kind {
    Put(Doc),
    /// Sets the fields with a value, and deletes those without.
    Patch(BTreeMap<String, Option<Val>>),
    Add(i32),
    Remove,
}

#[derive(Clone, Debug)]
pub struct Change {
    pub path: String,
    kind: Kind,
    must_exist: Option<bool>,
}

impl Change {
    pub fn random(random: &mut Random) -> Self {
        let kind = match random.below(10) {
            0..5 => Kind::Put(random_doc(random)),
            5..8 => Kind::Patch(
                random_doc(random)
                    .into_iter()
                    .map(|(name, value)| (name, (!random.one_in(4)).then_some(value)))
                    .collect(),
            ),
            8 => Kind::Add(i32::try_from(random.below(5)).unwrap()),
            _ => Kind::Remove,
        };
        let must_exist = match (random.below(8), &kind) {
            (0, _) => Some(true),
            (1, Kind::Put(_) | Kind::Patch(_)) => Some(false),
            _ => None,
        };
        Self { path: random_path(random), kind, must_exist }
    }

    pub fn write(&self, client: &Client) -> Write {
        let name = client.name(&self.path);
        let write = match &self.kind {
            Kind::Put(doc) => put(name, to_fields(doc)),
            Kind::Patch(patch) => {
                let set = patch
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), value.as_ref()?.value())));
                let mut update_mask = mask([]);
                update_mask.field_paths = patch.keys().cloned().collect();
                Write { update_mask: Some(update_mask), ..put(name, set.collect()) }
            }
            Kind::Add(number) => transform(name, [increment("a", int(i64::from(*number)))]),
            Kind::Remove => remove(name),
        };
        match self.must_exist {
            Some(wanted) => write.when(exists(wanted)),
            None => write,
        }
    }
}

fn random_doc(random: &mut Random) -> Doc {
    let mut doc = Doc::new();
    for name in FIELDS {
        if !random.one_in(4) {
            doc.insert(name.to_owned(), Val::random(random));
        }
    }
    doc
}

/// All documents, by path.
#[derive(Clone, Debug, Default)]
pub struct World(BTreeMap<String, Doc>);

impl World {
    pub fn document(&self, path: &str) -> Option<&Doc> {
        self.0.get(path)
    }

    pub fn documents(&self) -> impl Iterator<Item = (&String, &Doc)> {
        self.0.iter()
    }

    /// Applies all changes or none; returns OK or the code of the first change that fails.
    pub fn apply_all(&mut self, changes: &[Change]) -> Code {
        let mut after = self.clone();
        for change in changes {
            let code = after.apply(change);
            if code != Code::Ok {
                return code;
            }
        }
        *self = after;
        Code::Ok
    }

    fn apply(&mut self, change: &Change) -> Code {
        match (change.must_exist, self.0.contains_key(&change.path)) {
            (Some(true), false) => return Code::NotFound,
            (Some(false), true) => return Code::AlreadyExists,
            _ => {}
        }
        match &change.kind {
            Kind::Put(doc) => drop(self.0.insert(change.path.clone(), doc.clone())),
            Kind::Remove => drop(self.0.remove(&change.path)),
            Kind::Patch(patch) => {
                let doc = self.0.entry(change.path.clone()).or_default();
                for (name, value) in patch {
                    match value {
                        Some(value) => drop(doc.insert(name.clone(), value.clone())),
                        None => drop(doc.remove(name)),
                    }
                }
            }
            Kind::Add(number) => {
                let doc = self.0.entry(change.path.clone()).or_default();
                let sum = match doc.get("a") {
                    Some(Val::Int(stored)) => Val::Int(stored + number),
                    Some(Val::Half(stored)) => Val::Half(stored + f64::from(*number)),
                    _ => Val::Int(*number),
                };
                doc.insert("a".to_owned(), sum);
            }
        }
        Code::Ok
    }
}
