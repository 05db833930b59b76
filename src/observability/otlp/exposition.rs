//! The text of `/metrics`, read back as families of samples. It reads what this process writes, and
//! leaves out a line that it cannot read.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// Without the `_total` of a counter.
    pub name: &'a str,
    pub help: &'a str,
    /// Empty if it has none.
    pub unit: &'a str,
    pub kind: Kind,
    pub samples: Vec<Sample<'a>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// With the suffix, such as `_total` or `_bucket`.
    pub name: &'a str,
    pub labels: Vec<(&'a str, String)>,
    pub value: f64,
}

pub fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = comment(line, "# HELP ") {
            let (unit, kind, samples) = ("", Kind::Gauge, Vec::new());
            families.push(Family { name, help, unit, kind, samples });
            continue;
        }
        let Some(family) = families.last_mut() else { continue };
        if let Some((_, kind)) = comment(line, "# TYPE ") {
            family.kind = match kind {
                "counter" => Kind::Counter,
                "histogram" => Kind::Histogram,
                _ => Kind::Gauge,
            };
        } else if let Some((_, unit)) = comment(line, "# UNIT ") {
            family.unit = unit;
        } else if !line.starts_with('#') {
            family.samples.extend(sample(line));
        }
    }
    families
}

fn comment<'a>(line: &'a str, start: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(start)?.split_once(' ')
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

type Labels<'a> = Vec<(&'a str, String)>;

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.strip_prefix(',').unwrap_or(rest);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.push((name, value));
        rest = after;
    }
}

/// A value up to its closing quote, without its escapes, and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family as Instruments;
    use prometheus_client::registry::Registry;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_label_value_is_read_back(values in proptest::collection::vec(".{0,20}", 2)) {
            let mut registry = Registry::default();
            let counters: Instruments<Vec<(String, String)>, Counter> = Instruments::default();
            registry.register("requests", "Requests", counters.clone());
            let names = ["first", "second"].map(str::to_owned);
            let labels: Vec<_> = names.into_iter().zip(values).collect();
            counters.get_or_create(&labels).inc_by(7);
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            let families = families(&text);
            prop_assert_eq!(families.len(), 1);
            let sample = &families[0].samples[0];
            let read = sample.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            prop_assert_eq!(read.collect::<Vec<_>>(), labels);
            prop_assert_eq!((sample.name, sample.value), ("requests_total", 7.0));
        }

        #[test]
        fn no_text_panics(text in "(# (HELP|TYPE|UNIT) a [a-z]{0,3}\n|a[{}=\", 1\\\\]{0,9}\n){0,9}") {
            let _ = families(&text);
        }
    }
}
