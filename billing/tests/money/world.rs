//! A database with orgs, keys and a price, and what tests ask of it.

use billing::accounts;
use billing::{Balance, CreditError, CreditOrder, Credited, Difference, credit, reconcile};
use domain::id::{Account, KeyUid, OrgUid};
use domain::money::{Currency, Money, Nano};
use domain::time::Timestamp;
use prost::Message;
use proto::admin::v1::{KeySpec, OrgSpec};
use proto::feed::v1::SellPrice;
use servers::Place;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use storage::{Database, Insert, Write};

pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

/// Orgs 1 to 3 (`org-1`…) pay in USD; key 11 of org 1 has a budget.
pub(crate) struct World {
    pub(crate) database: Database,
    _place: Option<Place>,
}

pub(crate) fn nano(amount: i64) -> Nano {
    Nano::new(amount).unwrap()
}

pub(crate) fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

pub(crate) fn wallet(org: i64) -> Account {
    Account::Wallet(OrgUid(org))
}

pub(crate) fn budget(org: i64, key: i64) -> Account {
    Account::Budget(OrgUid(org), KeyUid(key))
}

/// An account's amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) posted: i64,
    pub(crate) held: i64,
}

impl World {
    pub(crate) async fn new() -> Self {
        let place = super::kind().place().await;
        let world = Self::at(&place.url()).await;
        Self { _place: Some(place), ..world }
    }

    /// In a database that holds nothing yet, and outlives it.
    pub(crate) async fn at(url: &str) -> Self {
        let database = Database::open(url).await.unwrap();
        // On a server it is a copy of one that has the schema.
        if !database.is_shared() {
            database.migrate().await.unwrap();
        }
        let world = Self { database, _place: None };
        world.add_price(1, &super::events::price()).await;
        for org in 1..=3 {
            world.add_org(org, "").await;
        }
        world.add_key(1, 11, 1000).await;
        world
    }

    pub(crate) async fn add_org(&self, org: i64, credit_limit: &str) {
        let limit = match credit_limit {
            "" => Nano::ZERO,
            text => Money::parse(text).unwrap().amount,
        };
        let mut write = self.database.write().await.unwrap();
        let spec = OrgSpec { credit_limit: credit_limit.to_owned(), ..OrgSpec::default() };
        add_object(&mut write, "Org", org, &format!("org-{org}"), &spec.encode_to_vec()).await;
        accounts::open(&mut write, wallet(org), usd(), Nano::ZERO, limit).await.unwrap();
        write.commit().await.unwrap();
    }

    /// A key with a budget.
    pub(crate) async fn add_key(&self, org: i64, key: i64, may_spend: i64) {
        let mut write = self.database.write().await.unwrap();
        let text = format!("{} USD", nano(may_spend));
        let spec = KeySpec { org: format!("org-{org}"), budget: text, ..KeySpec::default() };
        let name = format!("org-{org}/key-{key}");
        add_object(&mut write, "Key", key, &name, &spec.encode_to_vec()).await;
        accounts::open(&mut write, budget(org, key), usd(), nano(may_spend), Nano::ZERO)
            .await
            .unwrap();
        write.commit().await.unwrap();
    }

    pub(crate) async fn add_price(&self, revision: i64, price: &SellPrice) {
        const PRICE: Insert = Insert::into(
            "price",
            &["revision", "model", "upstream", "entity", "audience", "org", "body"],
        );
        let mut write = self.database.write().await.unwrap();
        PRICE
            .rows(&mut write, &[()], |statement, ()| {
                statement
                    .bind(revision)
                    .bind("demo/chat")
                    .bind("demo-a")
                    .bind(price.entity.clone())
                    .bind(price.audience.clone())
                    .bind(price.org.clone())
                    .bind(hex::encode(price.encode_to_vec()))
            })
            .await
            .unwrap();
        write.commit().await.unwrap();
    }

    pub(crate) async fn credit(&self, org: i64, amount: i64, key: &str) {
        let order = CreditOrder {
            org: OrgUid(org),
            amount: Money { amount: nano(amount), currency: usd() },
            idempotency_key: key.to_owned(),
        };
        assert!(self.post(order).await.unwrap());
    }

    /// Posts a top-up; false: it had been posted before.
    pub(crate) async fn post(&self, order: CreditOrder) -> Result<bool, CreditError> {
        match credit(&self.database, order, NOW).await? {
            Credited::Repeated => Ok(false),
            Credited::Posted(write) => Ok(write.commit().await.map(|()| true)?),
        }
    }

    /// What a wallet holds, as its owner sees it.
    pub(crate) async fn balance(&self, org: i64) -> Option<Balance> {
        let mut read = self.database.read().await.unwrap();
        let balance = billing::balance(&mut read, OrgUid(org)).await.unwrap();
        read.finish().await.unwrap();
        balance
    }

    /// Gives a data plane a slice, as the desk would.
    pub(crate) async fn grant(&self, data_plane: &str, account: Account, amount: i64) {
        let (org, key) = account.uids();
        let mut write = self.database.write().await.unwrap();
        let held = sqlx::query(
            "UPDATE account SET held = held + $3 WHERE org_uid = $1 AND key_uid = $2
             AND held + $3 <= posted + credit_limit",
        )
        .bind(org)
        .bind(key)
        .bind(amount)
        .execute(&mut *write)
        .await
        .unwrap();
        assert_eq!(held.rows_affected(), 1, "{amount} are free");
        sqlx::query(
            "INSERT INTO slice (data_plane, incarnation, org_uid, key_uid, granted, released, settled,
                 unbacked)
             VALUES ($1, 7, $2, $3, $4, 0, 0, 0)
             ON CONFLICT (data_plane, incarnation, org_uid, key_uid)
             DO UPDATE SET granted = slice.granted + excluded.granted",
        )
        .bind(data_plane)
        .bind(org)
        .bind(key)
        .bind(amount)
        .execute(&mut *write)
        .await
        .unwrap();
        write.commit().await.unwrap();
    }

    pub(crate) async fn amounts(&self, account: Account) -> Amounts {
        let (org, key) = account.uids();
        let text = format!("SELECT * FROM account WHERE org_uid = {org} AND key_uid = {key}");
        let row = self.rows(&text).await.pop().unwrap();
        Amounts { posted: row.get("posted"), held: row.get("held") }
    }

    pub(crate) async fn rows(&self, statement: &str) -> Vec<AnyRow> {
        let mut read = self.database.read().await.unwrap();
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *read).await.unwrap();
        read.finish().await.unwrap();
        rows
    }

    pub(crate) async fn number(&self, statement: &str) -> i64 {
        self.rows(statement).await.pop().unwrap().get(0)
    }

    /// Rows as text, column by column, for comparing whole tables.
    pub(crate) async fn table(&self, statement: &str) -> Vec<String> {
        let text = |row: &AnyRow| {
            let value = |index| match row.try_get::<i64, _>(index) {
                Ok(number) => number.to_string(),
                Err(_) => row.get::<String, _>(index),
            };
            (0..row.len()).map(value).collect::<Vec<_>>().join("|")
        };
        self.rows(statement).await.iter().map(text).collect()
    }

    /// Changes rows behind everyone's back, constraints or not.
    pub(crate) async fn tamper(&self, statement: &str) {
        self.run([super::kind().unchecked(), statement]).await;
    }

    /// Runs statements that nobody else would.
    pub(crate) async fn run<'a>(&self, statements: impl IntoIterator<Item = &'a str>) {
        let mut write = self.database.write().await.unwrap();
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *write).await.unwrap();
        }
        write.commit().await.unwrap();
    }

    pub(crate) async fn differences(&self) -> Vec<Difference> {
        reconcile(&self.database, None).await.unwrap().differences
    }

    pub(crate) async fn assert_sound(&self) {
        let differences = self.differences().await;
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

async fn add_object(write: &mut Write, kind: &str, uid: i64, name: &str, spec: &[u8]) {
    let row =
        "INSERT INTO config_object (kind, name, uid, rev, spec, secret, created_us, updated_us)
        VALUES ($1, $2, $3, 1, $4, $5, 0, 0)";
    sqlx::query(row)
        .bind(kind)
        .bind(name)
        .bind(uid)
        .bind(hex::encode(spec))
        // No two keys have one digest.
        .bind(format!("{uid:032x}"))
        .execute(&mut **write)
        .await
        .unwrap();
}
