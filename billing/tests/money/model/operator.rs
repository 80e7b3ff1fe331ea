//! What operators do: top-ups, credit limits and budgets, done to both databases.

use super::life::Holder;
use super::world::{budget, nano, usd, wallet};
use super::{LIARS_PLACE, Run, real, until};
use billing::accounts::{self, AccountError};
use billing::desk::DeskSettings;
use billing::{CreditOrder, ForgetOrder};
use domain::escrow::life::Patience;
use domain::id::OrgUid;
use domain::money::{Money, Nano};
use proptest::sample::Index;
use proto::admin::v1::{KeySpec, OrgSpec};
use std::time::Duration;

impl Run {
    pub(super) async fn credit(&mut self, org: i64, amount: i64) {
        let order = CreditOrder {
            org: OrgUid(org),
            amount: Money { amount: nano(amount), currency: usd() },
            idempotency_key: format!("order-{}", self.orders.len()),
        };
        self.orders.push(order.clone());
        self.post(order).await;
    }

    pub(super) async fn post(&mut self, order: CreditOrder) {
        let (org, amount) = (order.org.0, order.amount.amount);
        let is_new = self.books.credit(org, amount, &order.idempotency_key);
        assert_eq!(self.world.post(order).await.unwrap(), is_new);
    }

    pub(super) async fn set_credit_limit(&mut self, org: i64, limit: i64) {
        let (account, limit) = (wallet(org), nano(limit));
        let least = self.books.set_credit_limit(account, limit);
        let mut write = self.world.database.write().await.unwrap();
        let outcome = accounts::set_credit_limit(&mut write, account, limit).await;
        assert_eq!(too_low(outcome), least);
        if least.is_none() {
            let credit_limit = format!("{limit} USD");
            let spec = OrgSpec { credit_limit, ..OrgSpec::default() };
            real::configure(&mut write, org, &spec).await;
        }
        write.commit().await.unwrap();
    }

    pub(super) async fn set_budget(&mut self, delta: i64) {
        let (account, delta) = (budget(1, 11), nano(delta));
        let least = self.books.set_budget(account, delta);
        let mut write = self.world.database.write().await.unwrap();
        let outcome = accounts::set_budget(&mut write, account, delta).await;
        assert_eq!(too_low(outcome), least);
        if least.is_none() {
            let budget = format!("{} USD", self.books.accounts.get(&account).unwrap().credited);
            let spec = KeySpec { org: "org-1".to_owned(), budget, ..KeySpec::default() };
            real::configure(&mut write, 11, &spec).await;
        }
        write.commit().await.unwrap();
    }
}

impl Run {
    /// What it held is its accounts' again. It may live all the same, and go on.
    pub(super) async fn forget(&mut self, life: Index) {
        let lives = self.ended.iter().chain(&self.lives[..LIARS_PLACE]);
        let holders: Vec<Holder> = lives.map(|life| life.holder).collect();
        let holder = holders[life.index(holders.len())];
        let order = ForgetOrder {
            data_plane: holder.name.to_owned(),
            incarnation: Some(holder.incarnation),
            reason: "its machine burnt".to_owned(),
        };
        // Whoever said Hello a moment ago is silent enough.
        let patience =
            Patience { live_within: Duration::ZERO, ..DeskSettings::default().patience() };
        let mut write = self.world.database.write().await.unwrap();
        billing::forget(&mut write, &order, &patience).await.unwrap();
        write.commit().await.unwrap();
        self.books.give_up(holder);
        let Holder { name, incarnation } = holder;
        let state = format!(
            "SELECT state FROM life WHERE data_plane = '{name}' AND incarnation = {incarnation}"
        );
        until("it is given up", async || self.world.table(&state).await == ["given-up"]).await;
    }
}

/// What is the least that would do, where that is why it was refused.
fn too_low(outcome: Result<(), AccountError>) -> Option<Nano> {
    match outcome {
        Ok(()) => None,
        Err(AccountError::TooLow { least }) => Some(least),
        Err(other) => panic!("{other}"),
    }
}
