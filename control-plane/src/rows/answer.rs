//! Answers that are kept for repeated calls.

use super::{bytes, from_database, to_database};
use crate::errors::Failure;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Row as _};

const TABLE: &str = "admin_answer";

/// What a call was answered.
pub(crate) struct AnswerRow {
    /// Keyed hash of the request, in hexadecimal.
    pub(crate) request: String,
    /// Sealed.
    pub(crate) answer: Vec<u8>,
    /// When.
    pub(crate) at: Timestamp,
}

/// The answer that an operator's request id stands for.
pub(crate) async fn find_answer(
    connection: &mut AnyConnection,
    operator: i64,
    request_id: &str,
) -> Result<Option<AnswerRow>, Failure> {
    let row = sqlx::query(
        "SELECT request, answer, at_us FROM admin_answer
         WHERE operator_uid = $1 AND request_id = $2",
    )
    .bind(operator)
    .bind(request_id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let answer: String = row.try_get("answer")?;
    Ok(Some(AnswerRow {
        request: row.try_get("request")?,
        answer: bytes(TABLE, request_id, &answer)?,
        at: Timestamp(from_database(row.try_get("at_us")?)),
    }))
}

/// Keeps an answer. That one is kept already is an error of the database: somebody else answered at this moment.
pub(crate) async fn insert_answer(
    connection: &mut AnyConnection,
    operator: i64,
    request_id: &str,
    row: &AnswerRow,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO admin_answer (operator_uid, request_id, request, answer, at_us)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(operator)
    .bind(request_id)
    .bind(row.request.as_str())
    .bind(hex::encode(&row.answer))
    .bind(to_database(row.at.0))
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what an operator's request id stands for, if that is of that time or before.
pub(crate) async fn forget_answer(
    connection: &mut AnyConnection,
    operator: i64,
    request_id: &str,
    until: Timestamp,
) -> Result<(), Failure> {
    sqlx::query(
        "DELETE FROM admin_answer WHERE operator_uid = $1 AND request_id = $2 AND at_us <= $3",
    )
    .bind(operator)
    .bind(request_id)
    .bind(to_database(until.0))
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets all answers of that time and before.
pub(crate) async fn forget_answers(
    connection: &mut AnyConnection,
    until: Timestamp,
) -> Result<u64, Failure> {
    let done = sqlx::query("DELETE FROM admin_answer WHERE at_us <= $1")
        .bind(to_database(until.0))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
