//! Moments at which a gateway dies while it does something, and whether what it did is whole afterwards.

use super::api::Api;
use super::rows::{Part, Rows};
use crate::samples::method as method_of;
use integration_tests::{Chance, Gateway, GatewayBuilder, eventually, say};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::time::Duration;

/// More than one change writes to the database's log.
const LOG_BYTES: u64 = 64 * 1024;
/// Longer than one change takes.
const LATEST_US: u64 = 40_000;

/// A moment in the middle of something, or right after it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// When it has written so many bytes to the database's log: before the next page of it.
    Written(u64),
    /// So much later.
    After(Duration),
}

impl Moment {
    pub(crate) fn any(chance: &mut Chance) -> Self {
        if chance.within(0..2) == 0 {
            Self::Written(chance.within(0..LOG_BYTES))
        } else {
            Self::After(Duration::from_micros(chance.within(0..LATEST_US)))
        }
    }
}

/// A gateway whose next life finds its simulator where it was: a restart alone changes nothing.
pub(crate) fn steady() -> GatewayBuilder {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Gateway::demo().env("TURNPIKE__SIMULATOR__LISTEN", format!("127.0.0.1:{port}"))
}

/// A request whose content is kept.
pub(crate) async fn kept(gateway: &Gateway) -> String {
    let spec = "{entity: global, plan: demo, audience: standard, store_content: true}";
    gateway.admin().apply(&format!("kind: Org\nname: demo\nspec: {spec}\n")).await;
    let id = gateway.chat(gateway.api_key(), say(3)).await.request_id().to_owned();
    eventually("the content is kept", async || {
        (gateway.admin().run(&["content", &id]).await.status == 0).then_some(())
    })
    .await;
    gateway.admin().bill(&id).await;
    id
}

/// Does the work and dies at that moment, at the latest when it is done.
pub(crate) async fn dying<T>(
    gateway: &mut Gateway,
    moment: Moment,
    work: impl Future<Output = T>,
) -> T {
    match moment {
        Moment::Written(bytes) => {
            let log = fs::metadata(gateway.data_dir().join("turnpike.db-wal"));
            gateway.dies_of_files_beyond(log.map_or(0, |log| log.len()) + bytes);
            let said = work.await;
            gateway.is_dead().await;
            said
        }
        Moment::After(wait) => {
            let dies = async {
                tokio::time::sleep(wait).await;
                gateway.is_dead().await;
            };
            let (said, ()) = tokio::join!(work, dies);
            said
        }
    }
}

/// What a change writes: all of these or none, the log of revisions and new accounts besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) parts: &'static [Part],
    /// Audit records.
    pub(crate) records: usize,
}

impl Whole {
    pub(crate) const CONFIGURATION: Self =
        Self { parts: &[Part::Objects, Part::Revision, Part::Audit], records: 1 };
    pub(crate) const OPERATORS: Self = Self { parts: &[Part::Operators, Part::Audit], records: 1 };
    pub(crate) const MONEY: Self = Self { parts: &[Part::Money, Part::Audit], records: 1 };
    pub(crate) const GAPS: Self = Self { parts: &[Part::Gaps, Part::Audit], records: 1 };
    pub(crate) const LIVES: Self = Self { parts: &[Part::Lives, Part::Audit], records: 1 };
    pub(crate) const READING: Self = Self { parts: &[Part::Audit], records: 1 };

    pub(crate) const fn with(self, records: usize) -> Self {
        Self { records, ..self }
    }

    /// Whether it was done, which must be all of it or nothing.
    pub(crate) fn is_done(
        &self,
        what: &str,
        keeps_answer: bool,
        before: &Rows,
        after: &Rows,
    ) -> bool {
        let changed = before.changed(after);
        if changed.is_empty() {
            return false;
        }
        let answer = keeps_answer.then_some(Part::Answers);
        let needed: Vec<Part> = self.parts.iter().copied().chain(answer).collect();
        let missing: Vec<&Part> = needed.iter().filter(|part| !changed.contains(part)).collect();
        assert!(missing.is_empty(), "{what}: {changed:?} changed, but not {missing:?}");
        let is_configuration = needed.contains(&Part::Revision);
        let may = |part: &Part| {
            needed.contains(part) || is_configuration && matches!(part, Part::Log | Part::Money)
        };
        assert!(changed.iter().all(may), "{what}: {changed:?} changed, beyond {needed:?}");
        let records = after.count(Part::Audit) - before.count(Part::Audit);
        assert_eq!(records, self.records, "{what}: so many audit records");
        true
    }
}

/// The audit chain, the ledger and what the data plane has agree with the rows.
pub(crate) async fn agrees(api: &Api, what: &str) {
    let nothing = json!({});
    for method in ["Audit/VerifyAudit", "Money/Reconcile"] {
        let answer = api.call(&method_of(method), &nothing).await.unwrap();
        assert_eq!(answer["ok"], true, "{what}: {answer}");
    }
    eventually("the data plane has what is stored", async || {
        let told = api.call(&method_of("Apply/ListDataPlanes"), &nothing).await.unwrap();
        let plane = &told["dataPlanes"][0];
        assert_eq!(plane["rejects"].as_array().map_or(0, Vec::len), 0, "{what}: {plane}");
        (plane["applied"] == told["head"]).then_some(())
    })
    .await;
}
