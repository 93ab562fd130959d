//! TensorBoard's event files: scalars and pictures over steps.

mod event;
mod record;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{metrics::StepMetrics, run_folder::host};

/// An event file of one job. A resumed run has several in its folder, which TensorBoard joins.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

/// An event file cannot be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("TensorBoard's events: {}: {source}", path.display())]
pub struct EventFileError {
    path: PathBuf,
    source: io::Error,
}

impl EventFile {
    /// A new file in a folder, which is made if need be, of a job that goes on after `done` steps.
    ///
    /// # Errors
    /// The system's.
    pub fn create(folder: &Path, done: u64) -> Result<Self, EventFileError> {
        // TensorBoard reads the files in the order of their names.
        let seconds = seconds_since_epoch() as u64;
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.{done:010}.{}", host()));
        let fail = |source| EventFileError { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(fail)?;
        let mut file = File::create(&path).map_err(fail)?;
        // The start of a session at a step makes TensorBoard forget what an earlier job said of later steps.
        let first = [event::version(seconds as f64), event::session_start(seconds as f64, done + 1)];
        file.write_all(&first.map(|event| record::frame(&event)).concat()).map_err(fail)?;
        Ok(EventFile { path, file })
    }

    /// Adds a step's numbers.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&mut self, metrics: &StepMetrics) -> Result<(), EventFileError> {
        self.write(&event::scalars(seconds_since_epoch(), metrics.step, &scalars(metrics)))
    }

    /// Adds a PNG file that shows the samples of a step.
    ///
    /// # Errors
    /// A file that is no picture, or the system's.
    pub fn append_picture(&mut self, step: u64, path: &Path) -> Result<(), EventFileError> {
        let fail = |source| EventFileError { path: path.to_owned(), source };
        let png = fs::read(path).map_err(fail)?;
        let picture = image::load_from_memory(&png).map_err(|error| fail(io::Error::other(error)))?;
        let shape = [picture.height(), picture.width(), picture.color().channel_count().into()];
        self.write(&event::picture(seconds_since_epoch(), step, "samples", shape, &png))
    }

    /// In one write: a reader sees whole records.
    fn write(&mut self, event: &[u8]) -> Result<(), EventFileError> {
        let written = self.file.write_all(&record::frame(event));
        written.map_err(|source| EventFileError { path: self.path.clone(), source })
    }
}

/// The step's numbers under TensorBoard's names; a slash groups charts. A skipped step has no losses, and terms that a
/// phase does not have would be lines at zero.
fn scalars(metrics: &StepMetrics) -> Vec<(&'static str, f64)> {
    let rates = [
        ("rate/learning_rate", metrics.learning_rate),
        ("rate/samples_per_second", metrics.samples_per_second),
        ("rate/step_seconds", metrics.step_seconds),
        ("rate/communication_seconds", metrics.communication_seconds),
    ];
    let losses = [("loss/total", metrics.loss), ("loss/base", metrics.loss_base), ("gradient/norm", metrics.grad_norm)];
    let twinflow = [
        ("loss/adversarial", metrics.loss_adversarial),
        ("loss/rectify", metrics.loss_rectify),
        ("self_play/gap", metrics.self_play_gap),
    ];
    let losses = losses.into_iter().chain(twinflow.into_iter().filter(|_| metrics.phase == "twinflow"));
    rates.into_iter().chain(losses.filter(|_| !metrics.skipped)).collect()
}

fn seconds_since_epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_framed_events_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = StepMetrics { step: 7, phase: "twinflow".into(), loss: 0.25, ..StepMetrics::default() };
        let mut file = EventFile::create(&folder.path().join("tensorboard"), 6).unwrap();
        file.append(&metrics).unwrap();
        let name = file.path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with("events.out.tfevents."), "{name}");
        let mut rest = &fs::read(&file.path).unwrap()[..];
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let event = &rest[12..12 + length];
            assert_eq!(rest[..16 + length], record::frame(event)[..]);
            events.push(event.to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 3);
        assert!(events[0].ends_with(b"brain.Event:2"));
        let has = |needle: &[u8]| events[2].windows(needle.len()).any(|window| window == needle);
        let total = [&b"\x0a\x0aloss/total\x15"[..], &0.25f32.to_le_bytes()].concat();
        assert!(has(&total) && has(b"loss/adversarial") && has(b"self_play/gap"));
    }

    #[test]
    fn terms_that_are_not_there_are_not_drawn() {
        let names = |metrics: &StepMetrics| scalars(metrics).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let flow = StepMetrics { phase: "flow".into(), ..StepMetrics::default() };
        assert!(names(&flow).contains(&"loss/base") && !names(&flow).contains(&"loss/rectify"));
        assert!(names(&StepMetrics { skipped: true, ..flow }).iter().all(|name| name.starts_with("rate/")));
    }
}
