//! What the command line says about money: balances, bills, usage, and whether it all adds up.

use crate::cli::Cli;
use crate::money::nano;
use crate::patience::{PATIENCE, eventually};
use serde_json::Value;

/// More rows than any test makes.
const ROWS_MAX: &str = "1000000";

/// An org's wallet, in nano-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What the ledger says.
    pub posted: i64,
    /// What running requests may use.
    pub held: i64,
    /// What is left of it.
    pub free: i64,
}

impl Cli {
    /// The chain of all changes fits together.
    pub async fn audited(&self) {
        let verified = self.run(&["audit", "verify"]).await;
        assert_eq!(verified.status, 0, "{}", verified.stderr);
    }

    /// An org's balance.
    pub async fn balance(&self, org: &str) -> Balance {
        let balance = self.json(&["balance", org, "-o", "json"]).await;
        assert_eq!(balance["org"], org);
        let amount = |name: &str| nano(&balance[name]);
        Balance {
            posted: amount("posted_nano"),
            held: amount("held_nano"),
            free: amount("free_nano"),
        }
    }

    /// The bill of a request, once it is settled.
    pub async fn bill(&self, request_id: &str) -> Value {
        let arguments = ["explain", request_id, "-o", "json"];
        let bill = eventually("the request is billed", async || {
            let output = self.run(&arguments).await;
            (output.status == 0).then(|| serde_json::from_str(&output.stdout).unwrap())
        });
        let bill = tokio::time::timeout(PATIENCE, bill).await;
        bill.unwrap_or_else(|_| panic!("request {request_id} is never billed"))
    }

    /// Every usage record of an org, newest first.
    pub async fn usage(&self, org: &str) -> Vec<Value> {
        let usage = self.json(&["usage", "--org", org, "--limit", ROWS_MAX, "-o", "json"]).await;
        usage["rows"].as_array().cloned().unwrap_or_default()
    }

    /// Asserts that the ledger, the records and the balances agree; returns how many events there are.
    pub async fn reconciled(&self) -> u64 {
        let output = self.run(&["reconcile", "-o", "json"]).await;
        assert_eq!(output.status, 0, "{}\n{}", output.stdout, output.stderr);
        let found: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(found["ok"], true, "{found}");
        let differences = found["differences"].as_array().map_or(0, Vec::len);
        assert_eq!(differences, 0, "{found}");
        found["events"].as_str().map_or(0, |events| events.parse().unwrap())
    }

    /// The same, once that many events are billed; there are never more.
    pub async fn reconciled_with(&self, events: u64) {
        eventually("every event is billed", async || {
            let found = self.reconciled().await;
            assert!(found <= events, "{found} events, and there should be {events}");
            (found == events).then_some(())
        })
        .await;
    }
}
