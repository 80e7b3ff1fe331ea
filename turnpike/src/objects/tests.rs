//! `apply` documents: the demo's, what round-trips, and what is said of wrong ones.

use super::*;
use crate::output;
use admin::object::Object as Arm;
use domain::tokens::TokenClass;
use prost_reflect::Value;
use std::collections::BTreeSet;
use tempfile::TempDir;

fn source(text: &str) -> Source {
    Source { name: "file.yaml".to_owned(), text: text.to_owned() }
}

/// The seed of `up --demo`, with an address in the place of the simulator's.
fn demo_objects() -> Vec<admin::Object> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/demo");
    let mut sources = collect(&[directory.into()]).expect("the seed is readable");
    for source in &mut sources {
        source.text = source.text.replace("${SIMULATOR}", "http://127.0.0.1:8099");
    }
    read(&sources).unwrap_or_else(|wrong| panic!("{}", wrong[0]))
}

/// The message inside, as a data plane of reflection sees it.
fn inner(object: &admin::Object) -> (Kind, DynamicMessage) {
    let mut wrapped = DynamicMessage::new(known("turnpike.admin.v1.Object").expect("known"));
    wrapped.transcode_from(object).expect("the same message");
    let (_, value) = wrapped.fields().next().expect("one arm is set");
    let Value::Message(message) = value else { panic!("{value:?} is no message") };
    let kind = Kind::parse(message.descriptor().name()).expect("a kind");
    (kind, message.clone())
}

#[test]
fn the_demo_has_what_the_design_says() {
    let mut names: Vec<String> = demo_objects()
        .iter()
        .map(|object| {
            let (kind, message) = inner(object);
            let name = message.get_field_by_name("name").expect("a name");
            format!("{kind} {}", name.as_str().expect("text"))
        })
        .collect();
    names.sort();
    for needed in [
        "Entity cn",
        "Entity global",
        "Model demo/chat",
        "Model demo/cn-only",
        "Model demo/embed",
        "Model demo/long",
        "Model demo/reasoning",
        "Model demo/vision",
        "Org demo",
        "Plan business",
        "Plan demo",
        "Plan enterprise",
        "Plan starter",
        "Upstream demo-a",
        "Upstream demo-b",
        "Upstream demo-cn",
    ] {
        assert!(names.iter().any(|name| name == needed), "{needed} is missing in {names:?}");
    }
}

#[test]
fn every_class_of_every_demo_model_is_priced() {
    let all: BTreeSet<&str> = TokenClass::ALL.into_iter().map(TokenClass::name).collect();
    let mut entries = 0;
    for object in demo_objects() {
        let Some(Arm::PriceBook(book)) = object.object else { continue };
        for entry in book.spec.expect("a spec").entries {
            let priced: BTreeSet<&str> = entry.prices.keys().map(String::as_str).collect();
            assert_eq!(priced, all, "{} in {}", entry.model, book.name);
            entries += 1;
        }
    }
    assert!(entries >= 5, "{entries}");
}

#[test]
fn the_demo_names_the_simulator_where_it_listens() {
    let upstreams: Vec<String> = demo_objects()
        .into_iter()
        .filter_map(|object| match object.object {
            Some(Arm::Upstream(upstream)) => upstream.spec.map(|spec| spec.base_url),
            _ => None,
        })
        .collect();
    assert_eq!(upstreams, ["http://127.0.0.1:8099/v1"; 3]);
}

/// What `get -o yaml` and `get -o json` print, applied again, is what was there.
#[test]
fn printed_objects_are_read_back_unchanged() {
    let mut objects = demo_objects();
    let key = admin::Key {
        name: "demo/ci".to_owned(),
        spec: Some(admin::KeySpec {
            org: "demo".to_owned(),
            models: vec!["demo/*".to_owned()],
            budget: "1.50 USD".to_owned(),
            expire_time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 5_000 }),
            ..admin::KeySpec::default()
        }),
        ..admin::Key::default()
    };
    objects.push(admin::Object { object: Some(Arm::Key(key)) });
    let documents: Vec<Json> = objects
        .iter()
        .map(|object| {
            let (kind, message) = inner(object);
            document(kind, &message).expect("a document")
        })
        .collect();
    let yaml: Vec<String> = documents.iter().map(|d| output::yaml_text(d).expect("YAML")).collect();
    assert_eq!(read(&[source(&yaml.join("---\n"))]).expect("YAML is read back"), objects);
    let json = output::json_text(&Json::from(documents)).expect("JSON");
    assert_eq!(read(&[source(&json)]).expect("JSON is read back"), objects);
}

#[test]
fn json_has_proto_names_defaults_and_64_bit_integers_as_text() {
    let balance =
        admin::Balance { org: "demo".to_owned(), posted_nano: 10, ..admin::Balance::default() };
    let json = answer_json("Balance", &balance).expect("JSON").to_string();
    let expected =
        r#"{"org":"demo","currency":"","posted_nano":"10","held_nano":"0","free_nano":"0"}"#;
    assert_eq!(json, expected);
}

#[test]
fn maps_are_printed_in_order() {
    let objects = demo_objects();
    let book =
        objects.iter().map(inner).find(|(kind, _)| *kind == Kind::PriceBook).expect("a book").1;
    let json = message_json(&book).expect("JSON");
    let prices = json.pointer("/spec/entries/0/prices").and_then(Json::as_object).expect("prices");
    assert!(prices.keys().is_sorted(), "{prices:?}");
    assert!(prices.len() > 9, "{prices:?}");
}

#[test]
fn enums_may_be_written_short() {
    let text =
        "kind: Entity\nname: x\nspec: {empty_answer: nothing, cut_answer: CHARGE_DELIVERED}\n";
    let objects = read(&[source(text)]).expect("valid");
    let Some(Arm::Entity(entity)) = objects[0].object.clone() else { panic!("{objects:?}") };
    let spec = entity.spec.expect("a spec");
    assert_eq!(spec.empty_answer(), admin::Charge::Nothing);
    assert_eq!(spec.cut_answer(), admin::Charge::Delivered);
}

#[test]
fn what_is_wrong_is_told_with_file_document_object_and_field() {
    let model = |routes: &str| format!("kind: Model\nname: a/b\nspec: {{routes: {routes}}}\n");
    let good = "kind: Plan\nname: free\nspec: {}\n---\n";
    let table = [
        (
            "kind: Model\nname: a/b\nspec: {contxt_length: 1}".to_owned(),
            "file.yaml, document 1 (Model a/b), spec.contxt_length: unknown field; did you mean \"context_length\"?",
        ),
        (
            format!("{good}{}", model("[{upstream: x}, {upstraem: y}]")),
            "file.yaml, document 2 (Model a/b), spec.routes[1].upstraem: unknown field; did you mean \"upstream\"?",
        ),
        (model("{upstream: x}"), "spec.routes: should be a list, but is a mapping"),
        (model("[x]"), "spec.routes[0]: should be a mapping, but is \"x\""),
        (model("[{priority: -1}]"), "spec.routes[0].priority: "),
        (
            "kind: FxRate\nname: x\nspec: {rate: 7.12}".to_owned(),
            "spec.rate: invalid type: floating point `7.12`, expected a string; write it in quotes, as text",
        ),
        (
            "kind: PriceBook\nname: x\nspec: {entries: [{model: a, prices: {input: 0.5}}]}"
                .to_owned(),
            "spec.entries[0].prices: invalid type: floating point `0.5`, expected a string; write it in quotes",
        ),
        (
            "kind: Entity\nname: x\nspec: {empty_answer: maybe}".to_owned(),
            "spec.empty_answer: \"maybe\" is not one of delivered, nothing",
        ),
        ("kind: Key\nname: x/y\nspec: {expire_time: tomorrow}".to_owned(), "spec.expire_time: "),
        (
            "kind: Modle\nname: x\nspec: {}".to_owned(),
            "kind: there is no kind \"Modle\"; did you mean \"Model\"?",
        ),
        (
            "kind: Balance\nname: x\nspec: {}".to_owned(),
            "kind: there is no kind \"Balance\"; there are Entity, ",
        ),
        ("name: x\nspec: {}".to_owned(), "kind: is missing; it is one of Entity, "),
        ("kind: Plan\nspec: {}".to_owned(), "(Plan), name: is missing"),
        ("kind: Plan\nname: x\nspec:".to_owned(), "spec: is missing"),
        (
            "kind: Plan\nname: x\nspec: {}\nmetadata: {}".to_owned(),
            "metadata: unknown; a document has ",
        ),
        (
            "kind: Plan\nname: x\nspec: 5".to_owned(),
            "(Plan x), spec: should be a mapping, but is 5",
        ),
        ("- 5".to_owned(), "it is no mapping of `kind`, `name` and `spec`"),
        (format!("{good}{good}"), "document 2 (Plan free): it is already in file.yaml, document 1"),
        (
            "kind: Plan\nname: x\nname: y\nspec: {}".to_owned(),
            "file.yaml, document 1: duplicate entry",
        ),
        ("kind: [".to_owned(), "file.yaml, document 1: "),
    ];
    for (text, says) in table {
        let wrong = read(&[source(&text)]).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
        let told = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(told.contains(says), "{text}\n  said: {told}\n  not:  {says}");
    }
}

#[test]
fn all_wrong_documents_are_told_at_once() {
    let text = "kind: Plan\nname: a\nspec: {x: 1}\n---\nkind: Plan\nname: b\nspec: {}\n---\nkind: Plan\nname: c\nspec: {y: 1}\n";
    let wrong = read(&[source(text)]).expect_err("two are wrong");
    let documents: Vec<usize> = wrong.iter().map(|bad| bad.document).collect();
    assert_eq!(documents, [1, 3]);
}

#[test]
fn a_directory_is_read_in_order_with_the_directories_in_it() {
    let dir = TempDir::new().expect("a temporary directory");
    std::fs::create_dir(dir.path().join("b")).expect("a directory");
    for (name, plan) in
        [("c.yml", "three"), ("a.yaml", "one"), ("b/x.yaml", "two"), ("README.md", "none")]
    {
        let text = format!("kind: Plan\nname: {plan}\nspec: {{}}\n---\n");
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    let sources = collect(&[dir.path().to_owned()]).expect("readable");
    let names: Vec<&str> = sources.iter().map(|s| s.text.lines().nth(1).expect("a name")).collect();
    assert_eq!(names, ["name: one", "name: two", "name: three"]);
    assert_eq!(read(&sources).expect("valid").len(), 3);
    let empty = TempDir::new().expect("a temporary directory");
    assert!(collect(&[empty.path().to_owned()]).is_err());
    assert!(collect(&[empty.path().join("missing.yaml")]).is_err());
}
