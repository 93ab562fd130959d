//! The file: appended to step by step, cut to the last checkpoint when a run goes on.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{History, StepMetrics};
use crate::run_folder::{FileError, cannot};

/// metrics.jsonl of a run that is going on, and its curves so far.
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    history: History,
}

impl MetricsLog {
    /// Opens the file to go on after `step` steps: lines of later steps, which the run will make again, go away, and so
    /// does a last line that a killed job left unfinished. The others stay as they were written, digit by digit.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, step: u64) -> Result<Self, FileError> {
        #[derive(Deserialize)]
        struct Line {
            step: u64,
        }
        let is_kept = |text: &str| serde_json::from_str(text).is_ok_and(|line: Line| line.step <= step);
        let (mut kept, mut history) = (String::new(), History::default());
        for text in lines(path)? {
            let text = text.map_err(cannot("read", path))?;
            if is_kept(&text) {
                serde_json::from_str(&text).iter().for_each(|metrics| history.push(metrics));
                kept += &text;
                kept.push('\n');
            }
        }
        twinflow_files::write(path, &kept).map_err(cannot("write", path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(cannot("open", path))?;
        Ok(MetricsLog { path: path.to_owned(), file, history })
    }

    /// Adds a step, in one write: a reader sees whole lines.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&mut self, metrics: &StepMetrics) -> Result<(), FileError> {
        self.history.push(metrics);
        let line = serde_json::to_string(metrics).expect("plain fields have a JSON form") + "\n";
        self.file.write_all(line.as_bytes()).map_err(cannot("write", &self.path))
    }

    pub fn history(&self) -> &History {
        &self.history
    }
}

/// The steps in a file, in order; none if there is no file.
///
/// # Errors
/// The system's.
pub fn read(path: &Path) -> Result<impl Iterator<Item = StepMetrics>, FileError> {
    let lines = lines(path)?.collect::<io::Result<Vec<_>>>();
    let lines = lines.map_err(cannot("read", path))?;
    Ok(lines.into_iter().filter_map(|line| serde_json::from_str(&line).ok()))
}

fn lines(path: &Path) -> Result<impl Iterator<Item = io::Result<String>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(cannot("read", path)(error)),
    };
    Ok(file.into_iter().flat_map(|file| BufReader::new(file).lines()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::metrics::tests::at;

    #[test]
    fn resuming_leaves_one_line_per_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        (1..=5).for_each(|step| log.append(&at(step)).unwrap());
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"step\": 6, \"pha").unwrap();
        let mut log = MetricsLog::open(&path, 3).unwrap();
        log.append(&at(4)).unwrap();
        let steps: Vec<u64> = read(&path).unwrap().map(|line| line.step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
        assert_eq!(log.history().points("loss/total").len(), 4, "the steps before are in the curves too");
    }

    #[test]
    fn lines_that_stay_keep_their_digits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        // A number that a parser which is not exact to the last bit prints otherwise, spaces, and an unknown key.
        let written = "{\"step\": 1,  \"loss\": 0.24816772341728210, \"loss_base\": 1e-2, \"note\": \"mine\"}\n";
        fs::write(&path, written).unwrap();
        MetricsLog::open(&path, 1).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), written);
    }
}
