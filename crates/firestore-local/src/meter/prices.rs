//! Prices, and what usage costs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::usage::Billed;

const BUILT_IN: &str = include_str!("../../prices.json");

/// Prices of one region at one date, in the format of `prices.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub date: String,
    /// The page that the prices are from.
    pub source: String,
    pub region: String,
    pub currency: String,
    pub per_100000: Operations<f64>,
    pub storage_gib_month: f64,
    /// A GiB of answers that leaves Google's network.
    pub egress_gib: f64,
    pub free_per_day: Operations<u64>,
    pub free_storage_gib: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operations<T> {
    pub reads: T,
    pub writes: T,
    pub deletes: T,
}

/// The price file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    #[error("cannot read prices from {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("invalid prices in {file}: {detail}")]
    Invalid { file: String, detail: String },
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

fn gib(bytes: u64) -> f64 {
    float(bytes) / f64::from(1_u32 << 30)
}

impl Prices {
    /// The prices of a file, or the built-in ones without a file.
    ///
    /// # Errors
    /// If the file cannot be read, is not of the format of `prices.json`, or has a price below 0.
    pub fn open(file: Option<&Path>) -> Result<Self, PricesError> {
        let Some(path) = file else { return Self::parse(BUILT_IN, "prices.json") };
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(source) => Err(PricesError::Read { file, source }),
        }
    }

    fn parse(text: &str, file: &str) -> Result<Self, PricesError> {
        let invalid = |detail| PricesError::Invalid { file: file.to_owned(), detail };
        let prices: Self =
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let Operations { reads, writes, deletes } = prices.per_100000;
        let rest = [prices.storage_gib_month, prices.egress_gib, prices.free_storage_gib];
        match [reads, writes, deletes].iter().chain(&rest).find(|price| **price < 0.0) {
            Some(price) => Err(invalid(format!("expected no price below 0, got {price}"))),
            None => Ok(prices),
        }
    }

    /// What operations cost without any free quota.
    pub fn operations(&self, billed: &Billed) -> f64 {
        let Operations { reads, writes, deletes } = self.per_100000;
        let cost = float(billed.reads) * reads
            + float(billed.writes) * writes
            + float(billed.deletes) * deletes;
        cost / 100_000.0
    }

    pub fn egress(&self, bytes: u64) -> f64 {
        gib(bytes) * self.egress_gib
    }

    /// What a day costs with 24 times the operations of an hour, beyond the free quota of a day.
    pub fn day_of(&self, hour: &Billed) -> f64 {
        let paid = |count: u64, free: u64| (24 * count).saturating_sub(free);
        self.operations(&Billed {
            reads: paid(hour.reads, self.free_per_day.reads),
            writes: paid(hour.writes, self.free_per_day.writes),
            deletes: paid(hour.deletes, self.free_per_day.deletes),
        })
    }

    /// What stored bytes cost a month, beyond the free ones.
    pub fn storage_month(&self, bytes: u64) -> f64 {
        (gib(bytes) - self.free_storage_gib).max(0.0) * self.storage_gib_month
    }

    /// An amount with its currency, such as `USD 0.0012`. Small amounts keep more digits.
    pub fn money(&self, amount: f64) -> String {
        let digits = match amount {
            amount if amount >= 1.0 || amount == 0.0 => 2,
            amount if amount >= 0.01 => 4,
            _ => 6,
        };
        format!("{} {amount:.digits$}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices::open(None).unwrap()
    }

    fn billed(reads: u64, writes: u64, deletes: u64) -> Billed {
        Billed { reads, writes, deletes }
    }

    #[test]
    fn the_example_of_the_pricing_page_is_computed_to_the_cent() {
        // "Paid operations" of the page's example: 98.5 M reads, 49.4 M writes, 4.4 M deletes.
        let cost = prices().operations(&billed(98_500_000, 49_400_000, 4_400_000));
        assert!((cost - (59.10 + 88.92 + 0.88)).abs() < 0.005, "{cost}");
        assert!((prices().storage_month(100 << 30) - 17.82).abs() < 0.005);
        assert_eq!(prices().money(cost), "USD 148.90");
    }

    #[test]
    fn the_free_quota_of_a_day_costs_nothing() {
        assert_eq!(prices().day_of(&billed(2_083, 833, 833)), 0.0);
        let day = prices().day_of(&billed(100_000, 0, 0));
        assert!((day - (2_400_000.0 - 50_000.0) * 0.06 / 100_000.0).abs() < 1e-9, "{day}");
        assert_eq!(prices().storage_month(1 << 30), 0.0);
    }

    #[test]
    fn a_price_below_zero_and_an_unknown_field_are_refused() {
        let negative = BUILT_IN.replace("0.06", "-0.06");
        let error = Prices::parse(&negative, "p.json").unwrap_err().to_string();
        assert_eq!(error, "invalid prices in p.json: expected no price below 0, got -0.06");
        let unknown = BUILT_IN.replace("\"date\"", "\"day\"");
        assert!(Prices::parse(&unknown, "p.json").is_err());
    }
}
