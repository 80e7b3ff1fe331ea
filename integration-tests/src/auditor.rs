//! An auditor who knows nothing of the code: it has what the simulator wrote down of what it served, and the tables of the books, and
//! compares the two. Prices are those that the demo's customers are told.

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{Connection, FromRow, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// What `demo/chat` costs orgs of `global`: nano-units per token of input, of the dearest that input may be, and of output.
const INPUT_NANO: i64 = 600;
const INPUT_MAX_NANO: i64 = 1_200;
const OUTPUT_NANO: i64 = 1_800;

/// What lies in the tables.
#[derive(Debug)]
pub(crate) struct Books {
    records: Vec<Record>,
    wallets: Vec<Wallet>,
    postings: Vec<Posting>,
}

#[derive(Debug)]
struct Record {
    data_plane: String,
    incarnation: i64,
    partition_no: i64,
    seq: i64,
    request_id: String,
    org_uid: i64,
    outcome: String,
    charge_nano: i64,
    shortfall_nano: i64,
    input_tokens: i64,
    output_tokens: i64,
}

#[derive(Debug)]
struct Wallet {
    org_uid: i64,
    credited: i64,
    posted: i64,
    held: i64,
}

#[derive(Debug)]
struct Posting {
    debit: String,
    credit: String,
    amount: i64,
}

impl Books {
    /// Reads all of them, as they are at one moment.
    pub(crate) async fn read(database: &str) -> Self {
        let mut connection = PgConnection::connect(database).await.unwrap();
        let mut moment =
            connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        let records = "SELECT data_plane, incarnation, partition_no, seq, request_id, org_uid, outcome, charge_nano,
             shortfall_nano, input_tokens, output_tokens FROM usage_record";
        let wallets = "SELECT org_uid, credited, posted, held FROM account WHERE key_uid = 0";
        let postings = "SELECT debit, credit, amount FROM posting";
        let books = Self {
            records: sqlx::query_as(records).fetch_all(&mut *moment).await.unwrap(),
            wallets: sqlx::query_as(wallets).fetch_all(&mut *moment).await.unwrap(),
            postings: sqlx::query_as(postings).fetch_all(&mut *moment).await.unwrap(),
        };
        moment.commit().await.unwrap();
        books
    }

    /// Ids of the requests that the simulator saw and that are not in them.
    pub(crate) fn missing<'a>(&self, served: &'a Attempts) -> Vec<&'a str> {
        let booked: BTreeSet<&str> =
            self.records.iter().map(|record| &*record.request_id).collect();
        served.0.keys().map(|id| &**id).filter(|id| !booked.contains(id)).collect()
    }

    /// Ids of the requests that ended well.
    pub(crate) fn completed(&self) -> BTreeSet<&str> {
        let completed = self.records.iter().filter(|record| record.outcome == "completed");
        completed.map(|record| &*record.request_id).collect()
    }

    /// How many requests are in them.
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// Compares everything with everything.
    pub(crate) fn audit(&self, served: &Attempts) {
        self.each_request_has_one_record();
        self.no_number_is_missing();
        for record in &self.records {
            served.agree_with(record);
        }
        for wallet in &self.wallets {
            self.wallet_is_what_was_paid_in_and_used(wallet);
        }
    }

    fn each_request_has_one_record(&self) {
        let mut seen = BTreeSet::new();
        for record in &self.records {
            assert!(seen.insert(&record.request_id), "two records of one request: {record:?}");
        }
    }

    fn no_number_is_missing(&self) {
        let mut numbers: BTreeMap<_, BTreeSet<i64>> = BTreeMap::new();
        for record in &self.records {
            let life = (&record.data_plane, record.incarnation, record.partition_no);
            assert!(numbers.entry(life).or_default().insert(record.seq), "twice: {record:?}");
        }
        for (life, numbers) in numbers {
            let last = numbers.last().copied().unwrap_or_default();
            let first = numbers.first().copied().unwrap_or_default();
            let count = i64::try_from(numbers.len()).unwrap();
            assert_eq!((first, last), (1, count), "numbers are missing of {life:?}");
        }
    }

    fn wallet_is_what_was_paid_in_and_used(&self, wallet: &Wallet) {
        let of_org = self.records.iter().filter(|record| record.org_uid == wallet.org_uid);
        let paid: i64 = of_org.map(|record| record.charge_nano - record.shortfall_nano).sum();
        assert_eq!(wallet.posted, wallet.credited - paid, "{wallet:?}");
        assert!(wallet.posted >= 0 && wallet.held <= wallet.posted, "{wallet:?}");
        let name = format!("wallet:{}", wallet.org_uid);
        let signed = self.postings.iter().map(|posting| {
            let in_credit = if posting.credit == name { posting.amount } else { 0 };
            let in_debit = if posting.debit == name { posting.amount } else { 0 };
            in_credit - in_debit
        });
        assert_eq!(signed.sum::<i64>(), wallet.posted, "its postings differ: {wallet:?}");
    }
}

/// The last attempt at each request, as the simulator wrote it down, by the request's id.
#[derive(Debug)]
pub(crate) struct Attempts(BTreeMap<String, Value>);

impl Attempts {
    /// From the lines of its log.
    pub(crate) fn of(lines: Vec<Value>) -> Self {
        let id = |line: &Value| line["request_id"].as_str().unwrap().to_owned();
        Self(lines.into_iter().map(|line| (id(&line), line)).collect())
    }

    fn agree_with(&self, record: &Record) {
        let Some(attempt) = self.0.get(&record.request_id) else {
            assert_eq!(record.charge_nano, 0, "what was never served costs something: {record:?}");
            return;
        };
        if record.outcome == "completed" {
            let usage = |name: &str| attempt["usage"][name].as_i64().unwrap();
            let (input, output) = (usage("prompt_tokens"), usage("completion_tokens"));
            assert_eq!((record.input_tokens, record.output_tokens), (input, output), "{record:?}");
            let price = input * INPUT_NANO + output * OUTPUT_NANO;
            assert_eq!(
                (attempt["ended"].as_str(), record.charge_nano),
                (Some("complete"), price),
                "{record:?}"
            );
        } else {
            // Of what was cut off, nobody pays more than was said: no token is shorter than a byte.
            let lengths =
                attempt["chunk_lengths"].as_array().map(Vec::as_slice).unwrap_or_default();
            let said: i64 = lengths.iter().map(|length| length.as_i64().unwrap()).sum();
            let most = record.input_tokens * INPUT_MAX_NANO + said * OUTPUT_NANO;
            assert!(record.charge_nano <= most, "{said} bytes were said: {record:?}");
        }
    }
}

impl FromRow<'_, PgRow> for Record {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            data_plane: row.try_get("data_plane")?,
            incarnation: row.try_get("incarnation")?,
            partition_no: row.try_get("partition_no")?,
            seq: row.try_get("seq")?,
            request_id: row.try_get("request_id")?,
            org_uid: row.try_get("org_uid")?,
            outcome: row.try_get("outcome")?,
            charge_nano: row.try_get("charge_nano")?,
            shortfall_nano: row.try_get("shortfall_nano")?,
            input_tokens: row.try_get("input_tokens")?,
            output_tokens: row.try_get("output_tokens")?,
        })
    }
}

impl FromRow<'_, PgRow> for Wallet {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            org_uid: row.try_get("org_uid")?,
            credited: row.try_get("credited")?,
            posted: row.try_get("posted")?,
            held: row.try_get("held")?,
        })
    }
}

impl FromRow<'_, PgRow> for Posting {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            debit: row.try_get("debit")?,
            credit: row.try_get("credit")?,
            amount: row.try_get("amount")?,
        })
    }
}
