//! What is on the disk begins the next life; nothing of it that is damaged, foreign or too old is ever served.

use super::world::*;
use super::*;
use std::fs;

/// A state with an org, two keys and an upstream, and the deltas that came after it.
async fn lived(home: &Home, deltas: u64) -> Feed {
    let feed = Feed::at(5, state());
    let life = home.follow(&feed);
    feed.everywhere(5).await;
    for (from, number) in (5..5 + deltas).zip(10_u8..) {
        feed.publish(delta(from, vec![Change::Key(key(i64::from(number), number))]));
    }
    feed.everywhere(5 + deltas).await;
    life.end().await;
    feed
}

fn state() -> Vec<Change> {
    vec![
        entity("global"),
        Change::Plan(plan()),
        upstream("demo-a", "http://127.0.0.1:1/v1", &SEAL_KEY),
        org(1, "acme"),
        Change::Key(key(1, 1)),
        Change::Key(key(2, 2)),
    ]
}

#[tokio::test]
async fn what_was_acknowledged_is_there_in_the_next_life_without_any_control_plane() {
    let home = Home::new();
    let feed = lived(&home, 3).await;
    feed.publish(delta(8, vec![Change::Tombstone(Tombstone::Key(KeyUid(1)))]));
    let life = home.follow(&feed);
    feed.everywhere(9).await;
    feed.vanish();
    life.end().await;

    let configuration = home.alone();
    assert_eq!(configuration.revision(), revision(9));
    assert!(configuration.is_loaded() && configuration.is_current());
    assert!(configuration.key(&digest(1)).is_none(), "revoked, and acknowledged");
    assert!(configuration.key(&digest(2)).is_some() && configuration.key(&digest(12)).is_some());
    assert_eq!(configuration.snapshot().upstreams.len(), 1);
    assert!(configuration.age().unwrap() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_state_that_was_acknowledged_has_its_age_on_the_disk_however_soon_the_process_dies() {
    let home = Home::new();
    lived(&home, 0).await.vanish();
    let journal = home.files("journal").pop().unwrap();
    // As if it had died before a note of its own was due.
    let configuration = copy_with(&home, &journal, None).alone();
    assert_eq!(configuration.revision(), revision(5));
    assert!(configuration.is_current(), "{:?}", configuration.age());
}

#[tokio::test]
async fn the_next_life_goes_on_by_deltas_and_says_so() {
    let home = Home::new();
    let feed = lived(&home, 2).await;
    let (_, keeper) = Configuration::open(home.settings.clone()).unwrap();
    assert_eq!(keeper.applied(), Some(revision(7)));
    let life = home.follow(&feed);
    feed.publish(delta(7, vec![Change::Key(key(30, 30))]));
    feed.everywhere(8).await;
    assert!(life.configuration.key(&digest(30)).is_some());
}

#[tokio::test]
async fn a_full_journal_becomes_a_snapshot_and_the_last_two_are_kept() {
    let mut home = Home::new();
    home.settings.disk.as_mut().unwrap().journal_bytes = 200;
    let feed = lived(&home, 40).await;
    until("old files go", || home.files("snapshot").len() == 2).await;
    assert_eq!(home.files("new"), Vec::<PathBuf>::new());
    let configuration = home.alone();
    assert_eq!((configuration.revision(), configuration.key_count()), (revision(45), 42));
    drop(feed);
}

/// Copies a directory, with one file changed or left out.
fn copy_with(home: &Home, path: &Path, bytes: Option<&[u8]>) -> Home {
    let copy = Home::new();
    fs::create_dir_all(copy.folder()).unwrap();
    for file in home.files("snapshot").into_iter().chain(home.files("journal")) {
        let place = copy.folder().join(file.file_name().unwrap());
        match bytes {
            Some(bytes) if file == path => fs::write(place, bytes).unwrap(),
            None if file == path => {}
            Some(_) | None => drop(fs::copy(file, place).unwrap()),
        }
    }
    copy
}

#[tokio::test]
async fn a_flipped_bit_in_any_byte_of_the_newest_snapshot_is_noticed_and_nothing_is_lost() {
    let mut home = Home::new();
    lived(&home, 2).await.vanish();
    // A second snapshot, so that there is one to fall back to.
    home.settings.disk.as_mut().unwrap().journal_bytes = 1;
    let feed = Feed::at(7, Vec::new());
    let life = home.follow(&feed);
    feed.publish(delta(7, vec![Change::Key(key(40, 40))]));
    feed.everywhere(8).await;
    until("a second snapshot", || home.files("snapshot").len() == 2).await;
    life.end().await;
    let newest = home.files("snapshot").pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 8);
        let configuration = copy_with(&home, &newest, Some(&damaged)).alone();
        assert_eq!(configuration.revision(), revision(8), "byte {place}");
        assert_eq!(configuration.key_count(), 5, "byte {place}");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_cut_or_longer_than_whole_is_refused() {
    let home = Home::new();
    lived(&home, 0).await.vanish();
    let only = home.files("snapshot").pop().unwrap();
    let whole = fs::read(&only).unwrap();
    for length in 0..whole.len() {
        let configuration = copy_with(&home, &only, Some(&whole[..length])).alone();
        assert!(!configuration.is_loaded(), "{length} of {} bytes", whole.len());
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert!(!copy_with(&home, &only, Some(&longer)).alone().is_loaded());
    assert!(copy_with(&home, &only, Some(&whole)).alone().is_loaded());
}

#[tokio::test]
async fn a_journal_counts_up_to_its_first_damage_and_a_torn_end_is_none() {
    let home = Home::new();
    lived(&home, 4).await.vanish();
    let journal = home.files("journal").pop().unwrap();
    let whole = fs::read(&journal).unwrap();
    let mut seen = Vec::new();
    for length in 0..=whole.len() {
        let configuration = copy_with(&home, &journal, Some(&whole[..length])).alone();
        seen.push(configuration.revision().rev);
    }
    assert!(seen.is_sorted() && seen.first() == Some(&5) && seen.last() == Some(&9), "{seen:?}");
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x40;
        let rev = copy_with(&home, &journal, Some(&damaged)).alone().revision().rev;
        assert!((5..9).contains(&rev) || rev == seen[place], "byte {place}: {rev}");
    }
}

#[tokio::test]
async fn a_snapshot_of_another_cell_or_seal_key_is_refused_and_not_removed_at_once() {
    let home = Home::new();
    lived(&home, 1).await.vanish();
    for (cell, seal_key) in [("cn", SEAL_KEY), ("sg", [8; 32])] {
        let mut stranger = copy_with(&home, Path::new(""), None);
        stranger.settings.cell = cell.to_owned();
        stranger.settings.seal_key = seal_key;
        assert!(!stranger.alone().is_loaded(), "{cell}");
        let feed = Feed::at(1, vec![entity("other")]);
        let life = stranger.follow(&feed);
        feed.everywhere(1).await;
        life.end().await;
        stranger.settings =
            ConfigurationSettings { disk: stranger.settings.disk.clone(), ..home.settings.clone() };
        assert_eq!(stranger.alone().revision(), revision(6), "what was good for {cell} is there");
    }
}

#[tokio::test]
async fn a_newer_file_with_an_older_state_never_wins() {
    let home = Home::new();
    lived(&home, 0).await.vanish();
    let older = Home::new();
    let feed = Feed::at(3, state());
    let life = older.follow(&feed);
    feed.everywhere(3).await;
    life.end().await;
    let put_back = home.folder().join("00000000000000000099.snapshot");
    fs::copy(older.files("snapshot").pop().unwrap(), put_back).unwrap();
    assert_eq!(home.alone().revision(), revision(5));
}

#[tokio::test]
async fn what_is_too_old_is_not_served_until_the_control_plane_stands_by_it_again() {
    let mut home = Home::new();
    home.settings.age_max = Duration::from_millis(400);
    let feed = lived(&home, 1).await;
    tokio::time::sleep(home.settings.age_max).await;
    let configuration = home.alone();
    assert!(configuration.is_loaded() && !configuration.is_current(), "{:?}", configuration.age());

    let life = home.follow(&feed);
    until("a heartbeat is enough", || life.configuration.is_current()).await;
    assert_eq!(life.configuration.revision(), revision(6));
    feed.vanish();
    until("it ages", || !life.configuration.is_current()).await;
    assert!(life.configuration.is_loaded());
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_told_and_serving_goes_on() {
    let home = Home::new();
    let feed = lived(&home, 0).await;
    let life = home.follow(&feed);
    feed.everywhere(5).await;
    // In the place of the file that comes next there is a directory.
    let next = home.files("journal").len() + 1;
    fs::create_dir(home.folder().join(format!("{next:020}.journal"))).unwrap();
    let mut large = key(50, 50);
    large.name = "x".repeat(1 << 20);
    feed.publish(delta(5, vec![Change::Key(large)]));
    feed.everywhere(6).await;
    until("it is told", || feed.rejects().iter().any(|it| it.contains("cannot be written"))).await;
    assert!(life.configuration.key(&digest(50)).is_some());
}

#[tokio::test]
async fn neither_a_credential_nor_a_secret_is_readable_on_the_disk() {
    let home = Home::new();
    lived(&home, 1).await.vanish();
    for file in home.files("snapshot").into_iter().chain(home.files("journal")) {
        let bytes = fs::read(&file).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!has(b"sk-secret"), "{}", file.display());
        let is_snapshot = file.extension().unwrap() == "snapshot";
        assert_eq!(has(b"demo-a"), is_snapshot, "what is searched is what is written");
    }
}
