//! etcd that does not have any more what we counted on: compacted past us, restored from a backup, emptied.

use crate::site::{Process, calm, eventually, hasty, patient, poked, settings};
use crate::wire::Wire;
use domain::id::Revision;
use links::coordination::{Duty, EtcdSettings, Lists, Topic, Woken};
use servers::Etcd;
use std::time::Duration;

fn lists(process: &Process) -> Lists {
    process.coordination.standing().unwrap().lists
}

const fn head(rev: u64) -> Revision {
    Revision { generation: 1, rev }
}

async fn knows(process: &Process, rev: u64) {
    let what = format!("revision {rev} is known");
    eventually(&what, || process.coordination.head() == Some(head(rev))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_told_by_the_watch_that_goes_on_where_it_ended() {
    let etcd = Etcd::start();
    let wire = Wire::to(&etcd.address()).await;
    let (far, near) =
        (Process::start(settings(&wire.url())), Process::start(settings(&etcd.url())));
    far.connected().await;
    wire.cut();
    far.cut_off().await;
    let mut waiting = patient(&far.coordination, Topic::Freed);
    near.coordination.tell_head(head(4));
    near.coordination.poke(Topic::Freed);
    knows(&near, 4).await;
    wire.heal();
    poked(&mut waiting).await;
    knows(&far, 4).await;
    assert_eq!(lists(&far), Lists { begun: 1, ..Lists::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_told_whole_though_it_comes_in_many_pieces() {
    let etcd = Etcd::start();
    let wire = Wire::to(&etcd.address()).await;
    let (far, near) =
        (Process::start(settings(&wire.url())), Process::start(settings(&etcd.url())));
    far.connected().await;
    wire.cut();
    far.cut_off().await;
    // etcd catches up by a thousand revisions at once, and says with each of them how far it is itself.
    run_ahead(&etcd, &near, 2_500);
    near.coordination.tell_head(head(4));
    knows(&near, 4).await;
    wire.heal();
    knows(&far, 4).await;
    assert_eq!(lists(&far), Lists { begun: 1, ..Lists::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacted_past_us_what_was_missed_is_found_by_comparing() {
    let etcd = Etcd::start();
    let wire = Wire::to(&etcd.address()).await;
    let (far, near) =
        (Process::start(settings(&wire.url())), Process::start(settings(&etcd.url())));
    far.connected().await;
    far.sees(&[&far, &near]).await;
    let mut untouched = hasty(&far.coordination, Topic::Recall);
    wire.cut();
    far.cut_off().await;
    let mut waiting = patient(&far.coordination, Topic::Freed);
    near.coordination.poke(Topic::Freed);
    for rev in 2..=4 {
        near.coordination.tell_head(head(rev));
        knows(&near, rev).await;
    }
    etcd.compact();
    wire.heal();
    poked(&mut waiting).await;
    knows(&far, 4).await;
    assert_eq!(lists(&far), Lists { begun: 1, compacted: 1, ..Lists::default() });
    assert_eq!(untouched.next().await, Woken::Due, "what did not change is no news");
    far.sees(&[&far, &near]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_from_a_backup_everybody_looks_and_the_newest_head_is_put_again() {
    let mut etcd = Etcd::start();
    let teller = Process::start(settings(&etcd.url()));
    teller.coordination.tell_head(head(4));
    knows(&teller, 4).await;
    etcd.stop();
    let backup = etcd.back_up();
    etcd.run();
    let hearer = Process::start(settings(&etcd.url()));
    hearer.sees(&[&teller, &hearer]).await;
    teller.coordination.tell_head(head(5));
    knows(&hearer, 5).await;
    run_ahead(&etcd, &teller, 300);
    etcd.kill();
    let mut waiting = Topic::ALL.map(|topic| patient(&hearer.coordination, topic));
    etcd.restore(&backup);
    etcd.run();
    for pokes in &mut waiting {
        poked(pokes).await;
    }
    assert_eq!(lists(&hearer).rewound, 1);
    // Nothing but what we told could have told it.
    let stranger = Process::start(settings(&etcd.url()));
    knows(&stranger, 5).await;
    stranger.sees(&[&teller, &hearer, &stranger]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_lost_everything_is_told_everything() {
    let mut etcd = Etcd::start();
    let (first, second) =
        (Process::start(settings(&etcd.url())), Process::start(settings(&etcd.url())));
    first.coordination.tell_head(head(9));
    knows(&second, 9).await;
    run_ahead(&etcd, &first, 300);
    etcd.kill();
    etcd.lose_everything();
    etcd.run();
    let stranger = Process::start(settings(&etcd.url()));
    knows(&stranger, 9).await;
    for process in [&first, &second, &stranger] {
        process.sees(&[&first, &second, &stranger]).await;
    }
    let watches = [&first, &second, &stranger].map(|it| it.coordination.duty(Duty::Sweep));
    eventually("one has the duty", || watches.iter().filter(|it| it.is_mine()).count() == 1).await;
}

/// Lets revisions run ahead, so far that a restored server does not catch up.
fn run_ahead(etcd: &Etcd, teller: &Process, by: u64) {
    let far = etcd.revision() + by;
    while etcd.revision() < far {
        teller.coordination.poke(Topic::Freed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_somebody_deletes_wake_nobody_and_are_put_again() {
    let etcd = Etcd::start();
    let (first, second) = (Process::start(calm(&etcd.url())), Process::start(calm(&etcd.url())));
    first.coordination.tell_head(head(2));
    first.coordination.poke(Topic::Freed);
    knows(&second, 2).await;
    first.sees(&[&first, &second]).await;
    let mut members = first.coordination.members();
    let mut freed = hasty(&second.coordination, Topic::Freed);
    while freed.next().await == Woken::Poked {}
    members.mark_unchanged();
    etcd.delete_everything();
    // He is gone until his next beat.
    members.changed().await.unwrap();
    first.sees(&[&first, &second]).await;
    assert_eq!(freed.next().await, Woken::Due);
    knows(&second, 2).await;
    let stranger = Process::start(calm(&etcd.url()));
    knows(&stranger, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_through_all_keys_again_and_again_tells_nothing_twice() {
    let etcd = Etcd::start();
    let audit_every = Duration::from_millis(50);
    let auditing = EtcdSettings { audit_every, ..calm(&etcd.url()) };
    let (hearer, teller) = (Process::start(auditing), Process::start(calm(&etcd.url())));
    hearer.connected().await;
    let mut pokes = patient(&hearer.coordination, Topic::Recall);
    for round in 1..=5 {
        teller.coordination.poke(Topic::Recall);
        poked(&mut pokes).await;
        let before = lists(&hearer).audits;
        eventually("it was looked through", || lists(&hearer).audits > before + 2).await;
        assert_eq!(hearer.coordination.standing().unwrap().pokes_heard, round);
    }
}
