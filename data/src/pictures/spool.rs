//! What an import has done so far: a folder `TARGET.importing` beside the target, with the pixels of the pictures, a
//! file for each shape, the shape that each of them got, and a note of how many there are. A killed import goes on from
//! there; the target appears when all is done.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    panic,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{DataError, error::io_error, stored::joined};

/// Work that a killed import may lose: each note waits for the disk.
const BETWEEN_NOTES: Duration = Duration::from_secs(2);
/// Stands for the shape of pictures that were left out.
const LEFT_OUT: u16 = u16::MAX;
/// Bytes of a [`Taken`] in its file.
const TAKEN_BYTES: usize = 6;

/// What became of a picture.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// The number of its shape.
    shape: u16,
    /// CRC-32 of its pixels.
    checksum: u32,
}

/// The pictures that are done.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    /// By shape.
    pixels: Vec<File>,
    /// [`Spool::taken`], little-endian.
    taken_file: File,
    taken: Vec<Taken>,
    note: Note,
    noted: Instant,
    /// A note on its way to the disk, while more pictures are made.
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
    /// What an earlier import with the same key left, or an empty one; for these shapes, `[width, height]` of three bytes
    /// a pixel.
    ///
    /// # Errors
    /// [`DataError::ImportRuns`], [`DataError::Io`].
    pub fn open(target: &Path, key: u32, shapes: &[[u32; 2]]) -> Result<Self, DataError> {
        let mut folder = target.as_os_str().to_owned();
        folder.push(".importing");
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).map_err(io_error("create the folder", &folder))?;
        let taken_file = open_file(&folder, "shapes")?;
        // File systems without locks refuse for another reason, and the import goes on.
        if matches!(taken_file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(DataError::ImportRuns { path: folder });
        }
        let name = |[width, height]: &[u32; 2]| format!("pixels-{width}x{height}");
        let pixels = shapes.iter().map(|shape| open_file(&folder, &name(shape))).collect::<Result<Vec<_>, _>>()?;
        let note = Note { key, ..Note::default() };
        let mut spool =
            Spool { folder, pixels, taken_file, taken: Vec::new(), note, noted: Instant::now(), saving: None };
        let row_bytes = |shape: &[u32; 2]| 3 * u64::from(shape[0]) * u64::from(shape[1]);
        let row_bytes: Vec<u64> = shapes.iter().map(row_bytes).collect();
        spool.go_on(key, &row_bytes).map_err(spool.refused("read"))?;
        spool.cut(&row_bytes).map_err(spool.refused("shorten"))?;
        Ok(spool)
    }

    /// Takes over what the note says, if all of it is there.
    fn go_on(&mut self, key: u32, row_bytes: &[u64]) -> io::Result<()> {
        let note = fs::read(self.folder.join("note.json")).ok();
        let Some(note) = note.and_then(|text| serde_json::from_slice::<Note>(&text).ok()) else { return Ok(()) };
        let mut bytes = Vec::new();
        self.taken_file.read_to_end(&mut bytes)?;
        let taken = bytes.as_chunks::<TAKEN_BYTES>().0.iter().take(note.done).map(|bytes| Taken::of(*bytes));
        let taken: Vec<Taken> = taken.collect();
        let mut whole = note.key == key && taken.len() == note.done;
        for (shape, (pixels, row_bytes)) in self.pixels.iter().zip(row_bytes).enumerate() {
            whole &= count(&taken, shape) as u64 * row_bytes <= pixels.metadata()?.len();
        }
        if whole {
            (self.note, self.taken) = (note, taken);
        }
        Ok(())
    }

    /// Drops what came after the note, and stands at the end of every file.
    fn cut(&mut self, row_bytes: &[u64]) -> io::Result<()> {
        let ends = row_bytes.iter().enumerate().map(|(shape, bytes)| count(&self.taken, shape) as u64 * bytes);
        for (file, end) in
            self.pixels.iter_mut().zip(ends).chain([(&mut self.taken_file, (TAKEN_BYTES * self.taken.len()) as u64)])
        {
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
        }
        Ok(())
    }

    /// Pictures that need not be looked at again.
    pub fn done(&self) -> usize {
        self.note.done
    }

    /// Places of those left out, in order, with the reason.
    pub fn skipped(&self) -> &[(usize, String)] {
        &self.note.skipped
    }

    /// Places of the pictures of a shape, in order.
    pub fn of_shape(&self, shape: usize) -> impl Iterator<Item = usize> {
        self.taken
            .iter()
            .enumerate()
            .filter(move |(_, taken)| usize::from(taken.shape) == shape)
            .map(|(place, _)| place)
    }

    /// CRC-32 of the pixels of all pictures of a shape, one after the other, each of so many bytes.
    pub fn checksum(&self, shape: usize, row_bytes: usize) -> u32 {
        let taken = self.taken.iter().filter(|taken| usize::from(taken.shape) == shape);
        joined(taken.map(|taken| (taken.checksum, row_bytes)))
    }

    /// Keeps the pixels of the next picture, which has the shape of this number, with their CRC-32.
    pub fn keep(&mut self, shape: usize, pixels: &[u8], checksum: u32) -> Result<(), DataError> {
        self.pixels[shape].write_all(pixels).map_err(self.refused("write"))?;
        self.take(Taken { shape: shape as u16, checksum })
    }

    pub fn skip(&mut self, reason: String) -> Result<(), DataError> {
        self.note.skipped.push((self.note.done, reason));
        self.take(Taken { shape: LEFT_OUT, checksum: 0 })
    }

    fn take(&mut self, taken: Taken) -> Result<(), DataError> {
        self.taken_file.write_all(&taken.bytes()).map_err(self.refused("write"))?;
        self.taken.push(taken);
        self.note.done += 1;
        Ok(())
    }

    /// Begins to note what is done, if the last note is old; says what became of that.
    pub fn save_now_and_then(&mut self) -> Result<(), DataError> {
        let busy = self.saving.as_ref().is_some_and(|saving| !saving.is_finished());
        if busy || self.noted.elapsed() < BETWEEN_NOTES {
            return Ok(());
        }
        self.await_note()?;
        let (folder, note) = (self.folder.clone(), self.note.clone());
        let files = self.files().map(File::try_clone).collect::<io::Result<Vec<_>>>().map_err(self.refused("open"))?;
        self.saving = Some(thread::spawn(move || note.save(files.iter(), &folder)));
        self.noted = Instant::now();
        Ok(())
    }

    /// Notes what is done once it is on the disk.
    pub fn save(&mut self) -> Result<(), DataError> {
        self.await_note()?;
        self.note.save(self.files(), &self.folder)
    }

    fn files(&self) -> impl Iterator<Item = &File> {
        self.pixels.iter().chain([&self.taken_file])
    }

    /// Waits for a note on its way.
    pub fn await_note(&mut self) -> Result<(), DataError> {
        let saved = self.saving.take().map(JoinHandle::join);
        saved.map_or(Ok(()), |saved| saved.unwrap_or_else(|panic| panic::resume_unwind(panic)))
    }

    /// The file of a shape's pixels.
    pub fn pixels(&self, shape: usize) -> &File {
        &self.pixels[shape]
    }

    pub fn remove(self) -> Result<(), DataError> {
        fs::remove_dir_all(&self.folder).map_err(self.refused("remove"))
    }

    fn refused(&self, action: &'static str) -> impl FnOnce(io::Error) -> DataError + use<> {
        let path = self.folder.clone();
        move |source| DataError::Io { action, path, source }
    }
}

fn open_file(folder: &Path, name: &str) -> Result<File, DataError> {
    let path = folder.join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    file.map_err(io_error("open", &path))
}

/// Pictures of a shape.
fn count(taken: &[Taken], shape: usize) -> usize {
    taken.iter().filter(|taken| usize::from(taken.shape) == shape).count()
}

impl Taken {
    fn of([low, high, checksum @ ..]: [u8; TAKEN_BYTES]) -> Self {
        Taken { shape: u16::from_le_bytes([low, high]), checksum: u32::from_le_bytes(checksum) }
    }

    fn bytes(self) -> [u8; TAKEN_BYTES] {
        let ([low, high], [a, b, c, d]) = (self.shape.to_le_bytes(), self.checksum.to_le_bytes());
        [low, high, a, b, c, d]
    }
}

impl Note {
    /// Writes the note when all that it counts is on the disk.
    fn save<'f>(&self, files: impl Iterator<Item = &'f File>, folder: &Path) -> Result<(), DataError> {
        for file in files {
            file.sync_data().map_err(io_error("write", folder))?;
        }
        let text = serde_json::to_vec(self).map_err(io::Error::from);
        let written = text.and_then(|text| twinflow_files::write(&folder.join("note.json"), text));
        written.map_err(io_error("write the note of", folder))
    }
}
