//! What an import would do: the mapping with examples, and what would be refused.

use std::collections::BTreeMap;

use anyhow::Result;
use f0_learning_core::observation::Malformed;
use f0_learning_core::plural;
use serde_json::{Map, Value as Json};

use super::lines::{LineError, NONE_FITS};
use crate::cli::output::{self, number};

/// Reasons that are listed; a file can give every record another one.
const MAX_REASONS: usize = 20;

/// Sources of a field that are listed.
const MAX_SOURCES: usize = 5;

/// What a file would import.
#[derive(Debug, Default)]
pub struct Preview {
    accepted: u64,
    repeated: u64,
    pub left_out: u64,
    malformed: u64,
    /// How many records are refused for a reason, and the number of the first one.
    refused: BTreeMap<String, (u64, u64)>,
    fields: BTreeMap<String, Field>,
}

/// A field of the observations.
#[derive(Debug, Default)]
struct Field {
    records: u64,
    /// The fields of the records that it comes from.
    from: Vec<String>,
    example: String,
}

impl Preview {
    pub fn accept(
        &mut self,
        observation: Map<String, Json>,
        from: &[(&'static str, String)],
        malformed: &Malformed,
    ) {
        self.accepted += 1;
        self.malformed += u64::from(!malformed.is_empty());
        for (name, value) in observation {
            let field = self.fields.entry(name.clone()).or_default();
            field.records += 1;
            if field.example.is_empty() {
                field.example = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            }
            let source = from.iter().find(|(field, _)| *field == name).map(|it| &it.1);
            if let Some(source) = source
                && !field.from.contains(source)
                && field.from.len() < MAX_SOURCES
            {
                field.from.push(source.clone());
            }
        }
    }

    pub fn repeated(&mut self, number: u64, first: u64) {
        self.repeated += 1;
        let reason = "the id was given before: the first record is imported".to_owned();
        let (count, _) = self.refused.entry(reason).or_insert((0, number.max(first)));
        *count += 1;
    }

    pub fn refuse(&mut self, number: u64, error: &LineError) {
        let reason = error.to_string();
        let reason = if self.refused.len() < MAX_REASONS || self.refused.contains_key(&reason) {
            reason
        } else {
            "other reasons".to_owned()
        };
        self.refused.entry(reason).or_insert((0, number)).0 += 1;
    }

    fn refusals(&self) -> u64 {
        self.refused.values().map(|(count, _)| count).sum::<u64>() - self.repeated
    }

    /// Prints both, and fails if the import would.
    pub fn print(&self, is_mapped: bool) -> Result<()> {
        let mut columns = vec!["field", "records", "example"];
        if is_mapped {
            columns.insert(2, "from");
        }
        let mut table = output::table(&columns);
        for (name, field) in &self.fields {
            let mut row =
                vec![name.clone().into(), number(field.records), field.example.clone().into()];
            if is_mapped {
                row.insert(2, field.from.join(", ").into());
            }
            table.add_row(row);
        }
        output::print(&table);
        if !self.refused.is_empty() {
            let mut table = output::table(&["refused because", "records", "first number"]);
            for (reason, (count, first)) in &self.refused {
                table.add_row(vec![reason.clone().into(), number(count), number(first)]);
            }
            output::print(&table);
        }
        let left_out = match self.left_out {
            0 => String::new(),
            n => format!(", {n} left out by the mapping"),
        };
        let repeated = match self.repeated {
            0 => String::new(),
            n => format!(", {n} with a repeated id left out"),
        };
        say!(
            "dry run: {} would be imported{repeated}{left_out}, {} refused; nothing was written",
            self.accepted,
            self.refusals(),
        );
        if self.malformed > 0 {
            let malformed = plural::count(self.malformed, "record");
            say!("{malformed} with invalid optional fields, which scoring ignores");
        }
        let read = self.accepted + self.repeated + self.left_out + self.refusals();
        anyhow::ensure!(self.left_out < read || read == 0, NONE_FITS);
        anyhow::ensure!(
            self.refusals() == 0,
            "{} would be refused",
            plural::count(self.refusals(), "record")
        );
        Ok(())
    }
}
