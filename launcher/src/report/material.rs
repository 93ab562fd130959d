//! What a report is made of, read from a run folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use miette::Result;

use crate::{
    metrics::{self, History, StepMetrics},
    pictures::{classes_note, spread},
    run_folder::{Environment, FileError, RunFolder, RunFolderError, cannot},
};

/// Pictures of samples shown at most, spread over the run: more would not be looked at, and fill megabytes.
pub const MOST_PICTURES: usize = 12;

pub struct Material {
    pub name: String,
    pub config: String,
    pub steps: Steps,
    pub environments: Vec<Environment>,
    /// Names and PNGs of samples, in the order of time.
    pub pictures: Vec<(String, Vec<u8>)>,
    /// eval.json, if there is one.
    pub evaluation: Option<String>,
}

/// metrics.jsonl in short.
#[derive(Default)]
pub struct Steps {
    pub last: Option<StepMetrics>,
    pub history: History,
    pub seconds: f64,
    pub skipped: usize,
    /// Samples per second of each step.
    pub rates: Vec<f64>,
}

impl Material {
    pub fn read(run: &Path) -> Result<Self> {
        let config = RunFolder::config_in(run);
        if !config.is_file() {
            return Err(RunFolderError::NotARun { path: run.to_owned() }.into());
        }
        let read = |path: PathBuf| fs::read(&path).map_err(cannot("read", &path));
        let pictures = chosen_pictures(&run.join("samples")).into_iter().map(|(name, path)| Ok((name, read(path)?)));
        let full_path = run.canonicalize().unwrap_or_else(|_| run.to_owned());
        Ok(Material {
            name: full_path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            config: String::from_utf8_lossy(&read(config)?).into_owned(),
            steps: Steps::of(metrics::read(&run.join("metrics.jsonl"))?),
            environments: Environment::read(&run.join("environment.jsonl")),
            pictures: pictures.collect::<Result<_, FileError>>()?,
            evaluation: match fs::read_to_string(run.join("eval.json")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                read => Some(read.unwrap_or_default()),
            },
        })
    }

    /// What to tell where the pictures do not show all classes.
    pub fn classes_note(&self) -> Option<String> {
        let config: toml::Table = self.config.parse().ok()?;
        classes_note(config.get("data")?.get("classes")?.as_integer()?.try_into().ok()?)
    }
}

impl Steps {
    fn of(lines: impl Iterator<Item = StepMetrics>) -> Self {
        let mut steps = Steps::default();
        for line in lines {
            steps.history.push(&line);
            steps.seconds += line.step_seconds;
            steps.skipped += usize::from(line.skipped);
            steps.rates.push(line.samples_per_second);
            steps.last = Some(line);
        }
        steps
    }
}

/// `step-N.png` in order, thinned evenly with first and last kept, then the picture of single calls.
fn chosen_pictures(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let step = |path: &Path| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()
    };
    let mut steps: Vec<(u64, PathBuf)> = entries.filter_map(|path| Some((step(&path)?, path))).collect();
    steps.sort();
    let shown = spread(steps.len(), MOST_PICTURES).map(|i| &steps[i]);
    let mut chosen: Vec<_> = shown.map(|(step, path)| (format!("step {step}"), path.clone())).collect();
    let one_step = folder.join("one-step.png");
    if one_step.is_file() {
        chosen.push(("at the end, one network call per sample".to_owned(), one_step));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_pictures_some_are_shown_first_and_last_among_them() {
        let samples = tempfile::tempdir().unwrap();
        (1..=100).for_each(|i| fs::write(samples.path().join(format!("step-{:08}.png", 10 * i)), "").unwrap());
        let chosen: Vec<String> = chosen_pictures(samples.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(chosen.len(), MOST_PICTURES);
        assert_eq!((chosen[0].as_str(), chosen[11].as_str()), ("step 10", "step 1000"));
    }
}
