//! Many keys imported, many objects deleted: all or nothing, and to be repeated.

use super::harness::{PEPPER, Rig, told};
use super::samples;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    DeleteObjectsRequest, ImportKeysRequest, ImportKeysResponse, Key, KeyImport, KeySpec,
    ObjectName,
};
use tonic::{Code, Status};

const FOREIGN: &str = "sk-other-0123456789abcdef";

fn import(name: &str, secret: &str) -> KeyImport {
    let spec = KeySpec { org: "acme".to_owned(), ..KeySpec::default() };
    let key = Key { name: format!("acme/{name}"), spec: Some(spec), ..Key::default() };
    KeyImport { key: Some(key), secret: secret.to_owned(), sha256: String::new() }
}

async fn call(rig: &Rig, keys: &[KeyImport], id: &str) -> Result<ImportKeysResponse, Status> {
    let request =
        ImportKeysRequest { keys: keys.to_vec(), request_id: id.to_owned(), ..Default::default() };
    rig.keys().import_keys(request).await.map(tonic::Response::into_inner)
}

async fn rig() -> Rig {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    rig
}

#[tokio::test]
async fn keys_come_with_the_secrets_of_another_system_or_with_new_ones() {
    let rig = rig().await;
    let keys = [import("old", FOREIGN), import("new", "")];
    let answer = call(&rig, &keys, "").await.unwrap();
    let actions: Vec<&str> = answer.keys.iter().map(|key| key.action.as_str()).collect();
    assert_eq!(actions, ["created", "created"]);
    assert_eq!(answer.keys[0].secret, "", "a secret that is known is not told");
    assert!(answer.keys[1].secret.starts_with("sk-tp-"), "{:?}", answer.keys[1].name);
    let digest = domain::key::digest(&PEPPER, FOREIGN);
    let stored =
        rig.table("SELECT secret AS line FROM config_object WHERE name = 'acme/old'").await;
    assert_eq!(stored, [hex::encode(digest.0)]);
    assert!(!format!("{:?}", rig.rows().await).contains(FOREIGN));

    let before = rig.rows().await;
    let again = call(&rig, &keys, "").await.unwrap();
    assert!(again.keys.iter().all(|key| key.action == "unchanged" && key.secret.is_empty()));
    assert_eq!(rig.rows().await, before, "repeating it writes nothing");
}

#[tokio::test]
async fn new_secrets_are_told_again_to_whoever_repeats_the_call_by_its_id() {
    let rig = rig().await;
    let keys = [import("a", ""), import("b", "")];
    let first = call(&rig, &keys, "import-1").await.unwrap();
    let again = call(&rig, &keys, "import-1").await.unwrap();
    assert_eq!(first, again);
    assert_ne!(first.keys[0].secret, first.keys[1].secret);
}

#[tokio::test]
async fn one_wrong_key_keeps_all_of_them_out_and_is_named_without_its_secret() {
    let rig = rig().await;
    call(&rig, &[import("old", FOREIGN)], "").await.unwrap();
    let before = rig.rows().await;
    let mut elsewhere = import("good", "");
    elsewhere.key.as_mut().unwrap().spec.as_mut().unwrap().org = "moon".to_owned();
    let mut bent = import("old", FOREIGN);
    bent.key.as_mut().unwrap().spec.as_mut().unwrap().disabled = true;
    let other = "another-secret-0123456789";
    let table = [
        (import("short", "0123456789abcde"), "16 to 256"),
        (import("blank", "0123456789 abcdefgh"), "visible ASCII"),
        (import("twin", FOREIGN), "the secret of another key"),
        (import("old", other), "with another secret"),
        (bent, "with other settings"),
        (elsewhere, "moon"),
        (import("Bad Name", other), "Bad Name"),
    ];
    for (wrong, says) in table {
        let secret = wrong.secret.clone();
        let refused = told(call(&rig, &[import("fine", ""), wrong], "").await);
        assert_eq!(refused.code, Code::InvalidArgument, "{says}");
        assert!(refused.text.contains(says), "{says}: {}", refused.text);
        assert!(secret.is_empty() || !refused.text.contains(&secret), "{}", refused.text);
        assert_eq!(rig.rows().await, before, "{says}");
    }
    let twice = [import("x", other), import("y", other)];
    assert!(told(call(&rig, &twice, "").await).text.contains("acme/x"));
    let many = vec![import("x", ""); 1_001];
    assert!(told(call(&rig, &many, "").await).text.contains("at most 1000"));
}

#[tokio::test]
async fn objects_that_refer_to_each_other_are_deleted_together_or_not_at_all() {
    let rig = rig().await;
    call(&rig, &[import("a", ""), import("b", "")], "").await.unwrap();
    let name = |kind: &str, name: &str| ObjectName { kind: kind.to_owned(), name: name.to_owned() };
    let delete = async |objects: &[ObjectName], allow_missing| {
        let objects = objects.to_vec();
        let request = DeleteObjectsRequest { objects, allow_missing, ..Default::default() };
        rig.applies().delete_objects(request).await.map(tonic::Response::into_inner)
    };
    let before = rig.rows().await;
    let partly = [name("Org", "acme"), name("Key", "acme/a")];
    let refused = told(delete(&partly, false).await);
    assert_eq!(refused.reason, "IN_USE");
    assert!(
        refused.text.contains("acme/b") && !refused.text.contains("acme/a\""),
        "{}",
        refused.text
    );
    assert_eq!(rig.rows().await, before);

    let whole =
        [name("org", "acme"), name("Key", "acme/a"), name("keys", "acme/b"), name("Plan", "gone")];
    assert_eq!(told(delete(&whole, false).await).code, Code::NotFound);
    assert_eq!(rig.rows().await, before);
    let deleted = delete(&whole, true).await.unwrap();
    assert_eq!(deleted.objects.len(), 3);
    assert!(deleted.objects.iter().all(|object| object.action == "deleted"));
    let unknown = told(delete(&[name("Frog", "a")], true).await);
    assert_eq!(unknown.fields, ["objects"]);
    assert!(rig.apply([Any::Org(samples::org())]).await.is_ok(), "it can be made anew");
}

fn hashed(name: &str, secret: &str) -> KeyImport {
    let sha256 = hex::encode(domain::key::sha256(secret));
    KeyImport { sha256, ..import(name, "") }
}

#[tokio::test]
async fn a_key_comes_by_the_sha256_of_its_secret_alone() {
    let rig = rig().await;
    let keys = [hashed("old", FOREIGN)];
    let answer = call(&rig, &keys, "").await.unwrap();
    assert_eq!((answer.keys[0].action.as_str(), answer.keys[0].secret.as_str()), ("created", ""));
    let hash = domain::key::sha256(FOREIGN);
    let stored =
        rig.table("SELECT secret AS line FROM config_object WHERE name = 'acme/old'").await;
    assert_eq!(stored, [hex::encode(domain::key::digest_of_sha256(&PEPPER, &hash).0)]);
    assert!(!format!("{:?}", rig.rows().await).contains(&hex::encode(hash)), "keyed, as all are");
    // Repeated, in either form, it is the same key.
    for again in [hashed("old", FOREIGN), import("old", FOREIGN)] {
        let answer = call(&rig, &[again], "").await.unwrap();
        assert_eq!(answer.keys[0].action, "unchanged");
    }
    for twin in [hashed("twin", FOREIGN), import("twin", FOREIGN)] {
        let refused = told(call(&rig, &[twin], "").await);
        assert!(refused.text.contains("the secret of another key"), "{}", refused.text);
    }
    let at_once =
        [hashed("x", "another-secret-0123456789"), import("y", "another-secret-0123456789")];
    assert!(told(call(&rig, &at_once, "").await).text.contains("acme/x"));
    for (wrong, says) in [
        (KeyImport { sha256: "ab".repeat(31), ..import("short", "") }, "64 hexadecimal digits"),
        (KeyImport { sha256: "zz".repeat(32), ..import("junk", "") }, "64 hexadecimal digits"),
        (KeyImport { sha256: "ab".repeat(32), ..import("both", FOREIGN) }, "left out"),
    ] {
        let refused = told(call(&rig, &[wrong], "").await);
        assert!(refused.text.contains(says), "{says}: {}", refused.text);
    }
}
