//! House rules that no compiler checks: heads of files, their length, names of folders, which crate may know which.

use integration_tests::{cargo, workspace};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINES_MAX: usize = 400;
const HEAD_LINES_MAX: usize = 8;
const FOLDERS_REFUSED: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];

/// Who may know whom: a crate may depend on those in its row and on no other crate of ours.
const DEPENDENCIES: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("servers", &[]),
    ("simulator", &[]),
    ("proto", &["domain"]),
    ("links", &["domain", "proto", "servers"]),
    ("storage", &["domain", "proto", "links", "servers"]),
    ("billing", &["domain", "proto", "links", "servers", "storage"]),
    ("control-plane", &["domain", "proto", "links", "servers", "storage", "billing"]),
    ("data-plane", &["domain", "proto", "links"]),
    (
        "turnpike",
        &[
            "domain",
            "simulator",
            "proto",
            "links",
            "storage",
            "billing",
            "control-plane",
            "data-plane",
        ],
    ),
    ("integration-tests", &["domain", "proto", "servers", "storage", "simulator"]),
    ("bench", &["domain", "proto", "links", "data-plane"]),
];

#[test]
fn every_file_opens_with_a_head_that_says_what_it_owns() {
    let headless = sources().into_iter().filter(|path| !text(path).starts_with("//! "));
    assert_none("a file opens with `//!`", headless);
    let wordy = sources().into_iter().filter(|path| {
        text(path).lines().take_while(|line| line.starts_with("//!")).count() > HEAD_LINES_MAX
    });
    assert_none("a head is short", wordy);
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let long = sources().into_iter().filter(|path| text(path).lines().count() > LINES_MAX);
    assert_none("a file has at most 400 lines: split it by what it owns", long);
}

#[test]
fn a_module_is_a_file_named_after_it() {
    let unnamed = sources().into_iter().filter(|path| path.file_name().unwrap() == "mod.rs");
    assert_none("`foo.rs` and `foo/`, never `mod.rs`", unnamed);
}

#[test]
fn no_folder_is_a_grab_bag() {
    let grab_bags = folders().into_iter().filter(|path| {
        path.file_name().is_some_and(|name| FOLDERS_REFUSED.iter().any(|refused| *refused == name))
    });
    assert_none("a folder says what it owns", grab_bags);
}

/// Cases of the research that `docs/faults.md` must name.
const FAULTS: u32 = 84;

#[test]
fn every_fault_is_named_and_so_is_a_test_that_exists() {
    let page = text(&workspace().join("docs/faults.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let named: BTreeSet<u32> = rows.flat_map(|(numbers, _)| cases(numbers)).collect();
    let missing: Vec<u32> = (1..=FAULTS).filter(|number| !named.contains(number)).collect();
    assert_eq!(missing, Vec::<u32>::new(), "cases that nobody speaks of");

    let code: String = sources().iter().map(|path| text(path)).collect();
    let quoted = page.split('`').skip(1).step_by(2);
    let tests = quoted.filter(|word| word.matches('_').count() > 2 && !word.contains('.'));
    // Some are written by a macro, as `name: what it does`.
    let exists = |test: &&str| {
        [format!("fn {test}("), format!("{test}: ")].iter().any(|at| code.contains(at))
    };
    let unknown: Vec<&str> = tests.filter(|test| !exists(test)).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "tests that do not exist");
}

/// `1–14, 16` are fifteen cases.
fn cases(numbers: &str) -> Vec<u32> {
    let ranges = numbers.split(", ").filter_map(|range| {
        let (from, to) = range.split_once('–').unwrap_or((range, range));
        Some(from.parse().ok()?..=to.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let packages = packages();
    let known: BTreeSet<&str> = DEPENDENCIES.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = packages.iter().map(name).collect();
    assert_eq!(found, known, "a new crate gets a row in DEPENDENCIES");
    for package in &packages {
        let (_, allowed) = DEPENDENCIES.iter().find(|row| row.0 == name(package)).unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let of_ours = known.contains(name(dependency));
            let may = allowed.contains(&name(dependency));
            assert!(!of_ours || may, "{} must not know {}", name(package), name(dependency));
        }
    }
}

#[test]
fn every_crate_inherits_the_lints_of_the_workspace() {
    let own = packages()
        .into_iter()
        .map(|package| PathBuf::from(package["manifest_path"].as_str().unwrap()));
    let own = own.filter(|manifest| !text(manifest).contains("[lints]\nworkspace = true"));
    assert_none("[lints] workspace = true", own);
}

/// Decision 22 says why there is any.
const UNSAFE: [&str; 1] = ["turnpike/src/allocator.rs"];

#[test]
fn unsafe_code_is_where_a_decision_allows_it() {
    let is_allowed = |path: &PathBuf| UNSAFE.iter().any(|allowed| path.ends_with(allowed));
    let has_some =
        |path: &PathBuf| text(path).lines().any(|line| code(line).contains("(unsafe_code"));
    let breaking = sources().into_iter().filter(has_some).filter(|path| !is_allowed(path));
    assert_none("unsafe code needs a decision", breaking);
}

#[test]
fn no_float_comes_near_money() {
    let mut floats = Vec::new();
    for folder in ["domain/src", "billing/src"] {
        let mut files = Vec::new();
        walk(&workspace().join(folder), &mut |path| files.push(path.to_owned()));
        for file in files.into_iter().filter(|path| is_rust(path)) {
            for (index, line) in text(&file).lines().enumerate() {
                if has_float(line) {
                    floats.push(format!("{}:{}: {line}", file.display(), index + 1));
                }
            }
        }
    }
    assert_eq!(floats, Vec::<String>::new());
}

#[test]
fn a_float_is_told_from_what_looks_like_one() {
    for float in ["let x: f64 = y;", "(1.5 * rate)", "a as f32", "let half = 0.5;", "2.0f64"] {
        assert!(has_float(float), "{float}");
    }
    let others = [
        "pair.0.1",
        "0..10",
        "&bytes[1..]",
        "1.max(2)",
        "// 1.5 million",
        "\"10.00 USD\"",
        "\"as \\\"10.00 USD\\\" is\"",
        "write(\"{:.2}\") // f64",
        "self.0.0.checked_add(1)",
        "let pdf64 = 1;",
    ];
    for other in others {
        assert!(!has_float(other), "{other}");
    }
}

/// A line of code that names a float type or has a literal with a fraction. Text and comments do not count.
fn has_float(line: &str) -> bool {
    words(&code(line)).iter().any(|word| {
        let number = word.trim_end_matches("f64").trim_end_matches("f32");
        let has_suffix = number.len() < word.len();
        match number.split_once('.') {
            Some((whole, rest)) => {
                is_number(whole) && rest.starts_with(|c: char| c.is_ascii_digit())
            }
            None => has_suffix && (number.is_empty() || is_number(number)),
        }
    })
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// Runs of letters, digits and single dots: `self.0.1`, `1.5`, `f64`.
fn words(line: &str) -> Vec<String> {
    let line = line.replace("..", " ");
    let parts = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn code(line: &str) -> String {
    let mut code = String::new();
    for (index, part) in line.replace("\\\"", "").split('"').enumerate() {
        if index % 2 == 1 {
            continue;
        }
        match part.split_once("//") {
            Some((before, _)) => return code + before,
            None => code.push_str(part),
        }
    }
    code
}

fn assert_none(rule: &str, breaking: impl Iterator<Item = PathBuf>) {
    let breaking: Vec<String> = breaking.map(|path| path.display().to_string()).collect();
    assert!(breaking.is_empty(), "{rule}:\n{}", breaking.join("\n"));
}

/// Every Rust file that people write.
fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    walk(&workspace(), &mut |path| sources.push(path.to_owned()));
    sources.retain(|path| is_rust(path));
    assert!(sources.len() > 100, "{} files are not all there are", sources.len());
    sources
}

fn folders() -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    walk(&workspace(), &mut |path| {
        folders.extend(path.ancestors().skip(1).map(Path::to_owned));
    });
    folders
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Every file below a folder, but for what is hidden, built, generated or installed.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_ours =
            !name.starts_with('.') && !matches!(&*name, "target" | "generated" | "node_modules");
        if path.is_dir() && is_ours {
            walk(&path, visit);
        } else if path.is_file() {
            visit(&path);
        }
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn packages() -> Vec<Value> {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let told = Command::new(cargo()).current_dir(workspace()).args(arguments).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    told["packages"].as_array().unwrap().clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}
