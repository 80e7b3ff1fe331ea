//! Missing usage events: listed page by page, and given up once.

use super::client::Grpcurl;
use crate::samples::method;
use integration_tests::Gateway;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// As if events of a data plane had overtaken others, an hour after the epoch.
pub(crate) async fn overtaken(gateway: &Gateway) {
    let url = format!("sqlite://{}", gateway.data_dir().join("turnpike.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for statement in [
        "PRAGMA busy_timeout = 20000",
        "INSERT INTO usage_mark (data_plane, incarnation, partition_no, next_seq) VALUES ('gone', 7, 3, 6)",
        "INSERT INTO usage_gap (data_plane, incarnation, partition_no, from_seq, to_seq, since_us)
         VALUES ('gone', 7, 3, 1, 2, 3600000000), ('gone', 7, 3, 3, 5, 3600000000)",
        "INSERT INTO life (data_plane, incarnation, state, heard_us, ordered_us, reason)
         VALUES ('gone', 7, 'active', 3600000000, 0, '')",
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

pub(super) async fn missing_usage_is_listed_and_written_off(gateway: &Gateway, grpcurl: &Grpcurl) {
    let (list, give_up) = (method("Money/ListUsageGaps"), method("Money/WriteOffUsage"));
    assert_eq!(grpcurl.call(&list, &json!({})).await.unwrap(), json!({}));
    overtaken(gateway).await;
    let page = grpcurl.call(&list, &json!({"pageSize": 1})).await.unwrap();
    let gap = json!({
        "dataPlane": "gone", "incarnation": "7", "partition": 3, "fromSeq": "1", "toSeq": "2",
        "since": "1970-01-01T01:00:00Z",
    });
    assert_eq!(page["gaps"], json!([gap]));
    let next = json!({"pageSize": 1, "pageToken": page["nextPageToken"]});
    let next = grpcurl.call(&list, &next).await.unwrap();
    assert_eq!((&next["gaps"][0]["fromSeq"], next.get("nextPageToken")), (&json!("3"), None));
    let garbled = grpcurl.call(&list, &json!({"pageToken": "x"})).await.unwrap_err();
    garbled.is("InvalidArgument", "PAGE_TOKEN_GARBLED");
    let of_others = json!({"pageToken": page["nextPageToken"], "writtenOff": true});
    grpcurl.call(&list, &of_others).await.unwrap_err().is("InvalidArgument", "PAGE_TOKEN_FOREIGN");

    let mut order = json!({
        "dataPlane": "gone", "incarnation": "7", "partition": 3, "fromSeq": "1", "toSeq": "2",
    });
    for reason in ["", "  ", "two\nlines", &"x".repeat(600)] {
        order["reason"] = json!(reason);
        let refused = grpcurl.call(&give_up, &order).await.unwrap_err();
        assert_eq!(refused.fields(), ["reason"], "{reason:?}");
    }
    order["reason"] = json!("its disk");
    order["validateOnly"] = json!(true);
    let tried = grpcurl.call(&give_up, &order).await.unwrap();
    assert_eq!(tried["reason"], "its disk");
    let listed = grpcurl.call(&list, &json!({})).await.unwrap();
    assert_eq!(listed["gaps"].as_array().unwrap().len(), 2, "a trial gives nothing up");
    order["validateOnly"] = json!(false);
    order["requestId"] = json!("give-up-once");
    let done = grpcurl.call(&give_up, &order).await.unwrap();
    assert_eq!(grpcurl.call(&give_up, &order).await.unwrap(), done, "a repeated call");
    order["requestId"] = json!("give-up-twice");
    grpcurl.call(&give_up, &order).await.unwrap_err().is("FailedPrecondition", "USAGE_GAP");
    order["toSeq"] = json!("9");
    grpcurl.call(&give_up, &order).await.unwrap_err().is("FailedPrecondition", "USAGE_GAP");

    let left = grpcurl.call(&list, &json!({})).await.unwrap();
    assert_eq!(left["gaps"][0]["fromSeq"], "3");
    let all = grpcurl.call(&list, &json!({"writtenOff": true})).await.unwrap();
    assert_eq!((&all["gaps"][0], all["gaps"][1].get("reason")), (&done, None));
    let books = grpcurl.call(&method("Money/Reconcile"), &json!({})).await.unwrap();
    let counted = (&books["ok"], &books["missingEvents"], &books["writtenOffEvents"]);
    assert_eq!(counted, (&json!(true), &json!("3"), &json!("2")));
    a_data_plane_is_forgotten_once(grpcurl).await;
    let audit = json!({"resource": "UsageGap gone:7:3:1-2"});
    let audit = grpcurl.call(&method("Audit/ListAuditRecords"), &audit).await.unwrap();
    assert_eq!(audit["records"][0]["detail"], "written off: its disk");
}

async fn a_data_plane_is_forgotten_once(grpcurl: &Grpcurl) {
    let forget = method("Money/ForgetDataPlane");
    for (name, reason, field) in [("Gone", "its disk", "data_plane"), ("gone", " ", "reason")] {
        let order = json!({"dataPlane": name, "reason": reason});
        assert_eq!(grpcurl.call(&forget, &order).await.unwrap_err().fields(), [field]);
    }
    for name in ["never-here", "local"] {
        let order = json!({"dataPlane": name, "reason": "its disk"});
        let refused = grpcurl.call(&forget, &order).await.unwrap_err();
        refused.is("FailedPrecondition", "DATA_PLANE");
    }
    let mut order = json!({"dataPlane": "gone", "reason": "its disk", "validateOnly": true});
    let tried = grpcurl.call(&forget, &order).await.unwrap();
    let life = json!({
        "dataPlane": "gone", "incarnation": "7", "state": "forgetting",
        "heard": "1970-01-01T01:00:00Z", "missingEvents": "5",
    });
    assert_eq!(tried, json!({"lives": [life]}));
    order["validateOnly"] = json!(false);
    order["requestId"] = json!("forget-once");
    assert_eq!(grpcurl.call(&forget, &order).await.unwrap(), tried);
    assert_eq!(grpcurl.call(&forget, &order).await.unwrap(), tried, "a repeated call");
    let audit = json!({"resource": "DataPlane gone"});
    let audit = grpcurl.call(&method("Audit/ListAuditRecords"), &audit).await.unwrap();
    assert_eq!(audit["records"].as_array().unwrap().len(), 1);
    assert_eq!(audit["records"][0]["detail"], "to be forgotten: its disk");
}
