//! The folder of a run: config.toml, metrics.jsonl, environment.jsonl, checkpoints/, samples/, tensorboard/, logs/.

mod environment;
mod file_error;
mod lock;
mod owner;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

pub use environment::Environment;
pub use file_error::{FileError, cannot};
use lock::RunLock;
use miette::Diagnostic;

use crate::config::RunConfig;

/// The first file of a run besides its lock, written whole.
const CONFIG: &str = "config.toml";
/// Made last: with it a folder is a run to resume, without it a start that was cut off, which the next one takes over.
const CHECKPOINTS: &str = "checkpoints";

/// A run folder that only this job writes to, until dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: RunLock,
}

/// Why a folder cannot be a run's.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RunFolderError {
    /// The named folder holds a run.
    #[error("the run folder {} holds a run", path.display())]
    #[diagnostic(help("go on with that run by `train --resume {}`, or name another folder as run.dir", path.display()))]
    Used { path: PathBuf },
    /// The named folder holds what may be somebody's checkpoints.
    #[error("{} has {CHECKPOINTS}/ but no {CONFIG}: it is no run that could be resumed, nor a place for a new one", path.display())]
    #[diagnostic(help("name another folder as run.dir, or move {} away", path.join(CHECKPOINTS).display()))]
    Foreign { path: PathBuf },
    /// `--resume` of something that is no run folder.
    #[error("{} is no run folder: it has no config.toml", path.display())]
    #[diagnostic(help("name the folder that `train` made, for example runs/quickstart"))]
    NotARun { path: PathBuf },
    /// Another job holds the lock.
    #[error("the run folder {} is in use by {holder}", path.display())]
    #[diagnostic(help("wait for that job or stop it; two jobs would spoil each other's files"))]
    InUse {
        path: PathBuf,
        /// Process id and host of the job.
        holder: String,
    },
    /// A job holds the folder of which this machine cannot tell whether it still runs.
    #[error("the run folder {} is in use by {holder}, and its file system has no locks that would tell whether that job still runs", path.display())]
    #[diagnostic(help("if that job is over, delete {} and start again", held.display()))]
    HeldElsewhere {
        path: PathBuf,
        holder: String,
        /// The file that says so.
        held: PathBuf,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
}

impl RunFolder {
    /// The folder of a new run with `config` (TOML) as its settings: `run.dir` if set, else the first free one of
    /// runs/NAME, runs/NAME-2... `run.dir` may hold anything but a run, for example a scheduler's log.
    ///
    /// # Errors
    /// [`RunFolderError`], unless [`RunFolderError::NotARun`].
    pub fn create(run: &RunConfig, config: &str) -> Result<Self, RunFolderError> {
        if run.dir.as_os_str().is_empty() {
            return Self::create_fresh(Path::new("runs"), &run.name, config);
        }
        create_all(&run.dir)?;
        refuse_used(&run.dir)?;
        let folder = Self::open(run.dir.clone())?;
        // A job that was quicker may have come and gone before the lock was taken.
        refuse_used(&folder.path)?;
        folder.fill(config)
    }

    fn create_fresh(parent: &Path, name: &str, config: &str) -> Result<Self, RunFolderError> {
        create_all(parent)?;
        let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
        for path in names.map(|name| parent.join(name)) {
            // Making a folder is atomic, also on network file systems: two jobs never get the same.
            match fs::create_dir(&path) {
                Ok(()) => return Self::open(path)?.fill(config),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot("make the folder", &path)(error).into()),
            }
        }
        unreachable!("the names do not end")
    }

    /// The folder of a run that goes on.
    ///
    /// # Errors
    /// [`RunFolderError::NotARun`], [`RunFolderError::InUse`], [`RunFolderError::HeldElsewhere`],
    /// [`RunFolderError::File`].
    pub fn resume(path: &Path) -> Result<Self, RunFolderError> {
        if !path.join(CONFIG).is_file() {
            return Err(RunFolderError::NotARun { path: path.to_owned() });
        }
        let folder = Self::open(path.to_owned())?;
        folder.make_subfolders()?;
        for place in [path, &folder.checkpoints()] {
            // What cannot be deleted takes space but does no harm.
            twinflow_files::remove_stale(place).ok();
        }
        Ok(folder)
    }

    fn open(path: PathBuf) -> Result<Self, RunFolderError> {
        Ok(RunFolder { _lock: RunLock::take(&path)?, path })
    }

    /// In this order, so that a start cut off at any point can be resumed or started again.
    fn fill(self, config: &str) -> Result<Self, RunFolderError> {
        self.write_config(config)?;
        self.make_subfolders()?;
        Ok(self)
    }

    fn make_subfolders(&self) -> Result<(), FileError> {
        [self.samples(), self.logs(), self.checkpoints()].iter().try_for_each(|path| create_all(path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// checkpoints/
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// samples/
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// logs/, with a file per rank.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// metrics.jsonl
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// environment.jsonl
    pub fn environment(&self) -> PathBuf {
        self.path.join("environment.jsonl")
    }

    /// tensorboard/
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// config.toml of the run at `path`.
    pub fn config_in(path: &Path) -> PathBuf {
        path.join(CONFIG)
    }

    /// Writes the settings as they were resolved.
    ///
    /// # Errors
    /// The system's.
    pub fn write_config(&self, toml: &str) -> Result<(), FileError> {
        let path = self.path.join(CONFIG);
        let text = format!("# The settings of this run, defaults included.\n\n{toml}");
        twinflow_files::write(&path, text).map_err(cannot("write", &path))
    }
}

fn create_all(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(cannot("make the folder", path))
}

/// Refuses a folder that a new run would spoil: a run's, perhaps one that goes on just now.
fn refuse_used(path: &Path) -> Result<(), RunFolderError> {
    if !path.join(CHECKPOINTS).exists() {
        return Ok(());
    }
    let path_is_run = path.join(CONFIG).is_file();
    Err(RunLock::refusal(path).unwrap_or(match path_is_run {
        true => RunFolderError::Used { path: path.to_owned() },
        false => RunFolderError::Foreign { path: path.to_owned() },
    }))
}

impl RunFolderError {
    fn in_use(folder: &Path, lock: &Path) -> Self {
        let holder = owner::read(lock).map_or("another job".to_owned(), |owner| owner.name());
        RunFolderError::InUse { path: folder.to_owned(), holder }
    }
}

/// This machine's name.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(dir: &Path) -> Result<RunFolder, RunFolderError> {
        RunFolder::create(&RunConfig { dir: dir.to_owned(), ..RunConfig::default() }, "[run]\n")
    }

    #[test]
    fn a_runs_folder_can_only_be_resumed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = create(temporary.path()).unwrap();
        assert!(folder.checkpoints().is_dir());
        let error = create(temporary.path()).unwrap_err();
        assert!(matches!(error, RunFolderError::InUse { .. }), "{error}");
        drop(folder);
        let error = create(temporary.path()).unwrap_err();
        assert!(matches!(error, RunFolderError::Used { .. }), "{error}");
        RunFolder::resume(temporary.path()).unwrap();
        fs::remove_file(RunFolder::config_in(temporary.path())).unwrap();
        let error = create(temporary.path()).unwrap_err();
        assert!(matches!(error, RunFolderError::Foreign { .. }), "{error}");
    }

    #[test]
    fn a_start_that_was_cut_off_is_taken_over_and_other_files_are_no_obstacle() {
        let temporary = tempfile::tempdir().unwrap();
        for name in ["slurm-1.out", "lock", "config.toml.tmp", "config.toml"] {
            fs::write(temporary.path().join(name), "left").unwrap();
            drop(create(temporary.path()).unwrap());
            fs::remove_dir(temporary.path().join(CHECKPOINTS)).unwrap();
        }
        assert_eq!(fs::read_to_string(temporary.path().join("slurm-1.out")).unwrap(), "left");
    }

    #[test]
    fn names_are_numbered_when_taken() {
        let temporary = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3).map(|_| RunFolder::create_fresh(temporary.path(), "moons", "").unwrap()).collect();
        let names: Vec<_> = names.iter().map(|folder| folder.path().file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["moons", "moons-2", "moons-3"]);
    }

    #[test]
    fn two_jobs_do_not_share_a_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let _first = create(temporary.path()).unwrap();
        let error = RunFolder::resume(temporary.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
    }
}
