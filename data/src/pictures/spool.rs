//! What an import has done so far: a folder `TARGET.importing` beside the target, with the squares of the pictures and
//! a note of how many there are. A killed import goes on from there; the target appears when all is done.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    panic,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{DataError, error::io_error};

/// Work that a killed import may lose: each note waits for the disk.
const BETWEEN_NOTES: Duration = Duration::from_secs(2);

/// The squares of the pictures that are done.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    pixels: File,
    note: Note,
    noted: Instant,
    /// A note on its way to the disk, while more squares are made.
    saving: Option<JoinHandle<Result<(), DataError>>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Of everything that the pixels depend on.
    key: u32,
    /// Pictures looked at.
    done: usize,
    /// Those left out, by place, with the reason.
    skipped: Vec<(usize, String)>,
}

impl Spool {
    /// What an earlier import with the same key left, or an empty one.
    ///
    /// # Errors
    /// [`DataError::ImportRuns`], [`DataError::Io`].
    pub fn open(target: &Path, key: u32, row_bytes: usize) -> Result<Self, DataError> {
        let mut folder = target.as_os_str().to_owned();
        folder.push(".importing");
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).map_err(io_error("create the folder", &folder))?;
        let path = folder.join("pixels");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let pixels = open.map_err(io_error("open", &path))?;
        // File systems without locks refuse for another reason, and the import goes on.
        if matches!(pixels.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(DataError::ImportRuns { path: folder });
        }
        let note = fs::read(folder.join("note.json")).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        let mut spool =
            Spool { folder, pixels, note: Note { key, ..Note::default() }, noted: Instant::now(), saving: None };
        let length = spool.pixels.metadata().map_err(spool.refused("read"))?.len();
        if let Some(note) = note.filter(|note| note.key == key && note.kept() * row_bytes as u64 <= length) {
            spool.note = note;
        }
        let end = spool.note.kept() * row_bytes as u64;
        spool.pixels.set_len(end).map_err(spool.refused("shorten"))?;
        spool.pixels.seek(SeekFrom::Start(end)).map_err(spool.refused("read"))?;
        Ok(spool)
    }

    /// Pictures that need not be looked at again.
    pub fn done(&self) -> usize {
        self.note.done
    }

    /// Places of those left out, in order, with the reason.
    pub fn skipped(&self) -> &[(usize, String)] {
        &self.note.skipped
    }

    pub fn keep(&mut self, square: &[u8]) -> Result<(), DataError> {
        self.pixels.write_all(square).map_err(self.refused("write"))?;
        self.note.done += 1;
        Ok(())
    }

    pub fn skip(&mut self, reason: String) {
        self.note.skipped.push((self.note.done, reason));
        self.note.done += 1;
    }

    /// Begins to note what is done, if the last note is old; says what became of that.
    pub fn save_now_and_then(&mut self) -> Result<(), DataError> {
        let busy = self.saving.as_ref().is_some_and(|saving| !saving.is_finished());
        if busy || self.noted.elapsed() < BETWEEN_NOTES {
            return Ok(());
        }
        self.await_note()?;
        let (folder, note) = (self.folder.clone(), self.note.clone());
        let pixels = self.pixels.try_clone().map_err(self.refused("open"))?;
        self.saving = Some(thread::spawn(move || note.save(&pixels, &folder)));
        self.noted = Instant::now();
        Ok(())
    }

    /// Notes what is done once it is on the disk.
    pub fn save(&mut self) -> Result<(), DataError> {
        self.await_note()?;
        self.note.save(&self.pixels, &self.folder)
    }

    /// Waits for a note on its way.
    pub fn await_note(&mut self) -> Result<(), DataError> {
        let saved = self.saving.take().map(JoinHandle::join);
        saved.map_or(Ok(()), |saved| saved.unwrap_or_else(|panic| panic::resume_unwind(panic)))
    }

    /// Reads all squares from the first on.
    pub fn rewind(&mut self) -> Result<&mut impl Read, DataError> {
        self.pixels.rewind().map_err(self.refused("read"))?;
        Ok(&mut self.pixels)
    }

    pub fn remove(self) -> Result<(), DataError> {
        fs::remove_dir_all(&self.folder).map_err(self.refused("remove"))
    }

    fn refused(&self, action: &'static str) -> impl FnOnce(io::Error) -> DataError + use<> {
        let path = self.folder.clone();
        move |source| DataError::Io { action, path, source }
    }
}

impl Note {
    /// Writes the note when the squares that it counts are on the disk.
    fn save(&self, pixels: &File, folder: &Path) -> Result<(), DataError> {
        pixels.sync_data().map_err(io_error("write", folder))?;
        let text = serde_json::to_vec(self).map_err(io::Error::from);
        let written = text.and_then(|text| twinflow_files::write(&folder.join("note.json"), text));
        written.map_err(io_error("write the note of", folder))
    }

    fn kept(&self) -> u64 {
        (self.done - self.skipped.len().min(self.done)) as u64
    }
}
