//! The feed: every change survives the wire unchanged, equal messages are equal bytes, and what cannot be read is
//! refused by its field; nothing that is lost on the way opens anything.

use domain::config::{Dialect, Entity, Modality, Plan, Upstream, VendorPages};
use domain::id::{KeyUid, OrgUid, Revision};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::key::{KeyDigest, PreviousDigest};
use domain::money::{Currency, Nano};
use domain::name::Glob;
use domain::operation::Operation;
use domain::price::{DatedCard, RateCard, RateOverride, Rates, Schedule, UtcWindow};
use domain::snapshot::{Change, Delta, Key, Model, Org, Route, SellPrice, Tombstone};
use domain::time::Timestamp;
use domain::tokens::TokenClass;
use prost::Message;
use proto::convert::Unreadable;
use proto::convert::feed::{sell_price_from_proto, sell_price_to_proto};
use proto::feed::v1;
use std::collections::BTreeSet;

fn only(codes: &[&str]) -> Allowed {
    Allowed::Only(codes.iter().map(|code| Jurisdiction::parse(code).expect("a code")).collect())
}

fn entity() -> Entity {
    Entity {
        name: "sg".to_owned(),
        display_name: "Example Pte. Ltd.".to_owned(),
        jurisdiction: Jurisdiction::parse("SG").expect("a code"),
        currency: Currency::parse("USD").expect("a code"),
        key_prefix: "sk-tp-".to_owned(),
        allowed: only(&["SG", "US"]),
        charge_empty_answers: true,
        charge_cut_answers: false,
    }
}

fn upstream() -> Upstream {
    Upstream {
        name: "openai".to_owned(),
        vendor: "OpenAI".to_owned(),
        dialect: Dialect::OpenAi,
        base_url: "https://api.openai.com/v1/".to_owned(),
        sealed_credential: vec![0, 255, 7],
        jurisdiction: Jurisdiction::parse("US").expect("a code"),
        stops_on_abort: true,
        collects_no_data: true,
        zero_data_retention: true,
        vendor_pages: VendorPages {
            privacy_policy: "https://vendor.example/privacy".to_owned(),
            terms_of_service: "https://vendor.example/terms".to_owned(),
            status: "https://status.vendor.example".to_owned(),
        },
    }
}

fn price(org: Option<&str>) -> SellPrice {
    let every = TokenClass::ALL.into_iter().zip(0..);
    let base = every.fold(Rates::NONE, |rates, (class, n)| rates.with(class, Nano::saturating(n)));
    let rates = Rates::NONE.with(TokenClass::Input, Nano::MAX);
    let window = UtcWindow { from_minute: 1_380, to_minute: 60 };
    let overrides = vec![
        RateOverride { above_input_tokens: Some(0), window: None, rates },
        RateOverride { above_input_tokens: None, window: Some(window), rates: Rates::NONE },
    ];
    let later = RateCard { base: rates, overrides: Vec::new() };
    SellPrice {
        entity: "sg".to_owned(),
        audience: "global".to_owned(),
        org: org.map(str::to_owned),
        revision: u64::MAX,
        schedule: Schedule(vec![
            DatedCard { from: Timestamp(0), card: RateCard { base, overrides } },
            DatedCard { from: Timestamp(1), card: later },
        ]),
    }
}

fn model() -> Model {
    Model {
        name: "openai/gpt-5".to_owned(),
        display_name: "GPT-5".to_owned(),
        description: "Answers.".to_owned(),
        context_length: 400_000,
        max_output_tokens: 128_000,
        input_modalities: Modality::ALL.to_vec(),
        output_modalities: vec![Modality::Text],
        image_tokens_max: 1_500,
        audio_tokens_max: 9,
        hidden_reasoning: true,
        aliases: vec!["gpt-5".to_owned()],
        operations: vec![Operation::Completions],
        supported_parameters: vec!["seed".to_owned()],
        routes: vec![Route {
            upstream: "openai".to_owned(),
            model: "gpt-5-2025".to_owned(),
            priority: 3,
            weight: 4,
            supported_parameters: vec!["top_k".to_owned()],
            prices: vec![price(None).into(), price(Some("acme")).into()],
        }],
        created: Timestamp(1_700_000_000_000_000),
    }
}

fn org() -> Org {
    Org {
        uid: OrgUid(i64::MAX),
        name: "acme".to_owned(),
        entity: "sg".to_owned(),
        plan: "basic".to_owned(),
        audience: "global".to_owned(),
        allowed: Allowed::Any,
        disabled: true,
        store_content: true,
    }
}

fn key() -> Key {
    Key {
        uid: KeyUid(7),
        digest: KeyDigest([0xab; 16]),
        org: OrgUid(1),
        name: "acme/ci".to_owned(),
        models: vec![Glob("openai/*".to_owned())],
        previous: Some(Box::new(PreviousDigest {
            digest: KeyDigest([0xcd; 16]),
            until: Timestamp(u64::MAX),
        })),
        budgeted: true,
        expires: Some(Timestamp(1)),
        disabled: true,
        allowed: only(&[]),
    }
}

fn all_changes() -> Vec<Change> {
    let plan = Plan {
        name: "basic".to_owned(),
        requests_per_minute: Some(0),
        tokens_per_minute: None,
        concurrency: Some(u64::MAX),
    };
    vec![
        Change::Entity(entity()),
        Change::Plan(plan),
        Change::Upstream(upstream()),
        Change::Model(model()),
        Change::Org(org()),
        Change::Key(key()),
        Change::Key(Key { expires: None, models: Vec::new(), allowed: Allowed::Any, ..key() }),
        Change::Tombstone(Tombstone::Entity("sg".to_owned())),
        Change::Tombstone(Tombstone::Plan("basic".to_owned())),
        Change::Tombstone(Tombstone::Upstream("openai".to_owned())),
        Change::Tombstone(Tombstone::Model("openai/gpt-5".to_owned())),
        Change::Tombstone(Tombstone::Org(OrgUid(-1))),
        Change::Tombstone(Tombstone::Key(KeyUid(9))),
    ]
}

#[test]
fn every_change_survives_the_wire() {
    let delta = Delta {
        from: Revision { generation: 1, rev: u64::MAX },
        to: Revision { generation: 2, rev: 0 },
        changes: all_changes(),
    };
    let bytes = v1::Delta::from(&delta).encode_to_vec();
    let read = Delta::try_from(v1::Delta::decode(bytes.as_slice()).unwrap());
    assert_eq!(read, Ok(delta));
}

#[test]
fn equal_changes_are_equal_bytes() {
    for change in all_changes() {
        let bytes = || v1::Change::from(&change).encode_to_vec();
        assert_eq!(bytes(), bytes(), "{change:?}");
    }
}

#[test]
fn what_is_lost_on_the_way_closes_and_never_opens() {
    let places = |list: &[&str], any: bool| {
        Some(v1::Allowed {
            any,
            jurisdictions: list.iter().map(|code| (*code).to_owned()).collect(),
        })
    };
    let read = |allowed: Option<v1::Allowed>| {
        let message = v1::Org { allowed, ..v1::Org::from(&org()) };
        Org::try_from(message).map(|org| org.allowed)
    };
    assert_eq!(read(None).unwrap_err().field, "allowed");
    assert_eq!(read(places(&[], false)), Ok(Allowed::Only(BTreeSet::new())));
    assert_eq!(read(places(&["SG"], false)), Ok(only(&["SG"])));
    assert_eq!(read(places(&[], true)), Ok(Allowed::Any));
    assert_eq!(read(places(&["SG", "??"], false)).unwrap_err().field, "allowed");
}

#[test]
fn what_cannot_be_read_is_refused_by_its_field() {
    let change = |change: v1::change::Change| v1::Change { change: Some(change) };
    let entity = v1::Entity::from(&entity());
    let upstream = v1::Upstream::from(&upstream());
    let model = v1::Model::from(&model());
    let key = v1::Key::from(&key());
    let gone = |kind: i32| v1::Tombstone { kind, name: String::new(), uid: 0 };
    let table = [
        (v1::Change { change: None }, "change"),
        (
            change(v1::change::Change::Entity(v1::Entity {
                currency: "usd".into(),
                ..entity.clone()
            })),
            "entity.currency",
        ),
        (
            change(v1::change::Change::Entity(v1::Entity {
                jurisdiction: String::new(),
                ..entity
            })),
            "entity.jurisdiction",
        ),
        (
            change(v1::change::Change::Upstream(v1::Upstream {
                dialect: "telnet".into(),
                ..upstream
            })),
            "upstream.dialect",
        ),
        (
            change(v1::change::Change::Model(v1::Model {
                input_modalities: vec!["smell".into()],
                ..model.clone()
            })),
            "model.input_modalities",
        ),
        (change(v1::change::Change::Key(v1::Key { digest: vec![0; 15], ..key })), "key.digest"),
        (change(v1::change::Change::Tombstone(gone(0))), "tombstone.kind"),
        (change(v1::change::Change::Tombstone(gone(99))), "tombstone.kind"),
        (
            change(v1::change::Change::Model(with_schedule(model, Vec::new(), true))),
            "model.routes[openai].schedule.card",
        ),
    ];
    for (message, field) in table {
        assert_eq!(Change::try_from(message).unwrap_err().field, field);
    }
    let delta = v1::Delta { from: None, to: None, changes: Vec::new() };
    assert_eq!(Delta::try_from(delta).unwrap_err().field, "from");
}

fn with_schedule(
    mut model: v1::Model,
    mut cards: Vec<v1::DatedCard>,
    without_card: bool,
) -> v1::Model {
    if without_card {
        cards.push(v1::DatedCard { from_us: 0, card: None });
    }
    model.routes[0].prices[0].schedule = cards;
    model
}

#[test]
fn prices_that_make_no_sense_are_refused() {
    let good = sell_price_to_proto(&price(None));
    assert_eq!(sell_price_from_proto(good.clone()), Ok(price(None)));
    let read = |change: fn(&mut v1::SellPrice)| {
        let mut bad = good.clone();
        change(&mut bad);
        sell_price_from_proto(bad).unwrap_err()
    };
    let rate = |price: &mut v1::SellPrice, class: &str, nano: i64| {
        let card = price.schedule[0].card.as_mut().expect("has a card");
        card.base.insert(class.to_owned(), nano);
    };
    let refusals = [
        (read(|price| price.schedule.reverse()), "schedule", "ascend"),
        (read(|price| price.schedule[1].from_us = 0), "schedule", "ascend"),
        (read(|price| price.schedule[0].card = None), "schedule.card", "missing"),
    ];
    for (Unreadable { field, reason }, expected, why) in refusals {
        assert_eq!(field, expected);
        assert!(reason.contains(why), "{reason}");
    }
    for (class, nano) in [("smell", 1), ("input", -1), ("input", i64::MAX)] {
        let mut bad = good.clone();
        rate(&mut bad, class, nano);
        assert_eq!(sell_price_from_proto(bad).unwrap_err().field, "rates", "{class} {nano}");
    }
}
