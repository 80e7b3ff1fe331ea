//! What the publisher knows of the data planes that follow its feed.

use crate::carrier::{Carrier, Site};
use crate::feed::{feed, published, status, subscribe};
use crate::objects::{delta, rev};
use crate::over_every_carrier;
use domain::id::Revision;
use links::feed::{FeedUpdate, PublisherSettings};

over_every_carrier! {
    an_ack_is_seen_and_can_be_waited_for,
    a_data_plane_that_leaves_is_not_waited_for,
    of_two_data_planes_with_one_name_the_newer_speaks,
    rejects_are_told_again_to_the_next_control_plane,
    more_rejects_than_fit_are_counted,
}

async fn an_ack_is_seen_and_can_be_waited_for(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let (mut a, mut b) = (subscribe(&site, "a", None), subscribe(&site, "b", None));
    for subscriber in [&mut a, &mut b] {
        assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { .. }));
    }
    assert_eq!(
        publisher.data_planes(),
        [status("a", Revision::default(), &[]), status("b", Revision::default(), &[])]
    );
    let everywhere = publisher.applied_everywhere(rev(2));
    tokio::pin!(everywhere);
    a.ack(rev(2), vec!["model x/y: no upstream".into()]);
    while publisher.data_planes()[0].applied != rev(2) {
        assert!(futures::poll!(&mut everywhere).is_pending(), "b has not acked");
        tokio::task::yield_now().await;
    }
    assert!(futures::poll!(&mut everywhere).is_pending(), "b has not acked");
    b.ack(rev(2), Vec::new());
    everywhere.await;
    assert_eq!(
        publisher.data_planes(),
        [status("a", rev(2), &["model x/y: no upstream"]), status("b", rev(2), &[])]
    );
    a.ack(rev(2), Vec::new());
    while publisher.data_planes()[0] != status("a", rev(2), &[]) {
        tokio::task::yield_now().await;
    }
}

async fn a_data_plane_that_leaves_is_not_waited_for(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", None);
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { .. }));
    assert_eq!(publisher.data_planes().len(), 1);
    drop(subscriber);
    publisher.applied_everywhere(rev(2)).await;
    assert_eq!(publisher.data_planes(), []);
}

async fn of_two_data_planes_with_one_name_the_newer_speaks(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut older = subscribe(&site, "dp", None);
    assert!(matches!(older.next().await, FeedUpdate::Snapshot { .. }));
    let mut newer = subscribe(&site, "dp", None);
    assert!(matches!(newer.next().await, FeedUpdate::Snapshot { .. }));

    // Both are served; the older one's ack does not count.
    older.ack(rev(2), Vec::new());
    publisher.publish(delta(3, Vec::new())).unwrap();
    assert_eq!(older.next().await, FeedUpdate::Delta(delta(3, Vec::new())));
    assert_eq!(newer.next().await, FeedUpdate::Delta(delta(3, Vec::new())));
    newer.ack(rev(3), Vec::new());
    publisher.applied_everywhere(rev(3)).await;
    assert_eq!(publisher.data_planes(), [status("dp", rev(3), &[])]);

    // Once the newer one is gone, the older one speaks again.
    drop(newer);
    publisher.applied_everywhere(rev(9)).await;
    older.ack(rev(3), vec!["still here".into()]);
    while publisher.data_planes() != [status("dp", rev(3), &["still here"])] {
        tokio::task::yield_now().await;
    }
}

async fn rejects_are_told_again_to_the_next_control_plane(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let before = published(2, PublisherSettings::default());
    let running = site.serve(feed(&before)).await;
    let mut subscriber = subscribe(&site, "dp", None);
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { .. }));
    subscriber.ack(rev(2), vec!["plan p1: odd".into()]);
    before.close();
    site.stop(running).await;

    let after = published(2, PublisherSettings::default());
    let _running = site.serve(feed(&after)).await;
    while after.data_planes() != [status("dp", rev(2), &["plan p1: odd"])] {
        tokio::task::yield_now().await;
    }
}

async fn more_rejects_than_fit_are_counted(carrier: Carrier) {
    let mut site = Site::new(carrier).await;
    let publisher = published(2, PublisherSettings::default());
    let _running = site.serve(feed(&publisher)).await;
    let mut subscriber = subscribe(&site, "dp", None);
    assert!(matches!(subscriber.next().await, FeedUpdate::Snapshot { .. }));
    subscriber.ack(rev(2), vec!["x".repeat(100_000); 100]);
    publisher.applied_everywhere(rev(2)).await;
    let rejects = publisher.data_planes().remove(0).rejects;
    assert_eq!(rejects.len(), 3);
    assert_eq!(rejects[2], "and 98 more");
}
