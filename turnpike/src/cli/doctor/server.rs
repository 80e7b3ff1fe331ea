//! The server: whether it answers, accepts the token, has the same time, and its data planes keep up.

use super::finding::Finding;
use super::upstreams;
use crate::cli::gaps;
use crate::client::{Client, Remote};
use crate::failure::{Exit, Failure};
use std::time::{Duration, SystemTime};

/// Beyond this, expiry dates and rate limits are noticeably off.
const SKEW_MAX: Duration = Duration::from_secs(3);
/// The server tells its time in whole seconds.
const SKEW_UNSEEN: Duration = Duration::from_secs(1);

/// Looks at all of it.
pub(super) async fn examine(remote: &Remote, patience: Duration) -> Vec<Finding> {
    let client = match Client::connect(remote).await {
        Ok(client) => client,
        Err(failure) => return vec![admin_failed(&failure)],
    };
    let before = SystemTime::now();
    let time = match client.server_time().await {
        Ok(time) => time,
        Err(failure) => return vec![admin_failed(&failure)],
    };
    let mut findings =
        vec![Finding::ok("admin", format!("{} answers and accepts the token", client.address()))];
    findings.push(match time {
        Some(time) => clock(before, SystemTime::now(), time),
        None => Finding::skipped("clock", "the server does not tell its time"),
    });
    findings.extend(data_planes(&client).await);
    findings.push(missing_usage(&client).await);
    findings.extend(upstreams::examine(&client, patience).await);
    findings
}

fn admin_failed(failure: &Failure) -> Finding {
    let mend = match failure.exit {
        Exit::Unreachable => "start `turnpike up`, or set TURNPIKE_ADMIN_ADDR to where it listens",
        Exit::Failed | Exit::Usage => {
            "set TURNPIKE_ADMIN_TOKEN or --admin-token-file to an operator's token of this server"
        }
    };
    Finding::wrong("admin", failure.message.clone(), mend)
}

/// The server's moment lies between two of ours, if both clocks are right.
fn clock(before: SystemTime, after: SystemTime, server: SystemTime) -> Finding {
    let behind = before.duration_since(server).unwrap_or_default().saturating_sub(SKEW_UNSEEN);
    let ahead = server.duration_since(after).unwrap_or_default();
    let skew = behind.max(ahead);
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    let found = format!("the server's clock is {} s {direction} this machine's", skew.as_secs());
    if skew > SKEW_MAX {
        return Finding::wrong(
            "clock",
            found,
            "synchronise both with NTP (`timedatectl` tells the state)",
        );
    }
    Finding::ok("clock", "the server's clock agrees with this machine's, to a second or two")
}

async fn data_planes(client: &Client) -> Vec<Finding> {
    let (head, planes) = match client.data_planes().await {
        Ok(fleet) => fleet,
        Err(failure) => {
            return vec![Finding::wrong(
                "data-planes",
                failure.message,
                "look at the server's log",
            )];
        }
    };
    if planes.is_empty() {
        let mend = "start a data plane: until then no client is served";
        return vec![Finding::warning("data-planes", "none is connected", mend)];
    }
    let look = |plane: &proto::admin::v1::DataPlane| {
        let name = &plane.name;
        if !plane.rejects.is_empty() {
            let found = format!("{name} refused objects: {}", plane.rejects.join("; "));
            let mend = "apply a corrected form of them; the last good one is still served";
            return Finding::wrong("data-planes", found, mend);
        }
        if plane.applied < head {
            let found = format!("{name} has revision {} of {head}", plane.applied);
            let mend = "look again in a few seconds; if it stays behind, look at its log";
            return Finding::warning("data-planes", found, mend);
        }
        Finding::ok("data-planes", format!("{name} has revision {head}"))
    };
    planes.iter().map(look).collect()
}

/// Events that a data plane numbered and billing never got.
async fn missing_usage(client: &Client) -> Finding {
    let gaps = match gaps::all(client, false).await {
        Ok(gaps) => gaps,
        Err(failure) => return Finding::skipped("missing-usage", failure.message),
    };
    let Some(oldest) = gaps.iter().min_by(|one, other| one.since.cmp(&other.since)) else {
        return Finding::ok("missing-usage", "no usage event is missing");
    };
    let events: u64 = gaps.iter().map(gaps::events).sum();
    let found = format!(
        "{events} usage events are missing, of {} since {}; its spool keeps what is behind them",
        oldest.data_plane, oldest.since
    );
    let mend = "restart that data plane, so that it sends what it has; if they stay missing, its log names the damaged file: \
                `turnpike usage gaps`, then `turnpike usage write-off`";
    Finding::warning("missing-usage", found, mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::State;

    #[test]
    fn a_clock_is_right_within_what_can_be_seen_of_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let table = [
            // milliseconds that the server is ahead
            (0, State::Ok),
            (-900, State::Ok),
            (-3_900, State::Ok),
            (2_900, State::Ok),
            (-4_500, State::Wrong),
            (3_500, State::Wrong),
            (3_600_000, State::Wrong),
        ];
        for (ahead_ms, state) in table {
            let shift = Duration::from_millis(u64::try_from(i64::abs(ahead_ms)).expect("positive"));
            let server = if ahead_ms < 0 { now - shift } else { now + shift };
            let found = clock(now, now + Duration::from_millis(20), server);
            assert_eq!(found.state, state, "{ahead_ms}: {}", found.found);
        }
    }
}
