//! The configuration in memory, as of one revision: what the next change is judged against. Keys are not kept here; there
//! may be millions of them.

use crate::errors::Failure;
use crate::read;
use crate::rows::{self, Order, Row, Span};
use domain::catalog::{Catalog, Object, Violation};
use domain::compile::{Compiled, compile};
use domain::config::{self, Kind};
use domain::id::Revision;
use domain::snapshot::{self, Change};
use domain::time::Timestamp;
use sqlx::AnyConnection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows read at once while loading.
const LOAD_ROWS: u32 = 1_000;

/// All but the keys. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct State {
    /// The revision this is.
    pub(crate) at: Revision,
    /// As configured.
    pub(crate) catalog: Arc<Catalog>,
    /// As data planes get it.
    pub(crate) compiled: Arc<Compiled>,
    /// When each model was first configured.
    pub(crate) created: Arc<BTreeMap<String, Timestamp>>,
}

impl State {
    /// Reads the rows, which are those of revision `at`. Prices keep the revisions that they were recorded with; one
    /// that was never recorded, because this program compiles differently, gets the revision after `at`.
    pub(crate) async fn load(
        connection: &mut AnyConnection,
        at: Revision,
    ) -> Result<Self, Failure> {
        let mut catalog = Catalog::default();
        let mut created = BTreeMap::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Key) {
            let mut pages = Pages::of(kind);
            while let Some(rows) = pages.next(connection).await? {
                put_rows(&mut catalog, &rows)?;
                let models = rows.into_iter().filter(|_| kind == Kind::Model);
                created.extend(models.map(|row| (row.name, row.created)));
            }
        }
        let recorded = Compiled::remembering(rows::latest_prices(connection).await?);
        let compiled = compile_at(&catalog, at.rev.saturating_add(1), &created, &recorded)
            .map_err(|wrong| unusable(&wrong))?;
        Ok(Self {
            at,
            catalog: Arc::new(catalog),
            compiled: Arc::new(compiled),
            created: Arc::new(created),
        })
    }

    /// Everything that a data plane without anything needs, keys included, each referring only to earlier ones.
    pub(crate) async fn puts(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<Vec<Change>, Failure> {
        let mut puts = self.compiled.changes_from(&Compiled::default());
        let mut pages = Pages::of(Kind::Key);
        while let Some(rows) = pages.next(connection).await? {
            for row in &rows {
                puts.extend(self.key_put(row)?);
            }
        }
        Ok(puts)
    }

    fn key_put(&self, row: &Row) -> Result<Option<Change>, Failure> {
        match read::object(&self.catalog, row).map_err(|wrong| unusable(&wrong))? {
            Object::Key(key) => Ok(key_change(&self.catalog, key)),
            _ => Ok(None),
        }
    }
}

fn put_rows(catalog: &mut Catalog, rows: &[Row]) -> Result<(), Failure> {
    for row in rows {
        let object = read::object(catalog, row).map_err(|wrong| unusable(&wrong))?;
        catalog.put(object);
    }
    Ok(())
}

/// Compiles with the creation times of models.
pub(crate) fn compile_at(
    catalog: &Catalog,
    revision: u64,
    created: &BTreeMap<String, Timestamp>,
    previous: &Compiled,
) -> Result<Compiled, Vec<Violation>> {
    let created = |model: &str| created.get(model).copied().unwrap_or_default();
    compile(catalog, revision, &created, previous)
}

/// What data planes get of a key. None: its org is not in the catalog, which validation refuses.
pub(crate) fn key_change(catalog: &Catalog, key: config::Key) -> Option<Change> {
    let org = catalog.orgs.get(&key.org)?.uid;
    Some(Change::Key(snapshot::Key {
        uid: key.uid,
        digest: key.digest,
        previous: key.previous.map(Box::new),
        org,
        name: key.name,
        models: key.models,
        budgeted: key.budget.is_some(),
        expires: key.expires,
        disabled: key.disabled,
        allowed: key.allowed,
    }))
}

/// Stored objects that this program refuses.
fn unusable(violations: &[Violation]) -> Failure {
    let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let row = violations.first().map(|first| format!("{} {}", first.kind, first.name));
    Failure::Unreadable {
        table: "config_object",
        row: row.unwrap_or_default(),
        reason: told.join("; "),
    }
}

/// All rows of a kind, some at a time.
struct Pages {
    rest: Option<Span>,
}

impl Pages {
    fn of(kind: Kind) -> Self {
        Self { rest: Some(Span::all(kind)) }
    }

    async fn next(&mut self, connection: &mut AnyConnection) -> Result<Option<Vec<Row>>, Failure> {
        let Some(span) = self.rest.take() else { return Ok(None) };
        let rows = rows::span(connection, &span, LOAD_ROWS).await?;
        let after = rows.last().map(|row| row.place(Order::BY_NAME));
        self.rest = after.map(|after| Span { after: Some(after), ..span });
        Ok((!rows.is_empty()).then_some(rows))
    }
}
