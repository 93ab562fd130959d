//! The project's own rules: which crate may see which, and how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each crate's folder, and the crates of this workspace that it may depend on.
const EDGES: [(&str, &[&str]); 9] = [
    ("compiler/derive", &[]),
    ("compiler/array", &["twinflow-derive"]),
    ("compiler/pjrt", &["twinflow-array"]),
    ("compiler", &["twinflow-array", "twinflow-derive", "twinflow-pjrt"]),
    ("graphs", &["twinflow-array", "twinflow-compiler"]),
    ("data/hdf5", &[]),
    ("data", &["twinflow-array", "twinflow-hdf5"]),
    ("checkpoints", &["twinflow-array", "twinflow-hdf5"]),
    ("launcher", &["twinflow-array", "twinflow-compiler", "twinflow-graphs", "twinflow-data", "twinflow-checkpoints"]),
];

/// Who may link MPI, and who HDF5.
const LINKS: [(&str, &[&str]); 2] = [("mpi", &["launcher"]), ("hdf5-metno", &["data/hdf5", "data", "checkpoints"])];

/// The longest file; longer ones want to be two.
const MOST_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a crate of the workspace").to_owned()
}

/// The names under `[dependencies]` of a crate.
fn dependencies(folder: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn crates_depend_downwards_only() {
    for (folder, allowed) in EDGES {
        for dependency in dependencies(folder).iter().filter(|name| name.starts_with("twinflow-")) {
            assert!(allowed.contains(&dependency.as_str()), "{folder} may not depend on {dependency}");
        }
    }
}

#[test]
fn mpi_and_hdf5_are_linked_where_they_belong() {
    for (library, allowed) in LINKS {
        for (folder, _) in EDGES {
            let links = dependencies(folder).iter().any(|name| name == library);
            assert!(!links || allowed.contains(&folder), "{folder} may not link {library}");
        }
    }
}

#[test]
fn files_stay_short() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 100, "the search found only {} files", files.len());
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines, more than {MOST_LINES}", file.display());
    }
}
