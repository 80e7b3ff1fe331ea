//! The paged state against a plain map.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn key(uid: i64) -> ObjectId {
    ObjectId::Key(KeyUid(uid))
}

fn body(version: u32) -> Bytes {
    Bytes::from(version.to_string())
}

fn read_all(objects: &Objects, bytes: usize) -> Vec<Bytes> {
    drain(objects.read(), bytes)
}

fn drain(mut reader: ObjectReader, bytes: usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    loop {
        let taken = reader.take(bytes);
        if taken.is_empty() {
            assert!(reader.is_at_end());
            return all;
        }
        all.extend(taken);
    }
}

#[test]
fn objects_are_read_in_reference_order_whatever_order_they_came_in() {
    let in_order = [
        ObjectId::Entity("z".into()),
        ObjectId::Plan("a".into()),
        ObjectId::Plan("b".into()),
        ObjectId::Upstream("a".into()),
        ObjectId::Model("a/b".into()),
        ObjectId::Org(OrgUid(9)),
        ObjectId::Key(KeyUid(1)),
        ObjectId::Key(KeyUid(2)),
    ];
    let mut objects = Objects::default();
    for id in in_order.iter().rev() {
        objects.put(id.clone(), Bytes::from(format!("{} {id}", id.kind())));
    }
    let read = read_all(&objects, usize::MAX);
    let expected: Vec<Bytes> =
        in_order.iter().map(|id| Bytes::from(format!("{} {id}", id.kind()))).collect();
    assert_eq!(read, expected);
}

#[test]
fn a_chunk_holds_what_fits_and_at_least_one_object() {
    let mut objects = Objects::default();
    for (uid, length) in [(1, 40), (2, 48), (3, 1), (4, 500), (5, 87), (6, 1)] {
        objects.put(key(uid), Bytes::from(vec![b'x'; length]));
    }
    let mut reader = objects.read();
    let mut lengths = Vec::new();
    while !reader.is_at_end() {
        lengths.push(reader.take(100).iter().map(Bytes::len).collect::<Vec<_>>());
    }
    assert_eq!(lengths, [vec![40, 48], vec![1], vec![500], vec![87, 1]]);
}

#[test]
fn a_snapshot_in_progress_keeps_alive_only_the_pages_that_changed() {
    let mut objects = Objects::default();
    for uid in 0..10_000 {
        objects.put(key(uid), body(1));
    }
    let reader = objects.read();
    objects.put(key(5000), body(2));
    let is_shared = |page: &Page| Arc::strong_count(page) > 1;
    let copied = objects.pages.iter().filter(|page| !is_shared(page)).count();
    assert_eq!(copied, 1, "of {} pages", objects.pages.len());
    assert!(drain(reader, 1000).iter().all(|object| *object == body(1)));
}

#[test]
fn a_page_never_outgrows_its_size() {
    let mut objects = Objects::default();
    for uid in (0..3000).rev() {
        objects.put(key(uid * 7 % 3000), body(1));
    }
    assert!(objects.pages.iter().all(|page| (1..=PAGE_OBJECTS).contains(&page.len())));
    assert_eq!(read_all(&objects, 64).len(), 3000);
}

#[derive(Clone, Debug)]
enum Step {
    Put(i64),
    Remove(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_i64..900).prop_map(Step::Put),
        2 => (0_i64..900).prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..3000)
}

fn apply(step: &Step, version: u32, objects: &mut Objects, model: &mut BTreeMap<i64, Bytes>) {
    match *step {
        Step::Put(uid) => {
            objects.put(key(uid), body(version));
            model.insert(uid, body(version));
        }
        Step::Remove(uid) => {
            objects.remove(&key(uid));
            model.remove(&uid);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_state_is_what_was_put_and_a_snapshot_is_what_was_there_when_it_began(
        before in steps(), during in steps(), bytes in 1_usize..2000,
    ) {
        let mut objects = Objects::default();
        let mut model = BTreeMap::new();
        for (version, step) in (0..).zip(&before) {
            apply(step, version, &mut objects, &mut model);
        }
        let reader = objects.read();
        let then: Vec<Bytes> = model.values().cloned().collect();
        for (version, step) in (1_000_000..).zip(&during) {
            apply(step, version, &mut objects, &mut model);
        }
        prop_assert_eq!(drain(reader, bytes), then);
        let now: Vec<Bytes> = model.values().cloned().collect();
        prop_assert_eq!(read_all(&objects, bytes), now);
        prop_assert!(objects.pages.iter().all(|page| !page.is_empty()));
    }
}
