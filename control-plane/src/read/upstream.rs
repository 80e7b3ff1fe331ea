//! Upstreams, as operators write them. The credential in the spec is not looked at: what is kept of it is sealed.

use super::{Reader, listed};
use domain::catalog::Violation;
use domain::config::{Dialect, Kind, Upstream, VendorPages};
use domain::jurisdiction::Jurisdiction;
use proto::admin::v1::UpstreamSpec;

pub(super) fn read(
    name: &str,
    spec: &UpstreamSpec,
    sealed_credential: &[u8],
) -> Result<Upstream, Vec<Violation>> {
    let mut reader = Reader::new(Kind::Upstream, name);
    let dialect = reader.field("dialect", dialect(&spec.dialect));
    let jurisdiction = reader.field("jurisdiction", Jurisdiction::parse(&spec.jurisdiction));
    reader.finish(|| {
        Some(Upstream {
            name: name.to_owned(),
            vendor: spec.vendor.clone(),
            dialect: dialect?,
            base_url: spec.base_url.clone(),
            sealed_credential: sealed_credential.to_vec(),
            jurisdiction: jurisdiction?,
            stops_on_abort: spec.stops_on_abort,
            collects_no_data: spec.collects_no_data,
            zero_data_retention: spec.zero_data_retention,
            vendor_pages: VendorPages {
                privacy_policy: spec.privacy_policy_url.clone(),
                terms_of_service: spec.terms_of_service_url.clone(),
                status: spec.status_page_url.clone(),
            },
        })
    })
}

fn dialect(text: &str) -> Result<Dialect, String> {
    Dialect::parse(text).ok_or_else(|| {
        format!("\"{text}\" is not a dialect: use {}", listed(Dialect::ALL, Dialect::name))
    })
}
