//! Two desks on one database, as two control planes are: money that lies idle at a data plane of the other one comes back
//! before anyone is refused.

use crate::on_postgres::desk::{hasty, open, report};
use crate::on_postgres::world::{Amounts, World, wallet};
use billing::desk::DeskSettings;
use links::escrow::{DenialReason, ToDataPlane};
use std::time::Duration;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);

async fn world(posted: i64) -> World {
    let world = World::new().await;
    world.credit(1, posted, "a").await;
    world
}

#[tokio::test]
async fn idle_money_is_recalled_from_a_data_plane_of_another_desk() {
    let world = world(1000).await;
    let patient = DeskSettings { recall_wait: LONG, ..DeskSettings::default() };
    let (here, there) = (open(&world, patient), open(&world, patient));
    let mut rich = there.connect("rich", 1, &[]).await;
    rich.want(1, wallet(1), 900, 900);
    assert_eq!(rich.granted(1).await, (900, 100));

    let mut poor = here.connect("poor", 1, &[]).await;
    poor.want(1, wallet(1), 500, 500);
    assert_eq!(rich.next().await, ToDataPlane::Recall(wallet(1)));
    // Not enough yet: the want waits on.
    rich.report(report(wallet(1), 900, 300));
    rich.report(report(wallet(1), 900, 800));
    assert_eq!(poor.granted(1).await, (500, 400));
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 1000, held: 600 });
    // One want, one recall, however often it was tried.
    assert_eq!(world.number("SELECT seq FROM recall_head").await, 1);
    world.assert_sound().await;
}

#[tokio::test]
async fn nobody_waits_for_a_data_plane_that_no_desk_hears_of() {
    let world = world(1000).await;
    let patient = DeskSettings { recall_wait: LONG, ..DeskSettings::default() };
    let (here, there) = (open(&world, patient), open(&world, patient));
    let mut rich = there.connect("rich", 1, &[]).await;
    rich.want(1, wallet(1), 900, 900);
    rich.granted(1).await;
    drop((rich, there));
    world.run(["UPDATE life SET heard_us = heard_us - 60000000 WHERE data_plane = 'rich'"]).await;
    let mut poor = here.connect("poor", 1, &[]).await;
    poor.want(1, wallet(1), 500, 500);
    assert_eq!(poor.denied(1).await, (DenialReason::InFlight, 100));
    assert_eq!(world.number("SELECT seq FROM recall_head").await, 0);
}

#[tokio::test]
async fn who_keeps_its_money_elsewhere_makes_it_in_flight() {
    let world = world(1000).await;
    let (here, there) = (open(&world, hasty()), open(&world, hasty()));
    let mut rich = there.connect("rich", 1, &[]).await;
    rich.want(1, wallet(1), 900, 900);
    rich.granted(1).await;
    let mut poor = here.connect("poor", 1, &[]).await;
    poor.want(1, wallet(1), 500, 500);
    assert_eq!(poor.denied(1).await, (DenialReason::InFlight, 100));
    assert_eq!(rich.next().await, ToDataPlane::Recall(wallet(1)));
    world.assert_sound().await;
}

#[tokio::test]
async fn what_is_free_is_shared_by_the_data_planes_of_all_desks() {
    let world = world(1000).await;
    let (here, there) = (open(&world, hasty()), open(&world, hasty()));
    let _others = [there.connect("a", 1, &[]).await, there.connect("b", 1, &[]).await];
    let mut plane = here.connect("c", 1, &[]).await;
    // A desk counts every second; three data planes have an eighth each.
    let mut want_id = 0;
    loop {
        want_id += 1;
        plane.want(want_id, wallet(1), 1, 1000);
        let (total, free) = plane.granted(want_id).await;
        plane.report(report(wallet(1), total, total));
        if total > 0 && world.number("SELECT COUNT(*) FROM life").await == 3 && free == 875 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(want_id < 400, "the desk never counted all three");
    }
}
