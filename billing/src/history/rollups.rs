//! What is left of old records: one row per day, key, model and currency, newest first.

use super::{UsageRow, among, plain};
use crate::rows;
use domain::id::{KeyUid, OrgUid};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use storage::{Read, StorageError};

/// Sets tokens of sums apart from those of records.
const TOKEN: &str = "sum:";

/// Where a page of sums ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    day_us: i64,
    org: i64,
    key: i64,
    currency: String,
    model: String,
}

impl Day {
    /// Before all sums.
    pub(super) const START: Self = Self {
        day_us: i64::MAX,
        org: i64::MIN,
        key: i64::MIN,
        currency: String::new(),
        model: String::new(),
    };

    pub(super) fn parse(token: &str) -> Option<Self> {
        let text = plain(token)?;
        let mut fields = text.strip_prefix(TOKEN)?.splitn(5, ':');
        let mut number = || fields.next()?.parse().ok();
        let (day_us, org, key) = (number()?, number()?, number()?);
        let (currency, model) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        Some(Self { day_us, org, key, currency, model })
    }

    pub(super) fn token(&self) -> String {
        let Self { day_us, org, key, currency, model } = self;
        hex::encode(format!("{TOKEN}{day_us}:{org}:{key}:{currency}:{model}"))
    }

    pub(super) fn of(row: &AnyRow) -> Result<Self, StorageError> {
        Ok(Self {
            day_us: rows::integer(row, "day_us")?,
            org: rows::integer(row, "org_uid")?,
            key: rows::integer(row, "key_uid")?,
            currency: rows::text(row, "currency")?,
            model: rows::text(row, "model")?,
        })
    }
}

/// The next sums.
pub(super) async fn sums(
    read: &mut Read,
    orgs: Option<&[OrgUid]>,
    after: &Day,
    limit: u32,
) -> Result<Vec<AnyRow>, StorageError> {
    let whose = orgs.map(|orgs| among("usage_rollup", orgs)).unwrap_or_default();
    let text = format!(
        "SELECT usage_rollup.day_us AS day_us, usage_rollup.org_uid AS org_uid,
             usage_rollup.key_uid AS key_uid, usage_rollup.model AS model,
             usage_rollup.currency AS currency,
             CAST(SUM(records) AS BIGINT) AS records,
             CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
             CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
             CAST(SUM(charge_nano) AS BIGINT) AS charge_nano,
             MAX(org.name) AS org_name, MAX(used.name) AS key_name
         FROM usage_rollup
         LEFT JOIN config_object AS org ON org.uid = usage_rollup.org_uid
         LEFT JOIN config_object AS used ON used.uid = usage_rollup.key_uid
         WHERE day_us <= $1
         AND (day_us < $1 OR (usage_rollup.org_uid, usage_rollup.key_uid, currency, model)
                             > ($2, $3, $4, $5))
         {whose}
         GROUP BY day_us, usage_rollup.org_uid, usage_rollup.key_uid, currency, model
         ORDER BY day_us DESC, usage_rollup.org_uid, usage_rollup.key_uid, currency, model
         LIMIT $6"
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(after.day_us)
        .bind(after.org)
        .bind(after.key)
        .bind(after.currency.as_str())
        .bind(after.model.as_str())
        .bind(i64::from(limit))
        .fetch_all(&mut **read)
        .await?;
    Ok(rows)
}

/// A sum as callers see it.
pub(super) fn usage_row(row: &AnyRow) -> Result<UsageRow, StorageError> {
    Ok(UsageRow {
        request_id: String::new(),
        requests: rows::count(row, "records")?,
        ended: rows::moment(row, "day_us")?,
        org: OrgUid(rows::integer(row, "org_uid")?),
        org_name: rows::optional_text(row, "org_name")?,
        key: KeyUid(rows::integer(row, "key_uid")?),
        key_name: rows::optional_text(row, "key_name")?,
        model: rows::text(row, "model")?,
        outcome: None,
        input_tokens: rows::count(row, "input_tokens")?,
        output_tokens: rows::count(row, "output_tokens")?,
        currency: rows::currency(row, "currency")?,
        charge: rows::nano(row, "charge_nano")?,
    })
}
