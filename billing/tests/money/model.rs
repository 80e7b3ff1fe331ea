//! The same steps through the real desk, consumer and statements, and through the decisions of `domain::escrow` on rows in
//! memory: every answer and, after every step, every row is the same, and what must always be true is.

mod life;
mod step;
mod books;
mod real;
mod operator;
mod liar;
mod check;

use super::consumer::until;
use super::desk::{self, Open, Plane, open};
use super::events;
use super::world::{self, NOW, World, nano, wallet};
use billing::CreditOrder;
use billing::consumer::apply;
use billing::desk::DeskSettings;
use books::Books;
use check::Scene;
use domain::id::Account;
use domain::money::Nano;
use life::{Event, Holder, Life};
use links::escrow::{FromDataPlane, SliceReport, ToDataPlane, Want};
use proptest::prelude::{ProptestConfig, proptest};
use proto::usage::v1::UsageEnvelope;
use std::time::Duration;
use step::{Fate, NAMES, PAYERS, Step, Wanted, any_step, any_step_at_worst};
use tokio::runtime::Runtime;

/// Who lies, and its place behind those who do not.
const LIAR: &str = "liar";
const LIARS_PLACE: usize = NAMES.len();

/// Who shares what is free: all of them are connected all the time.
const DATA_PLANES: u32 = 4;

/// An org without an account: to ask for its money changes nothing, and the answer tells that all before it was heard.
const NOBODY: i64 = 99;

/// A message that is late.
#[derive(Clone, Debug)]
enum Message {
    Grant { holder: Holder, account: Account, total: Nano },
    Report { holder: Holder, slices: Vec<SliceReport> },
}

struct Run {
    world: World,
    desk: Open,
    planes: Vec<Plane>,
    lives: Vec<Life>,
    ended: Vec<Life>,
    late: Vec<Message>,
    orders: Vec<CreditOrder>,
    wants: u64,
    books: Books,
    standby: Books,
    has_lost: bool,
}

/// Nobody waits for money that others hold: these give back nothing by themselves.
fn settings() -> DeskSettings {
    let sweep_every = Duration::from_millis(1);
    DeskSettings { recall_wait: Duration::ZERO, sweep_every, ..DeskSettings::default() }
}

impl Run {
    async fn begin() -> Self {
        let world = World::new().await;
        let lives = NAMES.into_iter().chain([LIAR]).map(|name| Life::new(name, 1)).collect();
        let mut run = Self {
            desk: open(&world, settings()),
            world,
            planes: Vec::new(),
            lives,
            ended: Vec::new(),
            late: Vec::new(),
            orders: Vec::new(),
            wants: 0,
            books: Books::new(),
            standby: Books::new(),
            has_lost: false,
        };
        run.connect_all().await;
        run.credit(1, 1500).await;
        run.credit(2, 300).await;
        real::begin_standby(&run.world).await;
        run.standby = run.books.clone();
        run
    }

    /// One step, and everything that must be true after it.
    async fn take(&mut self, step: &Step) {
        let before = self.books.clone();
        self.act(step).await;
        assert_eq!(real::tables(&self.world).await, self.books.tables(), "after {step:?}");
        let is_loss = matches!(step, Step::LoseCommits);
        self.scene((!is_loss).then_some(&before)).assert_sound();
    }

    fn scene<'a>(&'a self, before: Option<&'a Books>) -> Scene<'a> {
        let lives = self.ended.iter().chain(&self.lives[..LIARS_PLACE]).collect();
        Scene { books: &self.books, before, lives, has_lost: self.has_lost }
    }

    async fn act(&mut self, step: &Step) {
        match step {
            Step::Want { plane, wants, grants } => self.want(*plane, wants, *grants).await,
            Step::Spend { plane, payer, cost } => self.lives[*plane].spend(PAYERS[*payer], *cost),
            Step::Release { plane, account, amount } => {
                self.lives[*plane].slice(*account).release(nano(*amount));
            }
            Step::Report { plane, fate } => self.report(*plane, *fate).await,
            Step::Lie(lie) => self.lie(*lie).await,
            Step::Deliver { message, again } if !self.late.is_empty() => {
                let place = message.index(self.late.len());
                let message =
                    if *again { self.late[place].clone() } else { self.late.remove(place) };
                self.deliver(message).await;
            }
            Step::Bill { from, count, is_reversed } => {
                let mut events = self.events();
                if !events.is_empty() {
                    let from = from.index(events.len());
                    events.rotate_left(from);
                }
                events.truncate(*count);
                if *is_reversed {
                    events.reverse();
                }
                self.bill(&events).await;
            }
            Step::Credit { org, amount } => self.credit(*org, *amount).await,
            Step::CreditAgain(order) => {
                let order = self.orders[order.index(self.orders.len())].clone();
                self.post(order).await;
            }
            Step::SetCreditLimit { org, limit } => self.set_credit_limit(*org, *limit).await,
            Step::SetBudget { delta } => self.set_budget(*delta).await,
            Step::Restart { plane, forgets } => {
                self.lives[*plane].restart(*forgets);
                self.connect(*plane).await;
            }
            Step::NewLife { plane } => self.begin_anew(*plane).await,
            Step::Forget(life) => self.forget(*life).await,
            Step::Follow => {
                real::follow(&self.world).await;
                self.standby = self.books.clone();
            }
            Step::LoseCommits => self.lose_commits().await,
            Step::Deliver { .. } => {}
        }
    }

    async fn want(&mut self, plane: usize, wants: &[Wanted], grants: Fate) {
        let mut sent = Vec::with_capacity(wants.len());
        for Wanted { account, need, more } in wants {
            let (need, want) = (nano(*need), nano(need + more));
            let granted_seen = self.lives[plane].slice(*account).granted();
            sent.push(Want { want_id: 0, account: *account, need, want, granted_seen });
        }
        self.ask(plane, sent, grants).await;
    }

    /// Sends wants together, and compares each answer.
    async fn ask(&mut self, plane: usize, mut wants: Vec<Want>, grants: Fate) {
        for want in &mut wants {
            self.wants += 1;
            want.want_id = self.wants;
            self.planes[plane].send(FromDataPlane::Want(*want));
        }
        let holder = self.lives[plane].holder;
        for want in wants {
            let expected = self.books.answer(holder, want, DATA_PLANES);
            let answer = self.hear(plane).await;
            assert_eq!(answer, expected);
            match answer {
                ToDataPlane::Grant(grant) => {
                    let (account, total) = (grant.account, grant.granted_total);
                    self.send_back(Message::Grant { holder, account, total }, grants).await;
                }
                ToDataPlane::Denial(denial) => {
                    assert!(denial.free < want.need || want.need == Nano::ZERO, "{denial:?}");
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The next answer. Nobody gives back what is recalled.
    async fn hear(&mut self, plane: usize) -> ToDataPlane {
        loop {
            match self.planes[plane].next().await {
                ToDataPlane::Recall(_) => {}
                answer => return answer,
            }
        }
    }

    async fn report(&mut self, plane: usize, fate: Fate) {
        let (holder, slices) = (self.lives[plane].holder, self.lives[plane].reports());
        self.send_back(Message::Report { holder, slices }, fate).await;
    }

    async fn send_back(&mut self, message: Message, fate: Fate) {
        match fate {
            Fate::Arrives => self.deliver(message).await,
            Fate::IsLate => self.late.push(message),
            Fate::IsLost => {}
        }
    }

    /// To a life that has ended, and from one, nothing comes any more.
    async fn deliver(&mut self, message: Message) {
        match message {
            Message::Grant { holder, account, total } => {
                if let Some(plane) = self.place_of(holder) {
                    self.lives[plane].slice(account).learn_granted(total);
                }
            }
            Message::Report { holder, slices } => {
                if let Some(plane) = self.place_of(holder) {
                    self.books.learn(holder, &slices);
                    self.planes[plane].send(FromDataPlane::Report(slices));
                    self.planes[plane].want(0, wallet(NOBODY), 1, 1);
                    let heard = self.hear(plane).await;
                    assert!(matches!(heard, ToDataPlane::Denial(denial) if denial.want_id == 0));
                }
            }
        }
    }

    fn place_of(&self, holder: Holder) -> Option<usize> {
        self.lives.iter().position(|life| life.holder == holder)
    }

    fn events(&self) -> Vec<Event> {
        let lives = self.ended.iter().chain(&self.lives);
        lives.flat_map(|life| life.events.iter().cloned()).collect()
    }

    async fn bill(&mut self, events: &[Event]) {
        let batch: Vec<UsageEnvelope> = events.iter().map(Event::envelope).collect();
        let before = self.books.records.len();
        self.books.bill(events);
        let applied = apply(&self.world.database, &batch, NOW).await.unwrap().applied;
        assert_eq!(usize::try_from(applied).unwrap(), self.books.records.len() - before);
    }

    /// Says Hello with all that is known, and learns from the Welcome.
    async fn connect(&mut self, place: usize) {
        let life = &mut self.lives[place];
        let (Holder { name, incarnation }, reports) = (life.holder, life.reports());
        let plane = self.desk.connect(name, incarnation, &reports).await;
        self.books.learn(life.holder, &reports);
        let mut welcome = plane.welcome.clone();
        welcome.sort_by_key(|grant| grant.account);
        assert_eq!(welcome, self.books.welcome(life.holder));
        if place != LIARS_PLACE {
            for grant in welcome {
                life.slice(grant.account).learn_granted(grant.granted_total);
            }
        }
        if place < self.planes.len() {
            self.planes[place] = plane;
        } else {
            self.planes.push(plane);
        }
    }

    async fn connect_all(&mut self) {
        for place in 0..self.lives.len() {
            self.connect(place).await;
        }
    }

    /// A new desk: nobody is connected who has ended.
    async fn begin_anew(&mut self, plane: usize) {
        let Holder { name, incarnation } = self.lives[plane].holder;
        let newborn = Life::new(name, incarnation + 1);
        self.ended.push(std::mem::replace(&mut self.lives[plane], newborn));
        self.desk = open(&self.world, settings());
        self.connect_all().await;
    }

    /// The standby takes over as it is, and everyone comes back to it.
    async fn lose_commits(&mut self) {
        real::take_over(&self.world).await;
        self.books = self.standby.clone();
        self.has_lost = true;
        self.desk = open(&self.world, settings());
        self.connect_all().await;
    }

    /// All that is late arrives, all that is idle is given back, all that was used is billed.
    async fn finish(mut self) {
        for message in std::mem::take(&mut self.late) {
            self.deliver(message).await;
        }
        for plane in 0..NAMES.len() {
            self.connect(plane).await;
            for slice in self.lives[plane].slices.values_mut() {
                slice.release(Nano::MAX);
            }
            self.report(plane, Fate::Arrives).await;
        }
        let events = self.events();
        self.bill(&events).await;
        assert_eq!(self.books.records.len(), events.len(), "nothing is lost, nothing counts twice");
        assert_eq!(real::tables(&self.world).await, self.books.tables(), "at the end");
        self.scene(None).assert_sound();
        self.scene(None).assert_settled(&self.lives[..LIARS_PLACE]);
        self.world.assert_sound().await;
    }
}

async fn live(steps: Vec<Step>) {
    let mut run = Run::begin().await;
    for step in &steps {
        run.take(step).await;
    }
    run.finish().await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default()
    })]

    #[test]
    fn the_database_does_what_the_rules_decide(steps in proptest::collection::vec(any_step(), 1..50)) {
        Runtime::new().unwrap().block_on(live(steps));
    }

    #[test]
    fn lost_commits_and_lies_cost_the_company_at_most(
        steps in proptest::collection::vec(any_step_at_worst(), 1..60),
    ) {
        Runtime::new().unwrap().block_on(live(steps));
    }
}

#[tokio::test]
async fn what_nobody_can_pay_after_a_loss_is_the_companys() {
    let mut run = Run::begin().await;
    let want = |plane, need| {
        let wants = vec![Wanted { account: wallet(1), need, more: 0 }];
        Step::Want { plane, wants, grants: Fate::Arrives }
    };
    let spend = |plane, cost| Step::Spend { plane, payer: 0, cost };
    let steps = [
        // Neither this nor what is granted of it reaches the standby.
        Step::Credit { org: 1, amount: 500 },
        want(0, 1200),
        want(1, 800),
        spend(0, 1200),
        Step::LoseCommits,
        spend(1, 800),
    ];
    for step in &steps {
        run.take(step).await;
    }
    let [first, second] = [0, 1].map(|plane: usize| {
        let holder = run.lives[plane].holder;
        (run.books.slice(holder, wallet(1)), holder)
    });
    assert_eq!((first.0.backed(), first.0.unbacked), (nano(1200), Nano::ZERO));
    assert_eq!((second.0.backed(), second.0.unbacked), (nano(300), nano(500)));
    run.bill(&run.events()).await;
    assert_eq!(run.books.shortfalls.get(&(second.1, wallet(1))), Some(&nano(500)));
    assert_eq!(run.books.accounts.get(&wallet(1)).unwrap().wallet.posted, Nano::ZERO);
    run.finish().await;
}
