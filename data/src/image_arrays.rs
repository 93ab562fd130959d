//! A dataset's images: one array, or an array for each shape.

use twinflow_array::{DType, TensorType};

use crate::{
    Buckets, DataError, IMAGES,
    images::{Images, Scan},
    stored::joined,
};

/// An array of images with its name in the file and its checksum, if one was written.
#[derive(Debug)]
pub(crate) struct NamedImages {
    pub name: String,
    pub images: Images,
    pub checksum: Option<u32>,
}

/// Arrays of images of one element type and number of channels, in the order of samples; at least one.
#[derive(Debug)]
pub(crate) struct ImageArrays {
    arrays: Vec<NamedImages>,
    buckets: Buckets,
}

/// The name of an array of images of these `[n, height, width, channels]`, where there are several.
pub(crate) fn array_name(shape: &[usize]) -> String {
    format!("{IMAGES}/{}x{}", shape[1], shape[2])
}

impl ImageArrays {
    /// # Errors
    /// [`DataError::MixedImages`].
    ///
    /// # Panics
    /// If there is no array.
    pub fn new(arrays: Vec<NamedImages>) -> Result<Self, DataError> {
        let shape = |array: &NamedImages| -> [usize; 3] { std::array::from_fn(|i| array.images.ty().shape[1 + i]) };
        let kind = |array: &NamedImages| (array.images.ty().dtype, shape(array)[2]);
        let described = |(dtype, channels): (DType, usize)| format!("{} of {channels} channels", dtype.name());
        let expected = kind(&arrays[0]);
        if let Some(other) = arrays.iter().find(|array| kind(array) != expected) {
            let (found, expected) = (described(kind(other)), described(expected));
            return Err(DataError::MixedImages { name: other.name.clone(), found, expected });
        }
        let buckets = Buckets::new(arrays.iter().map(|array| (shape(array), array.images.ty().shape[0] as u64)));
        Ok(ImageArrays { arrays, buckets })
    }

    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.arrays.iter().map(|array| array.images.ty().shape[0]).sum()
    }

    pub fn dtype(&self) -> DType {
        self.arrays[0].images.ty().dtype
    }

    /// Type of an image of a bucket, as stored.
    pub fn row_type(&self, bucket: usize) -> TensorType {
        self.arrays[bucket].images.row_type()
    }

    pub fn bytes(&self) -> usize {
        self.arrays.iter().map(|array| array.images.ty().bytes()).sum()
    }

    pub fn are_in_memory(&self) -> bool {
        self.arrays.iter().all(|array| matches!(array.images, Images::InMemory(_)))
    }

    pub fn into_memory(mut self) -> hdf5_metno::Result<Self> {
        for array in &mut self.arrays {
            array.images.take_into_memory()?;
        }
        Ok(self)
    }

    /// The bytes of an image below [`ImageArrays::len`], as stored.
    pub fn read(&self, index: usize, out: &mut [u8]) -> hdf5_metno::Result<()> {
        let bucket = self.buckets.of_sample(index as u64);
        let row = index - self.buckets.all()[bucket].samples.start as usize;
        self.arrays[bucket].images.read_rows(row..row + 1, out)
    }

    /// The checksum of all images' bytes by those written; none if one is missing.
    pub fn checksum(&self) -> Option<u32> {
        let checksums = self.arrays.iter().map(|array| Some((array.checksum?, array.images.ty().bytes())));
        Some(joined(checksums.collect::<Option<Vec<_>>>()?))
    }

    /// Looks at all images and compares each array with its checksum by `compare`, given its name.
    ///
    /// # Errors
    /// What reading met; what `compare` says.
    pub fn scan<E>(
        &self,
        failed: impl Fn(hdf5_metno::Error) -> E,
        compare: impl Fn(&str, Option<u32>, u32) -> Result<(), E>,
    ) -> Result<Scan, E> {
        let mut all: Option<Scan> = None;
        for (array, bucket) in self.arrays.iter().zip(self.buckets.all()) {
            let scan = array.images.scan().map_err(&failed)?;
            compare(&array.name, array.checksum, scan.checksum)?;
            let first = bucket.samples.start as usize;
            let scan = Scan { not_finite: scan.not_finite.map(|(row, value)| (first + row, value)), ..scan };
            all = Some(all.map_or(scan, |before| before.followed_by(scan)));
        }
        Ok(all.expect("at least one array"))
    }
}
