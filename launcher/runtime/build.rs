//! Notices an MPI that is not the one asked for: mpi-sys keeps the library that it first found in a target folder, also
//! where `MPICC` names another one later, and the program would link that in silence.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Variables by which mpi-sys finds an MPI, those that win over `MPICC` first.
const VARIABLES: [&str; 3] = ["MPI_PKG_CONFIG", "CRAY_MPICH_DIR", "MPICC"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    VARIABLES.iter().for_each(|name| println!("cargo::rerun-if-env-changed={name}"));
    let by_wrapper = VARIABLES[..2].iter().all(|name| env::var_os(name).is_none());
    if env::var_os("CARGO_FEATURE_MPI").is_none() || !by_wrapper {
        return;
    }
    let wrapper = env::var("MPICC").unwrap_or_else(|_| "mpicc".into());
    // What cannot be compared is mpi-sys's to refuse.
    let (Some(wanted), Some(built)) = (wanted_by(&wrapper), built_by_mpi_sys()) else { return };
    if wanted != built {
        let release = if env::var("PROFILE").is_ok_and(|profile| profile == "release") { " --release" } else { "" };
        let [wanted, built] = [wanted, built].map(|libraries| Vec::from_iter(libraries).join(" "));
        println!(
            "cargo::error=this target folder was built for another MPI than {wrapper}'s: it links {built}, not {wanted}; \
             run `cargo clean{release} -p mpi-sys` and build again"
        );
    }
}

/// Libraries and their folders in the compiler call of an MPI compiler wrapper.
fn wanted_by(wrapper: &str) -> Option<BTreeSet<String>> {
    let shown = Command::new(wrapper).arg("-show").output().ok()?;
    let text = String::from_utf8(shown.stdout).ok()?;
    let words = text.split_whitespace().map(|word| word.replace(['"', '\''], ""));
    Some(words.filter(|word| word.starts_with("-L") || word.starts_with("-l")).collect())
}

/// The same, from what mpi-sys's build told cargo; a folder has it once more for every other toolchain that it was built
/// with.
fn built_by_mpi_sys() -> Option<BTreeSet<String>> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    let builds = fs::read_dir(out.ancestors().nth(2)?).ok()?.flatten().map(|entry| entry.path());
    let of_mpi_sys = |path: &Path| path.file_name()?.to_str()?.starts_with("mpi-sys-").then_some(());
    let outputs = builds.filter(|path| of_mpi_sys(path).is_some()).map(|path| path.join("output"));
    let newest =
        outputs.filter(|output| output.is_file()).max_by_key(|output| output.metadata().ok()?.modified().ok())?;
    let text = fs::read_to_string(newest).ok()?;
    let flag = |line: &str| {
        let folder = line.strip_prefix("cargo:rustc-link-search=native=").map(|folder| format!("-L{folder}"));
        folder.or_else(|| Some(format!("-l{}", line.strip_prefix("cargo:rustc-link-lib=")?)))
    };
    // The C shim is mpi-sys's own.
    let own = |flag: &String| flag.contains("mpi-sys-") || flag.ends_with("=rsmpi");
    Some(text.lines().filter_map(flag).filter(|flag| !own(flag)).collect())
}
