//! When requests are sent: closed loop, open loop, and one request with its second chance.

use super::Run;
use super::connection::{Answer, Connection, Failed};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// After an error, so that a gateway that refuses everything is not asked in a tight loop.
const AFTER_ERROR: Duration = Duration::from_millis(2);
/// How often it is looked whether the last answers have come.
const LOOK: Duration = Duration::from_millis(5);
/// The timer's grain is 1 ms, so the last bit is waited for by yielding.
const TIMER_GRAIN: Duration = Duration::from_micros(1200);

/// Each connection asks again as soon as it is answered.
pub(super) async fn closed(run: &Rc<Run>, connections: usize, ramp: Duration, once: bool) {
    let begin = |index: usize| {
        let run = run.clone();
        let delay = ramp.mul_f64(index as f64 / connections as f64);
        spawn_local(async move {
            sleep(delay).await;
            again_and_again(&run, once).await;
        })
    };
    let tasks: Vec<_> = (0..connections).map(begin).collect();
    for task in tasks {
        drop(task.await);
    }
}

async fn again_and_again(run: &Run, once: bool) {
    let mut connection = None;
    loop {
        let now = Instant::now();
        if now >= run.window.until {
            return;
        }
        if !one(run, &mut connection, now).await {
            sleep(AFTER_ERROR).await;
        }
        if once {
            return;
        }
    }
}

/// At a rate, whatever the answers do.
pub(super) async fn open(run: &Rc<Run>, began: Instant, rate: f64, at_most: usize, poisson: bool) {
    let idle: Rc<RefCell<VecDeque<Connection>>> = Rc::default();
    let mut gaps = Gaps { mean: Duration::from_secs_f64(1.0 / rate), poisson, seed: SEED };
    let mut due = began;
    loop {
        due += gaps.next();
        if due >= run.window.until {
            break;
        }
        until(due).await;
        run.stats.borrow_mut().sent_late(due.elapsed());
        if run.live.get() >= at_most {
            run.record(due, Err(Failed::TooMany));
            continue;
        }
        let (run, idle) = (run.clone(), idle.clone());
        spawn_local(async move {
            let mut connection = idle.borrow_mut().pop_back();
            one(&run, &mut connection, due).await;
            idle.borrow_mut().extend(connection);
        });
    }
    let patience = Instant::now() + run.call.timeout;
    while run.live.get() > 0 && Instant::now() < patience {
        sleep(LOOK).await;
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Times between requests. The same ones in every run.
struct Gaps {
    mean: Duration,
    poisson: bool,
    seed: u64,
}

impl Gaps {
    fn next(&mut self) -> Duration {
        if !self.poisson {
            return self.mean;
        }
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let uniform = ((self.seed >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        self.mean.mul_f64(-uniform.ln())
    }
}

async fn until(due: Instant) {
    if due > Instant::now() + TIMER_GRAIN {
        sleep_until(due - TIMER_GRAIN).await;
    }
    while Instant::now() < due {
        yield_now().await;
    }
}

/// Asks once; whether there was an answer that counts.
async fn one(run: &Run, connection: &mut Option<Connection>, due: Instant) -> bool {
    run.enter();
    let answered = timeout(run.call.timeout, ask(run, connection)).await;
    let answered = answered.unwrap_or(Err(Failed::Timeout));
    if matches!(answered, Err(Failed::Timeout)) {
        *connection = None;
    }
    run.leave();
    let is_ok = answered.is_ok();
    run.record(due, answered);
    is_ok
}

/// The gateway may have closed a connection that was kept, so that an unanswered request is sent once more on a new one.
async fn ask(run: &Run, place: &mut Option<Connection>) -> Result<Answer, Failed> {
    if let Some(mut kept) = place.take() {
        let before = kept.received();
        match kept.exchange(&run.call, run.window).await {
            Err(failed) if kept.received() != before || matches!(failed, Failed::Status(_)) => {
                return finish(place, kept, Err(failed));
            }
            Err(_) => {}
            answered => return finish(place, kept, answered),
        }
    }
    let mut fresh = Connection::open(&run.call).await?;
    run.stats.borrow_mut().connects += 1;
    let answered = fresh.exchange(&run.call, run.window).await;
    finish(place, fresh, answered)
}

/// A connection is kept unless it broke or the gateway does not want it to be.
fn finish(
    place: &mut Option<Connection>,
    connection: Connection,
    answered: Result<Answer, Failed>,
) -> Result<Answer, Failed> {
    let stays = match &answered {
        Ok(answer) => answer.keeps_alive,
        Err(failed) => matches!(failed, Failed::Status(_)),
    };
    *place = stays.then_some(connection);
    answered
}

impl Run {
    fn enter(&self) {
        self.live.set(self.live.get() + 1);
        let mut stats = self.stats.borrow_mut();
        stats.concurrent_max = stats.concurrent_max.max(self.live.get());
    }

    fn leave(&self) {
        self.live.set(self.live.get() - 1);
    }

    /// Only what was due inside the window counts, but for what CPU time is divided by: that is what was done in it.
    fn record(&self, due: Instant, answered: Result<Answer, Failed>) {
        let mut stats = self.stats.borrow_mut();
        if let Ok(answer) = &answered {
            stats.done_in_window(self.window.contains(Instant::now()), answer);
        }
        if !self.window.contains(due) {
            return;
        }
        match answered {
            Ok(answer) => stats.answered(due, &answer, self.call.rhythm),
            Err(failed) => stats.failed(&failed),
        }
    }
}
