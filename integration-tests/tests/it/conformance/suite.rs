//! The SDK's own tests, run as their authors run them but for the address, the key and our plugin.

use crate::sdk::installed;
use integration_tests::workspace;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::process::Command;

/// Where the tests are that reach a server and ask for what we may serve; the others mock the network away.
const FILES: [&str; 4] = ["chat", "test_completions.py", "test_embeddings.py", "test_models.py"];

/// Where `scripts/setup` put the tests.
pub(crate) fn place() -> PathBuf {
    installed("TURNPIKE_TEST_CONFORMANCE", ".tools/conformance")
}

pub(crate) struct Suite {
    folder: TempDir,
}

/// Some of the tests, with the key that they shall use.
pub(crate) struct Chosen<'a> {
    list: PathBuf,
    key: &'a str,
}

/// What came of a run.
pub(crate) struct Run {
    tests: Vec<Value>,
    /// What pytest said.
    pub(crate) output: String,
}

impl Suite {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::with_prefix("turnpike-conformance-").unwrap() }
    }

    pub(crate) fn choosing<'a>(&self, tests: &BTreeSet<String>, key: &'a str) -> Chosen<'a> {
        let list = self.folder.path().join("chosen");
        let lines: Vec<&str> = tests.iter().map(String::as_str).collect();
        fs::write(&list, lines.join("\n")).unwrap();
        Chosen { list, key }
    }

    /// Runs the tests against a server.
    pub(crate) async fn run(&self, base_url: &str, chosen: Option<&Chosen<'_>>) -> Run {
        let record = self.folder.path().join("record");
        fs::write(&record, "").unwrap();
        let mut pytest = Command::new(place().join("venv/bin/python"));
        pytest
            .current_dir(place().join("sdk"))
            .args(["-m", "pytest", "-q", "--tb=short", "-o", "addopts=", "-o"])
            .args(["filterwarnings=default", "-p", "no:cacheprovider", "-p", "sdk_plugin"])
            .args(FILES.map(|file| format!("tests/api_resources/{file}")))
            .env("PYTHONPATH", workspace().join("integration-tests/conformance"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TEST_API_BASE_URL", base_url)
            .env("CONFORMANCE_RECORD", &record)
            .kill_on_drop(true);
        if let Some(Chosen { list, key }) = chosen {
            pytest.env("CONFORMANCE_TESTS", list).env("CONFORMANCE_KEY", key);
        }
        let output = pytest.output().await.unwrap();
        let text = fs::read_to_string(record).unwrap();
        let tests = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Run { tests, output: String::from_utf8_lossy(&output.stdout).into_owned() }
    }
}

impl Run {
    /// The tests that passed.
    pub(crate) fn passed(&self) -> BTreeSet<String> {
        self.tests.iter().filter(|test| test["passed"] == true).map(name).collect()
    }

    /// Of these, those that asked for something, and for nothing but this.
    pub(crate) fn passed_asking_only(&self, served: &[(&str, &str)]) -> BTreeSet<String> {
        let is_served = |request: &Value| {
            served.iter().any(|(method, path)| request[0] == *method && request[1] == *path)
        };
        let asks = |test: &&Value| {
            let asked = test["asked"].as_array().unwrap();
            !asked.is_empty() && asked.iter().all(is_served)
        };
        let passed = self.tests.iter().filter(|test| test["passed"] == true);
        passed.filter(asks).map(name).collect()
    }
}

fn name(test: &Value) -> String {
    test["test"].as_str().unwrap().to_owned()
}
