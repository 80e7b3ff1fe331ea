//! The three secrets of a zone, each in a file of its own. Those that no setting names are made at the first start, all
//! at once, readable by the owner alone.

use super::Config;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

const SECRET_BYTES: usize = 32;

/// What a zone must keep to itself. Losing the seal key or the pepper makes every stored credential or key unreadable.
pub(crate) struct Secrets {
    /// What operators authenticate with.
    pub(crate) operator_token: String,
    /// What upstream credentials are encrypted with.
    pub(crate) seal_key: [u8; SECRET_BYTES],
    /// What keys are hashed with.
    pub(crate) pepper: [u8; SECRET_BYTES],
}

/// What of it a data plane needs.
pub(crate) struct CellSecrets {
    /// What upstream credentials are encrypted with.
    pub(crate) seal_key: [u8; SECRET_BYTES],
    /// What keys are hashed with.
    pub(crate) pepper: [u8; SECRET_BYTES],
}

/// Secrets that cannot be had.
#[derive(Debug, Error)]
pub(crate) enum SecretsError {
    /// A file cannot be read or made.
    #[error("cannot read or create the secret in {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others are there, so this is not a first start.
    #[error(
        "{} is missing while other secrets are there; restore it from a backup (a new one could not read the database)",
        .0.display()
    )]
    Lost(PathBuf),
    /// Only a control plane makes them.
    #[error(
        "{} is missing: a data plane needs the one of its control plane; copy it, or name it in control_plane.seal_key_file \
         and control_plane.pepper_file",
        .0.display()
    )]
    NotHere(PathBuf),
    /// Beside Postgres nobody makes them.
    #[error(
        "{} is missing: with a database on Postgres it is not made by itself, because every replica needs the same; copy it, \
         or make the first one with: openssl rand -hex 32 > {}",
        .0.display(), .0.display()
    )]
    NotMade(PathBuf),
    /// Not what a secret looks like.
    #[error("{} does not hold 64 hexadecimal digits", .0.display())]
    Malformed(PathBuf),
    /// Nobody should be able to authenticate with nothing.
    #[error("{} is empty; write an operator token into it, or remove it to have one made", .0.display())]
    Empty(PathBuf),
}

impl Secrets {
    /// Each secret's file and whether it can be used, without making any. The files of a first start are not there yet.
    pub(crate) fn inspect(config: &Config) -> Vec<(PathBuf, Result<(), SecretsError>)> {
        let [token_file, seal_file, pepper_file] = files(config);
        let token = token(&token_file).map(drop);
        let (seal, pepper) = (key(&seal_file).map(drop), key(&pepper_file).map(drop));
        vec![(token_file, token), (seal_file, seal), (pepper_file, pepper)]
    }

    /// Reads them. Where they may be made, those in the data directory are, when none of them is there yet.
    ///
    /// # Errors
    /// When a file cannot be read or made, or one of several is missing.
    pub(crate) fn load(config: &Config, may_be_made: bool) -> Result<Self, SecretsError> {
        let settings = &config.control_plane;
        let named = [&settings.operator_token_file, &settings.seal_key_file, &settings.pepper_file];
        let [token_file, seal_file, pepper_file] = files(config);
        let made_here: Vec<&Path> = [&token_file, &seal_file, &pepper_file]
            .into_iter()
            .zip(named)
            .filter(|(_, named)| named.is_none())
            .map(|(file, _)| file.as_path())
            .collect();
        if may_be_made {
            make_missing(&made_here)?;
        } else if let Some(missing) = made_here.iter().find(|file| !file.exists()) {
            return Err(SecretsError::NotMade(missing.to_path_buf()));
        }
        Ok(Self {
            operator_token: token(&token_file)?,
            seal_key: key(&seal_file)?,
            pepper: key(&pepper_file)?,
        })
    }
}

/// Operator token, seal key and pepper: where they were put by a setting, else in the data directory.
fn files(config: &Config) -> [PathBuf; 3] {
    let settings = &config.control_plane;
    let place = |named: &Option<PathBuf>, own: &str| {
        named.clone().unwrap_or_else(|| config.data_dir.join(own))
    };
    [
        place(&settings.operator_token_file, "operator.token"),
        place(&settings.seal_key_file, "seal.key"),
        place(&settings.pepper_file, "pepper.key"),
    ]
}

impl CellSecrets {
    /// Reads them; none is ever made here.
    ///
    /// # Errors
    /// When a file is missing or cannot be read.
    pub(crate) fn load(config: &Config) -> Result<Self, SecretsError> {
        let [_, seal_file, pepper_file] = files(config);
        let read = |path: PathBuf| {
            if path.exists() { key(&path) } else { Err(SecretsError::NotHere(path)) }
        };
        Ok(Self { seal_key: read(seal_file)?, pepper: read(pepper_file)? })
    }
}

impl From<&Secrets> for CellSecrets {
    fn from(secrets: &Secrets) -> Self {
        Self { seal_key: secrets.seal_key, pepper: secrets.pepper }
    }
}

/// Drafts of all are on the disk before the first is moved into place, so that a crash in between is no loss.
fn make_missing(files: &[&Path]) -> Result<(), SecretsError> {
    let missing: Vec<&Path> = files.iter().copied().filter(|path| !path.exists()).collect();
    if missing.len() == files.len() {
        for path in &missing {
            draft(path).map_err(|source| SecretsError::Io { path: (*path).to_owned(), source })?;
        }
    }
    for path in missing {
        fs::rename(draft_of(path), path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SecretsError::Lost(path.to_owned()),
            _ => SecretsError::Io { path: path.to_owned(), source },
        })?;
    }
    Ok(())
}

fn draft_of(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn draft(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let draft = draft_of(path);
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let secret: [u8; SECRET_BYTES] = rand::random();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{}\n", hex::encode(secret)).as_bytes())?;
    file.sync_all()
}

fn token(path: &Path) -> Result<String, SecretsError> {
    let text = read(path)?;
    if text.is_empty() { Err(SecretsError::Empty(path.to_owned())) } else { Ok(text) }
}

fn key(path: &Path) -> Result<[u8; SECRET_BYTES], SecretsError> {
    let mut key = [0; SECRET_BYTES];
    hex::decode_to_slice(read(path)?, &mut key)
        .map_err(|_| SecretsError::Malformed(path.to_owned()))?;
    Ok(key)
}

fn read(path: &Path) -> Result<String, SecretsError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SecretsError::Io { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}
