//! Rows as columns, in memory.

pub use f0_learning_core::document::DocumentKey as Key;

/// A column and its values; all columns of a table have the same length.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: &'static str,
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Text(Vec<Option<String>>),
    Whole(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
}

/// The rows of one file. The columns `id`, `ts` and `updateTime` come first and form the key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub keys: Vec<Key>,
    pub columns: Vec<Column>,
}

/// The names of the key's columns in a file.
pub(super) const KEY: [&str; 3] = ["id", "ts", "updateTime"];

impl Table {
    /// All columns, those of the key first. Only the keys remain.
    pub(super) fn all_columns(&mut self) -> Vec<Column> {
        let [id, ts, updated] = KEY;
        let keys = &self.keys;
        let mut columns = vec![
            Column {
                name: id,
                values: Values::Text(keys.iter().map(|key| Some(key.id.clone())).collect()),
            },
            Column {
                name: ts,
                values: Values::Whole(keys.iter().map(|key| Some(key.ts)).collect()),
            },
            Column {
                name: updated,
                values: Values::Whole(keys.iter().map(|key| Some(key.updated)).collect()),
            },
        ];
        columns.append(&mut self.columns);
        columns
    }
}
