//! Who signs certificates for tests, and the files of a fleet whose members speak TLS to each other.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// Who signs certificates, and the file that makes it trusted.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    _folder: TempDir,
}

/// Where the members of a fleet find their certificates.
pub struct FleetCertificates {
    authority: Authority,
    folder: TempDir,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("turnpike-authority-").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let file = folder.path().join("trusted.pem");
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file, _folder: folder }
    }

    /// For `SSL_CERT_FILE`.
    #[must_use]
    pub fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// A certificate and its key, in PEM, for a member of a fleet.
    fn vouches_for_member(&self, uri: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).unwrap())];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// TLS for a name, until the end of a year.
    #[must_use]
    pub fn vouches_for(&self, name: &str, until: i32) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl FleetCertificates {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("turnpike-fleet-").unwrap();
        Self { authority: Authority::new(), folder }
    }

    /// Where a file of somebody's is, such as `plane.crt`.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives somebody a new certificate as this member.
    pub fn renew(&self, whose: &str, uri: &str) {
        let (cert, key) = self.authority.vouches_for_member(uri);
        fs::write(self.place(&format!("{whose}.crt")), cert).unwrap();
        fs::write(self.place(&format!("{whose}.key")), key).unwrap();
    }

    /// The variables by which a role shows the certificate of somebody.
    #[must_use]
    pub fn settings(&self, section: &str, whose: &str) -> [(String, String); 3] {
        let own = |ending: &str| self.place(&format!("{whose}.{ending}"));
        let files = [
            ("CERT_FILE", own("crt")),
            ("KEY_FILE", own("key")),
            ("CA_FILE", self.authority.file.clone()),
        ];
        files.map(|(file, place)| {
            let name = format!("TURNPIKE__{section}__FLEET_TLS__{file}");
            (name, place.to_str().unwrap().to_owned())
        })
    }
}

impl Default for FleetCertificates {
    fn default() -> Self {
        Self::new()
    }
}
