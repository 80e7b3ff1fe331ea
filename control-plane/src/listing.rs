//! Pages of lists: how many objects a page has, and the opaque token that says where the next one begins.

use crate::errors::{AdminError, Refusal};
use crate::rows::{self, Row};
use crate::settings::AdminLimits;
use domain::config::Kind;
use storage::Database;

/// One page, by name.
pub(crate) struct Page {
    /// Some objects.
    pub(crate) rows: Vec<Row>,
    /// Where the next page begins; empty: this is the last.
    pub(crate) next_page_token: String,
}

/// One page of a kind.
pub(crate) async fn page(
    db: &Database,
    limits: &AdminLimits,
    kind: Kind,
    page_size: i32,
    page_token: &str,
) -> Result<Page, AdminError> {
    let size = page_size_within(limits, page_size)?;
    let after = read_token(kind, page_token)?;
    let mut read = db.read().await?;
    let mut rows = rows::page(&mut read, kind, &after, size.saturating_add(1)).await?;
    read.finish().await?;
    let fitting =
        fitting(&rows, usize::try_from(size).unwrap_or(usize::MAX), limits.page_bytes_max);
    let is_last = fitting == rows.len();
    rows.truncate(fitting);
    let next_page_token = match rows.last() {
        Some(last) if !is_last => token(kind, &last.name),
        _ => String::new(),
    };
    Ok(Page { rows, next_page_token })
}

/// What a caller asks for, within what the server gives.
pub(crate) fn page_size_within(limits: &AdminLimits, page_size: i32) -> Result<u32, Refusal> {
    match u32::try_from(page_size) {
        Ok(0) => Ok(limits.page_size_default),
        Ok(size) => Ok(size.min(limits.page_size_max)),
        Err(_) => Err(Refusal::Argument {
            field: "page_size",
            reason: format!("{page_size} is negative; leave it out for the default"),
        }),
    }
}

/// How many of the rows a page has: at least one, else a large one could never be listed.
fn fitting(rows: &[Row], size_max: usize, bytes_max: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |row: &&Row| {
        bytes = bytes.saturating_add(row.spec.encode().len());
        bytes <= bytes_max
    };
    rows.iter().take(size_max).take_while(fits).count().max(rows.len().min(1))
}

fn token(kind: Kind, last: &str) -> String {
    hex::encode(format!("{kind} {last}"))
}

fn read_token(kind: Kind, token: &str) -> Result<String, Refusal> {
    if token.is_empty() {
        return Ok(String::new());
    }
    let text = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.split_once(' '))
        .filter(|(of, _)| *of == kind.name())
        .map(|(_, last)| last.to_owned())
        .ok_or_else(|| Refusal::Argument {
            field: "page_token",
            reason: "not one that this list gave; leave it out to begin again".to_owned(),
        })
}
