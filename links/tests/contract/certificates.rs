//! Certificates for members of a fleet, as files.

use links::tls::{End, Material, TlsFiles};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

/// Who signs for the fleet of all tests but those that are about that.
pub(crate) static FLEET: LazyLock<Authority> = LazyLock::new(Authority::new);

pub(crate) const CONTROL_PLANE: &str = "spiffe://apac/control-plane/cp-0";

/// The URI of a data plane.
pub(crate) fn data_plane(cell: &str, name: &str) -> String {
    format!("spiffe://apac/cell/{cell}/data-plane/{name}")
}

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// The names of its files, and what leads to them.
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";
const CA: &str = "ca.crt";
const CURRENT: &str = "current";

/// What a member has: a certificate, its key, whom it trusts.
pub(crate) struct Set {
    pub(crate) files: TlsFiles,
    pub(crate) folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key, good until the end of a year.
    pub(crate) fn signs(&self, uris: &[&str], until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        // Beside the URI a certificate may say what it wants.
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let uri = |uri: &&str| SanType::URI(Ia5String::try_from(*uri).unwrap());
        params.subject_alt_names.extend(uris.iter().map(uri));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// What makes it trusted.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A set of one who trusts this authority.
    pub(crate) fn set(&self, uri: &str) -> Set {
        self.set_until(uri, 4000)
    }

    pub(crate) fn set_until(&self, uri: &str, until: i32) -> Set {
        let folder = TempDir::with_prefix("turnpike-tls-").unwrap();
        let set = Set { files: files_in(folder.path()), folder };
        let (cert, key) = self.signs(&[uri], until);
        set.write(&cert, &key, self.pem());
        set
    }

    /// A control plane's, or billing's.
    pub(crate) fn serving(&self, uri: &str) -> Material {
        Material::load(self.set(uri).files, End::Serving).unwrap()
    }

    /// A data plane's.
    pub(crate) fn calling(&self, uri: &str) -> Material {
        self.set(uri).calling()
    }
}

impl Set {
    /// Replaces it, all at once as Kubernetes does: the files are reached by a link to a folder, and another folder takes its place.
    pub(crate) fn write(&self, cert: &str, key: &str, ca: &str) {
        let next = TempDir::with_prefix_in("set-", self.folder.path()).unwrap().keep();
        for (name, text) in [(CERT, cert), (KEY, key), (CA, ca)] {
            fs::write(next.join(name), text).unwrap();
        }
        let draft = self.folder.path().join("draft");
        symlink(next, &draft).unwrap();
        fs::rename(draft, self.folder.path().join(CURRENT)).unwrap();
    }

    /// Only read once.
    pub(crate) fn calling(self) -> Material {
        Material::load(self.files, End::Calling).unwrap()
    }
}

fn files_in(folder: &Path) -> TlsFiles {
    let place = |name: &str| -> PathBuf { folder.join(CURRENT).join(name) };
    TlsFiles { cert: place(CERT), key: place(KEY), ca: place(CA) }
}
