//! Two hundred clients of one wallet: what each does, and what each was told and when.

use integration_tests::{Chance, Client, EventStream, Reply, load_factor, say};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio::time::sleep;

const CLIENTS: usize = 200;
const TOKENS: u64 = 200;
const LONG_TOKENS: u64 = 1_500;
const WHOLE_TAKES_MS: u64 = 300;
const PACE_MS: u64 = 2;
/// How often one client comes back at most; with its pauses that is longer than all money can last.
const TRIES: usize = 200;

/// Prices of `demo/chat` for `global`, in nano-units per token: the dearest that input may meet, and output.
pub(super) const INPUT_NANO: i64 = 1_200;
pub(super) const OUTPUT_NANO: i64 = 1_800;
/// What a stream may hold ahead of what it has said: eight windows of output.
const TOKENS_AHEAD: i64 = 8 * 256;

/// A request that was answered with 200.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) request_id: String,
    pub(super) sent_us: i64,
    /// Most that it may have held at any time.
    pub(super) hold_max: i64,
    /// How long it surely ran, from its arrival upstream on; `None` if that cannot be told.
    pub(super) ran: Option<Ran>,
}

/// How long a request surely ran.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    /// As long as the simulator took for it.
    for_us: i64,
    /// But not beyond this moment, at which the client hung up.
    until_us: i64,
}

/// A request that was answered with 402.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) sent_us: i64,
    pub(super) answered_us: i64,
    pub(super) reason: String,
    /// With this much free it would have been admitted.
    pub(super) minimum: i64,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) served: Vec<Served>,
    pub(super) refused: Vec<Refused>,
}

#[derive(Clone, Copy, Debug)]
enum Habit {
    Whole,
    Stream { tokens: u64, events_max: u64 },
}

impl Ran {
    /// Until when, for a request that the simulator began to answer then.
    pub(super) fn end(self, began_us: i64) -> i64 {
        self.until_us.min(began_us + self.for_us)
    }
}

impl Habit {
    /// Mixed, as clients are: four in ten want whole answers, some hang up, the first few want a lot.
    fn of(number: usize, chance: &mut Chance) -> Self {
        let all = u64::MAX;
        match number % 10 {
            0..4 => Self::Whole,
            4..7 => Self::Stream { tokens: TOKENS, events_max: all },
            7 if number < 40 => Self::Stream { tokens: LONG_TOKENS, events_max: all },
            _ => Self::Stream { tokens: TOKENS, events_max: chance.within(1..TOKENS) },
        }
    }

    fn body(self) -> Value {
        let mut body = say(TOKENS);
        match self {
            Self::Whole => {
                body["max_tokens"] = TOKENS.into();
                let slow = json!({"fault": "slow_first_token", "delay_ms": WHOLE_TAKES_MS, "tokens": TOKENS});
                body["x_simulator"] = slow;
            }
            Self::Stream { tokens, .. } => {
                body["stream"] = true.into();
                body["x_simulator"] = json!({"tokens": tokens, "pace_ms": PACE_MS});
            }
        }
        body
    }

    fn takes_us(self) -> i64 {
        let takes_ms = match self {
            Self::Whole => WHOLE_TAKES_MS,
            Self::Stream { tokens, .. } => (tokens - 1) * PACE_MS,
        };
        i64::try_from(takes_ms * 1_000).unwrap()
    }
}

impl Story {
    /// Lets every client have its way until it was served or sent away for good.
    pub(super) async fn of(client: Client, key: &str) -> Self {
        let mut chance = Chance::new("p1");
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS * load_factor() {
            let habit = Habit::of(number, &mut chance);
            let pauses: Vec<u64> = (0..TRIES).map(|_| chance.within(100..800)).collect();
            clients.spawn(insist(client.clone(), key.to_owned(), habit, pauses));
        }
        let mut story = Self::default();
        while let Some(told) = clients.join_next().await {
            let told = told.unwrap();
            story.served.extend(told.served);
            story.refused.extend(told.refused);
        }
        story
    }
}

/// One client, which comes back as long as it is told that there may be money later.
async fn insist(client: Client, key: String, habit: Habit, pauses: Vec<u64>) -> Story {
    let mut story = Story::default();
    for pause in pauses {
        match ask(&client, &key, habit).await {
            Ok(served) => {
                story.served.push(served);
                return story;
            }
            Err(refused) if refused.reason == "in_flight" => story.refused.push(refused),
            Err(refused) => {
                assert_eq!(refused.reason, "insufficient_balance");
                story.refused.push(refused);
                return story;
            }
        }
        sleep(Duration::from_millis(pause)).await;
    }
    panic!("told {TRIES} times that there may be money later");
}

async fn ask(client: &Client, key: &str, habit: Habit) -> Result<Served, Refused> {
    let body = habit.body();
    let size = i64::try_from(body.to_string().len()).unwrap();
    let hold = |tokens: i64| size * INPUT_NANO + tokens * OUTPUT_NANO;
    let sent_us = now_us();
    let served = |request_id: &str, tokens: i64, ran: Option<Ran>| {
        let request_id = request_id.to_owned();
        Served { request_id, sent_us, hold_max: hold(tokens), ran }
    };
    let refused = |reply: &Reply, answered_us: i64| {
        assert_eq!(reply.status, 402, "{}", reply.text());
        Refused { sent_us, answered_us, reason: reply.reason(), minimum: hold(1) }
    };
    let all = Ran { for_us: habit.takes_us(), until_us: i64::MAX };
    let Habit::Stream { events_max, .. } = habit else {
        let reply = client.chat(key, body).await.unwrap();
        let answered_us = now_us();
        let tokens = i64::try_from(TOKENS).unwrap();
        // Money may have been so short that the answer was bounded: then it was over sooner.
        let ran = reply.header("x-turnpike-limited-by").is_none().then_some(all);
        return match reply.status {
            200 => Ok(served(reply.request_id(), tokens, ran)),
            _ => Err(refused(&reply, answered_us)),
        };
    };
    let stream = client.stream(key, body).await.unwrap();
    if stream.status() != 200 {
        let answered_us = now_us();
        return Err(refused(&stream.into_reply().await.unwrap(), answered_us));
    }
    let request_id = stream.request_id().to_owned();
    let (bytes, end) = listen(stream, events_max).await;
    let ran = match end {
        Heard::All => Some(all),
        Heard::EnoughAt(until_us) => Some(Ran { until_us, ..all }),
        Heard::OutOfMoney => None,
    };
    Ok(served(&request_id, bytes + TOKENS_AHEAD, ran))
}

/// Why a client listens no more.
enum Heard {
    All,
    EnoughAt(i64),
    OutOfMoney,
}

/// Bytes of the words heard, and why no more.
async fn listen(mut stream: EventStream, events_max: u64) -> (i64, Heard) {
    let (mut events, mut bytes, mut end) = (0, 0, Heard::All);
    while let Some(event) = stream.next().await {
        events += 1;
        bytes += i64::try_from(event.words().unwrap_or_default().len()).unwrap();
        if let Some(error) = event.error() {
            assert_eq!(error["code"], 402, "{error}");
            end = Heard::OutOfMoney;
        }
        if events == events_max {
            let now = now_us();
            stream.drop_connection();
            return (bytes, Heard::EnoughAt(now));
        }
    }
    (bytes, end)
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}
