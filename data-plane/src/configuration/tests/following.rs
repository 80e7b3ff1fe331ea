//! What is published is applied, acknowledged, refused object by object, held back, and compared.

use super::world::*;
use super::*;

fn many_keys(count: u8) -> Vec<Change> {
    let keys = (1..=count).map(|number| Change::Key(key(i64::from(number), number)));
    [entity("global"), Change::Plan(plan()), org(1, "acme")].into_iter().chain(keys).collect()
}

#[tokio::test]
async fn what_is_published_is_applied_acked_and_a_revoked_key_fails_from_then_on() {
    let mut in_memory = Home::new();
    in_memory.settings.disk = None;
    for home in [Home::new(), in_memory] {
        let feed = Feed::at(5, many_keys(2));
        let life = home.follow(&feed);
        soon(life.configuration.loaded()).await;
        assert_eq!(life.configuration.revision(), revision(5));
        feed.publish(delta(5, vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))]));
        feed.everywhere(6).await;
        assert!(life.configuration.key(&digest(1)).is_none(), "acked means applied");
        assert!(life.configuration.key(&digest(2)).is_some());
        assert!(life.configuration.is_current());
        life.end().await;
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_used_leaves_the_last_good_one_in_place_and_is_told() {
    let home = Home::new();
    let good = upstream("a", "http://127.0.0.1:1/v1", &SEAL_KEY);
    let feed = Feed::at(5, vec![good.clone()]);
    let life = home.follow(&feed);
    feed.everywhere(5).await;
    let rows = [
        (upstream("a", "nowhere", &SEAL_KEY), "upstream a: its base_url is no http"),
        (upstream("a", "ftp://127.0.0.1/v1", &SEAL_KEY), "upstream a: its base_url is no http"),
        (upstream("a", "http://127.0.0.1:2/v1", &[9; 32]), "upstream a: its credential does not"),
        (org(3, "lost"), "org 3: its entity global is not here"),
    ];
    let mut at = 5;
    for (bad, reason) in rows {
        feed.publish(delta(at, vec![bad]));
        at += 1;
        feed.everywhere(at).await;
        until(reason, || feed.rejects().iter().any(|told| told.starts_with(reason))).await;
        let applied = life.configuration.snapshot();
        assert_eq!(Change::Upstream((*applied.upstreams["a"]).clone()), good);
        assert!(applied.orgs.is_empty());
    }
    let mended = vec![entity("global"), Change::Plan(plan()), org(3, "found"), good.clone()];
    feed.publish(delta(at, mended));
    feed.everywhere(at + 1).await;
    until("nothing is wrong any more", || feed.rejects().is_empty()).await;
    assert_eq!(life.configuration.snapshot().orgs.len(), 1);
}

#[tokio::test]
async fn in_a_whole_snapshot_too_a_bad_object_leaves_the_last_good_one_and_the_rest_is_taken() {
    let home = Home::new();
    let good = upstream("a", "http://127.0.0.1:1/v1", &SEAL_KEY);
    let before = Feed::at(5, vec![good.clone(), upstream("b", "http://127.0.0.1:1", &SEAL_KEY)]);
    let life = home.follow(&before);
    before.everywhere(5).await;
    life.end().await;
    before.vanish();

    let bad = upstream("a", "http://127.0.0.1:2/v1", &[9; 32]);
    let after = Feed::at(9, vec![bad, upstream("c", "http://127.0.0.1:1", &SEAL_KEY)]);
    let life = home.follow(&after);
    after.everywhere(9).await;
    let applied = life.configuration.snapshot();
    let mut names: Vec<_> = applied.upstreams.keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["a", "c"], "b is gone by the snapshot, a is the last good one");
    assert_eq!(Change::Upstream((*applied.upstreams["a"]).clone()), good);
    until("it is told", || after.rejects().len() == 1).await;
    life.end().await;

    // Only a new snapshot can tell what is missing: the next life asks for one.
    let (again, keeper) = Configuration::open(home.settings.clone()).unwrap();
    assert_eq!((again.revision(), keeper.applied()), (revision(9), None));
    assert!(again.is_current());
}

#[tokio::test]
async fn a_snapshot_that_would_delete_most_keys_is_held_back_told_and_applied_when_it_comes_again()
{
    let mut home = Home::new();
    home.settings.guard.held_back_for = Duration::from_millis(300);
    let before = Feed::at(5, many_keys(100));
    let life = home.follow(&before);
    before.everywhere(5).await;
    life.end().await;
    before.vanish();

    let after = Feed::at(2_000, many_keys(40));
    let life = home.follow(&after);
    until("it is told", || after.rejects().iter().any(|it| it.contains("60 of 100 keys"))).await;
    assert_eq!((life.configuration.key_count(), life.configuration.revision().rev), (100, 5));
    after.everywhere(2_000).await;
    assert_eq!(life.configuration.key_count(), 40);
    until("all is well", || after.rejects().is_empty()).await;
}

#[tokio::test]
async fn a_push_that_is_mended_while_it_is_held_back_never_shows() {
    let mut home = Home::new();
    home.settings.guard.held_back_for = Duration::from_millis(300);
    let feed = Feed::at(5, many_keys(100));
    let life = home.follow(&feed);
    feed.everywhere(5).await;
    let gone = (1..=90).map(|uid| Change::Tombstone(Tombstone::Key(KeyUid(uid)))).collect();
    feed.publish(delta(5, gone));
    until("it is told", || feed.rejects().iter().any(|it| it.contains("90 of 100 keys"))).await;
    let back = (1..=90_u8).map(|number| Change::Key(key(i64::from(number), number))).collect();
    feed.publish(delta(6, back));
    let watching = async {
        while life.configuration.revision() != revision(7) {
            assert_eq!(life.configuration.key_count(), 100);
            tokio::task::yield_now().await;
        }
    };
    soon(watching).await;
    assert_eq!(life.configuration.key_count(), 100);
}

#[tokio::test]
async fn another_state_under_the_same_revision_is_noticed_and_mended_by_a_snapshot() {
    let home = Home::new();
    let before = Feed::at(5, many_keys(3));
    let life = home.follow(&before);
    before.everywhere(5).await;
    life.end().await;
    before.vanish();

    // A restored database that came to the same number by another way.
    let mut other = many_keys(3);
    other[4] = Change::Key(Key { disabled: true, ..key(2, 2) });
    let after = Feed::at(5, other);
    let life = home.follow(&after);
    assert!(!life.configuration.key(&digest(2)).unwrap().key.disabled);
    until("it is mended", || life.configuration.key(&digest(2)).unwrap().key.disabled).await;
    assert_eq!((life.configuration.key_count(), life.configuration.revision()), (3, revision(5)));
    after.publish(delta(5, vec![Change::Key(key(4, 4))]));
    after.everywhere(6).await;
    assert_eq!(life.configuration.key_count(), 4);
}

#[tokio::test]
async fn a_control_plane_that_has_lost_revisions_confirms_nothing() {
    let mut home = Home::new();
    home.settings.age_max = Duration::from_millis(400);
    let before = Feed::at(9, many_keys(3));
    let life = home.follow(&before);
    before.everywhere(9).await;
    life.end().await;
    before.vanish();

    let restored = Feed::at(4, many_keys(1));
    let life = home.follow(&restored);
    until("it ages although it is connected", || {
        let is_connected = !restored.publisher.data_planes().is_empty();
        is_connected && !life.configuration.is_current()
    })
    .await;
    assert_eq!((life.configuration.key_count(), life.configuration.revision().rev), (3, 9));
}
