//! A control plane and a data plane that speak TLS to each other, and certificates that are replaced while clients are served.

use integration_tests::{FleetCertificates, Metrics, OrgHandle, SplitGateway, eventually, say};
use rustix::process::Signal;
use std::fs;

const OFFICE: &str = "spiffe://it/control-plane/cp-0";
const PLANE: &str = "spiffe://it/cell/local/data-plane/local";

fn certificates() -> FleetCertificates {
    let certificates = FleetCertificates::new();
    certificates.renew("office", OFFICE);
    certificates.renew("plane", PLANE);
    certificates
}

async fn start(certificates: &FleetCertificates) -> SplitGateway {
    let office = certificates.settings("CONTROL_PLANE", "office");
    let plane = certificates.settings("DATA_PLANE", "plane");
    let settings = office.iter().chain(&plane).map(|(name, value)| (&**name, &**value));
    let often = ("TURNPIKE__LINKS__CERTIFICATE_INTERVAL", "50 ms");
    SplitGateway::start(&settings.chain([often]).collect::<Vec<_>>()).await
}

/// How often certificates came to this.
fn came_to(result: &str, metrics: &Metrics) -> f64 {
    metrics.sum("turnpike_fleet_certificates_total", &[("result", result)])
}

async fn served(split: &SplitGateway, org: &OrgHandle) {
    eventually("a new key is served", async || {
        (split.chat(&org.key, say(5)).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn certificates_are_replaced_while_clients_are_served_and_bad_ones_are_not_taken() {
    let certificates = certificates();
    let mut split = start(&certificates).await;
    let org = split.new_org("secured", "5.00 USD").await;
    served(&split, &org).await;

    certificates.renew("office", OFFICE);
    certificates.renew("plane", PLANE);
    eventually("both have the new ones", async || {
        assert_eq!(split.chat(&org.key, say(2)).await.status, 200, "it serves all the time");
        let (office, plane) = (split.office_metrics().await, split.plane_metrics().await);
        (came_to("taken", &office) > 1.0 && came_to("taken", &plane) > 1.0).then_some(())
    })
    .await;
    fs::write(certificates.place("plane.crt"), "no certificate").unwrap();
    eventually("the bad one is refused", async || {
        (came_to("refused", &split.plane_metrics().await) >= 1.0).then_some(())
    })
    .await;
    // The connections of now have seen nothing of it: those of later must do with the new ones.
    split.kill_office().await;
    split.start_office().await;
    let after = split.new_org("after", "5.00 USD").await;
    served(&split, &after).await;
    split.admin().reconciled().await;
    split.stop_plane().await;
    split.stop_office().await;
}

#[tokio::test]
async fn a_hangup_has_the_files_read_at_once_and_ends_nothing() {
    let certificates = certificates();
    let split = start(&certificates).await;
    assert_eq!(came_to("taken", &split.plane_metrics().await), 1.0);
    // As often as it is asked, whether anything has changed or not.
    for times in 2_u32..4 {
        split.signal_plane(Signal::HUP);
        eventually("it was read again", async || {
            let taken = came_to("taken", &split.plane_metrics().await);
            (taken >= f64::from(times)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_data_plane_with_the_certificate_of_another_does_not_start() {
    let certificates = certificates();
    let mut split = start(&certificates).await;
    split.stop_plane().await;
    split.set("TURNPIKE__DATA_PLANE__NAME", "impostor");
    split.launch_plane();
    eventually("it says why", async || {
        let said = split.plane_said();
        said.contains("is the certificate of spiffe://it/cell/local/data-plane/local").then_some(())
    })
    .await;
}
