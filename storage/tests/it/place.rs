//! Where a test's database is, by the name of the module that it stands in.

use servers::Postgres;
use storage::{Database, DatabaseSettings};
use tempfile::TempDir;

pub(crate) enum Place {
    Folder(TempDir),
    Server(String),
}

impl Place {
    /// Of a test in this module.
    pub(crate) fn of(module: &str) -> Self {
        if module.contains("on_postgres") {
            Self::Server(Postgres::shared().database())
        } else {
            Self::Folder(TempDir::new().unwrap())
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("sqlite://{}/turnpike.db", folder.path().display()),
            Self::Server(url) => url.clone(),
        }
    }

    pub(crate) async fn open(&self, settings: DatabaseSettings) -> Database {
        Database::open_with(&self.url(), settings).await.unwrap()
    }

    /// Opens it with its schema.
    pub(crate) async fn database(&self) -> Database {
        let database = self.open(DatabaseSettings::default()).await;
        database.migrate().await.unwrap();
        database
    }
}
