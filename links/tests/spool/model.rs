//! What a spool should have after a number of records, kept in the plainest way.

use super::support::{admitted, event, progress, slice};
use domain::id::{OrgUid, Partition};
use links::spool::{Recovered, Spool, SpoolError, Ticket};
use proto::usage::v1::{Admitted, Progress, SliceMark, UsageEnvelope};
use std::collections::BTreeMap;

/// One record that was appended.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Admitted(Admitted),
    Progress(Progress),
    Ended { request_id: String, org_uid: i64, charge: i64, is_budgeted: bool },
    Slice(SliceMark),
}

/// What the records add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) open: BTreeMap<String, (Admitted, Option<Progress>)>,
    /// Granted, released and spent by org and key.
    pub(crate) slices: BTreeMap<(i64, i64), [i64; 3]>,
    /// In the order of their ends.
    pub(crate) events: Vec<(u32, u64, String)>,
}

impl State {
    pub(crate) fn after(steps: &[Step]) -> Self {
        let mut state = Self::default();
        steps.iter().for_each(|step| state.apply(step));
        state
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Admitted(admitted) => {
                self.open.insert(admitted.request_id.clone(), (admitted.clone(), None));
            }
            Step::Progress(progress) => {
                self.open.get_mut(&progress.request_id).unwrap().1 = Some(progress.clone());
            }
            Step::Slice(mark) => {
                let totals = self.slices.entry((mark.org_uid, mark.key_uid)).or_default();
                totals[0] = totals[0].max(mark.granted_nano);
                totals[1] = totals[1].max(mark.released_nano);
            }
            Step::Ended { request_id, org_uid, charge, is_budgeted } => {
                self.open.remove(request_id).unwrap();
                self.slices.entry((*org_uid, 0)).or_default()[2] += charge;
                if *is_budgeted {
                    self.slices.entry((*org_uid, 7)).or_default()[2] += charge;
                }
                let partition = Partition::of(OrgUid(*org_uid)).0;
                self.events.push((partition, self.next_seq(partition), request_id.clone()));
            }
        }
    }

    pub(crate) fn next_seq(&self, partition: u32) -> u64 {
        self.events.iter().filter(|(of, ..)| *of == partition).count() as u64 + 1
    }

    pub(crate) fn assert_recovered(&self, recovered: &Recovered) {
        let open: BTreeMap<_, _> = recovered
            .open
            .iter()
            .map(|open| {
                let request_id = open.admitted.request_id.clone();
                (request_id, (open.admitted.clone(), open.progress.clone()))
            })
            .collect();
        assert_eq!(open, self.open);
        let slices: BTreeMap<_, _> = recovered
            .slices
            .iter()
            .map(|of| {
                let totals = [of.granted_nano, of.released_nano, of.spent_nano];
                ((of.org_uid, of.key_uid), totals)
            })
            .collect();
        assert_eq!(slices, self.slices);
    }

    /// Nothing but our events, all that are not billed, none twice, in order.
    pub(crate) fn assert_delivered(&self, events: &[UsageEnvelope], billed: &BTreeMap<u32, u64>) {
        let mut expected = self.events.iter();
        for envelope in events {
            let request_id = &envelope.event.as_ref().unwrap().request_id;
            let found = (envelope.partition, envelope.seq, request_id.clone());
            let is_next = |event: &&(u32, u64, String)| **event == found;
            let skipped: Vec<_> = expected.by_ref().take_while(|event| !is_next(event)).collect();
            assert!(skipped.iter().all(|event| is_billed(event, billed)), "{skipped:?}");
            assert!(self.events.contains(&found), "{found:?} is not an event, or came late");
        }
        let left: Vec<_> = expected.filter(|event| !is_billed(event, billed)).collect();
        assert!(left.is_empty(), "not delivered: {left:?}");
    }
}

fn is_billed((partition, seq, _): &(u32, u64, String), billed: &BTreeMap<u32, u64>) -> bool {
    billed.get(partition).is_some_and(|next| seq < next)
}

/// A spool that writes down what it was told.
pub(crate) struct Recorded {
    pub(crate) spool: Spool,
    pub(crate) open: Vec<(Admitted, Ticket)>,
    pub(crate) steps: Vec<Step>,
    admitted_count: u64,
}

impl Recorded {
    pub(crate) fn new(spool: Spool) -> Self {
        Self { spool, open: Vec::new(), steps: Vec::new(), admitted_count: 0 }
    }

    /// Goes on after a restart that kept the first so many steps.
    pub(crate) fn restarted(self, spool: Spool, recovered: Recovered, kept: usize) -> Self {
        let mut steps = self.steps;
        steps.truncate(kept);
        let open = recovered.open.into_iter().map(|open| (open.admitted, open.ticket)).collect();
        Self { spool, open, steps, admitted_count: self.admitted_count }
    }

    pub(crate) fn state(&self) -> State {
        State::after(&self.steps)
    }

    pub(crate) fn admit(&mut self, org_uid: i64, budgeted: bool) -> Result<(), SpoolError> {
        let admitted =
            Admitted { budgeted, ..admitted(&format!("request-{}", self.admitted_count), org_uid) };
        let ticket = self.spool.admit(&admitted)?;
        self.admitted_count += 1;
        self.steps.push(Step::Admitted(admitted.clone()));
        self.open.push((admitted, ticket));
        Ok(())
    }

    pub(crate) fn progress(&mut self, pick: usize, quantity: u64) {
        let count = self.open.len();
        if count == 0 {
            return;
        }
        let skipped = self.spool.status().progress_skipped;
        let (admitted, ticket) = &mut self.open[pick % count];
        let progress = progress(&admitted.request_id, quantity);
        ticket.progress(&progress).unwrap();
        if self.spool.status().progress_skipped == skipped {
            self.steps.push(Step::Progress(progress));
        }
    }

    pub(crate) fn finish(&mut self, pick: usize, charge: i64) {
        if self.open.is_empty() {
            return;
        }
        let (admitted, ticket) = self.open.swap_remove(pick % self.open.len());
        let mut event = event(&admitted.request_id, admitted.org_uid, charge);
        event.budgeted = admitted.budgeted;
        let id = ticket.finish(event).unwrap();
        let partition = Partition::of(OrgUid(admitted.org_uid));
        assert_eq!((id.partition, id.seq), (partition, self.state().next_seq(partition.0)));
        self.steps.push(Step::Ended {
            request_id: admitted.request_id,
            org_uid: admitted.org_uid,
            charge,
            is_budgeted: admitted.budgeted,
        });
    }

    pub(crate) fn note_slice(&mut self, org_uid: i64, granted: i64, released: i64) {
        let mark = slice(org_uid, granted, released);
        self.spool.note_slice(&mark).unwrap();
        self.steps.push(Step::Slice(mark));
    }
}
