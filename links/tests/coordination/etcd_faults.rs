//! etcd that dies, stands still, falls silent or has no leader: nobody waits for it, everybody knows, and once it is back, so
//! is what was told meanwhile.

use crate::site::{PATIENCE, Process, eventually, patient, poked, settings};
use crate::wire::Wire;
use links::coordination::{Duty, EtcdSettings, Topic};
use servers::Etcd;
use std::time::Duration;

/// Two in touch.
async fn pair(first: EtcdSettings, second: EtcdSettings) -> [Process; 2] {
    let processes = [Process::start(first), Process::start(second)];
    for process in &processes {
        process.connected().await;
    }
    processes
}

/// What one tells wakes the other, from now on.
async fn are_in_touch([first, second]: &[Process; 2]) {
    for (teller, hearer) in [(first, second), (second, first)] {
        let mut pokes = patient(&hearer.coordination, Topic::Freed);
        teller.coordination.poke(Topic::Freed);
        poked(&mut pokes).await;
    }
    first.sees(&[first, second]).await;
    second.sees(&[first, second]).await;
}

/// While etcd is away, everybody still hears himself, and what is told is kept.
async fn tell_meanwhile(teller: &Process) {
    let mut own = patient(&teller.coordination, Topic::Recall);
    teller.coordination.poke(Topic::Recall);
    poked(&mut own).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_it_tells_what_waited() {
    let mut etcd = Etcd::start();
    let processes = pair(settings(&etcd.url()), settings(&etcd.url())).await;
    let mut waiting = patient(&processes[1].coordination, Topic::Recall);
    etcd.kill();
    for process in &processes {
        process.cut_off().await;
    }
    tell_meanwhile(&processes[0]).await;
    etcd.run();
    poked(&mut waiting).await;
    are_in_touch(&processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standing_still_is_noticed_and_what_waited_is_told_when_it_goes_on() {
    let etcd = Etcd::start();
    let processes = pair(settings(&etcd.url()), settings(&etcd.url())).await;
    let mut waiting = patient(&processes[1].coordination, Topic::Recall);
    etcd.server().pause();
    for process in &processes {
        process.cut_off().await;
    }
    tell_meanwhile(&processes[0]).await;
    etcd.server().resume();
    poked(&mut waiting).await;
    are_in_touch(&processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_leader_nothing_is_taken_for_granted() {
    let [first, mut second] = Etcd::start_pair();
    // Each is connected to one of the two.
    let processes = pair(settings(&first.url()), settings(&second.url())).await;
    are_in_touch(&processes).await;
    second.kill();
    for process in &processes {
        process.cut_off().await;
    }
    tell_meanwhile(&processes[0]).await;
    let mut waiting = patient(&processes[1].coordination, Topic::Recall);
    second.run();
    poked(&mut waiting).await;
    are_in_touch(&processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_without_room_is_as_good_as_none() {
    let etcd = Etcd::start();
    let processes = pair(settings(&etcd.url()), settings(&etcd.url())).await;
    let mut waiting = patient(&processes[1].coordination, Topic::Recall);
    etcd.set_out_of_room(true);
    let breaks = |process: &Process| process.coordination.standing().unwrap().breaks;
    for process in &processes {
        eventually("it notices", || breaks(process) > 2).await;
    }
    tell_meanwhile(&processes[0]).await;
    etcd.set_out_of_room(false);
    poked(&mut waiting).await;
    are_in_touch(&processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_endpoint_serves_when_one_is_gone() {
    let etcd = Etcd::start();
    let wire = Wire::to(&etcd.address()).await;
    let mut both = settings(&wire.url());
    both.endpoints.push(etcd.url());
    let processes = pair(both, settings(&etcd.url())).await;
    wire.cut();
    let breaks = || processes[0].coordination.standing().unwrap().breaks;
    eventually("the connection breaks", || breaks() > 0).await;
    are_in_touch(&processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_falls_silent_is_noticed_by_pings() {
    let etcd = Etcd::start();
    let wire = Wire::to(&etcd.address()).await;
    // Only pings are impatient.
    let pinging =
        EtcdSettings { beat: PATIENCE, call_timeout: PATIENCE * 10, ..settings(&wire.url()) };
    falls_silent(&etcd, &wire, pinging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_falls_silent_is_noticed_by_what_does_not_come_back() {
    let etcd = Etcd::start();
    let wire = Wire::to(&etcd.address()).await;
    // Only the watch is impatient.
    let watching = EtcdSettings {
        ping_interval: PATIENCE * 10,
        call_timeout: PATIENCE * 10,
        ..settings(&wire.url())
    };
    falls_silent(&etcd, &wire, watching).await;
}

async fn falls_silent(etcd: &Etcd, wire: &Wire, impatient: EtcdSettings) {
    let [far, near] = pair(impatient, settings(&etcd.url())).await;
    let mut waiting = patient(&far.coordination, Topic::Recall);
    wire.fall_silent();
    near.coordination.poke(Topic::Recall);
    far.cut_off().await;
    wire.heal();
    poked(&mut waiting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duty_goes_on_to_another_at_once_when_its_holder_ends_well() {
    let etcd = Etcd::start();
    let slow = || EtcdSettings { lease: PATIENCE * 10, ..settings(&etcd.url()) };
    let holder = Process::start(slow());
    let first = holder.coordination.duty(Duty::Sweep);
    eventually("the first one has it", || first.is_mine()).await;
    let next = Process::start(slow());
    next.sees(&[&holder, &next]).await;
    let second = next.coordination.duty(Duty::Sweep);
    assert!(!second.is_mine());
    holder.end().await;
    assert!(!first.is_mine());
    // Long before the lease ends by itself.
    eventually("the next one has it", || second.is_mine()).await;
    next.sees(&[&next]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duty_goes_on_to_another_when_its_holder_is_gone() {
    let etcd = Etcd::start();
    let holder = Process::start(settings(&etcd.url()));
    let first = holder.coordination.duty(Duty::Sweep);
    eventually("the first one has it", || first.is_mine()).await;
    let next = Process::start(settings(&etcd.url()));
    next.sees(&[&holder, &next]).await;
    let second = next.coordination.duty(Duty::Sweep);
    assert!(!second.is_mine());
    holder.kill();
    eventually("the next one has it", || second.is_mine()).await;
    assert!(!first.is_mine(), "it was over for the first one before");
    next.sees(&[&next]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_cut_off_has_no_duty_until_nobody_could_tell_for_long() {
    let etcd = Etcd::start();
    let wire = Wire::to(&etcd.address()).await;
    let open_after = Duration::from_secs(6);
    let cut = Process::start(EtcdSettings { open_after, ..settings(&wire.url()) });
    let duty = cut.coordination.duty(Duty::Sweep);
    eventually("it has it", || duty.is_mine()).await;
    wire.cut();
    eventually("it has it no longer", || !duty.is_mine()).await;
    eventually("it is anybody's", || duty.is_mine()).await;
    assert!(!cut.is_connected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_etcd_at_all_everything_goes_on() {
    // Nobody listens there.
    let nowhere = format!("http://127.0.0.1:{}", servers::free_port());
    let alone = Process::start(settings(&nowhere));
    tell_meanwhile(&alone).await;
    alone.sees(&[&alone]).await;
    eventually("it tries", || alone.coordination.standing().unwrap().breaks > 2).await;
    assert!(!alone.is_connected());
    alone.end().await;
}
