//! etcd that lets in only those whose certificate it knows.

use crate::site::{Process, eventually, settings};
use links::coordination::{EtcdCoordination, EtcdError, EtcdSettings, EtcdTls, Member};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use servers::{Etcd, EtcdCertificates};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Somebody who signs.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Files of a certificate and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |kind: &str, text: String| {
            let path = self.folder.path().join(format!("{name}.{kind}"));
            fs::write(&path, text).unwrap();
            path
        };
        (write("pem", certificate.pem()), write("key", key.serialize_pem()))
    }
}

fn start(authority: &Authority) -> Etcd {
    let (cert, key) = authority.sign("etcd");
    Etcd::start_with_tls(EtcdCertificates { ca: authority.ca(), cert, key })
}

fn with(etcd: &Etcd, ca: &Path, identity: Option<(PathBuf, PathBuf)>) -> EtcdSettings {
    let tls = Some(EtcdTls { ca: ca.to_owned(), identity });
    EtcdSettings { tls, ..settings(&etcd.url()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_shows_a_certificate_of_the_right_authority_is_let_in_and_nobody_else() {
    let (ours, others) = (Authority::new(), Authority::new());
    let etcd = start(&ours);
    let known = Process::start(with(&etcd, &ours.ca(), Some(ours.sign("known"))));
    known.connected().await;
    let refused = [
        with(&etcd, &ours.ca(), None),
        with(&etcd, &ours.ca(), Some(others.sign("stranger"))),
        // It is not the etcd that we know.
        with(&etcd, &others.ca(), Some(ours.sign("careful"))),
    ];
    for settings in refused {
        let stranger = Process::start(settings);
        let breaks = || stranger.coordination.standing().unwrap().breaks;
        eventually("it tries", || breaks() > 2).await;
        assert!(!stranger.is_connected());
        stranger.end().await;
    }
    known.sees(&[&known]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_replaced_is_shown_on_the_next_connection() {
    let (ours, others) = (Authority::new(), Authority::new());
    let mut etcd = start(&ours);
    let (cert, key) = others.sign("renewed");
    let renewed = Process::start(with(&etcd, &ours.ca(), Some((cert.clone(), key.clone()))));
    eventually("it tries", || renewed.coordination.standing().unwrap().breaks > 2).await;
    assert!(!renewed.is_connected());
    let (good_cert, good_key) = ours.sign("good");
    fs::copy(good_key, key).unwrap();
    fs::copy(good_cert, cert).unwrap();
    renewed.connected().await;
    etcd.kill();
    etcd.run();
    renewed.connected().await;
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let start = |settings| {
        let me = Member::new("", "", "");
        EtcdCoordination::start(settings, me, CancellationToken::new()).map(drop)
    };
    let ours = Authority::new();
    let (cert, _) = ours.sign("half");
    let good = settings("https://127.0.0.1:2379");
    let missing = EtcdTls { ca: ours.folder.path().join("none.pem"), identity: None };
    let half = EtcdTls { ca: ours.ca(), identity: Some((cert.clone(), cert)) };
    let no_endpoint = EtcdSettings { endpoints: Vec::new(), ..good.clone() };
    assert!(matches!(start(no_endpoint), Err(EtcdError::NoEndpoint)));
    assert!(matches!(start(settings("no address")), Err(EtcdError::Endpoint(_))));
    let missing = start(EtcdSettings { tls: Some(missing), ..good.clone() });
    assert!(missing.unwrap_err().to_string().contains("none.pem cannot be read"));
    let half = start(EtcdSettings { tls: Some(half), ..good });
    assert!(matches!(half, Err(EtcdError::Endpoint(_))));
}
