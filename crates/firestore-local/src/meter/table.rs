//! The report as text, for people.

use super::report::{Charged, Line, Report};
use super::storage::Storage;

/// The most lines of a table. The report as JSON has all of them.
const MAX_LINES: usize = 30;

const COUNTS: [&str; 8] =
    ["reads", "writes", "deletes", "cost", "reads 1h", "writes 1h", "deletes 1h", "cost 1h"];

fn row(name: String, start: &Charged, hour: &Charged) -> Vec<String> {
    let mut row = vec![name];
    for Charged { usage, cost } in [start, hour] {
        let billed = usage.billed;
        row.extend([billed.reads, billed.writes, billed.deletes].map(|count| count.to_string()));
        row.push(format!("{cost:.6}"));
    }
    row
}

fn rows(title: &str, report: &Report, lines: &[Line], name: impl Fn(&Line) -> String) -> String {
    let header = std::iter::once(title).chain(COUNTS).map(str::to_owned).collect();
    let mut rows: Vec<Vec<String>> = vec![header];
    let shown = lines.iter().take(MAX_LINES);
    rows.extend(shown.map(|line| row(name(line), &line.since_start, &line.last_hour)));
    let (start, hour) = (&report.since_start.charged, &report.last_hour.charged);
    rows.push(row("total".to_owned(), start, hour));
    let mut text = aligned(&rows);
    if let Some(more) = lines.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        text.push_str(&format!("({more} more lines are in /meter)\n"));
    }
    text
}

/// Columns of equal width: the first to the left, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") }
        });
        cells.collect::<String>() + "\n"
    };
    rows.iter().map(line).collect()
}

impl Report {
    /// The report as tables by collection and by caller, with what is stored.
    pub fn text(&self, storage: &Storage) -> String {
        let prices = &self.prices;
        let databases = self.bill.databases.len();
        let collection = |line: &Line| match &line.database {
            Some(database) if databases > 1 => format!("{database}/{}", line.name),
            _ => line.name.clone(),
        };
        let exceeded = match &self.exceeded {
            Some(billed) => format!("\nthe budget was exceeded at {billed}\n"),
            None => String::new(),
        };
        let usage = &self.since_start.charged.usage;
        let stored = &storage.total;
        format!(
            "What the last {} s would have cost on Firestore, and the last hour of it (1h).\n\
             Prices of {}, {}, in {}, without free quota.\n\n{}\n{}\n\
             {} of the reads by security rules; index entries: {} read, {} written\n\
             sent {} bytes: {} if they left Google's network\n\
             a day like the last hour: {} beyond the free quota\n\
             stored {} documents with {} bytes, {} index entries with {} bytes: {} a month beyond \
             the free {} GiB\n{exceeded}",
            self.seconds,
            prices.date,
            prices.region,
            prices.currency,
            rows("collection", self, &self.collections, collection),
            rows("caller", self, &self.callers, |line| line.name.clone()),
            usage.rule_reads,
            usage.index_entries_read,
            usage.index_entries_written,
            self.since_start.egress_bytes,
            prices.money(self.since_start.egress_cost),
            prices.money(self.day_cost),
            stored.documents,
            stored.document_bytes,
            stored.index_entries,
            stored.index_bytes,
            prices.money(prices.storage_month(stored.bytes())),
            prices.free_storage_gib,
        )
    }
}
