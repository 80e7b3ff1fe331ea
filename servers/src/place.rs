//! Where the database of one test is. It goes when its place goes.

use crate::Postgres;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A database that nobody else uses.
#[derive(Debug)]
pub enum Place {
    /// A file in a folder of its own, which whoever opens it makes.
    Folder(TempDir),
    /// One of the databases of the server that all tests of this process share, by its name.
    Server(String),
}

impl Place {
    /// A file.
    #[must_use]
    pub fn folder() -> Self {
        Self::Folder(TempDir::new().unwrap())
    }

    /// A copy of a database that `fill` gets the URL of, once for all tests of this process. It must not stay connected.
    pub async fn filled(fill: impl AsyncFnOnce(String)) -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let server = Postgres::shared();
        let make = async || {
            let template = server.copy_of("template1");
            fill(server.url(&template)).await;
            template
        };
        Self::Server(server.copy_of(TEMPLATE.get_or_init(make).await))
    }

    /// As programs are told.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("sqlite://{}/turnpike.db", folder.path().display()),
            Self::Server(name) => Postgres::shared().url(name),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Server(name) = self {
            // Its connections may not have noticed yet that their pool is gone.
            let statement = format!("DROP DATABASE {name} WITH (FORCE)");
            Postgres::shared().execute("postgres", &statement);
        }
    }
}
