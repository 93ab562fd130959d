//! Stored images: rows of them, and what one pass over all of them tells.

use std::ops::Range;

use hdf5_metno::types::{FloatSize, IntSize, TypeDescriptor};
use twinflow_array::{DType, HostArray, TensorType};

use crate::stored::{Stored, joined};

/// Bytes read at once in a pass over all images: large enough for full speed, small beside the images.
const BLOCK_BYTES: usize = 4 << 20;

/// Where images are.
#[derive(Debug)]
pub(crate) enum Images {
    OnDisk { stored: Stored, ty: TensorType },
    InMemory(HostArray),
}

/// What one pass over all images tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    pub bytes: usize,
    /// CRC-32 of their little-endian bytes, row-major.
    pub checksum: u32,
    /// Least and greatest value, without NaN.
    pub range: [f32; 2],
    /// The first image with NaN or infinity, and that value.
    pub not_finite: Option<(usize, f32)>,
}

impl Images {
    /// u8 or f32 `[n, height, width, channels]`.
    pub fn ty(&self) -> &TensorType {
        match self {
            Images::OnDisk { ty, .. } => ty,
            Images::InMemory(images) => images.ty(),
        }
    }

    /// Type of one image, as stored.
    pub fn row_type(&self) -> TensorType {
        TensorType::new(self.ty().dtype, &self.ty().shape[1..])
    }

    /// The bytes of consecutive images, as stored.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut [u8]) -> hdf5_metno::Result<()> {
        match self {
            Images::InMemory(images) => {
                let row_bytes = out.len() / rows.len();
                out.copy_from_slice(&images.bytes()[rows.start * row_bytes..rows.end * row_bytes]);
            }
            Images::OnDisk { stored, ty } if ty.dtype == DType::U8 => out.copy_from_slice(&stored.rows(rows)?),
            Images::OnDisk { stored, .. } => {
                out.copy_from_slice(bytemuck::cast_slice(&stored.rows::<f32>(rows)?));
            }
        }
        Ok(())
    }

    /// Brings the images into memory, without a second copy on the way.
    pub fn take_into_memory(&mut self) -> hdf5_metno::Result<()> {
        let Images::OnDisk { stored, ty } = self else { return Ok(()) };
        let mut images = HostArray::zeros(ty.clone());
        match images.dtype() {
            DType::U8 => stored.dataset.read_into_raw::<u8>(images.bytes_mut())?,
            _ => stored.dataset.read_into_raw::<f32>(bytemuck::cast_slice_mut(images.bytes_mut()))?,
        };
        *self = Images::InMemory(images);
        Ok(())
    }

    /// Looks at all images, block by block.
    pub fn scan(&self) -> hdf5_metno::Result<Scan> {
        let (samples, row_bytes) = (self.ty().shape[0], self.row_type().bytes());
        let rows = (BLOCK_BYTES / row_bytes).max(1);
        let mut hasher = crc32fast::Hasher::new();
        let mut scan = Scan { bytes: self.ty().bytes(), checksum: 0, range: [f32::MAX, f32::MIN], not_finite: None };
        // Not a Vec of bytes: this memory is aligned for any element type.
        let mut block = HostArray::zeros(TensorType::new(DType::U8, [rows.min(samples) * row_bytes]));
        for start in (0..samples).step_by(rows) {
            let end = samples.min(start + rows);
            let bytes = &mut block.bytes_mut()[..(end - start) * row_bytes];
            self.read_rows(start..end, bytes)?;
            hasher.update(bytes);
            match self.ty().dtype {
                DType::U8 => scan.add_bytes(bytes),
                _ => scan.add_floats(start, row_bytes / size_of::<f32>(), bytemuck::cast_slice(bytes)),
            }
        }
        scan.checksum = hasher.finalize();
        Ok(scan)
    }
}

impl Scan {
    /// Of these images and those that lie behind them.
    pub fn followed_by(self, next: Scan) -> Scan {
        Scan {
            bytes: self.bytes + next.bytes,
            checksum: joined([(self.checksum, self.bytes), (next.checksum, next.bytes)]),
            range: [self.range[0].min(next.range[0]), self.range[1].max(next.range[1])],
            not_finite: self.not_finite.or(next.not_finite),
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let (least, greatest) = bytes.iter().fold((u8::MAX, 0), |(low, high), byte| (low.min(*byte), high.max(*byte)));
        self.range = [self.range[0].min(least.into()), self.range[1].max(greatest.into())];
    }

    fn add_floats(&mut self, first_row: usize, row_values: usize, values: &[f32]) {
        self.range = values.iter().fold(self.range, |[low, high], value| [low.min(*value), high.max(*value)]);
        if self.not_finite.is_none() {
            let at = values.iter().position(|value| !value.is_finite());
            self.not_finite = at.map(|at| (first_row + at / row_values, values[at]));
        }
    }
}

/// Element type and shape `[n, height, width, channels]` of stored images.
///
/// # Errors
/// What the schema asks for, with the way to convert.
pub(crate) fn image_type(element: &TypeDescriptor, shape: &[usize]) -> Result<TensorType, String> {
    let dtype = match element {
        TypeDescriptor::Unsigned(IntSize::U1) => Some(DType::U8),
        TypeDescriptor::Float(FloatSize::U4) => Some(DType::F32),
        _ => None,
    };
    let channel_first = matches!(shape, [_, 1 | 3 | 4, height, width] if *height > 4 && *width > 4);
    match (dtype, shape) {
        (Some(dtype), [_, _, _, _]) if !channel_first && !shape.contains(&0) => Ok(TensorType::new(dtype, shape)),
        (Some(dtype), [_, _, _]) if !shape.contains(&0) => Ok(TensorType::new(dtype, [shape, &[1]].concat())),
        _ => {
            let asked = "u8 or f32 [n, height, width, channels] (gray: [n, height, width]), no dim 0";
            let transpose =
                if channel_first { "; it is channel-first, convert: images.transpose(0, 2, 3, 1)" } else { "" };
            let cast = if dtype.is_none() { "; convert: images.astype('uint8') or .astype('float32')" } else { "" };
            Err(format!("{asked}{transpose}{cast}"))
        }
    }
}
