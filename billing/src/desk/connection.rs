//! One task per connected data plane: it brings messages to the clerk and takes answers back. Reading never waits for
//! sending.

use super::marks::Listeners;
use crate::slices::Holder;
use domain::id::Account;
use links::escrow::{
    EscrowConnection, EscrowListener, EscrowSender, FromDataPlane, SliceReport, ToDataPlane,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Number of a connection. Never reused.
pub(super) type PeerNumber = u64;

/// What the clerk hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// A data plane said who it is and what it holds.
    Arrived {
        peer: PeerNumber,
        holder: Holder,
        slices: Vec<SliceReport>,
        answers: mpsc::Sender<ToDataPlane>,
    },
    /// It said something.
    Said { peer: PeerNumber, message: FromDataPlane },
    /// Its connection is over.
    Left { peer: PeerNumber },
    /// Another control plane wants money of an account back; they hold some.
    Recalled { account: Account, holders: Vec<Holder> },
}

/// Lets data planes in until the service that listens is gone, and those that are in have left.
pub(super) async fn accept(
    mut listener: EscrowListener,
    messages: mpsc::Sender<Heard>,
    waiting_answers: usize,
    listeners: Listeners,
) {
    let mut connections = JoinSet::new();
    let mut peer: PeerNumber = 0;
    while let Some(connection) = listener.accept().await {
        peer = peer.saturating_add(1);
        let attended =
            attend(peer, connection, messages.clone(), waiting_answers, listeners.clone());
        connections.spawn(attended);
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
}

async fn attend(
    peer: PeerNumber,
    mut connection: EscrowConnection,
    messages: mpsc::Sender<Heard>,
    waiting_answers: usize,
    listeners: Listeners,
) {
    let (answers, outbox) = mpsc::channel(waiting_answers.max(1));
    let hello = connection.hello.clone();
    let holder = Holder { data_plane: hello.data_plane, incarnation: hello.incarnation };
    let _listening = listeners.join(peer, holder.clone(), &answers);
    let arrived = Heard::Arrived { peer, holder, slices: hello.slices, answers };
    if messages.send(arrived).await.is_err() {
        return;
    }
    let mut delivering = std::pin::pin!(deliver(connection.sender(), outbox));
    let is_cut_off = tokio::select! {
        () = delivering.as_mut() => true,
        () = listen(peer, &mut connection, &messages) => false,
    };
    // When nobody hears it, the clerk has gone home.
    drop(messages.send(Heard::Left { peer }).await);
    if !is_cut_off {
        // Until the clerk has forgotten it, and so has taken in all that it said: the end of the connection tells it that.
        delivering.await;
    }
}

/// Until the connection is over, or the clerk has cut it off.
async fn deliver(sender: EscrowSender, mut outbox: mpsc::Receiver<ToDataPlane>) {
    while let Some(answer) = outbox.recv().await {
        if sender.send(answer).await.is_err() {
            return;
        }
    }
}

async fn listen(
    peer: PeerNumber,
    connection: &mut EscrowConnection,
    messages: &mpsc::Sender<Heard>,
) {
    while let Some(message) = connection.next().await {
        if messages.send(Heard::Said { peer, message }).await.is_err() {
            return;
        }
    }
}
