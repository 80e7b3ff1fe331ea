//! The last report: that nothing is left which could still be spent, so that nobody waits for this data plane. What is not
//! said is said by the next start over the same spool.

use super::Purse;
use links::escrow::{FromDataPlane, ToDataPlane};
use tokio::sync::mpsc;
use tokio::time::timeout;

impl Purse {
    /// Says so, if it is so, and then nothing more. Returns once all that was said is written down, which the control plane shows by
    /// ending the connection.
    pub(super) async fn say_farewell(&self, mut messages: mpsc::Receiver<ToDataPlane>) {
        let Some(link) = self.0.link.get() else { return };
        let slices = self.0.slices.all();
        if slices.iter().all(|slice| slice.lock().is_over()) {
            let reports = slices.iter().map(|slice| slice.lock().tell()).collect();
            if link.send(FromDataPlane::Final(reports)).is_err() {
                return;
            }
        }
        if !link.finish() {
            return;
        }
        let heard = async { while messages.recv().await.is_some() {} };
        if timeout(self.settings().last_word_within, heard).await.is_err() {
            tracing::warn!(
                "the control plane has not heard the last word about money; the next start says it again"
            );
        }
    }
}
