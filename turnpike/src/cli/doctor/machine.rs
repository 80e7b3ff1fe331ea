//! This machine: data directory, disk, secrets, schema, spool; ports are `listeners`' business.

use super::finding::Finding;
use super::listeners;
use crate::config::{Config, Secrets, SecretsError, without_password};
use std::fs::{self, File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use storage::{Database, Holding, Schema};

/// Anybody but the owner.
const OTHERS: u32 = 0o077;
const MIB: u64 = 1 << 20;
/// Of each part of a data directory that a process may hold.
const LOCKS: [&str; 3] = ["control-plane.lock", "billing.lock", "data-plane.lock"];

/// Looks at all of it.
pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let dir = config.data_dir.as_path();
    let mut findings = match fs::metadata(dir) {
        Ok(found) => vec![data_dir(dir, &found), disk(config)],
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let found = format!("{} is not there yet; `turnpike up` makes it", dir.display());
            return std::iter::once(Finding::skipped("data-dir", found))
                .chain(listeners::examine(config, None).await)
                .collect();
        }
        Err(error) => {
            let found = format!("{} cannot be looked at: {error}", dir.display());
            return vec![Finding::wrong(
                "data-dir",
                found,
                "run this as the user that runs turnpike",
            )];
        }
    };
    let holder = holder(dir);
    findings.extend(secrets(config));
    findings.push(schema(config).await);
    findings.push(spool(config));
    findings.extend(listeners::examine(config, holder).await);
    findings
}

fn data_dir(dir: &Path, found: &Metadata) -> Finding {
    let place = dir.display();
    if !found.is_dir() {
        return Finding::wrong(
            "data-dir",
            format!("{place} is no directory"),
            "choose another --data-dir",
        );
    }
    if found.permissions().mode() & OTHERS != 0 {
        let found = format!(
            "{place} is open to other users (mode {:o})",
            found.permissions().mode() & 0o777
        );
        return Finding::wrong("data-dir", found, format!("chmod 700 {place}"));
    }
    if let Err(error) = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
        let found = format!("{place} cannot be written to: {error}");
        return Finding::wrong(
            "data-dir",
            found,
            "run turnpike as the owner of its data directory",
        );
    }
    Finding::ok("data-dir", format!("{place}, open to its owner alone"))
}

/// What is free must hold what the spool may still grow by; below a few of its files nothing works for long.
fn disk(config: &Config) -> Finding {
    let dir = config.data_dir.as_path();
    let free = match rustix::fs::statvfs(dir) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let found = format!("the disk of {} tells nothing: {error}", dir.display());
            return Finding::wrong("disk", found, "check that it is mounted");
        }
    };
    let settings = &config.data_plane.spool;
    let used = spool_files(config).map_or(0, |files| files.bytes);
    let growth = settings.capacity_bytes.saturating_sub(used);
    let found = format!("{} MiB free at {}", free.div_euclid(MIB), dir.display());
    if free < settings.segment_bytes.saturating_mul(4) {
        let mend =
            "free some space now: without it usage cannot be written down, and requests get 503";
        return Finding::wrong("disk", found, mend);
    }
    if free < growth {
        let found = format!("{found}, but the spool may grow by {} MiB", growth.div_euclid(MIB));
        let mend = "free some space, or lower data_plane.spool.capacity_bytes";
        return Finding::warning("disk", found, mend);
    }
    Finding::ok("disk", found)
}

/// The process that uses the directory. Only one that lives is asked for its lock, so that none is kept from starting.
fn holder(dir: &Path) -> Option<String> {
    LOCKS.iter().find_map(|lock| holder_of(&dir.join(lock)))
}

fn holder_of(path: &Path) -> Option<String> {
    let process = fs::read_to_string(path).ok()?.trim().to_owned();
    if process.is_empty() || !Path::new("/proc").join(&process).exists() {
        return None;
    }
    let is_held = matches!(File::open(path).ok()?.try_lock_shared(), Err(TryLockError::WouldBlock));
    is_held.then_some(process)
}

fn secrets(config: &Config) -> Vec<Finding> {
    let inspected = Secrets::inspect(config);
    let is_absent = |outcome: &Result<(), SecretsError>| matches!(outcome, Err(SecretsError::Io { source, .. }) if source.kind() == ErrorKind::NotFound);
    if inspected.iter().all(|(_, outcome)| is_absent(outcome)) {
        return vec![Finding::skipped("secrets", "none is there yet; the first start makes them")];
    }
    inspected.into_iter().map(|(path, outcome)| secret(&path, outcome)).collect()
}

fn secret(path: &Path, outcome: Result<(), SecretsError>) -> Finding {
    let place = path.display();
    if let Err(error) = outcome {
        let mend = format!("restore {place} from the backup that was made with the database");
        return Finding::wrong("secrets", error.to_string(), mend);
    }
    match fs::metadata(path).map(|found| found.permissions().mode()) {
        Ok(mode) if mode & OTHERS != 0 => {
            let found = format!("{place} can be read by other users (mode {:o})", mode & 0o777);
            Finding::wrong("secrets", found, format!("chmod 600 {place}"))
        }
        Ok(_) => Finding::ok("secrets", format!("{place}, open to its owner alone")),
        Err(error) => Finding::wrong("secrets", format!("{place}: {error}"), "check its directory"),
    }
}

async fn schema(config: &Config) -> Finding {
    let url = config.database_url();
    let place = without_password(&url);
    if let Some(file) = url.strip_prefix("sqlite://").filter(|file| !Path::new(file).exists()) {
        return Finding::skipped(
            "schema",
            format!("{file} is not there yet; the first start makes it"),
        );
    }
    let schema = match Database::open(&url).await {
        Ok(database) => {
            let schema = database.schema(Holding::Main).await;
            database.close().await;
            schema
        }
        Err(error) => Err(error),
    };
    match schema {
        Ok(Schema { applied, known }) if applied == known => {
            Finding::ok("schema", format!("version {applied}, as this program has it"))
        }
        Ok(Schema { applied, known }) if applied < known => {
            let found = format!("version {applied}; this program has version {known}");
            let mend = "`turnpike migrate` brings it up to date; make a backup first";
            Finding::warning("schema", found, mend)
        }
        Ok(Schema { applied, known }) => {
            let found =
                format!("version {applied} is newer than this program, which has version {known}");
            Finding::wrong("schema", found, "run the turnpike that made it, or a newer one")
        }
        Err(error) => {
            let found = format!("{place} cannot be read: {error}");
            Finding::wrong(
                "schema",
                found,
                "check database.url and its owner; if it is damaged, restore the backup",
            )
        }
    }
}

struct SpoolFiles {
    bytes: u64,
    damaged: usize,
}

fn spool_files(config: &Config) -> Option<SpoolFiles> {
    let mut files = SpoolFiles { bytes: 0, damaged: 0 };
    for entry in fs::read_dir(config.spool_dir()).ok()?.flatten() {
        files.bytes = files.bytes.saturating_add(entry.metadata().map_or(0, |file| file.len()));
        let is_damaged = entry.path().extension().is_some_and(|extension| extension == "damaged");
        files.damaged = files.damaged.saturating_add(usize::from(is_damaged));
    }
    Some(files)
}

fn spool(config: &Config) -> Finding {
    let place = config.spool_dir();
    let Some(files) = spool_files(config) else {
        return Finding::skipped("spool", format!("{} is not there yet", place.display()));
    };
    let settings = &config.data_plane.spool;
    let percent =
        files.bytes.saturating_mul(100).checked_div(settings.capacity_bytes).unwrap_or(100);
    let found = format!(
        "{} MiB in {}, {percent} % of its capacity",
        files.bytes.div_euclid(MIB),
        place.display()
    );
    if percent >= u64::from(settings.high_water_percent) {
        let mend = "let billing run, which empties it, or raise data_plane.spool.capacity_bytes";
        return Finding::wrong("spool", found, mend);
    }
    if files.damaged > 0 {
        let found =
            format!("{found}; {} of its files are damaged and were set aside", files.damaged);
        let mend =
            "check the disk; keep the *.damaged files: they hold what can still be recovered";
        return Finding::warning("spool", found, mend);
    }
    Finding::ok("spool", found)
}
