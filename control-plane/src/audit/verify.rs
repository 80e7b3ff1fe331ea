//! Whether the chain is as it was written: every record hashed again, from the first to the head.

use super::Auditor;
use crate::errors::Failure;
use crate::rows::{self, AuditHead};
use proto::admin::v1::AuditRecord;
use storage::Read;

/// Records read at once.
const PAGE: u32 = 1_000;
/// The hash before the first record.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The last record that fits.
    pub(crate) head: AuditHead,
    /// The first that does not, and in what.
    pub(crate) difference: Option<Difference>,
}

/// The first record that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) seq: u64,
    pub(crate) reason: String,
}

impl Auditor {
    /// Walks the chain. `noted` is a head that it had earlier.
    pub(crate) async fn verify(&self, noted: Option<AuditHead>) -> Result<Verified, Failure> {
        let mut read = self.db.read().await?;
        let mut walk =
            Walk { auditor: self, noted, head: AuditHead { seq: 0, hash: GENESIS.to_owned() } };
        let found = walk.all(&mut read).await?;
        read.finish().await?;
        Ok(Verified { head: walk.head, difference: found })
    }
}

struct Walk<'a> {
    auditor: &'a Auditor,
    noted: Option<AuditHead>,
    /// Of what fits so far.
    head: AuditHead,
}

impl Walk<'_> {
    async fn all(&mut self, read: &mut Read) -> Result<Option<Difference>, Failure> {
        loop {
            let records = rows::audit_after(read, self.head.seq, PAGE).await?;
            if records.is_empty() {
                return Ok(self.end(&rows::audit_head(read).await?));
            }
            for record in records {
                if let Some(difference) = self.step(record) {
                    return Ok(Some(difference));
                }
            }
        }
    }

    fn step(&mut self, record: Result<AuditRecord, Failure>) -> Option<Difference> {
        let seq = self.head.seq.saturating_add(1);
        let differs = |reason: String| Some(Difference { seq, reason });
        let record = match record {
            Ok(record) => record,
            Err(unreadable) => return differs(format!("it cannot be read: {unreadable}")),
        };
        if record.seq != seq {
            return differs(format!("it is missing; the next one is {}", record.seq));
        }
        let hash = self.auditor.link(&self.head.hash, &record).to_hex().to_string();
        if hash != record.hash {
            return differs("it is not what was written: its hash does not fit".to_owned());
        }
        if let Some(noted) = self.noted.take_if(|noted| noted.seq == seq)
            && noted.hash != hash
        {
            return differs(format!("its hash is {hash}, {} was noted", noted.hash));
        }
        self.head = AuditHead { seq, hash };
        None
    }

    fn end(&self, stored: &AuditHead) -> Option<Difference> {
        let next = self.head.seq.saturating_add(1);
        let differs = |seq: u64, reason: String| Some(Difference { seq, reason });
        if let Some(noted) = &self.noted {
            return differs(
                next,
                format!("it is missing: the head was {} when it was noted", noted.seq),
            );
        }
        if stored.seq != self.head.seq {
            return differs(next, format!("the head is at {}, the records are not", stored.seq));
        }
        if stored.hash != self.head.hash {
            return differs(stored.seq, "the head has another hash than the record".to_owned());
        }
        None
    }
}
