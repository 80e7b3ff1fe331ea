//! Inserts many rows with few statements.

use crate::StorageError;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

/// A statement that is being given its values, in the order of its columns.
pub type Statement = Query<'static, Any, AnyArguments>;

/// Rows of one statement at most. Fewer rows go in powers of two, so that only a handful of texts are ever prepared.
const CHUNK_ROWS: usize = 32;

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
        let mut rest = rows;
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(chunk_of(rest.len()));
            let statement = sqlx::query(AssertSqlSafe(self.text(chunk.len(), connection)));
            chunk.iter().fold(statement, &bind).execute(&mut *connection).await?;
            rest = later;
        }
        Ok(())
    }

    fn text(&self, rows: usize, connection: &AnyConnection) -> String {
        // SQLite looks the name of each `$n` up in a list, which is quadratic in a long statement; a bare `?` has no name.
        let numbered = connection.backend_name() != "SQLite";
        let mut text = format!("INSERT INTO {} ({}) VALUES ", self.table, self.columns.join(", "));
        let mut number = 0_usize;
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { "), (" });
            for column in 0..self.columns.len() {
                number = number.saturating_add(1);
                text.push_str(if column == 0 { "" } else { ", " });
                if numbered {
                    text.push_str(&format!("${number}"));
                } else {
                    text.push('?');
                }
            }
        }
        text.push_str(") ");
        text.push_str(self.on_conflict);
        text
    }
}

const fn chunk_of(rows: usize) -> usize {
    if rows >= CHUNK_ROWS { CHUNK_ROWS } else { 1 << rows.ilog2() }
}
