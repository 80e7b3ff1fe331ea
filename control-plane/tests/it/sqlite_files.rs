//! What SQLite's files hold: not only in rows that exist, in none of the pages and logs that were ever written is a secret.

use crate::on_sqlite::harness::{Rig, TOKEN};
use crate::on_sqlite::people::{call, hire, key, town};
use crate::on_sqlite::samples::CREDENTIAL;
use prost::Message;
use proto::admin::v1::{CreateKeyRequest, CreateKeyResponse};
use servers::Place;
use std::fs;

/// How many of the files have these bytes somewhere.
fn files_with(rig: &Rig, text: &str) -> usize {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let Place::Folder(folder) = &rig.place else { panic!("{:?} has no files", rig.place) };
    let files = fs::read_dir(folder.path()).unwrap();
    files.filter(|file| holds(&fs::read(file.as_ref().unwrap().path()).unwrap())).count()
}

#[tokio::test]
async fn secrets_are_in_no_file() {
    let rig = town().await;
    let token = hire(&rig, "alice", "admin", ("", "")).await;
    let request = CreateKeyRequest {
        key: Some(key("acme", "once")),
        request_id: "id-1".to_owned(),
        ..Default::default()
    };
    // The answer of a repeated call is kept, and has the secret in it.
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let answer = call(&rig, TOKEN, "KeyService/CreateKey", &request.encode_to_vec()).await;
        let answer = CreateKeyResponse::decode(answer.unwrap().as_slice()).unwrap();
        secrets.push(answer.secret);
    }
    assert!(secrets[0] == secrets[1] && !secrets[0].is_empty());
    // Would be found if it were there: the plan's name is in objects and in the log.
    assert!(files_with(&rig, &hex::encode("starter")) > 0);
    for seen in [CREDENTIAL, token.as_str(), secrets[0].as_str()] {
        assert_eq!(files_with(&rig, seen), 0);
        assert_eq!(files_with(&rig, &hex::encode(seen)), 0);
    }
}
