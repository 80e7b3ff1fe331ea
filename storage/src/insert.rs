//! Many rows with few statements.

use crate::StorageError;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

/// A statement that is being given its values, in the order of its columns.
pub type Statement = Query<'static, Any, AnyArguments>;

/// Rows of one statement at most.
const CHUNK: usize = 128;

/// Cuts a list into pieces for one statement each. Lengths are powers of two, so that only a handful of texts are ever
/// prepared.
pub fn chunks<T>(list: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let length = 1_usize << rest.len().min(CHUNK).checked_ilog2()?;
        let (chunk, later) = rest.split_at(length);
        rest = later;
        Some(chunk)
    })
}

/// The text of rows of values to be bound one after another, `($1, $2), ($3, $4)`: what follows VALUES, and with one row
/// what follows IN. The statement has no other values.
#[must_use]
pub fn values(connection: &AnyConnection, rows: usize, columns: usize) -> String {
    // SQLite looks the name of each `$n` up in a list, which is quadratic in a long statement; a bare `?` has no name.
    let is_numbered = connection.backend_name() != "SQLite";
    let mut text = String::with_capacity(rows.saturating_mul(columns).saturating_mul(3));
    let mut number = 0_usize;
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { "), (" });
        for column in 0..columns {
            number = number.saturating_add(1);
            text.push_str(if column == 0 { "" } else { ", " });
            if is_numbered {
                text.push_str(&format!("${number}"));
            } else {
                text.push('?');
            }
        }
    }
    text.push(')');
    text
}

/// An INSERT into one table.
#[derive(Clone, Copy, Debug)]
pub struct Insert {
    table: &'static str,
    columns: &'static [&'static str],
    on_conflict: &'static str,
}

impl Insert {
    /// Into these columns of this table.
    #[must_use]
    pub const fn into(table: &'static str, columns: &'static [&'static str]) -> Self {
        Self { table, columns, on_conflict: "" }
    }

    /// With an `ON CONFLICT …` clause.
    #[must_use]
    pub const fn on_conflict(self, clause: &'static str) -> Self {
        Self { on_conflict: clause, ..self }
    }

    /// Inserts the rows; `bind` gives one row's values, in the order of the columns.
    ///
    /// # Errors
    /// When a statement fails; the transaction is then to be given up.
    pub async fn rows<T>(
        &self,
        connection: &mut AnyConnection,
        rows: &[T],
        bind: impl Fn(Statement, &T) -> Statement,
    ) -> Result<(), StorageError> {
        let Self { table, columns, on_conflict } = self;
        for chunk in chunks(rows) {
            let values = values(connection, chunk.len(), columns.len());
            let columns = columns.join(", ");
            let text = format!("INSERT INTO {table} ({columns}) VALUES {values} {on_conflict}");
            let statement = sqlx::query(AssertSqlSafe(text));
            chunk.iter().fold(statement, &bind).execute(&mut *connection).await?;
        }
        Ok(())
    }
}
