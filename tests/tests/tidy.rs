//! The project's own rules: which crate may see which, that no modules go in circles, how long a file may be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Ident, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// Each crate's folder, and the crates of this workspace that it may depend on: those below it.
const EDGES: &[(&str, &[&str])] = &[
    ("compiler/derive", &[]),
    ("compiler/files", &[]),
    ("compiler/array", &["derive"]),
    ("compiler/pjrt", &["array"]),
    ("compiler", &["array", "derive", "files", "pjrt"]),
    ("graphs/nn", &["array", "compiler"]),
    ("graphs/models", &["array", "compiler", "nn"]),
    ("graphs/methods", &["array", "compiler", "nn"]),
    ("graphs/training", &["array", "compiler", "nn", "models", "methods"]),
    ("data/hdf5", &[]),
    ("data/tokenizer", &[]),
    ("data", &["array", "files", "hdf5", "tokenizer"]),
    ("checkpoints", &["array", "files", "hdf5"]),
    ("launcher/runtime", &["array", "compiler", "nn", "models", "methods", "training", "data", "tokenizer"]),
    (
        "launcher/evaluation",
        &["array", "compiler", "nn", "models", "methods", "training", "data", "checkpoints", "runtime"],
    ),
    (
        "launcher",
        &[
            "array",
            "compiler",
            "files",
            "nn",
            "models",
            "methods",
            "training",
            "data",
            "tokenizer",
            "checkpoints",
            "runtime",
            "evaluation",
        ],
    ),
];

/// Who may link MPI, and who HDF5.
const LINKS: &[(&str, &[&str])] =
    &[("mpi", &["launcher/runtime"]), ("hdf5-metno", &["data/hdf5", "data", "checkpoints"])];

/// An operation's rules record operations on tensors, and a program holds operations: these three are one.
const CORE: (&str, &[&str]) = ("compiler", &["primitive", "program", "trace"]);

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

/// A file's module: its path below `src`, without `mod`.
fn module(source: &Path, file: &Path) -> Vec<String> {
    let below = file.strip_prefix(source).unwrap().with_extension("");
    let mut segments: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(segments.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        segments.pop();
    }
    segments
}

/// What a crate's files import from each other, module by module; imports from a folder's `mod.rs` or the crate's root
/// are left out: these only hand on what lies below them.
fn imports(folder: &str) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let source = root().join(folder).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let modules: BTreeSet<Vec<String>> = files.iter().map(|file| module(&source, file)).collect();
    let mut found = BTreeMap::new();
    for file in &files {
        let own = module(&source, file);
        let text = fs::read_to_string(file).unwrap();
        let targets = paths_in(&text, &own, file.ends_with("mod.rs") || own.is_empty());
        let longest =
            |path: Vec<String>| (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|p| modules.contains(p));
        let targets =
            targets.into_iter().filter_map(longest).filter(|target| *target != own && !own.starts_with(target));
        found.insert(own.clone(), targets.filter(|target| !target.starts_with(&own)).collect());
    }
    found
}

/// The paths from the crate's root that a source text names, in imports and elsewhere, tests left out.
fn paths_in(code: &str, own: &[String], is_folder: bool) -> Vec<Vec<String>> {
    let parent = if is_folder { own } else { &own[..own.len().saturating_sub(1)] };
    let mut named = Named::default();
    named.visit_file(&syn::parse_file(code).unwrap());
    let below = |base: &[String], path: &[String]| Some([base, &path[1..]].concat());
    let from_root = |path: Vec<String>| match path.first().map(String::as_str) {
        Some("crate") => below(&[], &path),
        Some("super") => below(parent, &path),
        Some("self") => below(own, &path),
        _ => None,
    };
    named.0.into_iter().filter_map(from_root).collect()
}

/// The paths that a source text names.
#[derive(Default)]
struct Named(Vec<Vec<String>>);

impl Named {
    fn add_imports(&mut self, tree: &UseTree, path: &[String]) {
        let joined = |name: &Ident| [path, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(inner) => self.add_imports(&inner.tree, &joined(&inner.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_imports(item, path)),
            UseTree::Name(name) if name.ident == "self" => self.0.push(path.to_vec()),
            UseTree::Name(name) => self.0.push(joined(&name.ident)),
            UseTree::Rename(rename) => self.0.push(joined(&rename.ident)),
            UseTree::Glob(_) => self.0.push(path.to_vec()),
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_imports(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }
}

/// A circle of modules, if there is one.
fn circle(edges: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Option<Vec<String>> {
    fn visit<'a>(
        module: &'a Vec<String>,
        edges: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
        open: &mut Vec<&'a Vec<String>>,
        done: &mut BTreeSet<&'a Vec<String>>,
    ) -> Option<Vec<String>> {
        if let Some(start) = open.iter().position(|other| *other == module) {
            return Some(open[start..].iter().map(|module| module.join("::")).collect());
        }
        if !done.insert(module) {
            return None;
        }
        open.push(module);
        let found = edges.get(module).into_iter().flatten().find_map(|next| visit(next, edges, open, done));
        open.pop();
        found
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|module| visit(module, edges, &mut Vec::new(), &mut done))
}

#[test]
fn crates_depend_downwards_only() {
    for (folder, allowed) in EDGES {
        for dependency in dependencies(folder).iter().filter_map(|name| name.strip_prefix("twinflow-")) {
            assert!(allowed.contains(&dependency), "{folder} may not depend on {dependency}");
        }
    }
}

#[test]
fn modules_do_not_go_in_circles() {
    for (folder, _) in EDGES.iter().filter(|(folder, _)| *folder != "compiler/derive") {
        let mut edges = imports(folder);
        if *folder == CORE.0 {
            let in_core = |module: &Vec<String>| module.first().is_some_and(|first| CORE.1.contains(&first.as_str()));
            edges.retain(|module, _| !in_core(module));
        }
        if let Some(modules) = circle(&edges) {
            panic!("{folder}: {} import each other", modules.join(" -> "));
        }
    }
}

#[test]
fn circles_are_found() {
    let text = "use crate::{a::{B, c::D}, e};\nfn f() { super::f::g(1) }\nmod tests { use crate::h; }";
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    let own = path("m::n");
    assert_eq!(paths_in(text, &own, false), ["a::B", "a::c::D", "e", "m::f::g"].map(path));
    let edges = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(from, to)| (path(from), BTreeSet::from([path(to)]))).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(circle(&edges(&[("a", "b"), ("b", "c"), ("c", "b")])), Some(vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!(circle(&edges(&[("a", "b"), ("b", "c")])), None);
}

#[test]
fn mpi_and_hdf5_are_linked_where_they_belong() {
    for (library, allowed) in LINKS {
        for (folder, _) in EDGES {
            let links = dependencies(folder).iter().any(|name| name == library);
            assert!(!links || allowed.contains(folder), "{folder} may not link {library}");
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
