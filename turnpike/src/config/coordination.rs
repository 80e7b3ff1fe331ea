//! Settings of how control planes tell each other that there is something new.

use links::coordination::{EtcdSettings, EtcdTls};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How control planes tell each other that there is something new.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Coordination {
    /// Keys in etcd.
    pub(crate) etcd: Etcd,
}

/// Where etcd is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Etcd {
    /// Its members; none: there is no etcd.
    pub(crate) endpoints: Vec<String>,
    /// Who must have signed for it; needed for `https`.
    pub(crate) ca_file: Option<PathBuf>,
    /// The certificate that we show.
    pub(crate) cert_file: Option<PathBuf>,
    /// Its key.
    pub(crate) key_file: Option<PathBuf>,
    /// What all keys begin with.
    pub(crate) prefix: String,
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            prefix: EtcdSettings::default().prefix,
        }
    }
}

/// What must hold, the key that it is about, and what to say when it does not.
pub(super) type Claim = (bool, &'static str, &'static str);

impl Etcd {
    /// As the link takes it; none: there is no etcd.
    pub(crate) fn settings(&self) -> Option<EtcdSettings> {
        let identity = self.cert_file.clone().zip(self.key_file.clone());
        let tls = self.ca_file.clone().map(|ca| EtcdTls { ca, identity });
        (!self.endpoints.is_empty()).then(|| EtcdSettings {
            endpoints: self.endpoints.clone(),
            tls,
            prefix: self.prefix.clone(),
            ..EtcdSettings::default()
        })
    }

    pub(super) fn claims(&self) -> [Claim; 4] {
        let begins =
            |scheme: &str| self.endpoints.iter().filter(|it| it.starts_with(scheme)).count();
        let (plain, secret) = (begins("http://"), begins("https://"));
        [
            (
                plain == self.endpoints.len() || secret == self.endpoints.len(),
                "coordination.etcd.endpoints",
                "must hold addresses such as http://127.0.0.1:2379, or https:// for all of them",
            ),
            (
                secret == 0 || self.ca_file.is_some(),
                "coordination.etcd.ca_file",
                "must name the certificate of who has signed for etcd, since its endpoints are https",
            ),
            (
                secret == 0 || self.cert_file.is_some() == self.key_file.is_some(),
                "coordination.etcd.cert_file",
                "must be given together with key_file, or not at all",
            ),
            (
                self.prefix.starts_with('/') && self.prefix.len() > 1,
                "coordination.etcd.prefix",
                "must begin with a slash, for instance /turnpike",
            ),
        ]
    }
}
