//! Configured objects of a kind in some order, a stretch at a time. The order is total, since names are unique, so a place in
//! it stays where it is when other rows come and go.

use super::{Row, object, to_database};
use crate::errors::Failure;
use domain::config::Kind;
use domain::name::is_printable;
use sqlx::{AnyConnection, AssertSqlSafe};
use std::ops::Range;

/// By what objects are sorted; equals by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortBy {
    /// Their name alone.
    Name,
    /// When they came to be.
    Created,
    /// When they last changed.
    Updated,
}

/// An order of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// By what.
    pub(crate) by: SortBy,
    /// The last first.
    pub(crate) descending: bool,
}

impl Order {
    /// By name, the first first.
    pub(crate) const BY_NAME: Self = Self { by: SortBy::Name, descending: false };
}

/// An object's place in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// By what it is sorted; 0 when by name alone.
    pub(crate) sort: i64,
    /// Its name.
    pub(crate) name: String,
}

/// Which objects, and in which order.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// Of which kind.
    pub(crate) kind: Kind,
    /// In which order.
    pub(crate) order: Order,
    /// Only what comes after; none: from the beginning.
    pub(crate) after: Option<Place>,
    /// Only names from, and below. Orders by time do not narrow themselves by it, which could mean to search the whole
    /// kind: their callers look at each row anyway.
    pub(crate) names: Range<String>,
}

impl Span {
    /// All objects of a kind by name.
    pub(crate) fn all(kind: Kind) -> Self {
        let names = String::new()..char::MAX.to_string();
        Self { kind, order: Order::BY_NAME, after: None, names }
    }
}

impl Row {
    /// Where it is in an order.
    pub(crate) fn place(&self, order: Order) -> Place {
        let sort = match order.by {
            SortBy::Name => 0,
            SortBy::Created => to_database(self.created.0),
            SortBy::Updated => to_database(self.updated.0),
        };
        Place { sort, name: self.name.clone() }
    }
}

/// The first `limit` objects of a span.
pub(crate) async fn span(
    connection: &mut AnyConnection,
    span: &Span,
    limit: u32,
) -> Result<Vec<Row>, Failure> {
    // What no name can be, a database need not be asked for, and not every one takes it.
    if !is_printable(&span.names.start) || !is_printable(&span.names.end) {
        return Ok(Vec::new());
    }
    let Order { by, descending } = span.order;
    let (sign, direction) = if descending { ("<", "DESC") } else { (">", "ASC") };
    let (condition, order) = match by {
        SortBy::Name => (
            format!("name {sign} $3 AND name >= $4 AND name < $5 AND $2 = $2"),
            format!("name {direction}"),
        ),
        SortBy::Created => by_time("created_us", sign, direction),
        SortBy::Updated => by_time("updated_us", sign, direction),
    };
    let columns = object::COLUMNS;
    let statement = format!(
        "SELECT {columns} FROM config_object
         WHERE kind = $1 AND {condition} ORDER BY {order} LIMIT $6"
    );
    let after = span.after.clone().unwrap_or_else(|| before_all(descending));
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(span.kind.name())
        .bind(after.sort)
        .bind(after.name)
        .bind(span.names.start.clone())
        .bind(span.names.end.clone())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| object::read(span.kind, row)).collect()
}

fn by_time(column: &str, sign: &str, direction: &str) -> (String, String) {
    (
        format!("({column}, name) {sign} ($2, $3) AND $4 = $4 AND $5 = $5"),
        format!("{column} {direction}, name {direction}"),
    )
}

fn before_all(descending: bool) -> Place {
    if descending {
        Place { sort: i64::MAX, name: char::MAX.to_string() }
    } else {
        Place { sort: i64::MIN, name: String::new() }
    }
}
