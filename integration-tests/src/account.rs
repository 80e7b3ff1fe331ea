//! A customer whose books are checked after every request, to the nano-unit: the lines of the bill make the charge, and the
//! charge is what the balance fell by.

use crate::gateway::Gateway;
use crate::money::{nano, units};
use crate::org::OrgHandle;
use serde_json::Value;

/// Nano-units per million of a price.
const MILLION: i128 = 1_000_000;

/// A customer of `global` with money and a key, and what the ledger must say of it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name and its key.
    pub org: OrgHandle,
    /// What must be left.
    pub posted: i64,
}

/// The bill of one request.
#[derive(Clone, Debug)]
pub struct Bill(pub Value);

impl Account {
    /// A new customer with so many US dollars.
    pub async fn open(gateway: &Gateway, name: &str, dollars: i64) -> Self {
        let org = gateway.new_org(name, &format!("{dollars}.00 USD")).await;
        Self { org, posted: units(dollars) }
    }

    /// The bill of its latest request: everything about it adds up, and the balance fell by just that.
    pub async fn charged(&mut self, gateway: &Gateway, request_id: &str) -> Bill {
        self.all_charged(gateway, &[request_id]).await.remove(0)
    }

    /// The bills of all requests since the balance was last looked at.
    pub async fn all_charged(&mut self, gateway: &Gateway, request_ids: &[&str]) -> Vec<Bill> {
        let mut bills = Vec::new();
        for request_id in request_ids {
            let bill = Bill(gateway.admin().bill(request_id).await);
            bill.adds_up();
            self.posted -= bill.charge();
            bills.push(bill);
        }
        let balance = gateway.admin().balance(&self.org.name).await;
        assert_eq!(balance.posted, self.posted, "the balance follows the bills: {bills:?}");
        assert!(balance.free >= 0 && balance.held >= 0, "{balance:?}");
        bills
    }
}

impl Bill {
    fn lines(&self) -> &[Value] {
        self.0["lines"].as_array().map_or(&[], Vec::as_slice)
    }

    fn line(&self, class: &str) -> Option<&Value> {
        self.lines().iter().find(|line| line["class"] == class)
    }

    /// Lines add up to charge and loss, and each is its quantity times its price, give or take the one rounding.
    fn adds_up(&self) {
        let sum: i64 = self.lines().iter().map(|line| nano(&line["amount_nano"])).sum();
        assert_eq!(sum, self.charge() + self.uncollected(), "{}", self.0);
        for line in self.lines() {
            let unit = i128::from(nano(&line["unit_nano_per_million"]));
            let exact = unit * i128::from(nano(&line["quantity"]));
            let amount = i128::from(nano(&line["amount_nano"])) * MILLION;
            assert!((exact - amount).abs() < MILLION, "{line}");
        }
    }

    /// What the customer pays.
    #[must_use]
    pub fn charge(&self) -> i64 {
        nano(&self.0["charge_nano"])
    }

    /// What it cost beyond that, and the company pays.
    #[must_use]
    pub fn uncollected(&self) -> i64 {
        nano(&self.0["uncollected_nano"])
    }

    /// How much of a class.
    #[must_use]
    pub fn quantity(&self, class: &str) -> i64 {
        self.line(class).map_or(0, |line| nano(&line["quantity"]))
    }

    /// How the quantity of a class is known; empty when there is none.
    #[must_use]
    pub fn provenance(&self, class: &str) -> &str {
        self.line(class).and_then(|line| line["provenance"].as_str()).unwrap_or_default()
    }

    /// How the request ended.
    #[must_use]
    pub fn outcome(&self) -> &str {
        self.0["outcome"].as_str().unwrap_or_default()
    }

    /// The upstream's numbers contradicted themselves or what was seen.
    #[must_use]
    pub fn is_anomalous(&self) -> bool {
        self.0["usage_anomaly"] == true
    }

    /// Why each attempt failed, in order; empty for the one that did not.
    #[must_use]
    pub fn attempts(&self) -> Vec<&str> {
        let attempts = self.0["attempts"].as_array().map_or(&[][..], Vec::as_slice);
        attempts.iter().map(|attempt| attempt["error"].as_str().unwrap_or_default()).collect()
    }
}
