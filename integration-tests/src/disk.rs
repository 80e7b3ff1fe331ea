//! A disk that can be filled: a small tmpfs. Mounting it needs root, as the project's tests do.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A file system of its own. Unmounted when dropped.
pub struct SmallDisk(TempDir);

/// A file that takes all the room there is.
pub struct Ballast {
    path: PathBuf,
    file: File,
}

impl SmallDisk {
    /// Mounts one of so many KiB.
    #[must_use]
    pub fn mount(kib: u64) -> Self {
        let folder = TempDir::with_prefix("turnpike-disk-").unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "these tests mount a tmpfs: run them as root");
        Self(folder)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte.
    #[must_use]
    pub fn fill(&self) -> Ballast {
        let path = self.path().join("ballast");
        let mut ballast = Ballast { file: File::create(&path).unwrap(), path };
        ballast.grow();
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

impl Ballast {
    /// Takes what room has come back meanwhile.
    pub fn grow(&mut self) {
        for block in [vec![0_u8; 64 * 1024], vec![0_u8; 4 * 1024], vec![0_u8; 1]] {
            while self.file.write_all(&block).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn remove(self) {
        fs::remove_file(&self.path).unwrap();
    }
}
