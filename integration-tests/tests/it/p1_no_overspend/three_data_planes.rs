//! The same over three data planes, which are killed and stand still meanwhile.

use integration_tests::Spree;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_clients_of_three_data_planes_spend_a_wallet_worth_a_hundred_requests() {
    let Spree { credit, left, served, looks } = Spree::of(300, 100).await;
    assert!(looks > 20, "{looks} looks at the money are too few to see anything");
    assert!((0..=credit / 10).contains(&left), "{left} of {credit} are left");
    assert!(served <= 100, "{served} requests were served");
}
