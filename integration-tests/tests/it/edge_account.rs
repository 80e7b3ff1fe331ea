//! What callers may ask: the models that they are sold, who serves them, and their own account (`models`, `endpoints`,
//! `providers`, `key`, `credits`, `generation`). Nobody is told anything of another org.

use integration_tests::{Gateway, NewOrg, Reply, Request, SplitGateway, eventually, nano, say};
use serde_json::Value;
use std::time::{Duration, Instant};

async fn get(gateway: &Gateway, key: &str, path: &str) -> Reply {
    gateway.send(&Request::get(path).bearer(key)).await
}

async fn told(gateway: &Gateway, key: &str, path: &str) -> Value {
    let reply = get(gateway, key, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn models_are_those_that_the_caller_may_use_at_the_prices_that_it_pays() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let list = told(&gateway, key, "/v1/models").await;
    assert!(ids(&list).contains(&"demo/chat") && !ids(&list).contains(&"demo/cn-only"), "{list}");
    assert_eq!(list["total_count"], ids(&list).len());
    let raw = told(&gateway, key, "/v1/models/demo/chat").await;
    assert_eq!(told(&gateway, key, "/api/v1/models/demo%2Fchat").await, raw);
    assert_eq!(raw["object"], "model");
    assert_eq!(raw["owned_by"], "demo");
    assert_eq!(raw["architecture"]["modality"], "text->text");
    assert_eq!(raw["top_provider"]["is_moderated"], false);
    assert!(raw["supported_parameters"].as_array().unwrap().contains(&"temperature".into()));
    let listed = list["data"].as_array().unwrap().iter().find(|model| model["id"] == "demo/chat");
    assert_eq!(listed, Some(&raw));
    let long = told(&gateway, key, "/v1/models/demo/long").await;
    assert!(long["pricing"]["overrides"][0]["min_prompt_tokens"].as_u64().unwrap() > 1, "{long}");

    // What is told is what is charged: a request of one prompt class and one output class.
    let reply = gateway.chat(key, say(10)).await;
    let bill = gateway.admin().bill(reply.request_id()).await;
    for (name, class) in [("prompt", "input"), ("completion", "output")] {
        let line = bill["lines"].as_array().unwrap().iter().find(|line| line["class"] == class);
        let unit = nano(&line.unwrap()["unit_nano_per_million"]);
        let price = raw["pricing"][name].as_str().unwrap();
        let digits = price.strip_prefix("0.").unwrap();
        assert_eq!(format!("{digits:0<15}").parse::<i64>().unwrap(), unit, "{name} {price}");
    }
    for path in
        ["/v1/models/demo/none", "/v1/models/none", "/v1/models/demo/cn-only", "/v1/models/%ff"]
    {
        assert_eq!(get(&gateway, key, path).await.status, 404, "{path}");
    }
    let narrow = gateway
        .admin()
        .json(&["key", "create", "--org", "demo", "--models", "demo/long", "-o", "json"])
        .await;
    let narrow = narrow["secret"].as_str().unwrap();
    gateway.knows(narrow).await;
    assert_eq!(ids(&told(&gateway, narrow, "/v1/models").await), ["demo/long"]);
    assert_eq!(get(&gateway, narrow, "/v1/models/demo/chat").await.status, 404);
}

#[tokio::test]
async fn lists_of_models_can_be_filtered() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    for (filter, with, without) in [
        ("q=CHAT", "demo/chat", "demo/long"),
        ("input_modalities=text,image", "demo/vision", "demo/chat"),
        ("output_modalities=embeddings", "demo/embed", "demo/chat"),
        ("supported_parameters=tools,temperature", "demo/chat", "demo/embed"),
        ("model_authors=demo", "demo/chat", "demo/cn-only"),
    ] {
        let list = told(&gateway, key, &format!("/v1/models?{filter}")).await;
        let ids = ids(&list);
        assert!(ids.contains(&with) && !ids.contains(&without), "{filter}: {ids:?}");
    }
    assert!(ids(&told(&gateway, key, "/v1/models?context=999999999").await).is_empty());
    assert!(ids(&told(&gateway, key, "/v1/models?model_authors=nobody").await).is_empty());
    let bad = get(&gateway, key, "/v1/models?context=much").await;
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("context"), "{}", bad.text());
}

#[tokio::test]
async fn endpoints_and_providers_name_vendors_and_places_and_nothing_inner() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let reply = get(&gateway, key, "/api/v1/models/demo/chat/endpoints").await;
    let data = reply.json()["data"].clone();
    assert_eq!(data["id"], "demo/chat");
    let rows = data["endpoints"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{data}");
    for row in rows {
        assert_eq!(row["provider_name"], "simulator");
        assert_eq!(row["tag"], "simulator/sg");
        assert_eq!(row["status"], 0);
        assert!(row["pricing"]["prompt"].as_str().unwrap().starts_with("0.0"));
    }
    for inner in ["demo-a", "demo-credential", "sim-chat", "127.0.0.1"] {
        assert!(!reply.text().contains(inner), "{inner} in {}", reply.text());
    }
    let providers = told(&gateway, key, "/v1/providers").await;
    assert_eq!(providers["data"][0]["slug"], "simulator");
    assert_eq!(providers["data"][0]["datacenters"], serde_json::json!(["SG"]));
}

#[tokio::test]
async fn what_operators_say_of_models_and_vendors_is_told_to_those_who_may_use_them() {
    let gateway = Gateway::demo().start().await;
    let (admin, key) = (gateway.admin(), gateway.api_key());
    let documents = admin.json(&["get", "model", "demo/chat", "-o", "json"]).await;
    let mut model =
        serde_json::json!({"kind": "Model", "name": "demo/chat", "spec": documents["spec"]});
    model["spec"]["description"] = "Answers questions.\nIn two lines.".into();
    let documents = admin.json(&["get", "upstream", "demo-b", "-o", "json"]).await;
    let mut upstream =
        serde_json::json!({"kind": "Upstream", "name": "demo-b", "spec": documents["spec"]});
    for (field, page) in [
        ("privacy_policy_url", "https://vendor.example/privacy"),
        ("status_page_url", "https://status.vendor.example"),
    ] {
        upstream["spec"][field] = page.into();
    }
    let unsaid = told(&gateway, key, "/v1/models/demo/chat").await;
    assert_eq!(unsaid["description"], "");
    admin.apply(&format!("{model}\n---\n{upstream}\n")).await;
    for path in ["/v1/models/demo/chat", "/api/v1/models/demo/chat/endpoints"] {
        let told = told(&gateway, key, path).await;
        let told = told.get("data").unwrap_or(&told);
        assert_eq!(told["description"], "Answers questions.\nIn two lines.", "{path}");
    }
    let providers = told(&gateway, key, "/v1/providers").await;
    let vendor = &providers["data"][0];
    assert_eq!(vendor["privacy_policy_url"], "https://vendor.example/privacy");
    assert_eq!(vendor["status_page_url"], "https://status.vendor.example");
    assert_eq!(vendor["terms_of_service_url"], Value::Null);
    upstream["name"] = "demo-a".into();
    upstream["spec"]["status_page_url"] = "ftp://vendor.example".into();
    let refused = admin.run_with(&["apply", "-f", "-"], &upstream.to_string()).await;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("status_page_url"), "{}", refused.stderr);
}

#[tokio::test]
async fn credits_and_key_tell_what_was_put_in_and_what_is_gone_to_the_nano_unit() {
    let gateway = Gateway::demo().start().await;
    let budgeted =
        NewOrg { credit: "5.00 USD", key_budget: "1.50 USD", ..NewOrg::named("budgeted") };
    let org = gateway.create_org(budgeted).await;
    let fresh = get(&gateway, &org.key, "/v1/credits").await;
    assert_eq!(fresh.text(), r#"{"data":{"total_credits":5,"total_usage":0,"currency":"USD"}}"#);
    let mut charged = 0;
    for tokens in [7, 19] {
        let reply = gateway.chat(&org.key, say(tokens)).await;
        charged += nano(&gateway.admin().bill(reply.request_id()).await["charge_nano"]);
    }
    assert!(charged > 0 && charged % 1_000_000_000 != 0);
    let amount = |nano: i64| {
        let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let credits = get(&gateway, &org.key, "/api/v1/credits").await;
    let used = format!(r#""total_usage":{},"#, amount(charged));
    assert!(credits.text().contains(&used), "{used} in {}", credits.text());
    for path in ["/v1/key", "/v1/auth/key"] {
        let key = get(&gateway, &org.key, path).await;
        for field in ["usage", "usage_daily", "usage_weekly", "usage_monthly"] {
            let told = format!(r#""{field}":{},"#, amount(charged));
            assert!(key.text().contains(&told), "{told} in {}", key.text());
        }
        let left = format!(r#""limit":1.5,"limit_remaining":{},"#, amount(1_500_000_000 - charged));
        assert!(key.text().contains(&left), "{left} in {}", key.text());
        assert!(!key.text().contains(&org.key), "the secret is not told again");
    }
    let unlimited = told(&gateway, gateway.api_key(), "/v1/key").await;
    assert_eq!(unlimited["data"]["limit"], Value::Null);
    assert_eq!(unlimited["data"]["usage"], 0, "another org's requests are not counted");
    assert_eq!(unlimited["data"]["rate_limit"]["requests"], -1);
}

#[tokio::test]
async fn a_generation_is_told_within_a_second_by_either_id_and_to_its_own_org_alone() {
    let gateway = Gateway::demo().start().await;
    let key = gateway.api_key();
    let reply = gateway.chat(key, say(12)).await;
    let settled = Instant::now();
    let id = reply.request_id().to_owned();
    let path = format!("/v1/generation?id={id}");
    eventually("the generation is told", async || {
        (get(&gateway, key, &path).await.status == 200).then_some(())
    })
    .await;
    assert!(settled.elapsed() < Duration::from_secs(1), "{:?}", settled.elapsed());
    let generation = told(&gateway, key, &path).await;
    let data = &generation["data"];
    assert_eq!(data["request_id"], id.as_str());
    assert_eq!(data["id"], reply.json()["id"]);
    assert_eq!(data["native_tokens_completion"], 12);
    assert_eq!(data["provider_name"], "simulator");
    assert_eq!((&data["streamed"], &data["cancelled"]), (&false.into(), &false.into()));
    assert_eq!(data["provider_responses"][0]["status"], 200);
    let bill = gateway.admin().bill(&id).await;
    let cost = format!("{:.9}", data["total_cost"].as_f64().unwrap());
    assert_eq!(cost.replace('.', "").parse::<i64>().unwrap(), nano(&bill["charge_nano"]));
    let by_upstream = format!("/v1/generation?id={}", reply.json()["id"].as_str().unwrap());
    assert_eq!(told(&gateway, key, &by_upstream).await, generation);

    let other = gateway.new_org("other", "1.00 USD").await;
    for path in [path.as_str(), &by_upstream, "/v1/generation?id=req-none", "/v1/generation?id=%25"]
    {
        let reply = get(&gateway, &other.key, path).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    for path in ["/v1/generation", "/v1/generation?id=", "/v1/generation?id=a&id=b"] {
        assert_eq!(get(&gateway, key, path).await.status, 400, "{path}");
    }
    assert_eq!(
        get(&gateway, key, &format!("/v1/generation?id={}", "a".repeat(300))).await.status,
        400
    );
    for path in ["/v1/key", "/v1/credits", "/v1/providers", "/v1/generation?id=a", "/v1/models/a/b"]
    {
        assert_eq!(gateway.send(&Request::get(path)).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn while_the_control_plane_is_away_accounts_are_503_and_requests_are_served() {
    let mut split = SplitGateway::start(&[]).await;
    let org = split.new_org("away", "1.00 USD").await;
    let served = split.chat(&org.key, say(3)).await;
    let generation = format!("/v1/generation?id={}", served.request_id());
    let paths = ["/v1/key", "/api/v1/credits", &generation];
    let ask = async |split: &SplitGateway, path: &str| {
        split.client().try_send(&Request::get(path).bearer(&org.key)).await.unwrap()
    };
    eventually("the request is settled", async || {
        (ask(&split, &generation).await.status == 200).then_some(())
    })
    .await;
    let mut before = Vec::new();
    for path in paths {
        let reply = ask(&split, path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        before.push(reply.json());
    }

    split.kill_office().await;
    for path in paths {
        let reply = ask(&split, path).await;
        assert_eq!(reply.status, 503, "{path}: {}", reply.text());
        let error = &reply.json()["error"];
        assert_eq!(error["code"], 503, "{error}");
        assert_eq!(error["metadata"]["error_type"], "provider_unavailable", "{error}");
        assert_eq!(error["metadata"]["reason"], "account_unavailable", "{error}");
        assert_eq!(error["metadata"]["request_id"], reply.request_id(), "{error}");
        assert!(error["message"].as_str().unwrap().contains("try again"), "{error}");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert_eq!(split.chat(&org.key, say(3)).await.status, 200, "what was held is served");
    for path in paths {
        let stranger = split.client().try_send(&Request::get(path).bearer("sk-nobody")).await;
        assert_eq!(stranger.unwrap().status, 401, "{path}: keys are known here");
    }

    split.start_office().await;
    for (path, before) in paths.into_iter().zip(before) {
        let after = eventually("the account is told again", async || {
            let reply = ask(&split, path).await;
            assert!([200, 503].contains(&reply.status), "{path}: {}", reply.text());
            (reply.status == 200).then(|| reply.json())
        })
        .await;
        for field in ["currency", "limit", "total_credits", "request_id", "total_cost"] {
            assert_eq!(after["data"][field], before["data"][field], "{path}");
        }
    }
}
