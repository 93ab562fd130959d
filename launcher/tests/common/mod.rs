//! Runs the program the way a user does.
#![allow(dead_code)] // every test file uses a part of it

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Settings that train two moons by flow matching alone: XLA takes twice as long for the TwinFlow step. In f32, so that
/// results are the same on every processor.
pub const TINY: &str = r#"
[run]
name = "tiny"
[device]
platform = "cpu"
optimization_level = 0
[data]
kind = "toy"
[model]
kind = "mlp"
width = 16
depth = 1
[flow]
steps = 1000000
[train]
steps = 8
batch_size = 32
precision = "f32"
checkpoint_every = 4
sample_every = 0
[sample]
per_class = 20
"#;

/// Settings of a network of next to nothing that reads the prompts of `d.h5`: two steps of flow matching, one of TwinFlow.
pub const PROMPTED: &str = r#"
[run]
name = "prompted"
[device]
platform = "cpu"
optimization_level = 0
[data]
path = "d.h5"
[text_encoder]
width = 8
depth = 1
heads = 2
[model]
kind = "sd3"
depth = 1
heads = 2
head_width = 4
patch = 4
dual_attention_layers = 0
pooled_width = 4
pos_embed_max_size = 2
sample_size = 8
[flow]
steps = 2
[train]
steps = 3
batch_size = 8
precision = "f32"
checkpoint_every = 2
sample_every = 0
"#;

/// Makes the second half of [`TINY`]'s steps TwinFlow steps.
pub const BOTH_PHASES: &str = "--set flow.steps=4";

/// What a command printed and how it ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Asserts success.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// Asserts a failure that was told in one message, and so by the exit code 1, which holds all the parts (line breaks
    /// and frames left out).
    pub fn refused(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}\n{}", self.out, self.err);
        self.says(parts)
    }

    /// Asserts that a signal stopped the run, by the code that job scripts queue again on.
    pub fn stopped(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(75), "{}\n{}", self.out, self.err);
        self.says(parts)
    }

    /// Asserts that standard error holds all the parts and no panic.
    pub fn says(self, parts: &[&str]) -> Self {
        let message = self.message();
        parts.iter().for_each(|part| assert!(message.contains(part), "'{part}' is not in:\n{message}\n{}", self.err));
        assert!(!message.contains("panicked"), "{message}");
        self
    }

    /// Standard error as one line of words, without the frames that messages are drawn with.
    pub fn message(&self) -> String {
        let words = self.err.split(|c: char| c.is_whitespace() || "│×╰─▶╭╮╯·┬".contains(c));
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// A folder of its own, with `tiny.toml` in it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
        Place(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with arguments split at spaces.
    pub fn command(&self, arguments: &str) -> Command {
        self.prepared(env!("CARGO_BIN_EXE_twinflow-xla"), arguments)
    }

    fn prepared(&self, program: &str, arguments: &str) -> Command {
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace()).current_dir(self.0.path()).env_remove("TWINFLOW_LOG");
        // A cache of its own: compiled programs of other tests or of the user would make this one's hide mistakes.
        command.env("XDG_CACHE_HOME", self.0.path().join("cache"));
        command
    }

    pub fn run(&self, arguments: &str) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }

    /// The program on several ranks.
    pub fn mpirun(&self, ranks: usize, arguments: &str) -> Ran {
        ran(self.mpirun_command(ranks, arguments).output().unwrap())
    }

    pub fn mpirun_command(&self, ranks: usize, arguments: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_twinflow-xla");
        let mut command = self.prepared("mpirun", &format!("-n {ranks} {program} {arguments}"));
        with_mpi_settings(&mut command);
        command
    }

    /// The same, left running.
    pub fn start_mpirun(&self, ranks: usize, arguments: &str) -> Child {
        self.mpirun_command(ranks, arguments).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Trains with `tiny.toml` into the folder `run`.
    pub fn train(&self, run: &str, settings: &str) -> Ran {
        self.run(&format!("train --config tiny.toml --set run.dir={run} {settings}"))
    }

    /// Waits until a run that goes on elsewhere has made some steps.
    pub fn await_steps(&self, run: &str) {
        let began = Instant::now();
        while !self.path(run).join("metrics.jsonl").exists() || self.metrics(run).len() < 3 {
            assert!(began.elapsed() < Duration::from_secs(120), "no steps");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The lines of a run's metrics.jsonl.
    pub fn metrics(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Names and bytes of all files below a folder, without the lock: that tells who looked last.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|file| !file.ends_with("lock"));
    let own = files.map(|file| (file.clone(), std::fs::read(file).unwrap()));
    own.chain(folders.iter().flat_map(|folder| contents(folder))).collect()
}

/// Lets Open MPI run as root and with more ranks than cores.
pub fn with_mpi_settings(command: &mut Command) -> &mut Command {
    let settings =
        ["ALLOW_RUN_AS_ROOT", "ALLOW_RUN_AS_ROOT_CONFIRM", "MCA_rmaps_base_oversubscribe", "MCA_mpi_yield_when_idle"];
    settings.iter().for_each(|name| {
        command.env(format!("OMPI_{name}"), "1");
    });
    command
}

pub fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Sends a signal, by its name, to a process of this test's own.
pub fn signal(child: &Child, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
}

/// The checkpoint files of a run, oldest first.
pub fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
