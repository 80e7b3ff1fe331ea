//! Usage records, newest first, page by page; after the last of them what is left of older ones: sums by day.

mod rollups;

use crate::rows;
use domain::id::{KeyUid, OrgUid};
use domain::money::{Currency, Nano};
use domain::name::is_printable;
use domain::time::Timestamp;
use domain::usage::Outcome;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use storage::{Database, Read, StorageError};
use thiserror::Error;

/// Which records, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Of these orgs only; None: of all.
    pub orgs: Option<Vec<OrgUid>>,
    /// Rows at most; 0 for the default.
    pub page_size: u32,
    /// Of the page before; empty for the first.
    pub page_token: String,
    /// Rows at most that one page looks at and leaves out; the next one goes on. 0 for the default.
    pub rows_left_out_max: u32,
}

/// Some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsagePage {
    /// Newest first.
    pub rows: Vec<UsageRow>,
    /// Of the next page; empty when this is the last.
    pub next_page_token: String,
}

/// One request, or a sum over requests that are too old to be shown each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Ours; empty for a sum over requests whose records were rolled up.
    pub request_id: String,
    /// How many requests these are: one, but for such a sum.
    pub requests: u64,
    /// When it ended; of a sum the beginning of the UTC day.
    pub ended: Timestamp,
    /// Who pays.
    pub org: OrgUid,
    /// The org's name; empty if it was deleted.
    pub org_name: String,
    /// Whose key.
    pub key: KeyUid,
    /// The key's name; empty if it was deleted.
    pub key_name: String,
    /// What was asked for.
    pub model: String,
    /// How it ended; unknown of a sum.
    pub outcome: Option<Outcome>,
    /// All input tokens.
    pub input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Of the charge.
    pub currency: Currency,
    /// What the org pays.
    pub charge: Nano,
}

/// A page that cannot be given.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// Not a token of ours.
    #[error("the page token is not one that this server gave")]
    PageToken,
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Rows of a page when none are asked for.
const PAGE_SIZE: u32 = 50;
/// Rows of a page at most.
const PAGE_SIZE_MAX: u32 = 1000;

/// Rows that a page leaves out at most when it is not said.
const ROWS_LEFT_OUT_MAX: u32 = 10_000;

/// One page of usage records, of those that fit. A page may be short, even empty, before the last one.
///
/// # Errors
/// When the token is not ours or the database cannot be read.
pub async fn usage_page(
    database: &Database,
    query: &UsageQuery,
    fits: &(dyn Fn(&UsageRow) -> bool + Sync),
) -> Result<UsagePage, HistoryError> {
    let after = After::read(&query.page_token)?;
    let size = match query.page_size {
        0 => PAGE_SIZE,
        size => size.min(PAGE_SIZE_MAX),
    };
    let mut read = database.read().await?;
    let page = collect(&mut read, query, after, size, fits).await?;
    read.finish().await?;
    Ok(page)
}

/// Reads on until the page is full, or nothing is left, or enough was left out.
async fn collect(
    read: &mut Read,
    query: &UsageQuery,
    mut after: After,
    size: u32,
    fits: &(dyn Fn(&UsageRow) -> bool + Sync),
) -> Result<UsagePage, StorageError> {
    let mut rows = Vec::new();
    let mut left_out_max = match query.rows_left_out_max {
        0 => ROWS_LEFT_OUT_MAX,
        most => most,
    };
    let chunk = size.saturating_add(1);
    loop {
        let found = page(read, query.orgs.as_deref(), &after, chunk).await?;
        let is_end = rows::length(found.len()) < u64::from(chunk);
        for (place, usage) in found {
            let is_wanted = fits(&usage);
            let is_full = rows::length(rows.len()) >= u64::from(size);
            if (is_wanted && is_full) || (!is_wanted && left_out_max == 0) {
                return Ok(UsagePage { rows, next_page_token: after.token() });
            }
            after = place;
            if is_wanted {
                rows.push(usage);
            } else {
                left_out_max = left_out_max.saturating_sub(1);
            }
        }
        if is_end {
            return Ok(UsagePage { rows, next_page_token: String::new() });
        }
    }
}

/// The next rows with their places: records, then sums.
async fn page(
    read: &mut Read,
    orgs: Option<&[OrgUid]>,
    after: &After,
    limit: u32,
) -> Result<Vec<(After, UsageRow)>, StorageError> {
    let (mut rows, after) = match after {
        After::Record(place) => {
            let found = records(read, orgs, place, limit).await?;
            let row = |row| Ok((After::Record(Place::of(row)?), usage_row(row)?));
            let rows = found.iter().map(row).collect::<Result<Vec<_>, StorageError>>()?;
            (rows, &rollups::Day::START)
        }
        After::Rollup(day) => (Vec::new(), day),
    };
    let left = u64::from(limit).saturating_sub(rows::length(rows.len()));
    if let Ok(left) = u32::try_from(left)
        && left > 0
    {
        for row in rollups::sums(read, orgs, after, left).await? {
            rows.push((After::Rollup(rollups::Day::of(&row)?), rollups::usage_row(&row)?));
        }
    }
    Ok(rows)
}

/// The text of a token, if it can be one of ours.
fn plain(token: &str) -> Option<String> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    is_printable(&text).then_some(text)
}

/// Where a page goes on.
#[derive(Clone, Debug)]
enum After {
    Record(Place),
    Rollup(rollups::Day),
}

impl After {
    fn read(token: &str) -> Result<Self, HistoryError> {
        if token.is_empty() {
            return Ok(Self::Record(Place::START));
        }
        let rollup = rollups::Day::parse(token).map(Self::Rollup);
        rollup.or_else(|| Place::parse(token).map(Self::Record)).ok_or(HistoryError::PageToken)
    }

    fn token(&self) -> String {
        match self {
            Self::Record(place) => place.token(),
            Self::Rollup(day) => day.token(),
        }
    }
}

/// Where a page ended: newest first, and where several ended at once, in the order of their events.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    ended_us: i64,
    data_plane: String,
    incarnation: i64,
    partition: i64,
    seq: i64,
}

impl Place {
    /// Before everything.
    const START: Self = Self {
        ended_us: i64::MAX,
        data_plane: String::new(),
        incarnation: i64::MIN,
        partition: i64::MIN,
        seq: i64::MIN,
    };

    fn parse(token: &str) -> Option<Self> {
        let text = plain(token)?;
        let mut fields = text.splitn(5, ':');
        let mut number = || fields.next()?.parse().ok();
        let (ended_us, incarnation, partition, seq) = (number()?, number()?, number()?, number()?);
        let data_plane = fields.next()?.to_owned();
        Some(Self { ended_us, data_plane, incarnation, partition, seq })
    }

    fn of(row: &AnyRow) -> Result<Self, StorageError> {
        Ok(Self {
            ended_us: rows::integer(row, "ended_us")?,
            data_plane: rows::text(row, "data_plane")?,
            incarnation: rows::integer(row, "incarnation")?,
            partition: rows::integer(row, "partition_no")?,
            seq: rows::integer(row, "seq")?,
        })
    }

    fn token(&self) -> String {
        let Self { ended_us, data_plane, incarnation, partition, seq } = self;
        hex::encode(format!("{ended_us}:{incarnation}:{partition}:{seq}:{data_plane}"))
    }
}

/// What is shown of a record, and its place. Not the event, which is far longer than all of it.
const COLUMNS: &str = "data_plane, incarnation, partition_no, seq, request_id, org_uid, key_uid, model, outcome, currency,
     charge_nano, input_tokens, output_tokens, ended_us";

async fn records(
    read: &mut Read,
    orgs: Option<&[OrgUid]>,
    after: &Place,
    limit: u32,
) -> Result<Vec<AnyRow>, StorageError> {
    let of_org = orgs.map(|orgs| among("usage_record", orgs)).unwrap_or_default();
    let text = format!(
        "SELECT {COLUMNS}, org.name AS org_name, used.name AS key_name
         FROM usage_record
         LEFT JOIN config_object AS org ON org.uid = usage_record.org_uid
         LEFT JOIN config_object AS used ON used.uid = usage_record.key_uid
         WHERE ended_us <= $1
         AND (ended_us < $1 OR (data_plane, incarnation, partition_no, seq) > ($2, $3, $4, $5))
         {of_org}
         ORDER BY ended_us DESC, data_plane, incarnation, partition_no, seq LIMIT $6"
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(after.ended_us)
        .bind(after.data_plane.as_str())
        .bind(after.incarnation)
        .bind(after.partition)
        .bind(after.seq)
        .bind(i64::from(limit))
        .fetch_all(&mut **read)
        .await?;
    Ok(rows)
}

/// Numbers need no placeholders, of which there may be too many. No org has the number 0, and no list may be empty.
fn among(table: &str, orgs: &[OrgUid]) -> String {
    let uids: String = orgs.iter().map(|org| format!(", {}", org.0)).collect();
    format!("AND {table}.org_uid IN (0{uids})")
}

fn usage_row(row: &AnyRow) -> Result<UsageRow, StorageError> {
    Ok(UsageRow {
        request_id: rows::text(row, "request_id")?,
        requests: 1,
        ended: rows::moment(row, "ended_us")?,
        org: OrgUid(rows::integer(row, "org_uid")?),
        org_name: rows::optional_text(row, "org_name")?,
        key: KeyUid(rows::integer(row, "key_uid")?),
        key_name: rows::optional_text(row, "key_name")?,
        model: rows::text(row, "model")?,
        outcome: Some(rows::outcome(row)?),
        input_tokens: rows::count(row, "input_tokens")?,
        output_tokens: rows::count(row, "output_tokens")?,
        currency: rows::currency(row, "currency")?,
        charge: rows::nano(row, "charge_nano")?,
    })
}
