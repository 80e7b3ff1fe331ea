//! What silence means, and when all that a life sent is counted.

use domain::escrow::life::{Intake, LifeState, Patience, Silence};
use domain::time::Timestamp;
use std::time::Duration;

const fn at(second: u64) -> Timestamp {
    Timestamp(second * 1_000_000)
}

#[test]
fn silence_means_more_the_longer_it_lasts_and_nothing_where_clocks_went_back() {
    let patience = Patience {
        live_within: Duration::from_secs(15),
        suspect_after: Duration::from_secs(300),
        give_up_after: Duration::from_secs(86_400),
    };
    let table = [
        (0, Silence::Live),
        (15, Silence::Live),
        (16, Silence::Quiet),
        (300, Silence::Quiet),
        (301, Silence::Suspect),
        (86_400, Silence::Suspect),
        (86_401, Silence::Lost),
    ];
    for (seconds, silence) in table {
        assert_eq!(patience.judge(at(1_000), at(1_000 + seconds)), silence, "{seconds} s");
    }
    assert_eq!(patience.judge(at(1_000), at(0)), Silence::Live);
}

#[test]
fn what_was_sent_is_counted_once_its_end_was_seen_or_it_was_looked_for_or_nobody_has_it() {
    let gone_after = Duration::from_secs(15);
    let table = [
        // open, renewed, settled, counted
        (true, 95, 0, false),
        (false, 95, 0, true),
        (true, 95, 89, false),
        (true, 95, 90, true),
        (true, 85, 0, false),
        (true, 84, 0, true),
    ];
    for (is_open, renewed, settled, counted) in table {
        let intake = Intake { is_open, renewed: at(renewed), settled: at(settled) };
        assert_eq!(intake.has_counted(at(90), at(100), gone_after), counted, "{intake:?}");
    }
}

#[test]
fn a_state_is_read_as_it_is_written() {
    let names = ["active", "final", "forgetting", "given-up"];
    let read = names.map(|name| LifeState::parse(name).map(LifeState::name));
    assert_eq!(read, names.map(Some));
    assert_eq!(LifeState::parse("Active"), None);
}
