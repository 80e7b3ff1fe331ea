//! What holds on every carrier.

use crate::site::{Site, eventually, hasty, patient, poked};
use domain::id::Revision;
use links::coordination::{Duty, Topic, Woken};
use std::collections::BTreeSet;
use std::time::Duration;

crate::over_both_carriers! {
    a_poke_wakes_whoever_waits_for_its_topic_and_nobody_else,
    a_poke_before_anybody_waited_is_not_lost,
    pokes_that_nobody_took_are_one,
    without_news_it_is_time_to_look_all_the_same,
    a_head_is_told_to_all_and_wakes_them,
    one_of_all_has_the_duty,
    everybody_is_seen_by_everybody,
}

async fn a_poke_wakes_whoever_waits_for_its_topic_and_nobody_else(site: Site) {
    site.ready().await;
    let (teller, hearer) = site.ends();
    let mut others = Topic::ALL.map(|topic| (topic, hasty(hearer, topic)));
    for topic in Topic::ALL {
        let mut pokes = patient(hearer, topic);
        teller.poke(topic);
        poked(&mut pokes).await;
        for (other, pokes) in &mut others {
            let expected = if *other == topic { Woken::Poked } else { Woken::Due };
            assert_eq!(pokes.next().await, expected, "{other:?} after {topic:?}");
        }
    }
}

async fn a_poke_before_anybody_waited_is_not_lost(site: Site) {
    // Nobody has said yet that they are in touch.
    let (teller, hearer) = site.ends();
    let mut pokes = patient(hearer, Topic::Freed);
    teller.poke(Topic::Freed);
    poked(&mut pokes).await;
}

async fn pokes_that_nobody_took_are_one(site: Site) {
    let (teller, _) = site.ends();
    let mut pokes = hasty(teller, Topic::Recall);
    for _ in 0..100 {
        teller.poke(Topic::Recall);
    }
    assert_eq!(pokes.next().await, Woken::Poked);
    assert_eq!(pokes.next().await, Woken::Due);
}

async fn without_news_it_is_time_to_look_all_the_same(site: Site) {
    let (_, hearer) = site.ends();
    let mut pokes = hearer.pokes(Topic::Config, Duration::from_millis(5));
    for _ in 0..3 {
        assert_eq!(pokes.next().await, Woken::Due);
    }
}

async fn a_head_is_told_to_all_and_wakes_them(site: Site) {
    site.ready().await;
    let (teller, _) = site.ends();
    for rev in [7, 8] {
        let head = Revision { generation: 3, rev };
        let mut all: Vec<_> =
            site.processes().iter().map(|it| patient(&it.coordination, Topic::Config)).collect();
        teller.tell_head(head);
        for pokes in &mut all {
            poked(pokes).await;
        }
        for process in site.processes() {
            eventually("the head is known", || process.coordination.head() == Some(head)).await;
        }
    }
}

async fn one_of_all_has_the_duty(site: Site) {
    let watches: Vec<_> =
        site.processes().iter().map(|it| it.coordination.duty(Duty::Sweep)).collect();
    let holders = || watches.iter().filter(|it| it.is_mine()).count();
    eventually("somebody has it", || holders() == 1).await;
    site.ready().await;
    assert_eq!(holders(), 1);
}

async fn everybody_is_seen_by_everybody(site: Site) {
    let all: Vec<_> = site.processes().iter().collect();
    for process in &all {
        process.sees(&all).await;
    }
    let members = all[0].coordination.members().borrow().clone();
    let told: BTreeSet<_> = members.iter().map(|it| (&it.address, &it.zone, &it.version)).collect();
    let expected = (&all[0].me.address, &all[0].me.zone, &all[0].me.version);
    assert_eq!(told, BTreeSet::from([expected]));
}
