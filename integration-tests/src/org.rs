//! Customers made for one test.

use crate::cli::Cli;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::http::Request;
use crate::patience::eventually;

/// A customer with a key.
#[derive(Clone, Debug)]
pub struct OrgHandle {
    /// Its name.
    pub name: String,
    /// The secret of its key.
    pub key: String,
}

/// What a new customer shall be like.
#[derive(Clone, Copy, Debug)]
pub struct NewOrg<'a> {
    /// Its name.
    pub name: &'a str,
    /// Who sells to it.
    pub entity: &'a str,
    /// Its plan.
    pub plan: &'a str,
    /// Who it is to us, for markup.
    pub audience: &'a str,
    /// What is posted to its wallet, for instance `10.00 USD`; nothing if empty.
    pub credit: &'a str,
    /// Most that its key may spend; unlimited if empty.
    pub key_budget: &'a str,
}

impl<'a> NewOrg<'a> {
    /// A customer of `global` on the plan `demo`, without money.
    #[must_use]
    pub const fn named(name: &'a str) -> Self {
        Self {
            name,
            entity: "global",
            plan: "demo",
            audience: "standard",
            credit: "",
            key_budget: "",
        }
    }
}

impl Gateway {
    /// A customer of `global` on the plan `demo`, with money and a key.
    pub async fn new_org(&self, name: &str, credit: &str) -> OrgHandle {
        self.create_org(NewOrg { credit, ..NewOrg::named(name) }).await
    }

    /// A customer, known to the data plane.
    pub async fn create_org(&self, org: NewOrg<'_>) -> OrgHandle {
        create(&self.admin(), &self.client(), org).await
    }

    /// Waits until the data plane knows a key.
    pub async fn knows(&self, key: &str) {
        knows(&self.client(), key).await;
    }
}

/// A customer, known to the data plane.
pub(crate) async fn create(admin: &Cli, client: &Client, org: NewOrg<'_>) -> OrgHandle {
    let NewOrg { name, entity, plan, audience, credit, key_budget } = org;
    let spec = format!("{{entity: {entity}, plan: {plan}, audience: {audience}}}");
    admin.apply(&format!("kind: Org\nname: {name}\nspec: {spec}\n")).await;
    if !credit.is_empty() {
        let credited = admin.run(&["org", "credit", name, credit]).await;
        assert_eq!(credited.status, 0, "{}", credited.stderr);
    }
    let mut arguments = vec!["key", "create", "--org", name, "-o", "json"];
    if !key_budget.is_empty() {
        arguments.extend(["--budget", key_budget]);
    }
    let key = admin.json(&arguments).await;
    let key = key["secret"].as_str().unwrap().to_owned();
    knows(client, &key).await;
    OrgHandle { name: name.to_owned(), key }
}

/// Waits until the data plane of a client knows a key.
pub(crate) async fn knows(client: &Client, key: &str) {
    let request = Request::get("/v1/models").bearer(key);
    eventually("the data plane knows the key", async || {
        let reply = client.try_send(&request).await.unwrap();
        (reply.status == 200).then_some(())
    })
    .await;
}
