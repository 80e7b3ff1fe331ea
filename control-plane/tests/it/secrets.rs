//! Secrets are written once and never seen again.

use super::feed::View;
use super::harness::{Rig, SEAL_KEY, told};
use super::samples::{self, CREDENTIAL};
use links::seal::unseal;
use prost::Message;
use prost_types::FieldMask;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    CreateKeyRequest, GetKeyRequest, GetUpstreamRequest, ListKeysRequest, ListUpstreamsRequest,
    UpdateUpstreamRequest, Upstream,
};

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[tokio::test]
async fn secrets_are_in_no_answer_and_no_row() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let request =
        CreateKeyRequest { key: Some(samples::key()), validate_only: false, ..Default::default() };
    let secret = rig.keys().create_key(request).await.unwrap().into_inner().secret;

    let get = GetUpstreamRequest { name: "alpha".to_owned() };
    let mut answers = vec![
        rig.upstreams().get_upstream(get).await.unwrap().into_inner().encode_to_vec(),
        rig.upstreams()
            .list_upstreams(ListUpstreamsRequest::default())
            .await
            .unwrap()
            .into_inner()
            .encode_to_vec(),
        rig.keys()
            .get_key(GetKeyRequest { name: "acme/production".to_owned() })
            .await
            .unwrap()
            .into_inner()
            .encode_to_vec(),
        rig.keys()
            .list_keys(ListKeysRequest::default())
            .await
            .unwrap()
            .into_inner()
            .encode_to_vec(),
    ];
    let request =
        CreateKeyRequest { key: Some(samples::key()), validate_only: false, ..Default::default() };
    answers.push(told(rig.keys().create_key(request).await).text.into_bytes());
    for answer in &answers {
        assert!(!holds(answer, CREDENTIAL));
        assert!(!holds(answer, &secret));
    }

    let rows = format!("{:?}", rig.rows().await);
    // Would be found if it were there.
    assert!(rows.contains(&hex::encode("starter")), "the plan's name");
    for seen in [CREDENTIAL, secret.as_str()] {
        assert!(!rows.contains(seen));
        assert!(!rows.contains(&hex::encode(seen)));
    }
}

async fn sealed(rig: &Rig) -> Vec<u8> {
    View::of(rig).await.snapshot.upstreams.get("alpha").unwrap().sealed_credential.clone()
}

#[tokio::test]
async fn data_planes_get_the_credential_sealed_for_its_upstream() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let sealed = sealed(&rig).await;
    assert_eq!(unseal(&SEAL_KEY, "alpha", &sealed).unwrap(), CREDENTIAL.as_bytes());
    assert!(unseal(&SEAL_KEY, "beta", &sealed).is_err());
    let rows = rig.rows().await;
    assert!(rows.log.iter().any(|line| line.contains(&hex::encode(&sealed))), "sealed in the log");
}

#[tokio::test]
async fn a_credential_that_is_left_out_is_kept_and_one_that_is_named_is_taken() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let first = sealed(&rig).await;
    let with = |credential: &str, vendor: &str, paths: &[&str]| {
        let mut upstream: Upstream = samples::upstream();
        let spec = upstream.spec.as_mut().unwrap();
        spec.credential = credential.to_owned();
        spec.vendor = vendor.to_owned();
        UpdateUpstreamRequest {
            upstream: Some(upstream),
            update_mask: Some(FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
            validate_only: false,
            ..Default::default()
        }
    };

    rig.upstreams().update_upstream(with("", "new", &[])).await.unwrap();
    assert_eq!(sealed(&rig).await, first, "left out of an update: kept");
    let mut applied = samples::upstream();
    applied.spec.as_mut().unwrap().credential.clear();
    rig.apply([Any::Upstream(applied)]).await.unwrap();
    assert_eq!(sealed(&rig).await, first, "left out of an apply: kept");
    let same = rig.apply([Any::Upstream(samples::upstream())]).await.unwrap();
    assert_eq!(same.objects[0].action, "unchanged", "the same credential is no change");

    rig.upstreams().update_upstream(with("other", "x", &["vendor"])).await.unwrap();
    assert_eq!(sealed(&rig).await, first, "not named by the mask: not taken");
    rig.upstreams().update_upstream(with("other", "x", &["credential"])).await.unwrap();
    assert_eq!(unseal(&SEAL_KEY, "alpha", &sealed(&rig).await).unwrap(), b"other");
    rig.upstreams().update_upstream(with("", "x", &["credential"])).await.unwrap();
    assert!(sealed(&rig).await.is_empty(), "named and empty: none is sent any more");
}
