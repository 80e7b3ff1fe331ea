//! A rolling restart of data planes under load: clients that go to the next one when a connection is refused or closed, or they are told
//! to, notice nothing else.

use super::NOISE;
use integration_tests::{Load, SplitGateway, eventually, load_factor};

#[tokio::test]
async fn a_rolling_restart_of_three_data_planes_loses_no_request() {
    let settings = [
        ("TURNPIKE__DATA_PLANE__DRAIN__GRACE", "300 ms"),
        ("TURNPIKE__DATA_PLANE__MONEY__WAIT_MAX", "20 s"),
    ];
    let split = SplitGateway::start(&settings).await;
    let org = split.new_org("rolling", "50.00 USD").await;
    let mut planes = ["one", "two", "three"].map(|name| split.another_plane(name));
    for plane in &mut planes {
        plane.start().await;
        plane.knows(&org.key).await;
    }
    let addresses = planes.each_ref().map(|plane| plane.client().address().to_owned());
    let mut load = Load::start(&addresses, &org.key, 12 * load_factor());
    for _ in 0..2 {
        for plane in &mut planes {
            load.serves(24).await;
            plane.stop().await;
            load.serves(24).await;
            plane.start().await;
        }
    }
    load.serves(24).await;
    let told = load.end().await;
    assert!(told.cut.is_empty() && told.refused.is_empty(), "{:?} {:?}", told.cut, told.refused);
    let stops = told.sent_away.iter().all(|refusal| refusal.contains("is stopping"));
    assert!(stops, "{:?}", told.sent_away);
    for plane in &mut planes {
        plane.stop().await;
        assert!(!plane.said().contains(NOISE), "{}", plane.said());
        // What it had not shipped when it ended, it ships now.
        plane.start().await;
    }

    // Each answer has one event, and nothing else has: what was closed or refused had never begun.
    let (admin, served) = (split.admin(), told.served.len());
    let rows = eventually("every request is billed", async || {
        let rows = admin.usage("rolling").await;
        (rows.len() >= served).then_some(rows)
    })
    .await;
    assert!(rows.iter().all(|row| row["outcome"] == "completed"), "{rows:?}");
    admin.reconciled_with(u64::try_from(served).unwrap()).await;
}
