//! grpcurl as a program: what it is given, what it prints, and what it says of errors.

use crate::samples::{KINDS, method};
use crate::sdk::installed;
use integration_tests::{Gateway, PATIENCE};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

const CODES: [&str; 17] = [
    "Ok",
    "Cancelled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Calls one gateway.
pub(super) struct Grpcurl {
    program: PathBuf,
    address: String,
    token: Option<String>,
    /// Methods that did what they are for, as reflection writes them.
    answered: Mutex<BTreeSet<String>>,
}

/// An error as grpcurl tells it. Each has exactly one `ErrorInfo`, or there is none of this.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) message: String,
    details: Vec<Value>,
}

impl Refused {
    pub(super) fn is(&self, code: &str, reason: &str) {
        assert_eq!(
            (self.code, &self.detail("ErrorInfo")["reason"]),
            (code, &json!(reason)),
            "{self:?}"
        );
    }

    pub(super) fn detail(&self, name: &str) -> &Value {
        let is_it = |detail: &&Value| is_a(detail, name);
        self.details.iter().find(is_it).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// What a `BadRequest` names.
    pub(super) fn fields(&self) -> Vec<&str> {
        let violations = self.detail("BadRequest")["fieldViolations"].as_array().unwrap();
        violations.iter().map(|violation| violation["field"].as_str().unwrap()).collect()
    }
}

fn is_a(detail: &Value, name: &str) -> bool {
    detail["@type"] == format!("type.googleapis.com/google.rpc.{name}")
}

impl Grpcurl {
    pub(super) fn of(gateway: &Gateway) -> Self {
        let face = gateway.demo_env();
        Self {
            program: installed("TURNPIKE_TEST_GRPCURL", ".tools/bin/grpcurl"),
            address: face.get("TURNPIKE_ADMIN_ADDR").trim_start_matches("http://").to_owned(),
            token: Some(face.get("TURNPIKE_ADMIN_TOKEN").to_owned()),
            answered: Mutex::default(),
        }
    }

    pub(super) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub(super) fn without_token(self) -> Self {
        Self { token: None, ..self }
    }

    /// The services that reflection lists, or the methods of one.
    pub(super) async fn list(&self, service: &str) -> BTreeSet<String> {
        let mut arguments = vec![self.address.as_str(), "list"];
        arguments.extend(Some(service).filter(|service| !service.is_empty()));
        let (status, stdout, stderr) = self.run(&arguments, "").await;
        assert_eq!(status, 0, "{stderr}");
        stdout.lines().map(str::to_owned).collect()
    }

    /// Calls a method.
    pub(super) async fn call(&self, method: &str, request: &Value) -> Result<Value, Refused> {
        let arguments = ["-format-error", "-d", "@", &self.address, method];
        let (status, stdout, stderr) = self.run(&arguments, &request.to_string()).await;
        if status == 0 {
            if request["validateOnly"] != true {
                self.answered.lock().unwrap().insert(method.replace('/', "."));
            }
            return Ok(serde_json::from_str(&stdout).unwrap());
        }
        let told: Value = serde_json::from_str(&stderr)
            .unwrap_or_else(|error| panic!("{method} {request}: {error} in {stderr}"));
        let code = usize::try_from(told["code"].as_u64().unwrap()).unwrap();
        let details = told["details"].as_array().cloned().unwrap_or_default();
        let infos = details.iter().filter(|detail| is_a(detail, "ErrorInfo"));
        let domains: Vec<&Value> = infos.map(|info| &info["domain"]).collect();
        assert_eq!(domains, ["turnpike"], "{method}: exactly one ErrorInfo: {told}");
        let message = told["message"].as_str().unwrap_or_default().to_owned();
        Err(Refused { code: CODES[code], message, details })
    }

    /// The methods that were called with success, not as a trial.
    pub(super) fn answered(&self) -> BTreeSet<String> {
        self.answered.lock().unwrap().clone()
    }

    /// Every object of every kind, and the revision of them all.
    pub(super) async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for sample in &KINDS {
            all.push(self.call(&sample.lists(), &json!({"pageSize": 1000})).await.unwrap());
        }
        all.push(
            self.call(&method("Apply/ListDataPlanes"), &json!({})).await.unwrap()["head"].clone(),
        );
        all
    }

    async fn run(&self, arguments: &[&str], stdin: &str) -> (i32, String, String) {
        let mut command = Command::new(&self.program);
        command.args(["-plaintext", "-expand-headers"]);
        if let Some(token) = &self.token {
            command.args(["-H", "authorization: Bearer ${OPERATOR_TOKEN}"]);
            command.env("OPERATOR_TOKEN", token);
        }
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // Listing reads nothing and may have ended.
        let _written = input.write_all(stdin.as_bytes()).await;
        drop(input);
        let ended = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
    }
}
