//! Writes a judged change down: objects, accounts, prices, log.

use super::accounts;
use super::judge::Draft;
use super::step::Fate;
use crate::errors::{AdminError, Failure};
use crate::rows;
use crate::state::State;
use domain::compile::Compiled;
use domain::snapshot::{Change, SellPrice};
use storage::{Database, Write};

/// Everything that a change writes.
pub(super) async fn record(
    write: &mut Write,
    state: &State,
    draft: &Draft,
) -> Result<(), AdminError> {
    for fate in &draft.fates {
        record_object(write, fate).await?;
    }
    accounts::follow_all(write, &draft.fates, &state.catalog, &draft.next.catalog).await?;
    let at = draft.next.at;
    rows::append_prices(write, &new_prices(&draft.next.compiled, at.rev)).await?;
    rows::append_log(write, at, &draft.changes).await?;
    Ok(())
}

/// Whether this program compiles prices of a state that was read differently than the one that recorded them last.
pub(super) fn has_unrecorded_prices(state: &State) -> bool {
    !new_prices(&state.compiled, state.at.rev.saturating_add(1)).is_empty()
}

/// Mints a revision for such prices, so that what data planes charge can always be looked up. They are looked for again
/// behind the mint, where no other replica can do the same.
pub(super) async fn unrecorded_prices(db: &Database) -> Result<(), Failure> {
    let mut write = db.write().await?;
    let minted = rows::mint(&mut write, 0).await?;
    let state = State::load(&mut write, minted.before()).await?;
    let at = minted.revision;
    let prices = new_prices(&state.compiled, at.rev);
    if prices.is_empty() {
        return Ok(write.rollback().await?);
    }
    let changes: Vec<Change> = state
        .compiled
        .models
        .values()
        .filter(|model| prices.iter().any(|(name, _, _)| *name == model.name))
        .map(|model| Change::Model(model.clone()))
        .collect();
    rows::append_prices(&mut write, &prices).await?;
    rows::append_log(&mut write, at, &changes).await?;
    Ok(write.commit().await?)
}

fn new_prices(compiled: &Compiled, revision: u64) -> Vec<(&str, &str, &SellPrice)> {
    compiled.new_prices(revision).collect()
}

async fn record_object(write: &mut Write, fate: &Fate) -> Result<(), Failure> {
    match fate {
        Fate::Created { after, .. } => rows::insert(write, after).await,
        Fate::Updated { after, .. } => rows::update(write, after).await,
        Fate::Deleted(row) => rows::delete(write, row.spec.kind(), &row.name).await,
        Fate::Unchanged(_) => Ok(()),
    }
}
