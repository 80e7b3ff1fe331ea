//! etcd: whether it answers, who is there, and what it says is the newest revision.

use super::finding::Finding;
use crate::config::Config;
use links::coordination::look;

/// Looks at it, if there is one.
pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let etcd = &config.coordination.etcd;
    let Some(settings) = etcd.settings() else { return Vec::new() };
    let mut findings = Vec::new();
    for endpoint in &etcd.endpoints {
        findings.push(match look(&settings, endpoint).await {
            Ok(seen) => {
                let members: Vec<String> = seen.members.iter().map(named).collect();
                let head = seen.head.map_or("none yet".to_owned(), |head| head.rev.to_string());
                let there = if members.is_empty() { "none".to_owned() } else { members.join(", ") };
                let found = format!("{endpoint} answers; control planes: {there}; revision: {head}");
                Finding::ok("etcd", found)
            }
            Err(error) => {
                let mend = "start it, or correct coordination.etcd; until then control planes find out by looking";
                Finding::warning("etcd", format!("{endpoint}: {error}"), mend)
            }
        });
    }
    findings
}

fn named(member: &links::coordination::Member) -> String {
    format!("{} ({})", member.address, member.version)
}
