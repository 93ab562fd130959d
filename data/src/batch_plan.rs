//! Who takes which samples of the global batch.

use std::ops::Range;

use crate::DataError;

/// How the global batch is dealt out over ranks, micro-batches and devices.
///
/// The global batch is ordered in parts (such as e2e, mul, any, adv). Each part is cut into equal shards; shard
/// `(micro_batch * ranks + rank) * devices + device` goes to that micro-batch of that device of that rank. So every
/// shard holds the same parts of the same sizes, in the same order, whatever the world, and micro-batch `m` of all
/// ranks and devices together is the same set of samples for every world size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    parts: Vec<usize>,
    ranks: usize,
    micro_batches: usize,
    devices: usize,
}

/// One device's shard of one micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The process, from 0.
    pub rank: usize,
    /// The micro-batch of the step, from 0.
    pub micro_batch: usize,
    /// The device of the process, from 0.
    pub device: usize,
}

impl BatchPlan {
    /// A plan for a global batch of parts of the given sizes (parts of 0 samples are fine) over `ranks` processes, each
    /// with `devices` devices and `micro_batches` accumulated per step.
    ///
    /// # Errors
    /// [`DataError::UnevenPart`] if a part does not divide by the number of shards, [`DataError::Zero`] if there are no
    /// samples, ranks, micro-batches or devices.
    pub fn new(parts: &[usize], ranks: usize, micro_batches: usize, devices: usize) -> Result<Self, DataError> {
        let counts = [("batch size", parts.iter().sum()), ("number of ranks", ranks)];
        let counts =
            counts.into_iter().chain([("number of micro-batches", micro_batches), ("number of devices", devices)]);
        for (what, count) in counts {
            if count == 0 {
                return Err(DataError::Zero { what });
            }
        }
        let shards = ranks.saturating_mul(micro_batches).saturating_mul(devices);
        if let Some(part) = parts.iter().position(|size| size % shards != 0) {
            return Err(DataError::UnevenPart { part, size: parts[part], ranks, micro_batches, devices });
        }
        Ok(BatchPlan { parts: parts.to_vec(), ranks, micro_batches, devices })
    }

    /// Samples of the global batch: one optimizer step over all ranks.
    pub fn global_batch(&self) -> usize {
        self.parts.iter().sum()
    }

    /// Samples in one shard: what one execution of the compiled step sees on one device.
    pub fn shard_batch(&self) -> usize {
        self.global_batch() / self.shards()
    }

    /// Sizes of the parts within one shard, in order.
    pub fn shard_parts(&self) -> Vec<usize> {
        self.parts.iter().map(|size| size / self.shards()).collect()
    }

    /// Number of ranks.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Micro-batches per step.
    pub fn micro_batches(&self) -> usize {
        self.micro_batches
    }

    /// Devices per rank.
    pub fn devices(&self) -> usize {
        self.devices
    }

    /// The positions within the global batch that a shard holds, in part order.
    ///
    /// # Panics
    /// If rank, micro-batch or device is not below its count in the plan.
    pub fn global_positions(&self, shard: Shard) -> Vec<usize> {
        let Shard { rank, micro_batch, device } = shard;
        assert!(
            rank < self.ranks && micro_batch < self.micro_batches && device < self.devices,
            "{shard:?} of {self:?}"
        );
        let place = (micro_batch * self.ranks + rank) * self.devices + device;
        self.part_ranges()
            .flat_map(|part| {
                let size = part.len() / self.shards();
                part.start + place * size..part.start + (place + 1) * size
            })
            .collect()
    }

    /// The positions that a device works on in one step, micro-batch by micro-batch: what the compiled step takes as
    /// `rows`.
    ///
    /// # Panics
    /// As [`BatchPlan::global_positions`].
    pub fn rows(&self, rank: usize, device: usize) -> Vec<u32> {
        let micro_batch = |micro_batch| self.global_positions(Shard { rank, micro_batch, device });
        (0..self.micro_batches).flat_map(micro_batch).map(|position| position as u32).collect()
    }

    fn shards(&self) -> usize {
        self.ranks * self.micro_batches * self.devices
    }

    fn part_ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.parts.iter().scan(0, |end, size| {
            let start = *end;
            *end += size;
            Some(start..*end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn positions(plan: &BatchPlan, rank: usize, micro_batch: usize, device: usize) -> Vec<usize> {
        plan.global_positions(Shard { rank, micro_batch, device })
    }

    /// The samples of one micro-batch over all ranks and devices, sorted.
    fn micro_batch(plan: &BatchPlan, micro_batch: usize) -> Vec<usize> {
        let mut all = Vec::new();
        for rank in 0..plan.ranks() {
            (0..plan.devices()).for_each(|device| all.extend(positions(plan, rank, micro_batch, device)));
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn each_shard_takes_its_place_in_each_part() {
        let plan = BatchPlan::new(&[4, 8, 0, 4], 2, 1, 2).unwrap();
        assert_eq!(positions(&plan, 0, 0, 0), [0, 4, 5, 12]);
        assert_eq!(positions(&plan, 0, 0, 1), [1, 6, 7, 13]);
        assert_eq!(positions(&plan, 1, 0, 1), [3, 10, 11, 15]);
        let accumulated = BatchPlan::new(&[4, 4], 1, 2, 1).unwrap();
        assert_eq!(accumulated.rows(0, 0), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(plan.shard_parts(), [1, 2, 0, 1]);
        assert_eq!((plan.shard_batch(), plan.global_batch()), (4, 16));
    }

    #[test]
    fn uneven_and_empty_plans_are_errors() {
        let error = BatchPlan::new(&[4, 6], 2, 2, 1).unwrap_err().to_string();
        assert!(
            error.starts_with("part 1 of the batch has 6 samples, which 2 ranks x 2 micro-batches x 1 devices"),
            "{error}"
        );
        assert!(error.ends_with("make it a multiple of 4"), "{error}");
        let zero = |parts: &[usize], ranks, micro, devices| {
            BatchPlan::new(parts, ranks, micro, devices).unwrap_err().to_string()
        };
        assert_eq!(zero(&[0, 0], 1, 1, 1), "batch size is 0; it must be at least 1");
        assert_eq!(zero(&[4], 0, 1, 1), "number of ranks is 0; it must be at least 1");
        assert_eq!(zero(&[4], 1, 0, 1), "number of micro-batches is 0; it must be at least 1");
        assert_eq!(zero(&[4], 1, 1, 0), "number of devices is 0; it must be at least 1");
    }

    proptest! {
        #[test]
        fn shards_partition_the_batch(
            sizes in prop::collection::vec(0usize..4, 1..5),
            (ranks, micro, devices) in (1usize..5, 1usize..4, 1usize..4),
        ) {
            prop_assume!(sizes.iter().sum::<usize>() > 0);
            let parts: Vec<usize> = sizes.iter().map(|size| size * ranks * micro * devices).collect();
            let plan = BatchPlan::new(&parts, ranks, micro, devices).unwrap();
            let mut all: Vec<usize> = (0..micro).flat_map(|m| micro_batch(&plan, m)).collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..plan.global_batch()));
            let alone = BatchPlan::new(&parts, 1, micro, 1).unwrap();
            for m in 0..micro {
                prop_assert_eq!(micro_batch(&plan, m), micro_batch(&alone, m));
            }
        }
    }
}
