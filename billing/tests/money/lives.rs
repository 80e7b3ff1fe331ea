//! Data planes that want, spend, release, lose answers, restart and die, in any order: what they spend is paid for, once,
//! by money that was there.

use super::desk::{Open, Plane, open, report};
use super::events::Shape;
use super::world::{NOW, World, nano, wallet};
use billing::consumer::apply;
use billing::desk::DeskSettings;
use domain::escrow::slice::Slice;
use links::escrow::{SliceReport, ToDataPlane};
use proptest::prelude::{ProptestConfig, Strategy, prop_oneof, proptest};
use proto::usage::v1::UsageEnvelope;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::runtime::Runtime;

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Want { plane: usize, org: i64, need: i64, more: i64 },
    Spend { plane: usize, org: i64, cost: i64 },
    Release { plane: usize, org: i64, amount: i64 },
    Bill,
    BillAgain,
    Credit { org: i64, amount: i64 },
    Restart { plane: usize, forgets: bool },
    NewLife { plane: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let plane = || 0..NAMES.len();
    let org = || 1..=2_i64;
    prop_oneof![
        4 => (plane(), org(), 1..400_i64, 0..400_i64)
            .prop_map(|(plane, org, need, more)| Step::Want { plane, org, need, more }),
        4 => (plane(), org(), 1..300_i64).prop_map(|(plane, org, cost)| Step::Spend { plane, org, cost }),
        2 => (plane(), org(), 1..300_i64)
            .prop_map(|(plane, org, amount)| Step::Release { plane, org, amount }),
        2 => proptest::strategy::Just(Step::Bill),
        1 => proptest::strategy::Just(Step::BillAgain),
        1 => (org(), 1..500_i64).prop_map(|(org, amount)| Step::Credit { org, amount }),
        1 => (plane(), proptest::bool::ANY).prop_map(|(plane, forgets)| Step::Restart { plane, forgets }),
        1 => plane().prop_map(|plane| Step::NewLife { plane }),
    ]
}

/// A data plane as its own rules make it: the other side of the desk.
struct Life {
    name: &'static str,
    incarnation: u64,
    connection: Plane,
    slices: BTreeMap<i64, Slice>,
    wants: u64,
    events: Vec<UsageEnvelope>,
}

impl Life {
    async fn begin(desk: &Open, name: &'static str, incarnation: u64) -> Self {
        let connection = desk.connect(name, incarnation, &[]).await;
        Self {
            name,
            incarnation,
            connection,
            slices: BTreeMap::new(),
            wants: 0,
            events: Vec::new(),
        }
    }

    fn reports(&self) -> Vec<SliceReport> {
        let told = |(org, slice): (&i64, &Slice)| {
            report(wallet(*org), slice.granted().get(), slice.released().get())
        };
        self.slices.iter().map(told).collect()
    }

    async fn want(&mut self, org: i64, need: i64, more: i64) {
        self.wants += 1;
        self.connection.want(self.wants, wallet(org), need, need + more);
        let slice = self.slices.entry(org).or_default();
        let before = slice.available();
        loop {
            match self.connection.next().await {
                ToDataPlane::Grant(grant) => {
                    slice.learn_granted(grant.granted_total);
                    assert!(slice.available() >= before.plus(nano(need)).unwrap());
                    return;
                }
                ToDataPlane::Denial(denial) => {
                    assert!(denial.free < nano(need), "{denial:?} of {need}");
                    return;
                }
                // One that does not answer in time: nobody gets what it keeps.
                ToDataPlane::Recall(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// A request that is held for, metered, and charged; it may cost more than could be held.
    fn spend(&mut self, org: i64, cost: i64) {
        let slice = self.slices.entry(org).or_default();
        let held = slice.available().min(nano(cost));
        let Some(hold) = slice.hold(held) else { return };
        let settled = slice.settle(hold, nano(cost));
        let seq = u64::try_from(self.events.len()).unwrap() + 1;
        let shape = Shape::new(self.name, seq, org, u64::try_from(cost).unwrap())
            .uncollected(settled.uncollected.get());
        let mut envelope = shape.envelope();
        envelope.incarnation = self.incarnation;
        let event = envelope.event.as_mut().unwrap();
        event.request_id = format!("{}-of-{}", event.request_id, self.incarnation);
        self.events.push(envelope);
    }

    fn release(&mut self, org: i64, amount: i64) {
        let slice = self.slices.entry(org).or_default();
        slice.release(nano(amount));
        let told = report(wallet(org), slice.granted().get(), slice.released().get());
        self.connection.report(told);
    }

    /// Over an intact spool; it may have lost the grants that it had not synced.
    async fn restart(&mut self, desk: &Open, forgets: bool) {
        let needed = |slice: &Slice| slice.released().plus(slice.spent()).unwrap();
        for slice in self.slices.values_mut().filter(|_| forgets) {
            *slice = Slice::restored(needed(slice), slice.released(), slice.spent());
        }
        self.connection = desk.connect(self.name, self.incarnation, &self.reports()).await;
        for grant in &self.connection.welcome {
            self.slices
                .entry(grant.account.org().0)
                .or_default()
                .learn_granted(grant.granted_total);
        }
    }
}

struct Run {
    world: World,
    desk: Open,
    lives: Vec<Life>,
    ended: Vec<UsageEnvelope>,
    credited: BTreeMap<i64, i64>,
}

impl Run {
    async fn begin() -> Self {
        let world = World::new().await;
        let recall_wait = Duration::from_millis(2);
        let desk = open(&world, DeskSettings { recall_wait, ..DeskSettings::default() });
        let mut lives = Vec::new();
        for name in NAMES {
            lives.push(Life::begin(&desk, name, 1).await);
        }
        let mut run = Self { world, desk, lives, ended: Vec::new(), credited: BTreeMap::new() };
        run.credit(1, 1500).await;
        run.credit(2, 200).await;
        run
    }

    async fn credit(&mut self, org: i64, amount: i64) {
        let credited = self.credited.entry(org).or_default();
        *credited += amount;
        self.world.credit(org, amount, &format!("{org}-{credited}")).await;
    }

    fn events(&self) -> Vec<UsageEnvelope> {
        let living = self.lives.iter().flat_map(|life| life.events.clone());
        self.ended.iter().cloned().chain(living).collect()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Want { plane, org, need, more } => self.lives[plane].want(org, need, more).await,
            Step::Spend { plane, org, cost } => self.lives[plane].spend(org, cost),
            Step::Release { plane, org, amount } => self.lives[plane].release(org, amount),
            Step::Bill => self.bill(self.events()).await,
            Step::BillAgain => {
                self.bill(self.events().into_iter().rev().step_by(2).collect()).await;
            }
            Step::Credit { org, amount } => self.credit(org, amount).await,
            Step::Restart { plane, forgets } => {
                self.lives[plane].restart(&self.desk, forgets).await;
            }
            Step::NewLife { plane } => {
                let (name, incarnation) =
                    (self.lives[plane].name, self.lives[plane].incarnation + 1);
                let newborn = Life::begin(&self.desk, name, incarnation).await;
                let old = std::mem::replace(&mut self.lives[plane], newborn);
                self.ended.extend(old.events);
            }
        }
    }

    async fn bill(&self, batch: Vec<UsageEnvelope>) {
        apply(&self.world.database, &batch, NOW).await.unwrap();
    }

    async fn finish(self) {
        let events = self.events();
        self.bill(events.clone()).await;
        for (org, credited) in &self.credited {
            let of_org =
                events.iter().filter_map(|e| e.event.as_ref()).filter(|e| e.org_uid == *org);
            let charged: i64 = of_org.map(|event| event.charge_nano).sum();
            let amounts = self.world.amounts(wallet(*org)).await;
            assert_eq!(amounts.posted, credited - charged, "nothing lost, nothing twice");
        }
        let columns = "CAST(SUM(shortfall_nano) AS BIGINT)";
        let short =
            self.world.number(&format!("SELECT COALESCE({columns}, 0) FROM usage_record")).await;
        assert_eq!(short, 0, "every charge was held before");
        assert_eq!(self.world.number("SELECT COUNT(*) FROM slice WHERE unbacked > 0").await, 0);
        self.world.assert_sound().await;
    }
}

async fn live(steps: Vec<Step>) {
    let mut run = Run::begin().await;
    for step in steps {
        run.take(step).await;
        for org in 1..=2 {
            let amounts = run.world.amounts(wallet(org)).await;
            assert!(
                0 <= amounts.held && amounts.held <= amounts.posted,
                "{amounts:?} after {step:?}"
            );
        }
    }
    run.finish().await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_data_planes_do_no_wallet_is_overdrawn(steps in proptest::collection::vec(step(), 1..50)) {
        Runtime::new().unwrap().block_on(live(steps));
    }
}
