//! TensorBoard's event files: scalars and pictures over steps.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use prost::Message;

use super::{
    event::{Event, What},
    record,
};
use crate::{
    metrics::StepMetrics,
    pictures::Picture,
    run_folder::{FileError, cannot, host},
};

/// What names of event files begin with.
const PREFIX: &str = "events.out.tfevents.";

/// Bytes of an event's start that hold its wall time: a key and a double.
const WALL_TIME_BYTES: usize = 9;

/// An event file of one job. A resumed run has several in its folder, which TensorBoard joins in the order of their
/// names.
pub struct EventFile {
    path: PathBuf,
    file: File,
    clock: Clock,
}

/// A clock that goes on from where another one was, though this machine's may be behind it.
struct Clock {
    start: f64,
    started: Instant,
}

impl EventFile {
    /// A new file in a folder, which is made if need be, of a job that goes on after `done` steps. Its name and its times
    /// come after those of the files that are there, whatever this machine's clock says.
    ///
    /// # Errors
    /// The system's.
    pub fn create(folder: &Path, done: u64) -> Result<Self, FileError> {
        fs::create_dir_all(folder).map_err(cannot("make the folder", folder))?;
        let clock = Clock::after(last_time(folder).map_err(cannot("read", folder))?);
        let path = folder.join(format!("{PREFIX}{:010}.{done:010}.{}", clock.start as u64, host()));
        let file = File::create_new(&path).map_err(cannot("write", &path))?;
        let mut events = EventFile { path, file, clock };
        events.write(0, What::version())?;
        events.write(done + 1, What::session_start())?;
        Ok(events)
    }

    /// Adds a step's numbers. A skipped step has no losses, and terms that a phase does not have would be lines at zero.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&mut self, metrics: &StepMetrics) -> Result<(), FileError> {
        let is_shown = |tag: &str, value: f64| tag.starts_with("rate/") || (!metrics.skipped && value != 0.0);
        let shown = metrics.by_tag().filter(|(tag, value)| is_shown(tag, *value));
        self.write(metrics.step, What::scalars(shown))
    }

    /// Adds a picture of a step's samples.
    ///
    /// # Errors
    /// The system's.
    pub fn append_picture(&mut self, step: u64, picture: &Picture) -> Result<(), FileError> {
        self.write(step, What::picture("samples", picture.shape, &picture.png))
    }

    /// In one write: a reader sees whole records.
    fn write(&mut self, step: u64, what: What) -> Result<(), FileError> {
        let event = Event { wall_time: self.clock.now(), step: step as i64, what: Some(what) };
        self.file.write_all(&record::frame(&event.encode_to_vec())).map_err(cannot("write", &self.path))
    }
}

impl Clock {
    fn after(last: f64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64());
        Clock { start: now.max(last), started: Instant::now() }
    }

    /// Seconds since 1970.
    fn now(&self) -> f64 {
        self.start + self.started.elapsed().as_secs_f64()
    }
}

/// A time after all that the event files of a folder say, by their names and by the events of the last one; 0 if there
/// are none.
fn last_time(folder: &Path) -> io::Result<f64> {
    let mut last = (0, None);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
        let seconds = name.and_then(|name| name.split('.').next()?.parse::<u64>().ok());
        last = last.max(seconds.map_or((0, None), |seconds| (seconds + 1, Some(path))));
    }
    let (after_name, Some(path)) = last else { return Ok(0.0) };
    let heads = record::heads(&path, WALL_TIME_BYTES)?;
    let times = heads.filter_map(|head| Some(Event::decode(&head[..]).ok()?.wall_time));
    Ok(times.fold(after_name as f64, f64::max))
}

#[cfg(test)]
mod tests {
    use super::{super::event::Shown, *};

    fn events(path: &Path) -> Vec<Event> {
        let records = record::heads(path, usize::MAX).unwrap();
        records.map(|record| Event::decode(&record[..]).unwrap()).collect()
    }

    fn scalars(event: &Event) -> Vec<(&str, f32)> {
        let Some(What::Summary(summary)) = &event.what else { panic!("no summary: {event:?}") };
        let scalar = |shown: &Option<Shown>| match shown {
            Some(Shown::Scalar(value)) => *value,
            other => panic!("no scalar: {other:?}"),
        };
        summary.value.iter().map(|tagged| (tagged.tag.as_str(), scalar(&tagged.shown))).collect()
    }

    fn step() -> StepMetrics {
        let terms = [("loss_base", 0.5), ("loss_rectify", 0.0), ("loss_perceptual", -0.25)];
        let terms = terms.map(|(name, value)| (name.to_owned(), value)).into();
        StepMetrics { step: 7, phase: "flow".into(), loss: 0.25, terms, ..StepMetrics::default() }
    }

    #[test]
    fn files_hold_framed_events_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(&folder.path().join("tensorboard"), 6).unwrap();
        file.append(&step()).unwrap();
        let events = events(&file.path);
        assert_eq!(events.iter().map(|event| event.step).collect::<Vec<_>>(), [0, 7, 7]);
        assert_eq!(events[0].what, Some(What::version()));
        assert_eq!(events[1].what, Some(What::session_start()));
        assert!(events.is_sorted_by(|a, b| a.wall_time <= b.wall_time));
    }

    #[test]
    fn every_term_has_a_chart_and_those_that_are_not_there_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path(), 6).unwrap();
        file.append(&step()).unwrap();
        file.append(&StepMetrics { skipped: true, ..step() }).unwrap();
        let events = events(&file.path);
        let losses = scalars(&events[2]).into_iter().filter(|(tag, _)| !tag.starts_with("rate/")).collect::<Vec<_>>();
        assert_eq!(losses, [("loss/total", 0.25), ("loss/base", 0.5), ("loss/perceptual", -0.25)]);
        let rates = ["learning_rate", "samples_per_second", "step_seconds", "communication_seconds"];
        let skipped = scalars(&events[3]).into_iter().map(|(tag, _)| tag.to_owned()).collect::<Vec<_>>();
        assert_eq!(skipped, rates.map(|rate| format!("rate/{rate}")));
    }

    #[test]
    fn a_file_sorts_after_the_one_before_though_the_clock_is_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (name_time, event_time) = (9_000_000_000u64, 9_000_000_100.5);
        let earlier = folder.path().join(format!("{PREFIX}{name_time}.0000000000.node-1"));
        let event = Event { wall_time: event_time, step: 5, what: Some(What::version()) }.encode_to_vec();
        fs::write(&earlier, [record::frame(&event), vec![1, 2, 3]].concat()).unwrap();
        let mut paths = vec![earlier];
        for done in [5, 5, 9] {
            let mut file = EventFile::create(folder.path(), done).unwrap();
            file.append(&step()).unwrap();
            paths.push(file.path.clone());
        }
        assert!(paths.is_sorted_by(|a, b| a < b), "{paths:?}");
        let times: Vec<f64> = paths.iter().flat_map(|path| events(path)).map(|event| event.wall_time).collect();
        assert!(times.is_sorted() && times[1] >= event_time, "{times:?}");
    }
}
