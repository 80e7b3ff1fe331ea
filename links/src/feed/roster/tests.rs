//! Who counts as whom.

use super::*;
use std::pin::pin;

fn rev(rev: u64) -> Revision {
    Revision { generation: 1, rev }
}

fn ack(roster: &Roster, connection: ConnectionId, applied: u64) {
    let rejects = vec![format!("as of {applied}")];
    roster.acked("dp", Acked { connection, applied: rev(applied), rejects });
}

fn listed(roster: &Roster) -> Vec<(String, u64)> {
    roster.list().into_iter().map(|it| (it.name, it.applied.rev)).collect()
}

#[test]
fn the_newest_connection_of_a_name_speaks_and_only_its_leaving_counts() {
    let roster = Roster::default();
    let older = roster.join("dp", rev(1));
    let newer = roster.join("dp", rev(2));
    ack(&roster, older, 9);
    assert_eq!(listed(&roster), [("dp".into(), 2)]);
    roster.leave("dp", older);
    assert_eq!(listed(&roster), [("dp".into(), 2)]);
    ack(&roster, newer, 3);
    assert_eq!(listed(&roster), [("dp".into(), 3)]);
    assert_eq!(roster.list()[0].rejects, ["as of 3"]);
    roster.leave("dp", newer);
    assert_eq!(listed(&roster), []);
}

#[test]
fn an_older_connection_counts_again_once_the_newer_is_gone() {
    let roster = Roster::default();
    let older = roster.join("dp", rev(1));
    let newer = roster.join("dp", rev(2));
    roster.leave("dp", newer);
    ack(&roster, older, 4);
    assert_eq!(listed(&roster), [("dp".into(), 4)]);
}

#[test]
fn a_wait_ends_with_the_last_ack_and_also_with_the_last_leaving() {
    let roster = Roster::default();
    let a = roster.join("a", rev(1));
    let dp = roster.join("dp", rev(1));
    let mut wait = pin!(roster.all_at(rev(5)));
    let mut is_over = || futures::FutureExt::now_or_never(&mut wait).is_some();
    assert!(!is_over());
    ack(&roster, dp, 5);
    assert!(!is_over(), "a is missing");
    roster.leave("a", a);
    assert!(is_over());
}

#[test]
fn a_newer_generation_counts_as_applied() {
    let roster = Roster::default();
    roster.join("dp", Revision { generation: 2, rev: 0 });
    let wait = pin!(roster.all_at(rev(5)));
    assert!(futures::FutureExt::now_or_never(wait).is_some());
}
