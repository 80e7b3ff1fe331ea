//! What is written can be read, and nothing else is taken for it.

use super::*;

fn member() -> Member {
    Member {
        id: "6f".to_owned(),
        address: "http://127.0.0.1:7071".to_owned(),
        zone: "sg".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

#[test]
fn every_key_is_in_the_range_and_read_as_what_it_is() {
    let keys = Keys::new("/turnpike/");
    let (from, to) = keys.range();
    let mut table = vec![
        (keys.head(), Some(Key::Head)),
        (keys.member("6f"), Some(Key::Member("6f".to_owned()))),
        (keys.duty(Duty::Sweep), None),
    ];
    table.extend(Topic::ALL.map(|topic| (keys.poke(topic), Some(Key::Poke(topic)))));
    for (key, means) in table {
        assert!(from <= key && key < to, "{}", String::from_utf8_lossy(&key));
        assert_eq!(keys.read(&key), means);
    }
    for other in
        ["/turnpike", "/turnpikes/head", "/other/head", "/turnpike/poke/lunch", "/turnpike/heads"]
    {
        assert_eq!(keys.read(other.as_bytes()), None, "{other}");
    }
    assert_eq!(keys.read(b"/turnpike/\xff"), None);
}

#[test]
fn what_is_written_is_read_again() {
    let origin = Origin { member: "6f".to_owned(), count: 17 };
    assert_eq!(read_origin(&write_origin(&origin)), Some(origin.clone()));
    let head = Revision { generation: 3, rev: 5 };
    assert_eq!(read_head(&write_head(head, &origin)), Some((head, origin)));
    assert_eq!(read_member("6f", &write_member(&member(), 9)), Some(member()));
    let split = Member { zone: "sg\naddress=elsewhere".to_owned(), ..member() };
    assert_eq!(read_member("6f", &write_member(&split, 9)).unwrap().address, member().address);
}

#[test]
fn what_nobody_of_us_wrote_is_nothing() {
    for text in
        ["", "1", "1.2", "1.2, 3", "1.2, 3 of", "x.2, 3 of me", "1.2, -3 of me", "1.2.3, 4 of me"]
    {
        assert_eq!(read_head(text), None, "{text}");
    }
    assert_eq!(read_member("6f", "address=here\nzone=sg\n"), None);
}
