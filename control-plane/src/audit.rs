//! The audit chain: who changed what, in the transaction that changed it, each record hashed with the one before. The
//! hash is keyed, so that nobody who has the database alone can write a chain that fits. Never a secret, never an address.

mod bound;
mod verify;

pub(crate) use verify::Verified;

use crate::errors::Failure;
use crate::operator::Caller;
use crate::rows::{self, AuditHead};
use blake3::Hash;
use bound::Bound;
use domain::key::Pepper;
use parking_lot::Mutex;
use prost::Message;
use proto::admin::v1::AuditRecord;
use std::net::IpAddr;
use std::sync::Arc;
use storage::{Database, Write};

/// What keys are derived for; a change of the text would break every chain that there is.
const CHAIN: &str = "turnpike audit chain v1";
const CLIENTS: &str = "turnpike client addresses of operators v1";
/// Characters that are recorded of what an attempt was about: more than any name has.
const RESOURCE_LENGTH_MAX: usize = 200;
/// Bytes of an address's hash: enough to tell clients apart, too few to be of other use.
const CLIENT_BYTES: usize = 8;

/// Writes and checks the chain. Clones share the bound on refused attempts.
#[derive(Clone)]
pub(crate) struct Auditor {
    db: Database,
    chain: [u8; 32],
    clients: [u8; 32],
    bound: Arc<Mutex<Bound>>,
}

/// One thing that a call changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// For instance `Org acme`.
    pub(crate) resource: String,
    /// Empty: there was none.
    pub(crate) etag_before: String,
    /// Empty: there is none any more, or it has none.
    pub(crate) etag_after: String,
    /// Names of fields, or an amount.
    pub(crate) detail: String,
}

/// An attempt that was refused.
#[derive(Clone, Copy)]
pub(crate) struct Denied<'a> {
    pub(crate) caller: &'a Caller,
    /// Empty: the request was not even read.
    pub(crate) resource: &'a str,
    pub(crate) request_id: &'a str,
}

impl Auditor {
    /// `denied_max` is the most refused attempts that are recorded in a minute.
    pub(crate) fn new(db: Database, pepper: &Pepper, denied_max: u32) -> Self {
        Self {
            db,
            chain: blake3::derive_key(CHAIN, &pepper.0),
            clients: blake3::derive_key(CLIENTS, &pepper.0),
            bound: Arc::new(Mutex::new(Bound::new(denied_max))),
        }
    }

    /// What is kept of an address.
    pub(crate) fn client(&self, address: IpAddr) -> String {
        let text = address.to_canonical().to_string();
        let hash = blake3::keyed_hash(&self.clients, text.as_bytes());
        hex::encode(hash.as_bytes().split_at(CLIENT_BYTES).0)
    }

    /// Appends what a call changes to the chain, in the transaction that changes it. Returns the head that the chain has
    /// once it is committed.
    pub(crate) async fn append(
        &self,
        write: &mut Write,
        caller: &Caller,
        request_id: &str,
        entries: &[Entry],
    ) -> Result<AuditHead, Failure> {
        let record = |entry: &Entry| AuditRecord {
            resource: entry.resource.clone(),
            etag_before: entry.etag_before.clone(),
            etag_after: entry.etag_after.clone(),
            detail: entry.detail.clone(),
            outcome: "done".to_owned(),
            ..by(caller, request_id)
        };
        self.chain(write, entries.iter().map(record).collect()).await
    }

    /// Records a refused attempt, in a transaction of its own. That it cannot be recorded changes nothing for its caller.
    pub(crate) async fn denied(&self, denied: Denied<'_>) {
        let Some(left_out) = self.bound.lock().admit(crate::now()) else { return };
        let detail = match left_out {
            0 => String::new(),
            more => format!("{more} more were refused before and not recorded"),
        };
        let record = AuditRecord {
            resource: recordable(denied.resource),
            outcome: "denied".to_owned(),
            detail,
            ..by(denied.caller, denied.request_id)
        };
        if let Err(error) = self.write_alone(record).await {
            tracing::error!(%error, "a refused attempt could not be recorded");
        }
    }

    /// Whether a transaction whose commit failed was committed all the same.
    pub(crate) async fn was_appended(&self, head: &AuditHead) -> Result<bool, Failure> {
        let mut write = self.db.write().await?;
        // A server whose connection broke may still be at it. It holds this row until it is done or undone.
        rows::lock_audit(&mut write, 0).await?;
        let found = rows::audit_after(&mut write, head.seq.saturating_sub(1), 1).await?;
        write.rollback().await?;
        let is_it = |record: &AuditRecord| record.seq == head.seq && record.hash == head.hash;
        Ok(found.into_iter().flatten().any(|record| is_it(&record)))
    }

    async fn write_alone(&self, record: AuditRecord) -> Result<(), Failure> {
        let mut write = self.db.write().await?;
        self.chain(&mut write, vec![record]).await?;
        Ok(write.commit().await?)
    }

    async fn chain(
        &self,
        write: &mut Write,
        mut records: Vec<AuditRecord>,
    ) -> Result<AuditHead, Failure> {
        let mut head = rows::lock_audit(write, records.len()).await?;
        for record in &mut records {
            record.seq = head.seq.saturating_add(1);
            record.hash = self.link(&head.hash, record).to_hex().to_string();
            head = AuditHead { seq: record.seq, hash: record.hash.clone() };
        }
        rows::append_audit(write, &records).await?;
        Ok(head)
    }

    /// The hash of a record after the one with the hash `before`. Fields that later versions add are absent from old
    /// records and leave their hashes as they are.
    fn link(&self, before: &str, record: &AuditRecord) -> Hash {
        let bare = AuditRecord { hash: String::new(), ..record.clone() };
        let mut hasher = blake3::Hasher::new_keyed(&self.chain);
        hasher.update(before.as_bytes());
        hasher.update(&bare.encode_to_vec());
        hasher.finalize()
    }
}

/// What was attempted may have any name: there need be no such thing.
fn recordable(resource: &str) -> String {
    resource.chars().take(RESOURCE_LENGTH_MAX).filter(|letter| !letter.is_control()).collect()
}

/// A record of a call, but for what it is about.
fn by(caller: &Caller, request_id: &str) -> AuditRecord {
    AuditRecord {
        time: Some(crate::wire_time(crate::now())),
        operator: caller.operator.name.clone(),
        operator_uid: caller.operator.uid,
        method: caller.method.to_owned(),
        request_id: request_id.to_owned(),
        client: caller.client.clone(),
        ..AuditRecord::default()
    }
}
