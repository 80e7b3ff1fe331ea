//! What a control plane begins with: the configuration of one moment, since other replicas may change it meanwhile.

use super::record;
use crate::errors::Failure;
use crate::rows;
use crate::state::State;
use domain::snapshot::Change;
use storage::Database;

/// What is stored, and what a data plane without anything needs of it.
pub(super) async fn load(db: &Database) -> Result<(State, Vec<Change>), Failure> {
    let mut write = db.write().await?;
    if rows::begin_generation(&mut write, crate::now()).await? {
        write.commit().await?;
    } else {
        write.rollback().await?;
    }
    loop {
        let mut read = db.read().await?;
        let at = rows::head(&mut read).await?;
        let state = State::load(&mut read, at).await?;
        if !record::has_unrecorded_prices(&state) {
            let puts = state.puts(&mut read).await?;
            read.finish().await?;
            return Ok((state, puts));
        }
        read.finish().await?;
        record::unrecorded_prices(db).await?;
    }
}
