//! However events and listings mix, what is known in the end is what is there, and each value is told at most once.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn held(key: u8, value: u8, revision: i64) -> Held {
    Held { key: vec![key], value: vec![value], revision }
}

fn listing(revision: i64, keys: Vec<Held>) -> Listing {
    Listing { cluster: 1, revision, keys }
}

fn value(key: u8, value: u8) -> News {
    News::Value { key: vec![key], value: vec![value] }
}

#[test]
fn a_listing_tells_what_differs_and_nothing_else() {
    let mut known = Known::default();
    assert_eq!(known.next(1, 5), None, "nothing is known yet");
    let found = known.list(listing(5, vec![held(1, 10, 3), held(2, 20, 5)]));
    assert_eq!(found, Found { news: vec![value(1, 10), value(2, 20)], is_rewound: false });
    assert_eq!(known.next(1, 5), Some(6));

    let found = known.list(listing(9, vec![held(1, 11, 8), held(3, 30, 9)]));
    let gone = News::Gone { key: vec![2] };
    assert_eq!(found, Found { news: vec![value(1, 11), value(3, 30), gone], is_rewound: false });
    assert_eq!(known.list(listing(9, vec![held(1, 11, 8), held(3, 30, 9)])), Found::default());
    // The same value, but put once more.
    let found = known.list(listing(10, vec![held(1, 11, 10), held(3, 30, 9)]));
    assert_eq!(found.news, [value(1, 11)]);
}

#[test]
fn what_a_listing_was_ahead_of_is_no_news() {
    let mut known = Known::default();
    known.list(listing(9, vec![held(1, 11, 8)]));
    assert_eq!(known.take(Event::Put(held(1, 10, 7))), None);
    assert_eq!(known.take(Event::Put(held(2, 20, 9))), None, "it was gone again");
    assert_eq!(known.take(Event::Gone { key: vec![1], revision: 6 }), None);
    assert_eq!(known.take(Event::Put(held(2, 21, 10))), Some(value(2, 21)));
    assert_eq!(known.take(Event::Put(held(3, 30, 10))), Some(value(3, 30)), "of one revision");
    known.seen(10);
    assert_eq!(known.take(Event::Put(held(3, 30, 10))), None, "told twice");
}

#[test]
fn a_revision_that_goes_back_and_another_cluster_are_seen() {
    let mut known = Known::default();
    known.list(listing(9, vec![held(1, 11, 8), held(2, 20, 9)]));
    assert_eq!(known.next(1, 8), None, "it went back");
    assert_eq!(known.next(2, 50), None, "it is another one");
    let found = known.list(listing(4, vec![held(1, 11, 2), held(2, 19, 4)]));
    assert_eq!(found, Found { news: vec![value(2, 19)], is_rewound: true });
    let found = known.list(Listing { cluster: 2, revision: 40, keys: vec![held(2, 19, 4)] });
    assert_eq!(found.news, [News::Gone { key: vec![1] }]);
    assert!(found.is_rewound);
    assert_eq!(known.next(2, 41), Some(41));
}

/// What somebody does to etcd, and what of it comes here.
#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, value: u8, is_heard: bool },
    Delete { key: u8, is_heard: bool },
    List,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8, any::<u8>(), any::<bool>()).prop_map(|(key, value, is_heard)| Step::Put {
            key,
            value,
            is_heard
        }),
        (0..4_u8, any::<bool>()).prop_map(|(key, is_heard)| Step::Delete { key, is_heard }),
        Just(Step::List),
    ]
}

proptest! {
    #[test]
    fn a_listing_mends_whatever_was_missed(steps in vec(step(), 1..60)) {
        let mut known = Known::default();
        let mut there: BTreeMap<u8, (i64, u8)> = BTreeMap::new();
        let mut believed: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut revision = 1;
        // Nothing is heard before all was listed once.
        for step in [Step::List].into_iter().chain(steps).chain([Step::List]) {
            let event = match step {
                Step::Put { key, value, is_heard } => {
                    revision += 1;
                    there.insert(key, (revision, value));
                    is_heard.then(|| Event::Put(held(key, value, revision)))
                }
                Step::Delete { key, is_heard } => {
                    revision += 1;
                    there.remove(&key);
                    is_heard.then(|| Event::Gone { key: vec![key], revision })
                }
                Step::List => {
                    let keys = there.iter().map(|(key, (at, value))| held(*key, *value, *at));
                    let found = known.list(listing(revision, keys.collect()));
                    prop_assert!(!found.is_rewound);
                    for news in found.news {
                        believe(&mut believed, news);
                    }
                    let truth: BTreeMap<Vec<u8>, Vec<u8>> =
                        there.iter().map(|(key, (_, value))| (vec![*key], vec![*value])).collect();
                    prop_assert_eq!(&believed, &truth);
                    continue;
                }
            };
            if let Some(news) = event.and_then(|event| known.take(event)) {
                believe(&mut believed, news);
                known.seen(revision);
            }
        }
    }
}

fn believe(believed: &mut BTreeMap<Vec<u8>, Vec<u8>>, news: News) {
    match news {
        News::Value { key, value } => drop(believed.insert(key, value)),
        News::Gone { key } => drop(believed.remove(&key)),
    }
}
