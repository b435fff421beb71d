//! The arrows between crates, as docs/ARCHITECTURE.md draws them, and the size of files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Crate of the house → the crates of the house that it may use. The rig may use what it tests, by its tests only.
const ARROWS: &[(&str, &[&str])] = &[
    ("weir-domain", &[]),
    ("weir-models", &["weir-domain"]),
    ("weir-pipeline", &["weir-domain", "weir-models"]),
    ("weir-store", &["weir-domain"]),
    ("weir-sync", &["weir-domain"]),
    ("weir", &["weir-domain", "weir-models", "weir-pipeline", "weir-store", "weir-sync"]),
    ("weir-hub", &["weir-domain", "weir-sync"]),
    ("weir-rig", &[]),
    (
        "weir-benches",
        &["weir", "weir-domain", "weir-models", "weir-pipeline", "weir-rig", "weir-store"],
    ),
];

/// Crates that speak HTTP as a server, or SQL.
const SERVERS: &[&str] =
    &["hyper", "axum", "axum-core", "actix-web", "warp", "rocket", "tiny_http", "tonic"];
const SQL: &[&str] = &[
    "rusqlite",
    "libsqlite3-sys",
    "sqlx",
    "sqlx-core",
    "diesel",
    "tokio-postgres",
    "postgres",
    "sea-orm",
];
/// Crates that open connections: none of the crates that only think or judge may.
const CLIENTS: &[&str] = &["ureq", "reqwest", "quinn", "rumqttc-v5-next"];

/// Crate of the house → crates that it may not reach, directly or through others, in what is shipped.
fn forbidden() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("weir-domain", [SERVERS, SQL, CLIENTS, &["tokio", "async-std"]].concat()),
        ("weir-models", [SERVERS, SQL].concat()),
        ("weir-pipeline", [SERVERS, SQL].concat()),
        ("weir-store", [SERVERS, CLIENTS].concat()),
        ("weir-sync", SQL.to_vec()),
    ]
}

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), target()])
        .exec()
        .unwrap()
}

fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

#[test]
fn crates_of_the_house_use_only_those_below_them() {
    let metadata = metadata();
    let house: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    for package in metadata.workspace_packages() {
        let (_, allowed) =
            ARROWS.iter().find(|(name, _)| *name == package.name.as_str()).unwrap_or_else(|| {
                panic!("{} has no line in ARROWS: decide what it may use", package.name)
            });
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Development || !house.contains(&dependency.name) {
                continue;
            }
            assert!(
                allowed.contains(&dependency.name.as_str()),
                "{} may not use {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn models_and_pipeline_reach_no_http_server_and_no_sql() {
    let metadata = metadata();
    let reach = Reach::new(&metadata);
    let names: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let mut checked = 0;
    for (package, forbidden) in forbidden() {
        if !names.contains(package) {
            continue;
        }
        let reached = reach.from(package);
        assert!(reached.contains("serde"), "{package}: the walk finds what everyone uses");
        let bad: Vec<_> = forbidden.iter().filter(|name| reached.contains(**name)).collect();
        assert!(bad.is_empty(), "{package} reaches {bad:?}");
        checked += 1;
    }
    assert!(checked >= 3, "domain, models and pipeline exist");
}

/// Who depends on whom, without development dependencies.
struct Reach(BTreeMap<String, BTreeSet<String>>);

impl Reach {
    fn new(metadata: &Metadata) -> Self {
        let name = |id: &cargo_metadata::PackageId| metadata[id].name.to_string();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in &metadata.resolve.as_ref().unwrap().nodes {
            let shipped = node.deps.iter().filter(|dep| {
                dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            });
            edges.entry(name(&node.id)).or_default().extend(shipped.map(|dep| name(&dep.pkg)));
        }
        Self(edges)
    }

    fn from(&self, package: &str) -> BTreeSet<String> {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![package.to_owned()]);
        while let Some(name) = todo.pop() {
            for next in self.0.get(&name).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    todo.push(next.clone());
                }
            }
        }
        seen
    }
}

/// Most lines of a source file, its tests apart.
const MOST_LINES: usize = 500;

#[test]
fn no_source_file_is_longer_than_a_reader_bears() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for package in metadata().workspace_packages() {
        rust_files(package.manifest_path.parent().unwrap().as_std_path(), &mut files);
    }
    assert!(files.len() > 20, "the walk finds the sources under {}", root.display());
    let long: Vec<_> = files
        .iter()
        .map(|file| (file, lines_without_tests(&std::fs::read_to_string(file).unwrap())))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Lines before the test module, which stands last in a file.
fn lines_without_tests(source: &str) -> usize {
    source.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

#[test]
fn tests_at_the_end_of_a_file_do_not_count() {
    assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
}
