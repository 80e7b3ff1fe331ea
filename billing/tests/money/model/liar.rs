//! A data plane that lies: nothing it says may cost a customer more than the customer has.

use super::desk::report;
use super::life::{Event, Holder};
use super::step::{Fate, Lie, PAYERS};
use super::world::nano;
use super::{LIAR, LIARS_PLACE, Run};
use domain::money::Nano;
use links::escrow::Want;

impl Run {
    pub(super) async fn lie(&mut self, lie: Lie) {
        match lie {
            Lie::Report { account, granted_seen, released } => {
                let lie = report(account, granted_seen, released);
                self.lives[LIARS_PLACE].lies.insert(account, lie);
                // What was said before on the same connection, and could not be, is not looked at twice.
                self.connect(LIARS_PLACE).await;
            }
            Lie::Want { account, need, granted_seen } => {
                let (need, granted_seen) = (nano(need), nano(granted_seen));
                let want = Want { want_id: 0, account, need, want: need, granted_seen };
                self.ask(LIARS_PLACE, vec![want], Fate::IsLost).await;
            }
            Lie::Event { incarnation, payer, charge } => {
                let events = &mut self.lives[LIARS_PLACE].events;
                events.push(Event {
                    holder: Holder { name: LIAR, incarnation },
                    seq: u64::try_from(events.len()).unwrap() + 1,
                    payer: PAYERS[payer],
                    charge: nano(charge),
                    uncollected: Nano::ZERO,
                });
            }
        }
    }
}
