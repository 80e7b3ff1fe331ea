//! The last report: that nothing is left which could still be spent, so that nobody waits for this data plane. What is not
//! said is said by the next start over the same spool.

use super::Purse;
use links::escrow::{EscrowLink, FromDataPlane, ToDataPlane};
use tokio::sync::mpsc;
use tokio::time::timeout;

impl Purse {
    /// Says so, if it is so, and waits until it was written down, which the control plane shows by ending the connection.
    pub(super) async fn say_farewell(&self, messages: &mut mpsc::Receiver<ToDataPlane>) {
        let slices = self.0.slices.all();
        if !slices.iter().all(|slice| slice.lock().is_over()) {
            return;
        }
        let reports = slices.iter().map(|slice| slice.lock().tell()).collect();
        let sent =
            self.0.link.get().map(|link: &EscrowLink| link.send(FromDataPlane::Final(reports)));
        if !matches!(sent, Some(Ok(()))) {
            return;
        }
        let ended = async {
            while !matches!(messages.recv().await, Some(ToDataPlane::Disconnected) | None) {}
        };
        if timeout(self.settings().farewell_within, ended).await.is_err() {
            tracing::debug!("the last report was not answered in time");
        }
    }
}
