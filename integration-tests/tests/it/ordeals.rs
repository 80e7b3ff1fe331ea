//! Parts of a cluster die, stand still or are cut off under load: of those whose money is at hand no request is lost but what ran on
//! a data plane that was killed or cut off, and the books are exact. One fault for each part; `scripts/chaos` tries all.

use integration_tests::{Fault, Ordeal, Target, Trial};
use std::time::Duration;

/// Longer than any part waits for another before it goes on without it.
const LASTING: Duration = Duration::from_secs(8);

async fn try_out(target: Target, fault: Fault) {
    Ordeal::of(Trial { target, fault, lasting: LASTING }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_control_plane_stands_still() {
    try_out(Target::ControlPlane, Fault::Stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_postgres_is_killed() {
    try_out(Target::Postgres, Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_etcd_is_cut_off() {
    try_out(Target::Etcd, Fault::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_billing_stands_still() {
    try_out(Target::Billing, Fault::Stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_is_killed_takes_no_more_with_it_than_what_ran_on_it() {
    try_out(Target::DataPlane, Fault::Kill).await;
}
