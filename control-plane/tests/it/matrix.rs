//! Every method × every role × every scope × what is one's own, a sibling's and a foreigner's, over the real server. The
//! methods come from the descriptors, what is expected from the table here: a method without a row fails the test.

mod calls;

use super::harness::Rig;
use super::people::{ORGS, ROLES, SCOPES, call, entity, hire, key, org, rule, town};
use super::samples;
use prost::Message;
use prost_reflect::DescriptorPool;
use proto::admin::v1;
use std::collections::BTreeSet;
use tonic::Code;

/// A call and what becomes of it: `roles` (o, a, b, v) may make it at all; then for the scopes everything, entity `global`
/// and org `acme`: P passes, D is denied, N is not found.
struct Row {
    method: String,
    roles: &'static str,
    target: String,
    request: Vec<u8>,
    verdicts: &'static str,
}

fn row(
    method: &str,
    roles: &'static str,
    target: &str,
    request: &impl Message,
    verdicts: &'static str,
) -> Row {
    let (method, target) = (method.to_owned(), target.to_owned());
    Row { method, roles, target, request: request.encode_to_vec(), verdicts }
}

const ALL: &str = "oabv";
const CONFIGURE: &str = "oa";

/// The five calls of a kind: a new object, then objects that are there, each with its verdicts for get and for changes.
macro_rules! kind {
    (
        $rows:ident, $kind:ident $one:ident $list:literal $list_request:ident,
        $create:ident $get:ident $update:ident $delete:ident,
        new [$($new:expr => $new_verdicts:literal),*],
        old [$($old:expr => $get_verdicts:literal $change_verdicts:literal),*]
    ) => {{
        let kind = stringify!($kind);
        let method = |verb: &str| format!("{kind}Service/{verb}{kind}");
        $(
            let request =
                v1::$create { $one: Some($new), validate_only: true, ..Default::default() };
            $rows.push(row(&method("Create"), CONFIGURE, &$new.name, &request, $new_verdicts));
        )*
        $(
            let name = $old.name.clone();
            let request = v1::$get { name: name.clone() };
            $rows.push(row(&method("Get"), ALL, &name, &request, $get_verdicts));
            let request =
                v1::$update { $one: Some($old), validate_only: true, ..Default::default() };
            $rows.push(row(&method("Update"), CONFIGURE, &name, &request, $change_verdicts));
            let request =
                v1::$delete { name: name.clone(), validate_only: true, ..Default::default() };
            $rows.push(row(&method("Delete"), CONFIGURE, &name, &request, $change_verdicts));
        )*
        let list = v1::$list_request::default();
        $rows.push(row(&format!("{kind}Service/{}", $list), ALL, "", &list, "PPP"));
    }};
}

fn renamed<T>(mut message: T, rename: impl Fn(&mut T)) -> T {
    rename(&mut message);
    message
}

fn shared_rows(rows: &mut Vec<Row>) {
    kind!(rows, Plan plan "ListPlans" ListPlansRequest,
        CreatePlanRequest GetPlanRequest UpdatePlanRequest DeletePlanRequest,
        new [renamed(samples::plan(), |new| new.name = "new".to_owned()) => "PDD"],
        old [samples::plan() => "PPN" "PDN"]);
    kind!(rows, Upstream upstream "ListUpstreams" ListUpstreamsRequest,
        CreateUpstreamRequest GetUpstreamRequest UpdateUpstreamRequest DeleteUpstreamRequest,
        new [renamed(samples::upstream(), |new| new.name = "new".to_owned()) => "PDD"],
        old [samples::upstream() => "PPN" "PDN"]);
    kind!(rows, Model model "ListModels" ListModelsRequest,
        CreateModelRequest GetModelRequest UpdateModelRequest DeleteModelRequest,
        new [renamed(samples::model(), |new| new.name = "demo/new".to_owned()) => "PDD"],
        old [samples::model() => "PPN" "PDN"]);
    kind!(rows, PriceBook price_book "ListPriceBooks" ListPriceBooksRequest,
        CreatePriceBookRequest GetPriceBookRequest UpdatePriceBookRequest DeletePriceBookRequest,
        new [renamed(samples::price_book(), |new| { new.name = "new".to_owned(); new.spec = Some(v1::PriceBookSpec { currency: "USD".to_owned(), ..Default::default() }); }) => "PDD"],
        old [samples::price_book() => "PPN" "PDN"]);
    kind!(rows, FxRate fx_rate "ListFxRates" ListFxRatesRequest,
        CreateFxRateRequest GetFxRateRequest UpdateFxRateRequest DeleteFxRateRequest,
        new [renamed(samples::fx_rate(), |new| { new.name = "new".to_owned(); new.spec.as_mut().unwrap().quote = "EUR".to_owned(); }) => "PDD"],
        old [samples::fx_rate() => "PPN" "PDN"]);
}

fn owned_rows(rows: &mut Vec<Row>) {
    kind!(rows, Entity entity "ListEntities" ListEntitiesRequest,
        CreateEntityRequest GetEntityRequest UpdateEntityRequest DeleteEntityRequest,
        new [entity("new") => "PDD"],
        old [samples::entity() => "PPN" "PDN", entity("rival") => "PNN" "PNN"]);
    kind!(rows, MarkupRule markup_rule "ListMarkupRules" ListMarkupRulesRequest,
        CreateMarkupRuleRequest GetMarkupRuleRequest UpdateMarkupRuleRequest DeleteMarkupRuleRequest,
        new [rule("new", "global") => "PPD", rule("new-far", "rival") => "PDD", rule("new-all", "") => "PDD"],
        old [samples::markup_rule() => "PPN" "PDN", rule("of-global", "global") => "PPN" "PPN",
            rule("of-rival", "rival") => "PNN" "PNN"]);
    kind!(rows, Org org "ListOrgs" ListOrgsRequest,
        CreateOrgRequest GetOrgRequest UpdateOrgRequest DeleteOrgRequest,
        new [org("new", "global") => "PPD", org("new-far", "rival") => "PDD"],
        old [org("acme", "global") => "PPP" "PPD", org("near", "global") => "PPN" "PPN",
            org("far", "rival") => "PNN" "PNN"]);
    kind!(rows, Key key "ListKeys" ListKeysRequest,
        CreateKeyRequest GetKeyRequest UpdateKeyRequest DeleteKeyRequest,
        new [key("acme", "new") => "PPP", key("near", "new") => "PPD", key("far", "new") => "PDD"],
        old [key("acme", "k") => "PPP" "PPP", key("near", "k") => "PPN" "PPN", key("far", "k") => "PNN" "PNN"]);
}

fn table() -> Vec<Row> {
    let mut rows = Vec::new();
    shared_rows(&mut rows);
    owned_rows(&mut rows);
    calls::apply_rows(&mut rows);
    calls::money_rows(&mut rows);
    calls::operator_rows(&mut rows);
    rows
}

fn methods() -> BTreeSet<String> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let services = pool.services().filter(|found| found.full_name().starts_with("turnpike.admin."));
    let methods = services.flat_map(|service| {
        let name = service.name().to_owned();
        service.methods().map(|found| format!("{name}/{}", found.name())).collect::<Vec<_>>()
    });
    methods.collect()
}

/// What a code means for who may do what. Beyond that, a call may fail for what it is about.
fn verdict(code: Code) -> char {
    match code {
        Code::Ok | Code::FailedPrecondition => 'P',
        Code::PermissionDenied => 'D',
        Code::NotFound => 'N',
        _ => '?',
    }
}

async fn staff(rig: &Rig) {
    for (name, scope) in [
        ("of-acme", ("", "acme")),
        ("of-near", ("", "near")),
        ("of-global", ("global", "")),
        ("of-rival", ("rival", "")),
        ("of-all", ("", "")),
    ] {
        hire(rig, name, "viewer", scope).await;
    }
}

/// How the answer to a row's call is not the one expected.
async fn differs(rig: &Rig, token: &str, row: &Row, expected: char) -> Option<String> {
    let Row { method, target, request, .. } = row;
    let answer = call(rig, token, method, request).await;
    let code = answer.as_ref().err().map_or(Code::Ok, tonic::Status::code);
    let told = answer.err().map(|status| status.message().to_owned());
    (verdict(code) != expected)
        .then(|| format!("{method} {target:?}: {code:?}, not {expected}: {told:?}"))
}

#[tokio::test]
async fn every_method_is_open_to_exactly_the_roles_and_scopes_of_the_table() {
    let rig = town().await;
    staff(&rig).await;
    let table = table();
    let with_a_row: BTreeSet<String> = table.iter().map(|row| row.method.clone()).collect();
    assert_eq!(with_a_row, methods(), "every method has a row here, and every row is a method");
    let mut wrong = Vec::new();
    let places = SCOPES.into_iter().enumerate();
    for ((place, scope), role) in places.flat_map(|place| ROLES.map(|role| (place, role))) {
        let token = hire(&rig, &format!("{role}-{place}"), role, scope).await;
        for row in &table {
            let may = row.roles.contains(role.chars().next().unwrap());
            let expected = if may { row.verdicts.chars().nth(place).unwrap() } else { 'D' };
            let differs = differs(&rig, &token, row, expected).await;
            wrong.extend(differs.map(|how| format!("{role} of {scope:?}: {how}")));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn what_is_foreign_and_what_is_not_there_are_refused_in_the_same_words() {
    let rig = town().await;
    let token = hire(&rig, "inside", "admin", ("global", "")).await;
    let pairs = [
        ("OrgService/GetOrg", v1::GetOrgRequest { name: "far".to_owned() }.encode_to_vec()),
        (
            "OrgService/DeleteOrg",
            v1::DeleteOrgRequest { name: "far".to_owned(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "MoneyService/GetBalance",
            v1::GetBalanceRequest { org: "far".to_owned() }.encode_to_vec(),
        ),
        (
            "MoneyService/Explain",
            v1::ExplainRequest { request_id: "req-far".to_owned() }.encode_to_vec(),
        ),
        ("KeyService/GetKey", v1::GetKeyRequest { name: "far/k".to_owned() }.encode_to_vec()),
    ];
    for (method, request) in pairs {
        let foreign = call(&rig, &token, method, &request).await.unwrap_err();
        let absent: Vec<u8> =
            String::from_utf8(request).unwrap().replace("far", "fog").into_bytes();
        let absent = call(&rig, &token, method, &absent).await.unwrap_err();
        let alike = |status: &tonic::Status| {
            let details = String::from_utf8_lossy(status.details()).replace("far", "fog");
            // The entries of a map come in any order.
            let mut details: Vec<char> = details.chars().collect();
            details.sort_unstable();
            (status.code(), status.message().replace("far", "fog"), details)
        };
        assert_eq!(alike(&foreign), alike(&absent), "{method}");
    }
    let create = |org: &str| {
        let key = Some(key(org, "k"));
        v1::CreateKeyRequest { key, ..Default::default() }.encode_to_vec()
    };
    let taken = call(&rig, &token, "KeyService/CreateKey", &create("far")).await.unwrap_err();
    let free = call(&rig, &token, "KeyService/CreateKey", &create("fog")).await.unwrap_err();
    assert_eq!((taken.code(), taken.message()), (free.code(), free.message()));
}

/// The names of all keys that a token may see; no page token names a foreign org.
async fn keys_by_pages_of_one(
    rig: &Rig,
    token: &str,
    order_by: &str,
    foreign: &[&str],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let order_by = order_by.to_owned();
        let request =
            v1::ListKeysRequest { page_size: 1, page_token, order_by, ..Default::default() };
        let page = call(rig, token, "KeyService/ListKeys", &request.encode_to_vec()).await;
        let page = v1::ListKeysResponse::decode(page.unwrap().as_slice()).unwrap();
        found.extend(page.keys.into_iter().map(|key| key.name));
        page_token = page.next_page_token;
        let names = |org: &&&str| page_token.contains(&hex::encode(org));
        assert_eq!(foreign.iter().find(names), None, "{page_token}");
        if page_token.is_empty() {
            return found;
        }
    }
}

#[tokio::test]
async fn lists_hold_what_is_ones_own_and_their_tokens_name_nothing_else() {
    let rig = town().await;
    let expected = [
        (
            ("global", ""),
            vec!["acme", "near"],
            vec!["acme/k", "near/k"],
            vec!["req-near", "req-acme"],
        ),
        (("", "acme"), vec!["acme"], vec!["acme/k"], vec!["req-acme"]),
        (("rival", ""), vec!["far"], vec!["far/k"], vec!["req-far"]),
        (
            ("", ""),
            vec!["acme", "far", "near"],
            vec!["acme/k", "far/k", "near/k"],
            vec!["req-far", "req-near", "req-acme"],
        ),
    ];
    for (number, (scope, orgs, keys, usage)) in expected.into_iter().enumerate() {
        let token = hire(&rig, &format!("lister-{number}"), "viewer", scope).await;
        for order_by in ["", "create_time"] {
            let foreign: Vec<&str> = ORGS
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| !orgs.contains(name))
                .collect();
            let mut found = keys_by_pages_of_one(&rig, &token, order_by, &foreign).await;
            found.sort();
            assert_eq!(found, keys, "{scope:?} {order_by:?}");
        }
        let listed = call(&rig, &token, "OrgService/ListOrgs", &[]).await.unwrap();
        let listed = v1::ListOrgsResponse::decode(listed.as_slice()).unwrap();
        assert_eq!(listed.orgs.into_iter().map(|org| org.name).collect::<Vec<_>>(), orgs);
        let listed = call(&rig, &token, "MoneyService/ListUsage", &[]).await.unwrap();
        let listed = v1::ListUsageResponse::decode(listed.as_slice()).unwrap();
        let mut ids: Vec<String> = listed.rows.into_iter().map(|row| row.request_id).collect();
        let mut usage: Vec<String> = usage.into_iter().map(str::to_owned).collect();
        ids.sort();
        usage.sort();
        assert_eq!(ids, usage, "{scope:?}");
    }
}
