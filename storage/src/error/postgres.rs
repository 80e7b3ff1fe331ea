//! Postgres's SQLSTATE codes, from <https://www.postgresql.org/docs/current/errcodes-appendix.html>. The first two
//! characters are a class.

use crate::StorageError;

pub(super) fn by_code(code: &str) -> fn(sqlx::Error) -> StorageError {
    match code {
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => StorageError::Conflict,
        // feature_not_supported: a plan that was made before a migration; it is forgotten with its connection
        "0A000" => StorageError::Conflict,
        // disk_full
        "53100" => StorageError::Full,
        // read_only_sql_transaction
        "25006" => |_| StorageError::ReadOnly,
        // numeric_value_out_of_range
        "22003" => StorageError::Refused,
        // character_not_in_repertoire, untranslatable_character, program_limit_exceeded: an index entry too long
        "22021" | "22P05" | "54000" => StorageError::Unstorable,
        // query_canceled (a time-out); in_failed_sql_transaction, idle_in_transaction_session_timeout
        "57014" | "25P02" | "25P03" => StorageError::Unreachable,
        _ => by_class(code.get(..2).unwrap_or_default()),
    }
}

fn by_class(class: &str) -> fn(sqlx::Error) -> StorageError {
    match class {
        // connection exceptions; insufficient resources; operator intervention; system errors; who may come in
        "08" | "53" | "57" | "58" | "28" => StorageError::Unreachable,
        // integrity constraint violations
        "23" => StorageError::Refused,
        _ => StorageError::Mismatch,
    }
}

/// Whether a COMMIT that was answered like this may have happened. A server that ends says so to those that wait for a
/// standby, when all is already done on its own disk.
pub(super) fn may_have_committed(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "57" | "58" | "XX"))
}
