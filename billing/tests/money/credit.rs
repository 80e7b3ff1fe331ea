//! Top-ups.

use super::world::{Amounts, World, nano, usd, wallet};
use billing::accounts::{self, AccountError};
use billing::{CreditError, CreditOrder};
use domain::id::OrgUid;
use domain::money::{Currency, Money, NANO_LIMIT, Nano};

fn order(org: i64, amount: i64, key: &str) -> CreditOrder {
    CreditOrder {
        org: OrgUid(org),
        amount: Money { amount: nano(amount), currency: usd() },
        idempotency_key: key.to_owned(),
    }
}

#[tokio::test]
async fn a_top_up_counts_once_per_key() {
    let world = World::new().await;
    for is_new in [true, false, false] {
        assert_eq!(world.post(order(1, 500, "a")).await.unwrap(), is_new);
    }
    world.post(order(1, 500, "b")).await.unwrap();
    let balance = world.balance(1).await.unwrap();
    assert_eq!((balance.posted, balance.held, balance.free), (nano(1000), Nano::ZERO, nano(1000)));
    assert_eq!(world.number("SELECT COUNT(*) FROM ledger_transaction").await, 2);
    world.assert_sound().await;
}

#[tokio::test]
async fn many_at_once_with_one_key_count_once() {
    let world = World::new().await;
    let tries = (0..20).map(|_| world.post(order(1, 500, "a")));
    let outcomes = futures::future::join_all(tries).await;
    let posted = outcomes.iter().filter(|posted| *posted.as_ref().unwrap()).count();
    assert_eq!(posted, 1);
    assert_eq!(world.amounts(wallet(1)).await, Amounts { posted: 500, held: 0 });
    world.assert_sound().await;
}

#[tokio::test]
async fn a_key_that_stands_for_another_top_up_is_refused() {
    let world = World::new().await;
    world.post(order(1, 500, "a")).await.unwrap();
    for other in [order(1, 501, "a"), order(2, 500, "a")] {
        let error = world.post(other).await.unwrap_err();
        assert!(matches!(error, CreditError::KeyReused(_)), "{error:?}");
    }
    assert_eq!(world.amounts(wallet(1)).await.posted, 500);
    assert_eq!(world.amounts(wallet(2)).await.posted, 0);
}

#[tokio::test]
async fn what_cannot_be_credited_leaves_nothing() {
    let world = World::new().await;
    world.credit(2, NANO_LIMIT, "full").await;
    let twd = Money { amount: nano(5), currency: Currency::parse("TWD").unwrap() };
    let table = [
        (order(1, 0, "a"), "the amount must be more than nothing"),
        (order(1, -5, "a"), "the amount must be more than nothing"),
        (order(9, 5, "a"), "the org has no wallet"),
        (CreditOrder { amount: twd, ..order(1, 5, "a") }, "the wallet is kept in USD, not in TWD"),
        (order(2, 1, "a"), "the balance would be out of range (more than 4 billion units)"),
        (order(1, 5, ""), "the idempotency key must have 1 to 200 printable characters"),
        (order(1, 5, "a\0"), "the idempotency key must have 1 to 200 printable characters"),
        (
            order(1, 5, &"x".repeat(201)),
            "the idempotency key must have 1 to 200 printable characters",
        ),
    ];
    for (order, message) in table {
        let error = world.post(order.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), message, "{order:?}");
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM ledger_transaction").await, 1);
    assert_eq!(world.amounts(wallet(1)).await.posted, 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn accounts_are_opened_once_and_their_limits_cover_what_is_held() {
    let world = World::new().await;
    world.add_org(4, "0.000000100 USD").await;
    world.grant("dp", wallet(4), 60).await;
    let mut write = world.database.write().await.unwrap();

    accounts::open(&mut write, wallet(4), usd(), Nano::ZERO, nano(7)).await.unwrap();
    let twd = Currency::parse("TWD").unwrap();
    let error = accounts::open(&mut write, wallet(4), twd, Nano::ZERO, Nano::ZERO).await;
    assert!(matches!(error.unwrap_err(), AccountError::Currency(currency) if currency == usd()));
    let error = accounts::open(&mut write, wallet(5), usd(), nano(1), Nano::ZERO).await;
    assert!(matches!(error.unwrap_err(), AccountError::WalletNotEmpty));

    let error = accounts::set_credit_limit(&mut write, wallet(4), nano(59)).await.unwrap_err();
    assert!(matches!(error, AccountError::TooLow { least } if least == nano(60)), "{error:?}");
    accounts::set_credit_limit(&mut write, wallet(4), nano(60)).await.unwrap();
    let error = accounts::set_credit_limit(&mut write, wallet(9), nano(60)).await.unwrap_err();
    assert!(matches!(error, AccountError::Unknown));

    let budget = super::world::budget(1, 11);
    let error = accounts::set_budget(&mut write, budget, nano(-1001)).await.unwrap_err();
    assert!(matches!(error, AccountError::TooLow { least } if least == nano(-1000)), "{error:?}");
    accounts::set_budget(&mut write, budget, nano(-1000)).await.unwrap();
    accounts::set_budget(&mut write, budget, nano(1000)).await.unwrap();
    write.rollback().await.unwrap();
    assert_eq!(world.amounts(wallet(4)).await, Amounts { posted: 0, held: 60 });
}
