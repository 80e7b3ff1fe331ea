//! A key in use gets a new secret; the old one stays good for as long as was asked, and no longer.

use super::feed::View;
use super::harness::{PEPPER, Rig, told};
use super::samples;
use control_plane::AdminLimits;
use domain::key::{digest, is_well_formed};
use domain::snapshot::Key;
use proto::admin::v1::{
    CreateKeyRequest, ImportKeysRequest, KeyImport, RotateKeyRequest, RotateKeyResponse,
};
use std::time::Duration;
use tonic::{Code, Status};

const NAME: &str = "acme/production";

async fn rig() -> (Rig, String) {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let request = CreateKeyRequest { key: Some(samples::key()), ..Default::default() };
    let secret = rig.keys().create_key(request).await.unwrap().into_inner().secret;
    (rig, secret)
}

fn request(overlap_s: i64) -> RotateKeyRequest {
    let overlap = Some(prost_types::Duration { seconds: overlap_s, nanos: 0 });
    RotateKeyRequest { name: NAME.to_owned(), overlap, ..Default::default() }
}

async fn rotate(rig: &Rig, request: RotateKeyRequest) -> Result<RotateKeyResponse, Status> {
    rig.keys().rotate_key(request).await.map(tonic::Response::into_inner)
}

/// The key, as data planes have it.
async fn pushed(rig: &Rig, secret: &str) -> Key {
    View::of(rig).await.key_by_digest(digest(&PEPPER, secret)).unwrap().clone()
}

#[tokio::test]
async fn a_rotated_key_has_both_secrets_until_the_overlap_ends_and_is_the_same_key() {
    let (rig, old) = rig().await;
    let before = pushed(&rig, &old).await;
    let accounts = rig.rows().await.accounts;
    let rotated = rotate(&rig, request(3_600)).await.unwrap();
    assert!(is_well_formed(&rotated.secret) && rotated.secret.starts_with("sk-tp-"));
    let after = pushed(&rig, &rotated.secret).await;
    let previous = after.previous.clone().unwrap();
    assert_eq!(previous.digest, digest(&PEPPER, &old));
    let key = rotated.key.unwrap();
    let until = key.previous_secret_expire_time.unwrap();
    assert_eq!(previous.until.0 / 1_000_000, u64::try_from(until.seconds).unwrap());
    let rotated_at = key.update_time.unwrap();
    assert_eq!(until.seconds - rotated_at.seconds, 3_600);
    let same = Key { digest: before.digest, previous: None, ..after };
    assert_eq!(same, before, "but for its secrets nothing changed");
    assert_eq!(rig.rows().await.accounts, accounts, "its budget is what it was");

    let rig = rig.restart().await;
    let found = pushed(&rig, &rotated.secret).await;
    assert_eq!(found.previous, Some(previous), "a restart knows both");
}

#[tokio::test]
async fn without_an_overlap_every_older_secret_ends_at_once() {
    let (rig, _) = rig().await;
    rotate(&rig, request(3_600)).await.unwrap();
    let last = rotate(&rig, request(0)).await.unwrap();
    assert_eq!(last.key.unwrap().previous_secret_expire_time, None);
    assert_eq!(pushed(&rig, &last.secret).await.previous, None);
    let left_out = RotateKeyRequest { overlap: None, ..request(0) };
    assert!(
        rotate(&rig, left_out).await.unwrap().key.unwrap().previous_secret_expire_time.is_none()
    );
}

#[tokio::test]
async fn a_second_rotation_does_not_end_the_secret_that_clients_use() {
    let (rig, old) = rig().await;
    let first = rotate(&rig, request(3_600)).await.unwrap();
    let rows = rig.rows().await;
    let refused = told(rotate(&rig, request(60)).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "STILL_ROTATING")
    );
    assert!(refused.text.contains(NAME) && refused.text.contains("request_id"), "{}", refused.text);
    assert_eq!(rig.rows().await, rows);
    let previous = pushed(&rig, &first.secret).await.previous.unwrap();
    assert_eq!(previous.digest, digest(&PEPPER, &old));

    // Once it is over, the next may begin.
    rig.sql("UPDATE config_object SET previous_until_us = 1 WHERE kind = 'Key'").await;
    let second = rotate(&rig, request(60)).await.unwrap();
    let previous = pushed(&rig, &second.secret).await.previous.unwrap();
    assert_eq!(previous.digest, digest(&PEPPER, &first.secret));
}

#[tokio::test]
async fn a_rotation_is_repeated_by_its_id_tried_by_validate_only_and_bound_to_an_etag() {
    let (rig, _) = rig().await;
    let rows = rig.rows().await;
    let tried = rotate(&rig, RotateKeyRequest { validate_only: true, ..request(60) }).await;
    assert_eq!(tried.unwrap().secret, "", "what was only tried has no secret");
    let stale = RotateKeyRequest { etag: "1000000".to_owned(), ..request(60) };
    assert_eq!(told(rotate(&rig, stale).await).reason, "ETAG_MISMATCH");
    let absent = RotateKeyRequest { name: "acme/nobody".to_owned(), ..request(60) };
    assert_eq!(told(rotate(&rig, absent).await).code, Code::NotFound);
    assert_eq!(rig.rows().await, rows);

    let by_id = RotateKeyRequest { request_id: "rotate-1".to_owned(), ..request(60) };
    let first = rotate(&rig, by_id.clone()).await.unwrap();
    let rows = rig.rows().await;
    let again = rotate(&rig, by_id).await.unwrap();
    assert_eq!((&again, rig.rows().await), (&first, rows), "the same secret, and nothing written");
    let records = rig
        .table("SELECT resource || ': ' || detail AS line FROM audit_record WHERE method = 'KeyService/RotateKey'")
        .await;
    assert_eq!(records, [format!("Key {NAME}: secret, previous_secret_expire_time")]);
}

#[tokio::test]
async fn an_overlap_is_bounded_by_its_setting_and_never_negative() {
    let limits = AdminLimits { key_overlap_max: Duration::from_secs(60), ..AdminLimits::default() };
    let rig = Rig::start_with(limits).await;
    rig.apply(samples::all()).await.unwrap();
    let create = CreateKeyRequest { key: Some(samples::key()), ..Default::default() };
    rig.keys().create_key(create).await.unwrap();
    for (overlap_s, says) in [(61, "at most 60 s"), (-1, "negative")] {
        let refused = told(rotate(&rig, request(overlap_s)).await);
        assert_eq!(refused.fields, ["overlap"], "{overlap_s}");
        assert!(refused.text.contains(says), "{}", refused.text);
    }
    rotate(&rig, request(60)).await.unwrap();
}

#[tokio::test]
async fn a_secret_of_before_is_nobody_elses() {
    let (rig, old) = rig().await;
    rotate(&rig, request(60)).await.unwrap();
    let mut key = samples::key();
    key.name = "acme/twin".to_owned();
    let twin = KeyImport { key: Some(key), secret: old, ..Default::default() };
    let import = ImportKeysRequest { keys: vec![twin], ..Default::default() };
    let refused = told(rig.keys().import_keys(import).await);
    assert!(refused.text.contains("the secret of another key"), "{}", refused.text);
}
