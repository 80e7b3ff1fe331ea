//! The certificates of this process: where they are, that they are looked at again, and how often that came to something.

use crate::config::{Config, FleetTls};
use anyhow::{Context, bail};
use links::tls::{End, Loads, Material, Role, TlsFiles};
use metrics::{counter, describe_counter};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const CERTIFICATES: &str = "turnpike_fleet_certificates_total";

/// For the registry. Both results are there from the beginning, so that an alert sees the first one.
pub(in crate::up) fn describe_metrics() {
    describe_counter!(
        CERTIFICATES,
        "Certificates for the links of the fleet that were found in their files, by what came of them."
    );
    count(&Loads::default(), &Loads::default());
}

/// That of a control plane or of billing; none if TLS is not wanted.
pub(super) fn serving(
    config: &Config,
    tls: &FleetTls,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Material>> {
    tls.files().map(|files| load(config, files, End::Serving, stop)).transpose()
}

/// That of the data plane.
pub(super) fn calling(
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Material>> {
    let Some(files) = config.data_plane.fleet_tls.files() else { return Ok(None) };
    let material = load(config, files, End::Calling, stop)?;
    let (cell, name) = (&config.data_plane.cell, &config.data_plane.name);
    let identity = material.identity();
    let wanted = Role::DataPlane { cell: cell.clone(), name: name.clone() };
    if identity.role != wanted {
        bail!(
            "data_plane.fleet_tls.cert_file is the certificate of {identity}, but data_plane.cell is {cell} and \
             data_plane.name is {name}"
        );
    }
    Ok(Some(material))
}

fn load(
    config: &Config,
    files: TlsFiles,
    end: End,
    stop: &CancellationToken,
) -> anyhow::Result<Material> {
    let material = Material::load(files, end).context("fleet_tls does not name a good set")?;
    tracing::info!(identity = %material.identity(), "speaking TLS to the fleet");
    tokio::spawn(count_all(material.loads()));
    tokio::spawn(material.clone().watch(config.links.certificate_interval, stop.clone()));
    Ok(material)
}

async fn count_all(mut loads: watch::Receiver<Loads>) {
    let mut before = Loads::default();
    loop {
        let now = *loads.borrow_and_update();
        count(&before, &now);
        before = now;
        if loads.changed().await.is_err() {
            return;
        }
    }
}

fn count(before: &Loads, now: &Loads) {
    let since = |before: u64, now: u64| now.saturating_sub(before);
    counter!(CERTIFICATES, "result" => "taken").increment(since(before.taken, now.taken));
    counter!(CERTIFICATES, "result" => "refused").increment(since(before.refused, now.refused));
}
