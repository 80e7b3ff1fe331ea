//! What `/metrics` says, read as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

/// One name of a metric, with all its series.
#[derive(Clone, Debug, Default)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it means.
    pub help: String,
    /// Each with its labels, as written.
    pub series: Vec<Series>,
}

/// One number.
#[derive(Clone, Debug)]
pub struct Series {
    /// By name.
    pub labels: BTreeMap<String, String>,
    /// What it is now.
    pub value: f64,
}

/// All that a process exposes.
#[derive(Clone, Debug)]
pub struct Metrics(pub BTreeMap<String, Family>);

impl Metrics {
    /// Reads a page; each line must be one that Prometheus would take.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
            } else {
                let (name, series) = read_series(line);
                family(&mut families, &name).series.push(series);
            }
        }
        Self(families)
    }

    /// The sum of the series that have all these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &&Series| {
            labels
                .iter()
                .all(|(label, value)| series.labels.get(*label).is_some_and(|v| v == value))
        };
        let family = self.0.get(name);
        family.map_or(0.0, |family| family.series.iter().filter(has).map(|s| s.value).sum())
    }

    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> usize {
        self.0.values().map(|family| family.series.len()).sum()
    }
}

impl Family {
    /// The labels of its series, without those that a histogram's buckets add.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<&str> {
        let labels = self.series.iter().flat_map(|series| series.labels.keys());
        labels.map(String::as_str).filter(|label| *label != "le").collect()
    }
}

/// A histogram's buckets belong to it.
fn family<'a>(families: &'a mut BTreeMap<String, Family>, name: &str) -> &'a mut Family {
    let parts = ["_bucket", "_sum", "_count"].into_iter();
    let whole = parts
        .filter_map(|part| name.strip_suffix(part))
        .find(|whole| families.get(*whole).is_some_and(|family| family.kind == "histogram"));
    families.entry(whole.unwrap_or(name).to_owned()).or_default()
}

fn read_series(line: &str) -> (String, Series) {
    let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
    let labels = labels.strip_suffix('}').unwrap();
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once("=\"").unwrap();
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.to_owned(), Series { labels: pairs.collect(), value })
}
