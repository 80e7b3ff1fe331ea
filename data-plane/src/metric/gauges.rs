//! What is looked at when somebody asks, and costs requests nothing: money, spool, configuration, upstreams.

use crate::clock::now;
use crate::metric::series::approximate;
use crate::plane::Shared;
use domain::money::Nano;
use metrics::{counter, gauge};

/// Brings all gauges up to date.
pub(crate) fn observe(plane: &Shared) {
    purse(plane);
    spool(plane);
    shipment(plane);
    configuration(plane);
    upstreams(plane);
}

fn purse(plane: &Shared) {
    let purse = plane.parts.purse.gauges();
    gauge!("turnpike_purse_slices").set(approximate(purse.slices));
    gauge!("turnpike_purse_parked_nano").set(amount(purse.parked));
    gauge!("turnpike_purse_held_nano").set(amount(purse.inflight));
    gauge!("turnpike_purse_holds").set(approximate(purse.holds));
    counter!("turnpike_refused_while_parked_total").absolute(purse.refused_while_parked);
}

fn spool(plane: &Shared) {
    let spool = plane.parts.spool.status();
    let oldest_us = spool.oldest_unbilled_us.map_or(0, |at| now().0.saturating_sub(at));
    gauge!("turnpike_requests_in_flight").set(approximate(spool.open_requests));
    gauge!("turnpike_spool_bytes").set(approximate(spool.bytes));
    gauge!("turnpike_spool_unbilled_events").set(approximate(spool.unbilled_events));
    gauge!("turnpike_spool_oldest_unbilled_seconds")
        .set(std::time::Duration::from_micros(oldest_us).as_secs_f64());
    gauge!("turnpike_spool_full").set(f64::from(u8::from(spool.is_full)));
    gauge!("turnpike_spool_failing").set(f64::from(u8::from(spool.is_failing)));
    counter!("turnpike_spool_sync_failures_total").absolute(spool.sync_failures);
    counter!("turnpike_spool_progress_skipped_total").absolute(spool.progress_skipped);
}

fn shipment(plane: &Shared) {
    let status = plane.parts.shipment.as_ref().map(|shipment| *shipment.borrow());
    let status = status.unwrap_or_default();
    let oldest_us = status.oldest_us.map_or(0, |at| now().0.saturating_sub(at));
    gauge!("turnpike_usage_topic_oldest_unshipped_seconds")
        .set(std::time::Duration::from_micros(oldest_us).as_secs_f64());
    counter!("turnpike_usage_topic_failures_total").absolute(status.failures);
    counter!("turnpike_usage_topic_resent_total").absolute(status.resent);
}

fn configuration(plane: &Shared) {
    let configuration = &plane.parts.configuration;
    let keys = u64::try_from(configuration.key_count()).unwrap_or(u64::MAX);
    gauge!("turnpike_config_applied_revision").set(approximate(configuration.revision().rev));
    let age = configuration.age().map_or(f64::INFINITY, |age| age.as_secs_f64());
    gauge!("turnpike_config_age_seconds").set(age);
    gauge!("turnpike_config_rejects").set(approximate(configuration.rejects()));
    gauge!("turnpike_config_keys").set(approximate(keys));
}

fn upstreams(plane: &Shared) {
    for upstream in plane.parts.configuration.snapshot().upstreams.keys() {
        let rests = plane.health.is_resting(upstream);
        gauge!("turnpike_upstream_resting", "upstream" => upstream.clone())
            .set(f64::from(u8::from(rests)));
    }
}

/// Gauges are floats; the books are not kept by them.
fn amount(nano: Nano) -> f64 {
    nano.get() as f64
}
