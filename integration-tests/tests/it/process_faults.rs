//! What happens to the process itself (`docs/faults.md`, 75 to 79, as far as one process): descriptors run out, it is
//! stopped and goes on, it is killed. Full disks are in `full_disk`, kills under load in `p2_nothing_lost`.

use integration_tests::{
    Account, Bill, Client, End, Event, EventStream, Gateway, SimulatorProcess, eventually, say,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;
use std::fs;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What `demo/chat` costs the demo's customers: nano-units per token.
const INPUT_NANO: i64 = 600;
const OUTPUT_NANO: i64 = 1_800;
/// What "hello" comes to as a prompt.
const PROMPT: i64 = 8;

fn paced(tokens: u64, pace_ms: u64) -> Value {
    let mut body = say(tokens);
    body["x_simulator"]["pace_ms"] = pace_ms.into();
    body
}

fn words(events: &[Event]) -> i64 {
    i64::try_from(events.iter().filter_map(Event::words).count()).unwrap()
}

fn open_files(gateway: &Gateway) -> u64 {
    let files = fs::read_dir(format!("/proc/{}/fd", gateway.process_id())).unwrap();
    u64::try_from(files.count()).unwrap()
}

/// Processor time that the process has used, in hundredths of a second.
fn ticks(gateway: &Gateway) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", gateway.process_id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn limit_files(gateway: &Gateway, most: u64) {
    let id = Pid::from_raw(i32::try_from(gateway.process_id()).unwrap()).unwrap();
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    prlimit(Some(id), Resource::Nofile, limit).unwrap();
}

#[tokio::test]
async fn without_free_descriptors_streams_go_on_the_process_rests_and_recovers_by_itself() {
    let simulator = SimulatorProcess::start().await;
    let gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let account = Account::open(&gateway, "crowded", 1).await;
    let mut stream = gateway.stream(&account.org.key, paced(40, 50)).await;
    assert!(stream.next().await.unwrap().words().is_some());
    let id = stream.request_id().to_owned();

    limit_files(&gateway, open_files(&gateway) + 16);
    let address = Client::new(gateway.base_url()).address().to_owned();
    let mut crowd = Vec::new();
    for _ in 0..256 {
        crowd.push(TcpStream::connect(&address).await.unwrap());
    }
    let before = ticks(&gateway);
    // The stream's own pace is the clock: two seconds.
    let (events, end) = stream.rest().await;
    assert!(end == End::Whole && events.last().unwrap().is_done(), "{events:?}");
    let used = ticks(&gateway) - before;
    assert!(used < 100, "{used} hundredths of a second of work while nothing could be accepted");

    drop(crowd);
    let answered = eventually("it accepts again", async || {
        let client = gateway.client();
        let asked = client.chat(&account.org.key, say(1));
        timeout(Duration::from_secs(2), asked)
            .await
            .ok()
            .and_then(Result::ok)
            .filter(|reply| reply.status == 200)
    })
    .await;
    // Attempts that the test gave up may have been served all the same; each has its event.
    let bill = Bill(gateway.admin().bill(&id).await);
    assert_eq!(bill.charge(), PROMPT * INPUT_NANO + 40 * OUTPUT_NANO, "{}", bill.0);
    gateway.admin().bill(answered.request_id()).await;
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_process_that_was_stopped_for_longer_than_its_time_outs_goes_on_and_blames_nobody() {
    let simulator = SimulatorProcess::start().await;
    let gateway = Gateway::demo()
        .env("TURNPIKE__DATA_PLANE__LIMITS__BETWEEN_TOKENS_TIMEOUT", "1s")
        .env("TURNPIKE__DATA_PLANE__LIMITS__FIRST_TOKEN_TIMEOUT", "1s")
        .external_simulator(simulator.url())
        .start()
        .await;
    let mut account = Account::open(&gateway, "sleeper", 1).await;
    let mut running = gateway.stream(&account.org.key, paced(100, 10)).await;
    assert!(running.next().await.unwrap().words().is_some());

    gateway.signal(Signal::STOP);
    let (client, key) = (gateway.client(), account.org.key.clone());
    let begun_asleep = tokio::spawn(async move { client.stream(&key, paced(5, 1)).await.unwrap() });
    sleep(Duration::from_secs(2)).await;
    gateway.signal(Signal::CONT);

    let mut ids = Vec::new();
    for (stream, heard, all) in [(running, 1, 100), (begun_asleep.await.unwrap(), 0, 5)] {
        ids.push(stream.request_id().to_owned());
        let (events, _) = stream.rest().await;
        assert!(events.last().unwrap().is_done(), "{:?}", events.last());
        assert_eq!(heard + words(&events), all);
    }
    let bills = account.all_charged(&gateway, &[&ids[0], &ids[1]]).await;
    for (bill, words) in bills.iter().zip([100, 5]) {
        assert_eq!(bill.charge(), PROMPT * INPUT_NANO + words * OUTPUT_NANO, "{}", bill.0);
    }
    gateway.admin().reconciled().await;
}

async fn killed_after(gateway: &mut Gateway, mut stream: EventStream, events: usize) -> String {
    for _ in 0..events {
        assert!(stream.next().await.unwrap().words().is_some());
    }
    gateway.kill9().await;
    gateway.restart().await;
    stream.request_id().to_owned()
}

#[tokio::test]
async fn a_long_input_that_an_upstream_has_taken_is_charged_after_a_kill_and_a_short_one_is_not() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let mut account = Account::open(&gateway, "cut-off", 1).await;
    for (repeats, is_worth_it) in [(2_000, true), (1, false)] {
        let mut body = paced(1_000, 1_000);
        body["messages"][0]["content"] = "word ".repeat(repeats).into();
        let bytes = i64::try_from(body.to_string().len() + r#","stream":true"#.len()).unwrap();
        let stream = gateway.stream(&account.org.key, body).await;
        let id = killed_after(&mut gateway, stream, 1).await;
        let bill = account.charged(&gateway, &id).await;
        assert_eq!(bill.outcome(), "interrupted", "{}", bill.0);
        let input = if is_worth_it { (bytes + 3) / 4 } else { 0 };
        assert_eq!((bill.charge(), bill.quantity("output")), (input * INPUT_NANO, 0), "{}", bill.0);
        assert_eq!(bill.provenance("input"), if is_worth_it { "estimated" } else { "" });
    }
    gateway.admin().reconciled().await;
}

#[tokio::test]
async fn a_stream_that_never_tops_up_is_charged_after_a_kill_what_it_had_said() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    let mut account = Account::open(&gateway, "thinker", 1).await;
    let mut body = paced(30_000, 1);
    body["model"] = "demo/reasoning".into();
    let stream = gateway.stream(&account.org.key, body).await;
    let heard = 1_000;
    let id = killed_after(&mut gateway, stream, heard).await;
    let bill = account.charged(&gateway, &id).await;
    assert_eq!(bill.outcome(), "interrupted", "{}", bill.0);
    let charged = bill.quantity("output") + bill.quantity("reasoning");
    // Written down every eight windows of bytes, and no word of the simulator is shorter than two.
    let heard = i64::try_from(heard).unwrap();
    assert!(charged > heard - 8 * 256 / 2 && charged > 0, "{charged} of {heard}: {}", bill.0);
    gateway.admin().reconciled().await;
}
