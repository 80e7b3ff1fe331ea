//! Marks: every event below a mark is a record, rolled up or poison, but for those in gaps.

use super::report::Report;
use crate::rows;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use storage::{Read, StorageError};

type Stream = (String, i64, i64);
type Counts = BTreeMap<Stream, i128>;

/// Compares every mark with the number of events below it.
pub(super) async fn check(read: &mut Read, report: &mut Report) -> Result<(), StorageError> {
    let mut events = counts(
        read,
        "SELECT data_plane, incarnation, partition_no, CAST(SUM(number) AS BIGINT) AS number
         FROM (SELECT data_plane, incarnation, partition_no, COUNT(*) AS number FROM usage_record
               GROUP BY data_plane, incarnation, partition_no
               UNION ALL
               SELECT data_plane, incarnation, partition_no, records AS number FROM usage_rollup)
             AS events
         GROUP BY data_plane, incarnation, partition_no",
    )
    .await?;
    let poison = counts(
        read,
        "SELECT data_plane, incarnation, partition_no, COUNT(*) AS number FROM usage_poison
         WHERE seq > 0 AND seq <= 4611686018427387904
         GROUP BY data_plane, incarnation, partition_no",
    )
    .await?;
    let gaps = counts(
        read,
        "SELECT data_plane, incarnation, partition_no,
             CAST(SUM(to_seq - from_seq + 1) AS BIGINT) AS number
         FROM usage_gap GROUP BY data_plane, incarnation, partition_no",
    )
    .await?;
    let marks = counts(
        read,
        "SELECT data_plane, incarnation, partition_no, next_seq AS number FROM usage_mark",
    )
    .await?;
    for (stream, next) in marks {
        let of = |counts: &Counts| counts.get(&stream).copied().unwrap_or(0);
        let seen = events.remove(&stream).unwrap_or(0);
        let expected = seen.saturating_add(of(&poison)).saturating_add(of(&gaps)).saturating_add(1);
        report.compare(|| name(&stream), "next_seq", expected, next);
    }
    for (stream, number) in events {
        report.differ(name(&stream), "next_seq", format!("above {number}"), "no mark".to_owned());
    }
    Ok(())
}

fn name((data_plane, incarnation, partition): &Stream) -> String {
    format!("usage_mark {data_plane}:{}:{partition}", incarnation.cast_unsigned())
}

async fn counts(read: &mut Read, statement: &'static str) -> Result<Counts, StorageError> {
    let found: Vec<AnyRow> = sqlx::query(statement).fetch_all(&mut **read).await?;
    let mut counts = Counts::new();
    for row in found {
        let (data_plane, incarnation) =
            (rows::text(&row, "data_plane")?, rows::integer(&row, "incarnation")?);
        let stream = (data_plane, incarnation, rows::integer(&row, "partition_no")?);
        counts.insert(stream, i128::from(rows::integer(&row, "number")?));
    }
    Ok(counts)
}
