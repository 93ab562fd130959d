//! Why a picture cannot be used.

use std::fmt;

/// What is wrong with one picture; the rest of its set may be sound.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum PictureFault {
    /// A file of zero bytes.
    #[error("it is empty (0 bytes)")]
    Empty,
    /// A row of a table without a picture.
    #[error("its row holds no bytes (the path of a file alone is not followed)")]
    NoBytes,
    /// The operating system refused the file.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Neither PNG, JPEG, WebP nor GIF by its content.
    #[error("it is no PNG, JPEG, WebP or GIF")]
    Format,
    /// The decoder met bytes that make no picture.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// More pixels than memory should be risked for.
    #[error("it has {width} x {height} pixels; at most {MOST_PIXELS} are read")]
    TooLarge { width: usize, height: usize },
    /// A strip, of which a square shows next to nothing.
    #[error(
        "it has {width} x {height} pixels: one side is more than {MOST_ASPECT} times the other, and a square of it would show almost nothing"
    )]
    Strip { width: usize, height: usize },
    /// A picture that no bucket shows enough of.
    #[error(
        "it has {width} x {height} pixels: of all buckets {} x {} fits best and would show {percent:.0} % of it, less \
         than half (--most-aspect allows for longer ones)",
        best[0],
        best[1]
    )]
    Aspect { width: u32, height: u32, best: [u32; 2], percent: f64 },
}

/// A place in a file of captions or pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    /// The file as a whole.
    All,
    /// Counted from 1.
    Line(usize),
    /// A file in an archive.
    Member(String),
    /// Counted from 0.
    Row(usize),
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Within::All => Ok(()),
            Within::Line(line) => write!(f, ", line {line}"),
            Within::Member(member) => write!(f, ", member '{member}'"),
            Within::Row(row) => write!(f, ", row {row}"),
        }
    }
}

/// Pillow's own limit, twice its warning.
pub(crate) const MOST_PIXELS: usize = 178_956_970;
/// The longest side of a picture over the shortest; others are refused.
pub const MOST_ASPECT: usize = 20;

/// Refuses sizes that no square is made of.
pub(crate) fn check_size(width: usize, height: usize) -> Result<(), PictureFault> {
    let (short, long) = (width.min(height), width.max(height));
    if width.saturating_mul(height) > MOST_PIXELS {
        return Err(PictureFault::TooLarge { width, height });
    }
    match short == 0 || long > MOST_ASPECT * short {
        true => Err(PictureFault::Strip { width, height }),
        false => Ok(()),
    }
}
