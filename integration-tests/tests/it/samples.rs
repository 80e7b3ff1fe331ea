//! One object of each kind, in protobuf's JSON, in an order in which each refers only to earlier ones.

use serde_json::{Value, json};

/// An object, and a change of it.
pub(crate) struct Sample {
    pub(crate) kind: &'static str,
    /// The field of a request that has one.
    pub(crate) one: &'static str,
    /// The field of an answer that has several.
    pub(crate) many: &'static str,
    pub(crate) name: &'static str,
    spec: &'static str,
    /// A field and another value of it.
    change: (&'static str, &'static str),
}

impl Sample {
    pub(crate) fn object(&self) -> Value {
        json!({"name": self.name, "spec": serde_json::from_str::<Value>(self.spec).unwrap()})
    }

    pub(crate) fn change(&self) -> (&'static str, Value) {
        (self.change.0, serde_json::from_str(self.change.1).unwrap())
    }

    pub(crate) fn method(&self, verb: &str) -> String {
        method(&format!("{0}/{verb}{0}", self.kind))
    }

    pub(crate) fn lists(&self) -> String {
        let plural = match self.kind {
            "Entity" => "Entities".to_owned(),
            kind => format!("{kind}s"),
        };
        method(&format!("{}/List{plural}", self.kind))
    }
}

/// The whole name of `Plan/GetPlan`.
pub(crate) fn method(short: &str) -> String {
    let (service, method) = short.split_once('/').unwrap();
    format!("turnpike.admin.v1.{service}Service/{method}")
}

pub(crate) const KINDS: [Sample; 9] = [
    Sample {
        kind: "Entity",
        one: "entity",
        many: "entities",
        name: "eu",
        spec: r#"{"displayName": "EU GmbH", "jurisdiction": "DE", "currency": "USD", "keyPrefix": "sk-eu-", "allowedJurisdictions": ["DE"]}"#,
        change: ("displayName", r#""EU B.V.""#),
    },
    Sample {
        kind: "Plan",
        one: "plan",
        many: "plans",
        name: "silver",
        spec: r#"{"requestsPerMinute": "60"}"#,
        change: ("requestsPerMinute", r#""61""#),
    },
    Sample {
        kind: "Upstream",
        one: "upstream",
        many: "upstreams",
        name: "eu-a",
        spec: r#"{"vendor": "simulator", "dialect": "openai", "baseUrl": "https://eu.example/v1", "jurisdiction": "DE"}"#,
        change: ("stopsOnAbort", "true"),
    },
    Sample {
        kind: "FxRate",
        one: "fxRate",
        many: "fxRates",
        name: "usd-eur",
        spec: r#"{"base": "USD", "quote": "EUR", "rate": "0.9"}"#,
        change: ("rate", r#""0.91""#),
    },
    Sample {
        kind: "PriceBook",
        one: "priceBook",
        many: "priceBooks",
        name: "eu",
        spec: r#"{"currency": "USD", "upstreams": ["eu-a"], "entries": [{"model": "eu/*", "prices": {"input": "1", "cache_read": "1",
                  "cache_write_5m": "1", "cache_write_1h": "1", "output": "2", "reasoning": "2"}}]}"#,
        change: ("upstreams", r#"["eu-a", "demo-a"]"#),
    },
    Sample {
        kind: "Model",
        one: "model",
        many: "models",
        name: "eu/chat",
        spec: r#"{"contextLength": "8000", "maxOutputTokens": "1000", "inputModalities": ["text"],
                  "routes": [{"upstream": "eu-a", "model": "chat"}]}"#,
        change: ("displayName", r#""Chat""#),
    },
    Sample {
        kind: "Org",
        one: "org",
        many: "orgs",
        name: "bonn",
        spec: r#"{"entity": "eu", "plan": "silver", "audience": "standard"}"#,
        change: ("disabled", "true"),
    },
    Sample {
        kind: "MarkupRule",
        one: "markupRule",
        many: "markupRules",
        name: "bonn",
        spec: r#"{"org": "bonn", "percent": "3"}"#,
        change: ("percent", r#""4""#),
    },
    Sample {
        kind: "Key",
        one: "key",
        many: "keys",
        name: "bonn/ci",
        spec: r#"{"org": "bonn"}"#,
        change: ("disabled", "true"),
    },
];
