//! Batches as a pure function of (seed, step, rank, world size).

use std::{ops::Range, sync::Arc};

use twinflow_array::{DType, HostArray, TensorType};

use crate::{
    BatchPlan, Buckets, DataError, Fields, IMAGES, Permutation, Shard, Source, Visit,
    counter_bits::{self, Stream},
};

/// What one device computes on in one micro-batch; `b` is [`BatchPlan::shard_batch`].
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The source's fields, each `[b, ..]`.
    pub fields: Fields,
    /// u32 `[b]`: the sample's place in the stream of all samples drawn since step 0, `step * global batch + position`,
    /// modulo 2^32. It keys the compiled step's random draws, so they do not depend on who computes the sample. (After
    /// 2^32 samples the numbers come again; the draws depend on the step as well.)
    pub sample_index: HostArray,
}

/// The batches of one step on one rank: `[micro_batch][device]`.
pub type StepBatches = Vec<Vec<Batch>>;

/// Gives the batches of any step at once: nothing to wind forward, nothing to save.
///
/// Step `s` takes its samples from one of the source's [`Buckets`]. If `k` steps took that bucket before, step `s` of
/// global batch `B` takes the positions `k * B .. (k + 1) * B` of the bucket's endless stream. Position `p` of a bucket
/// of `n` samples is in epoch `p / n` and takes its sample `permutation(seed, epoch)(p % n)`; of an endless source,
/// sample `p`. The positions are dealt out by the [`BatchPlan`].
#[derive(Clone)]
pub struct Loader {
    source: Arc<dyn Source>,
    buckets: Buckets,
    plan: BatchPlan,
    seed: u64,
    rank: usize,
    flip: bool,
}

impl Loader {
    /// A loader for one rank.
    ///
    /// # Errors
    /// [`DataError::Rank`] if the plan has no such rank, [`DataError::Zero`] if the source has no samples.
    pub fn new(source: Arc<dyn Source>, plan: BatchPlan, seed: u64, rank: usize) -> Result<Self, DataError> {
        if rank >= plan.ranks() {
            return Err(DataError::Rank { rank, ranks: plan.ranks() });
        }
        if source.samples() == Some(0) {
            return Err(DataError::Zero { what: "number of samples" });
        }
        let buckets = source.buckets();
        Ok(Loader { source, buckets, plan, seed, rank, flip: false })
    }

    /// Whether to mirror images left to right, each with probability 1/2 by (seed, place in the stream); off at first.
    #[must_use]
    pub fn with_horizontal_flip(mut self, flip: bool) -> Self {
        self.flip = flip;
        self
    }

    /// Where samples come from.
    pub fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// Which samples have images of one shape, and which of them a step takes.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Who takes which rows of the global batch.
    pub fn plan(&self) -> &BatchPlan {
        &self.plan
    }

    /// The batches of a step.
    ///
    /// # Errors
    /// Whatever keeps the source from being read.
    pub fn batch_at(&self, step: u64) -> Result<StepBatches, DataError> {
        let shard = |micro_batch, device| Shard { rank: self.rank, micro_batch, device };
        let micro_batch = |m| (0..self.plan.devices()).map(|device| self.shard_at(step, shard(m, device))).collect();
        (0..self.plan.micro_batches()).map(micro_batch).collect()
    }

    fn shard_at(&self, step: u64, shard: Shard) -> Result<Batch, DataError> {
        let positions = self.plan.global_positions(shard);
        let places = |steps: u64| -> Vec<u64> {
            let first = steps.wrapping_mul(self.plan.global_batch() as u64);
            positions.iter().map(|position| first.wrapping_add(*position as u64)).collect()
        };
        let (stream, turn) = (places(step), self.buckets.turn(step));
        let bucket = &self.buckets.all()[turn.bucket];
        let mut fields = self.source.gather_visits(&self.visits(&bucket.samples, &places(turn.number)))?;
        if let Some(images) = fields.get_mut(IMAGES).filter(|_| self.flip) {
            self.flip_images(&stream, images);
        }
        Ok(Batch { fields, sample_index: sample_index(&stream) })
    }

    /// The visit for each place in the stream of a bucket's samples.
    fn visits(&self, bucket: &Range<u64>, stream: &[u64]) -> Vec<Visit> {
        let seed = self.seed;
        if self.source.samples().is_none() {
            return stream.iter().map(|place| Visit { index: *place, epoch: 0, seed }).collect();
        }
        let samples = bucket.end - bucket.start;
        let epoch = |place: u64| (place / samples, Permutation::new(samples, self.seed, place / samples));
        // Places ascend, so the order changes once per epoch and not once per sample.
        let mut current = epoch(stream[0]);
        let visit = |place: &u64| {
            if place / samples != current.0 {
                current = epoch(*place);
            }
            Visit { index: bucket.start + current.1.apply(place % samples), epoch: current.0, seed }
        };
        stream.iter().map(visit).collect()
    }

    /// Images `[b, height, width, channels]` of any element type.
    fn flip_images(&self, stream: &[u64], images: &mut HostArray) {
        let pixel = images.shape()[3] * images.dtype().size();
        let (row, image) = (images.shape()[2] * pixel, images.shape()[1] * images.shape()[2] * pixel);
        for (place, image) in stream.iter().zip(images.bytes_mut().chunks_exact_mut(image)) {
            if counter_bits::bits(self.seed, Stream::Flip, *place) & 1 == 1 {
                image.chunks_exact_mut(row).for_each(|row| mirror(row, pixel));
            }
        }
    }
}

/// Reverses the order of pixels of so many bytes in a row, not of bytes in a pixel.
fn mirror(row: &mut [u8], pixel: usize) {
    row.reverse();
    row.chunks_exact_mut(pixel).for_each(<[u8]>::reverse);
}

fn sample_index(stream: &[u64]) -> HostArray {
    let mut array = HostArray::zeros(TensorType::new(DType::U32, [stream.len()]));
    let indices: &mut [u32] = bytemuck::cast_slice_mut(array.bytes_mut());
    indices.iter_mut().zip(stream).for_each(|(index, place)| *index = *place as u32);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Field, LABELS, source::image_fields};

    /// Samples whose pixels tell their index.
    struct Counting {
        samples: Option<u64>,
    }

    impl Source for Counting {
        fn fields(&self) -> Vec<Field> {
            image_fields(DType::F32, [1, 2, 2])
        }

        fn classes(&self) -> usize {
            1000
        }

        fn samples(&self) -> Option<u64> {
            self.samples
        }

        fn read(&self, visits: &[Visit], fields: &mut [HostArray]) -> Result<(), DataError> {
            let first = visits.iter().map(|visit| visit.index as f64);
            let pixels: Vec<f64> = first.clone().flat_map(|x| [x, x + 0.25, x + 0.5, x + 0.75]).collect();
            fields[0] = HostArray::from_f64(fields[0].ty().clone(), &pixels).unwrap();
            fields[1] = HostArray::from_f64(fields[1].ty().clone(), &first.collect::<Vec<_>>()).unwrap();
            Ok(())
        }
    }

    fn loader(samples: Option<u64>, plan: BatchPlan, rank: usize) -> Loader {
        Loader::new(Arc::new(Counting { samples }), plan, 11, rank).unwrap()
    }

    fn labels(batch: &Batch) -> &[i32] {
        batch.fields[LABELS].as_slice().unwrap()
    }

    #[test]
    fn an_epoch_takes_every_sample_once_and_the_next_in_another_order() {
        // 10 samples in batches of 4: step 2 spans two epochs.
        let loader = loader(Some(10), BatchPlan::new(&[4], 1, 1, 1).unwrap(), 0);
        let drawn: Vec<i32> = (0..5).flat_map(|step| labels(&loader.batch_at(step).unwrap()[0][0]).to_vec()).collect();
        let mut epochs = [drawn[..10].to_vec(), drawn[10..].to_vec()];
        assert_ne!(epochs[0], epochs[1]);
        epochs.iter_mut().for_each(|epoch| epoch.sort_unstable());
        assert_eq!(epochs, [(0..10).collect::<Vec<_>>(), (0..10).collect()]);
    }

    #[test]
    fn ranks_micro_batches_and_devices_together_equal_one_rank() {
        let parts = [8, 0, 24, 16];
        let alone = loader(Some(50), BatchPlan::new(&parts, 1, 1, 1).unwrap(), 0).with_horizontal_flip(true);
        for (ranks, micro_batches, devices) in [(2, 1, 1), (4, 1, 2), (2, 2, 2), (1, 4, 1)] {
            let plan = BatchPlan::new(&parts, ranks, micro_batches, devices).unwrap();
            for step in [0, 3, 1000] {
                let all = (0..ranks).flat_map(|rank| {
                    let loader = loader(Some(50), plan.clone(), rank).with_horizontal_flip(true);
                    loader.batch_at(step).unwrap().into_iter().flatten()
                });
                assert_eq!(by_sample(all), by_sample(alone.batch_at(step).unwrap().into_iter().flatten()));
            }
        }
    }

    /// (sample index, label, pixels) in the order of sample indices.
    fn by_sample(batches: impl Iterator<Item = Batch>) -> Vec<(u32, i32, Vec<f32>)> {
        let mut samples = Vec::new();
        for batch in batches {
            let (index, pixels) = (batch.sample_index.as_slice().unwrap(), batch.fields[IMAGES].as_slice().unwrap());
            for (i, image) in pixels.chunks_exact(4).enumerate() {
                samples.push((index[i], labels(&batch)[i], image.to_vec()));
            }
        }
        samples.sort_by_key(|sample| sample.0);
        samples
    }

    /// Samples in buckets of 1 x 2 and 2 x 1.
    struct Shapes([u64; 2]);

    impl Source for Shapes {
        fn fields(&self) -> Vec<Field> {
            image_fields(DType::F32, [1, 2, 1])
        }

        fn buckets(&self) -> Buckets {
            Buckets::new([([1, 2, 1], self.0[0]), ([2, 1, 1], self.0[1])])
        }

        fn classes(&self) -> usize {
            1000
        }

        fn samples(&self) -> Option<u64> {
            Some(self.0.iter().sum())
        }

        fn read(&self, visits: &[Visit], fields: &mut [HostArray]) -> Result<(), DataError> {
            let indices: Vec<f64> = visits.iter().map(|visit| visit.index as f64).collect();
            fields[1] = HostArray::from_f64(fields[1].ty().clone(), &indices).unwrap();
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_of_one_bucket_and_every_bucket_has_epochs_of_its_own() {
        let plan = BatchPlan::new(&[5], 1, 1, 1).unwrap();
        let loader = Loader::new(Arc::new(Shapes([20, 10])), plan, 3, 0).unwrap();
        let mut drawn = [Vec::new(), Vec::new()];
        for step in 0..12 {
            let batch = loader.batch_at(step).unwrap().remove(0).remove(0);
            let bucket = loader.buckets().of_step(step);
            let shape = loader.buckets().all()[bucket].shape;
            assert_eq!(batch.fields[IMAGES].shape()[..], [&[5], &shape[..]].concat());
            let stream: Vec<u32> = (5 * step as u32..).take(5).collect();
            assert_eq!(batch.sample_index.as_slice::<u32>().unwrap(), stream);
            drawn[bucket].extend_from_slice(labels(&batch));
        }
        for (drawn, samples) in drawn.iter().zip([0..20, 20..30]) {
            for epoch in drawn.chunks(samples.len()) {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                assert_eq!(epoch, samples.clone().collect::<Vec<_>>());
            }
            assert_eq!(drawn.len(), 2 * samples.len());
        }
        assert_ne!(drawn[0][..20], drawn[0][20..]);
    }

    #[test]
    fn sample_index_counts_the_stream_and_wraps() {
        let loader = loader(None, BatchPlan::new(&[1, 1], 1, 1, 1).unwrap(), 0);
        let index = |step| loader.batch_at(step).unwrap()[0][0].sample_index.as_slice::<u32>().unwrap().to_vec();
        assert_eq!(index(3), [6, 7]);
        assert_eq!(index((1 << 31) + 3), [6, 7]);
    }

    #[test]
    fn flips_mirror_about_half_of_the_images() {
        let plan = BatchPlan::new(&[1000], 1, 1, 1).unwrap();
        let plain = loader(None, plan, 0);
        let flipped = plain.clone().with_horizontal_flip(true).batch_at(0).unwrap().remove(0).remove(0);
        let plain = plain.batch_at(0).unwrap().remove(0).remove(0);
        let mut mirrored = 0;
        let images = plain.fields[IMAGES].as_slice::<f32>().unwrap().chunks_exact(4);
        for (image, flipped) in images.zip(flipped.fields[IMAGES].as_slice::<f32>().unwrap().chunks_exact(4)) {
            if image != flipped {
                assert_eq!([image[2], image[3], image[0], image[1]], flipped);
                mirrored += 1;
            }
        }
        // Five standard deviations of a binomial count of 1,000.
        assert!((420..580).contains(&mirrored), "{mirrored} of 1000 mirrored");
    }

    #[test]
    fn a_mirrored_row_keeps_the_bytes_of_a_pixel_together() {
        let mut row = [1, 2, 3, 4, 5, 6];
        mirror(&mut row, 3);
        assert_eq!(row, [4, 5, 6, 1, 2, 3]);
        mirror(&mut row, 1);
        assert_eq!(row, [3, 2, 1, 6, 5, 4]);
    }

    #[test]
    fn ranks_outside_the_world_and_empty_sources_are_errors() {
        let plan = BatchPlan::new(&[2], 2, 1, 1).unwrap();
        let new = |samples, rank| Loader::new(Arc::new(Counting { samples }), plan.clone(), 0, rank);
        assert_eq!(new(None, 2).err().unwrap().to_string(), "rank 2 of a world of 2: ranks count from 0");
        assert_eq!(new(Some(0), 0).err().unwrap().to_string(), "number of samples is 0; it must be at least 1");
    }
}
