//! temporary
#![allow(warnings)]
use billing::accounts;
use billing::consumer::apply;
use billing::{CreditOrder, credit};
use domain::id::{Account, OrgUid};
use domain::money::*;
use domain::price::*;
use domain::time::Timestamp;
use domain::tokens::*;
use proto::usage::v1::*;
use storage::Database;

fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<u64>().unwrap() + f[12].parse::<u64>().unwrap()) * 10_000
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let orgs: i64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let batch: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let total: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let db = Database::open(&format!("sqlite://{}/t.db", folder.path().display())).await.unwrap();
    db.migrate().await.unwrap();
    let usd = Currency::parse("USD").unwrap();
    let mut w = db.write().await.unwrap();
    for org in 1..=orgs {
        accounts::open(&mut w, Account::Wallet(OrgUid(org)), usd, Nano::ZERO, Nano::ZERO).await.unwrap();
    }
    w.commit().await.unwrap();
    for org in 1..=orgs {
        let order = CreditOrder { org: OrgUid(org), amount: Money::parse("1000.00 USD").unwrap(), idempotency_key: org.to_string() };
        credit(&db, order, Timestamp(1)).await.unwrap();
    }
    let mut w = db.write().await.unwrap();
    for org in 1..=orgs {
        sqlx::query("UPDATE account SET held = 900000000000 WHERE org_uid = $1").bind(org).execute(&mut *w).await.unwrap();
        sqlx::query("INSERT INTO slice VALUES ('dp', 7, $1, 0, 900000000000, 0, 0, 0)").bind(org).execute(&mut *w).await.unwrap();
    }
    w.commit().await.unwrap();
    let rates = Rates::NONE.with(TokenClass::Input, Nano::new(2_500_000_000).unwrap()).with(TokenClass::Output, Nano::new(10_000_000_000).unwrap()).with(TokenClass::CacheRead, Nano::new(1_250_000_000).unwrap());
    let mut seqs = vec![0_u64; 64];
    let mut events = Vec::new();
    let mut x = 88172645463325252_u64;
    for n in 0..total {
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        let org = (x % orgs as u64) as i64 + 1;
        let q = Quantities::NONE.with(TokenClass::Input, 300 + x % 1000).with(TokenClass::CacheRead, 128).with(TokenClass::Output, 200 + x % 77);
        let m = Metered { quantities: q, ..Default::default() };
        let p = domain::id::Partition::of(OrgUid(org)).0;
        seqs[p as usize] += 1;
        events.push(UsageEnvelope { data_plane: "dp-1".replace("-1", ""), incarnation: 7, partition: p, seq: seqs[p as usize], event: Some(UsageEvent {
            request_id: format!("req-0192{n:012x}7abc8def90{n:06x}"),
            upstream_id: format!("chatcmpl-{x:016x}{:08x}", x.wrapping_mul(7) as u32),
            org_uid: org, key_uid: 1_000_000 + org, entity: "global".into(), currency: "USD".into(), model: "demo/chat".into(),
            price: Some(PriceRef { revision: 12, model: "demo/chat".into(), upstream: "demo-a".into(), entity: "global".into(), audience: "all".into(), org: "".into() }),
            outcome: Outcome::Completed.into(), lines: proto::convert::usage::lines(&m, &rates),
            charge_nano: cost(&rates, &q).unwrap().get(), attempts: vec![Attempt { upstream: "demo-a".into(), status: 200, error: "".into(), duration_us: 345678 }],
            admitted_us: 1795000000000000 + n as u64 * 1000, ended_us: 1795000000345678 + n as u64 * 1000, first_token_us: 12345, streamed: true, status: 200, app: "https://example.com".into(), finish_reason: "stop".into(),
            ..Default::default() }) });
    }
    let (c0, t0) = (cpu_us(), std::time::Instant::now());
    for chunk in events.chunks(batch) {
        let a = apply(&db, chunk, Timestamp(1795000000000000)).await.unwrap();
        assert_eq!(a.applied as usize, chunk.len());
    }
    let (c, t) = (cpu_us() - c0, t0.elapsed());
    println!("orgs {orgs} batch {batch}: {:.1} us CPU per event, {:.1} us wall", c as f64 / total as f64, t.as_micros() as f64 / total as f64);
}
