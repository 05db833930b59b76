//! Resource names of databases, documents and collections, and the byte keys that sort as
//! Firestore sorts names.

use std::fmt;
use std::sync::Arc;

use tonic::Status;

use super::{field_path, invalid};

const MAX_ID_BYTES: usize = 1_500;
const MAX_NAME_BYTES: usize = 6 * 1_024;
/// The maximum depth of nested collections.
const MAX_COLLECTION_DEPTH: usize = 100;

/// Ends a segment in a key. It is lower than any byte of a segment, so that a document sorts
/// before the documents below it.
const END: [u8; 2] = [0x00, 0x01];
/// Encodes a zero byte within a segment.
const ZERO: [u8; 2] = [0x00, 0xff];
/// Starts a numeric id: lower than the start of any other id, higher than an end.
const NUMERIC: [u8; 2] = [0x00, 0x02];
/// Ends a name in a key that continues after the name, or that may be inverted. It is lower than
/// any further segment, so that a name still sorts before the names below it.
pub const NAME_END: [u8; 2] = [0x00, 0x00];

/// `projects/{project}/databases/{database}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Database(Arc<str>);

impl Database {
    pub fn parse(name: &str) -> Result<Self, Status> {
        match name.split('/').collect::<Vec<_>>()[..] {
            ["projects", project, "databases", database]
                if !project.is_empty() && !database.is_empty() =>
            {
                Ok(Self(name.into()))
            }
            _ => Err(invalid!(
                "Invalid database name {name:?}: expected projects/PROJECT/databases/DATABASE"
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of all keys in the database.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        push_segment(&mut key, &self.0);
        key
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentName {
    database: Database,
    /// Collection and document ids alternate; there is an even number of at least two.
    segments: Vec<String>,
}

/// The parent of collections: the root of a database's documents, or a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parent {
    database: Database,
    segments: Vec<String>,
}

fn split(name: &str) -> Result<(Database, Vec<String>), Status> {
    if name.len() > MAX_NAME_BYTES {
        return Err(invalid!("Name is longer than {MAX_NAME_BYTES} bytes"));
    }
    let malformed = || {
        invalid!(
            "Invalid resource name {name:?}: expected \
             projects/PROJECT/databases/DATABASE/documents/..."
        )
    };
    let mut parts = name.splitn(6, '/');
    let database: Vec<_> = parts.by_ref().take(4).collect();
    if database.len() < 4 || parts.next() != Some("documents") {
        return Err(malformed());
    }
    let database = Database::parse(&database.join("/"))?;
    let segments: Vec<String> = match parts.next() {
        None => Vec::new(),
        Some(rest) => rest.split('/').map(str::to_owned).collect(),
    };
    if segments.len() > 2 * MAX_COLLECTION_DEPTH {
        return Err(invalid!("Name has more than {MAX_COLLECTION_DEPTH} nested collections"));
    }
    for (index, segment) in segments.iter().enumerate() {
        if index % 2 == 0 { check_collection_id(segment)? } else { check_document_id(segment)? }
    }
    Ok((database, segments))
}

/// The number of an id such as `__id7__`. This is how Firestore shows the numeric ids of Datastore;
/// SDKs use the lowest of them as the start of a collection.
fn numeric_id(id: &str) -> Option<i64> {
    let number: i64 = id.strip_prefix("__id")?.strip_suffix("__")?.parse().ok()?;
    (format!("__id{number}__") == id).then_some(number)
}

/// Firestore's rules for the ids of documents.
fn check_document_id(id: &str) -> Result<(), Status> {
    if numeric_id(id).is_some() { Ok(()) } else { check_collection_id(id) }
}

/// Firestore's rules for the ids of collections.
pub fn check_collection_id(id: &str) -> Result<(), Status> {
    if id.is_empty() {
        return Err(invalid!("Resource id is empty"));
    }
    if id.len() > MAX_ID_BYTES {
        return Err(invalid!("Resource id is longer than {MAX_ID_BYTES} bytes"));
    }
    if id == "." || id == ".." {
        return Err(invalid!("Resource id {id:?} is not allowed"));
    }
    if id.contains('/') {
        return Err(invalid!("Resource id {id:?} contains a slash"));
    }
    // Four underscores alone are an id, although they are not a field name.
    if field_path::is_reserved(id) && id != "____" {
        return Err(invalid!("Resource id {id:?} is invalid because it is reserved"));
    }
    Ok(())
}

fn push_escaped(key: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if *byte == 0 { key.extend_from_slice(&ZERO) } else { key.push(*byte) }
    }
    key.extend_from_slice(&END);
}

/// Numeric ids sort before all others, by their number.
fn push_segment(key: &mut Vec<u8>, segment: &str) {
    match numeric_id(segment) {
        Some(number) => {
            key.extend_from_slice(&NUMERIC);
            push_escaped(key, &(number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        }
        None => push_escaped(key, segment.as_bytes()),
    }
}

fn push_segments<'a>(key: &mut Vec<u8>, segments: impl IntoIterator<Item = &'a String>) {
    for segment in segments {
        push_segment(key, segment);
    }
}

/// Appends bytes that sort as full names of any kind do. The bytes of one name are never a prefix
/// of another's.
pub fn push_reference(key: &mut Vec<u8>, name: &str) {
    for segment in name.split('/') {
        push_segment(key, segment);
    }
    key.extend_from_slice(&NAME_END);
}

impl DocumentName {
    pub fn parse(name: &str) -> Result<Self, Status> {
        let (database, segments) = split(name)?;
        if segments.is_empty() || !segments.len().is_multiple_of(2) {
            return Err(invalid!("Document name {name:?} has an odd number of path segments"));
        }
        Ok(Self { database, segments })
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn collection_id(&self) -> &str {
        self.segments.iter().rev().nth(1).map_or("", String::as_str)
    }

    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The document that the collection belongs to; `None` for a collection of the root.
    pub fn parent(&self) -> Option<Self> {
        let segments = self.segments.get(..self.segments.len() - 2)?;
        let name = || Self { database: self.database.clone(), segments: segments.to_vec() };
        (!segments.is_empty()).then(name)
    }

    /// Bytes that sort as names do and are unique across databases.
    pub fn key(&self) -> Vec<u8> {
        let mut key = self.database.key();
        push_segments(&mut key, &self.segments);
        key
    }

    /// Appends bytes that sort as the names of one database do. They also sort correctly when
    /// inverted, because the bytes of one name are never a prefix of another's.
    pub fn push_order_key(&self, key: &mut Vec<u8>) {
        push_segments(key, &self.segments);
        key.extend_from_slice(&NAME_END);
    }

    /// The key of the collection that the document is in.
    pub fn collection_key(&self) -> Vec<u8> {
        let mut key = self.database.key();
        push_segments(&mut key, &self.segments[..self.segments.len() - 1]);
        key
    }

    /// The size of a name as Firestore counts it: the length of each segment plus one (8 for a
    /// numeric id), and 16 bytes.
    pub fn size(&self) -> usize {
        16 + segments_size(&self.segments)
    }

    /// The size of the name of the document that the collection is in; 0 if there is none.
    pub fn parent_size(&self) -> usize {
        match &self.segments[..self.segments.len() - 2] {
            [] => 0,
            parent => 16 + segments_size(parent),
        }
    }
}

fn segments_size(segments: &[String]) -> usize {
    let segment = |id: &String| numeric_id(id).map_or(id.len() + 1, |_| 8);
    segments.iter().map(segment).sum()
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/documents", self.database)?;
        self.segments.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl Parent {
    pub fn parse(name: &str) -> Result<Self, Status> {
        let (database, segments) = split(name)?;
        if !segments.len().is_multiple_of(2) {
            return Err(invalid!("Parent {name:?} is a collection, not a document"));
        }
        Ok(Self { database, segments })
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn depth(&self) -> usize {
        self.segments.len()
    }

    /// The prefix of all keys below the parent.
    pub fn key(&self) -> Vec<u8> {
        let mut key = self.database.key();
        push_segments(&mut key, &self.segments);
        key
    }

    /// The prefix of the keys of a collection's documents.
    pub fn collection_key(&self, collection: &str) -> Vec<u8> {
        let mut key = self.key();
        push_segment(&mut key, collection);
        key
    }

    pub fn document(&self, collection: &str, id: &str) -> Result<DocumentName, Status> {
        check_collection_id(collection)?;
        check_document_id(id)?;
        let mut segments = self.segments.clone();
        segments.extend([collection.to_owned(), id.to_owned()]);
        let name = DocumentName { database: self.database.clone(), segments };
        DocumentName::parse(&name.to_string())
    }

    pub fn is_ancestor_of(&self, name: &DocumentName) -> bool {
        self.database == name.database && name.segments.starts_with(&self.segments)
    }
}

/// The first key after all keys that begin with `prefix`; `None` if there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

/// The id of the collection directly below the parent that contains a key.
pub fn collection_below(parent_key: &[u8], key: &[u8]) -> Option<String> {
    let rest = key.strip_prefix(parent_key)?;
    let end = rest.windows(2).position(|pair| pair == END)?;
    let segment = rest[..end].to_vec();
    let mut id = Vec::with_capacity(segment.len());
    let mut bytes = segment.into_iter();
    while let Some(byte) = bytes.next() {
        id.push(byte);
        if byte == 0 {
            bytes.next();
        }
    }
    String::from_utf8(id).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(path: &str) -> DocumentName {
        DocumentName::parse(&format!("projects/p/databases/d/documents/{path}")).unwrap()
    }

    #[test]
    fn names_that_firestore_refuses_are_refused() {
        let long = "x".repeat(1_501);
        let deep = ["a/b"; 101].join("/");
        let wrong =
            ["a", "a/b/c", "a//b/c", "a/.", "a/..", "a/__x__", "", "__id1__/b", "a/__id01__"];
        for path in wrong.into_iter().chain([deep.as_str(), &format!("a/{long}")]) {
            let full = format!("projects/p/databases/d/documents/{path}");
            assert!(DocumentName::parse(&full).is_err(), "{path}");
        }
        for full in
            ["", "projects/p", "projects/p/databases/d", "projects//databases/d/documents/a/b"]
        {
            assert!(DocumentName::parse(full).is_err(), "{full}");
        }
        assert_eq!(name("a/b/c/d").collection_id(), "c");
    }

    #[test]
    fn a_document_sorts_before_documents_below_it_and_before_longer_ids() {
        let keys: Vec<_> = ["a/b", "a/b/c/d", "a/b\0", "a/b!", "a/bb", "aa/a"]
            .iter()
            .map(|path| name(path).key())
            .collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn numeric_ids_sort_by_number_before_all_others() {
        let ids = [
            "__id-9223372036854775808__",
            "__id-2__",
            "__id7__",
            "__id12__",
            "__id256__",
            "__id9223372036854775807__",
            "\0",
            "12",
            "7",
            "A",
            "__id",
            "__id1_",
            "_id1__",
            "a",
        ];
        let key = |id: &&str| name(&format!("c/{id}")).key();
        let keys: Vec<_> = ids.iter().map(key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert_eq!(name("a/__id123456__").size(), 16 + 2 + 8);
    }

    #[test]
    fn inverted_order_keys_sort_in_reverse() {
        let inverted = |path: &&str| {
            let mut key = Vec::new();
            name(path).push_order_key(&mut key);
            key.iter().map(|byte| !byte).collect::<Vec<u8>>()
        };
        let paths = ["a/bb", "a/b!", "a/b\0", "a/b/c/d", "a/b/\0/d", "a/b", "a/__id3__"];
        let keys: Vec<_> = paths.iter().map(inverted).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }

    #[test]
    fn the_collection_below_a_parent_is_read_from_a_key() {
        let parent = name("a/b");
        let key = name("a/b/x\0y/d").key();
        assert_eq!(collection_below(&parent.key(), &key).as_deref(), Some("x\0y"));
        assert_eq!(collection_below(&key, &parent.key()), None);
    }

    proptest! {
        #[test]
        fn keys_sort_like_segments(
            a in prop::collection::vec("[\0-\u{3}a]{1,3}", 2..=4),
            b in prop::collection::vec("[\0-\u{3}a]{1,3}", 2..=4),
        ) {
            let database = Database::parse("projects/p/databases/d").unwrap();
            let named = |segments: &Vec<String>| DocumentName {
                database: database.clone(),
                segments: segments.clone(),
            };
            prop_assert_eq!(named(&a).key().cmp(&named(&b).key()), a.cmp(&b));
        }
    }
}
