//! A database's files are its owner's alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use storage::Database;
use tempfile::TempDir;

fn modes(folder: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mode = |entry: &fs::DirEntry| entry.metadata().unwrap().permissions().mode() & 0o777;
    let mut modes: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry))).collect();
    modes.sort();
    modes
}

#[tokio::test]
async fn nobody_but_the_owner_can_read_the_database_or_its_log() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("turnpike.db");
    let url = format!("sqlite://{}", path.display());
    let expected = ["turnpike.db", "turnpike.db-shm", "turnpike.db-wal"]
        .map(|name| (name.to_owned(), 0o600_u32));
    for _ in 0..2 {
        let database = Database::open(&url).await.unwrap();
        database.migrate().await.unwrap();
        assert_eq!(modes(folder.path()), expected);
        database.close().await;
        // As an earlier version left it.
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
}
