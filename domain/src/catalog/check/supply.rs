//! What is sold: upstreams and models. Whether their routes are lawful and priced is `routes`' business.

use super::findings::{Findings, Subject};
use super::parties::{check_label, unknown};
use crate::catalog::Catalog;
use crate::config::{Kind, Modality, Model, VendorPages};
use crate::name;
use std::collections::{BTreeMap, BTreeSet};

impl Catalog {
    pub(super) fn check_upstreams(&self, findings: &mut Findings) {
        let mut said = BTreeMap::new();
        for upstream in self.upstreams.values() {
            let mut subject = findings.about(Kind::Upstream, &upstream.name);
            subject.expect("name", name::check(&upstream.name));
            subject.expect("base_url", check_base_url(&upstream.base_url));
            for (field, page) in upstream.vendor_pages.fields() {
                if page.is_empty() {
                    continue;
                }
                subject.expect(field, check_page(page));
                let at = (upstream.vendor.as_str(), field);
                let (first, told) = *said.entry(at).or_insert((upstream.name.as_str(), page));
                let reason = format!(
                    "upstream {first:?} of the same vendor says {told:?}: write the same, or leave it out"
                );
                subject.require(page == told, field, reason);
            }
        }
    }

    pub(super) fn check_models(&self, findings: &mut Findings) {
        for model in self.models.values() {
            let mut subject = findings.about(Kind::Model, &model.name);
            subject.expect("name", name::check(&model.name));
            subject.expect("display_name", name::check_display(&model.display_name));
            subject.expect("description", name::check_description(&model.description));
            let parts = model.name.split('/').count();
            subject.require(parts == 2, "name", "must be author/slug, with one '/'");
            check_label(&mut subject, "origin", &model.origin);
            check_modalities(&mut subject, model);
            check_sizes(&mut subject, model);
            self.check_route_fields(&mut subject, model);
        }
    }

    fn check_route_fields(&self, subject: &mut Subject<'_>, model: &Model) {
        let mut seen = BTreeSet::new();
        for route in &model.routes {
            let field = |name: &str| format!("routes[{}].{name}", route.upstream);
            let exists = self.upstreams.contains_key(&route.upstream);
            subject.require(exists, field("upstream"), unknown(Kind::Upstream, &route.upstream));
            let named = !route.model.is_empty();
            subject.require(named, field("model"), "needed: the upstream's name of the model");
            subject.require(route.weight > 0, field("weight"), "must be at least 1");
            let new = seen.insert((&route.upstream, &route.model));
            subject.require(new, field("model"), "listed twice: give one route a larger weight");
        }
    }
}

fn check_modalities(subject: &mut Subject<'_>, model: &Model) {
    let lists = [
        ("input_modalities", &model.input_modalities),
        ("output_modalities", &model.output_modalities),
    ];
    for (field, list) in lists {
        subject.require(!list.is_empty(), field, "needed: name at least one, for instance text");
        let distinct: BTreeSet<_> = list.iter().collect();
        subject.require(distinct.len() == list.len(), field, "one is listed twice: remove it");
    }
    let reads_vectors = model.input_modalities.contains(&Modality::Embeddings);
    subject.require(!reads_vectors, "input_modalities", "embeddings only come out: remove it");
    let mixed = model.output_modalities.len() > 1
        && model.output_modalities.contains(&Modality::Embeddings);
    subject.require(!mixed, "output_modalities", "embeddings must be the only one");
    let writes_files = model.output_modalities.contains(&Modality::File);
    subject.require(!writes_files, "output_modalities", "files only go in: remove it");
}

fn check_sizes(subject: &mut Subject<'_>, model: &Model) {
    let sized = model.context_length > 0;
    subject.require(sized, "context_length", "needed: most tokens of input and output together");
    let fits = model.max_output_tokens <= model.context_length;
    subject.require(fits, "max_output_tokens", "must not be larger than context_length");
    let answers = model.max_output_tokens > 0 || model.is_embeddings();
    subject.require(answers, "max_output_tokens", "needed: most tokens of an answer");
    let media = [
        (Modality::Image, "image_tokens_max", model.image_tokens_max),
        (Modality::Audio, "audio_tokens_max", model.audio_tokens_max),
    ];
    for (modality, field, most) in media {
        let bounded = most > 0 || !model.input_modalities.contains(&modality);
        let reason =
            format!("needed with {} input: most tokens that one part can cost", modality.name());
        subject.require(bounded, field, reason);
    }
}

fn check_base_url(url: &str) -> Result<(), &'static str> {
    let rest = check_address(url)?;
    if rest.contains(['?', '#']) {
        return Err("must be a plain URL without '?' and '#': paths are appended to it");
    }
    Ok(())
}

/// A page that people are sent to.
fn check_page(url: &str) -> Result<(), String> {
    if url.len() > VendorPages::LENGTH_MAX {
        return Err(format!("must have at most {} bytes", VendorPages::LENGTH_MAX));
    }
    check_address(url).map(|_| ()).map_err(str::to_owned)
}

/// What comes behind the scheme of a web address.
fn check_address(url: &str) -> Result<&str, &'static str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or("must begin with https:// or http://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err("must not contain a user or password: remove it");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err("must name a host");
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("must have a port from 1 to 65535, or none");
    }
    if rest.contains('\\') || !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be a plain URL of visible ASCII characters, without '\\'");
    }
    Ok(rest)
}
