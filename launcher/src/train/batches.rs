//! From the loader's batches to those of the compiled step.

use miette::Result;
use twinflow_array::{ArrayError, HostArray, TensorType};
use twinflow_compiler::pjrt::{Buffer, Device};
use twinflow_compiler::to_device;
use twinflow_data::{self as data, IMAGES, LABELS};
use twinflow_graphs::step::Batch;

use crate::said::Said;

/// Each device's batch `[micro-batches, samples, ..]` of a step, on the device.
///
/// # Errors
/// The plugin's.
pub fn upload(
    batches: &data::StepBatches,
    step: u64,
    global_batch: usize,
    devices: &[Device],
) -> Result<Vec<Batch<Buffer>>> {
    let first = (step as u32).wrapping_mul(global_batch as u32);
    let of_device = |(place, device): (usize, &Device)| {
        let micro_batches: Vec<&data::Batch> = batches.iter().map(|micro_batch| &micro_batch[place]).collect();
        let batch = stack_batches(&micro_batches, first).said()?;
        to_device(&batch, device).said()
    };
    devices.iter().enumerate().map(of_device).collect()
}

fn stack_batches(micro_batches: &[&data::Batch], first: u32) -> Result<Batch<HostArray>, ArrayError> {
    let field = |get: fn(&data::Batch) -> &HostArray| stack(micro_batches.iter().map(|batch| get(batch)));
    let mut rows = field(|batch| &batch.sample_index)?;
    // The loader counts all samples since step 0, the step those of its own batch.
    rows.as_mut_slice::<u32>()?.iter_mut().for_each(|row| *row = row.wrapping_sub(first));
    Ok(Batch { samples: field(|batch| &batch.fields[IMAGES])?, labels: field(|batch| &batch.fields[LABELS])?, rows })
}

/// Arrays of one type along a new first dim.
fn stack<'a>(arrays: impl Iterator<Item = &'a HostArray>) -> Result<HostArray, ArrayError> {
    let arrays: Vec<&HostArray> = arrays.collect();
    let ty = arrays[0].ty();
    let shape = std::iter::once(arrays.len()).chain(ty.shape.iter().copied()).collect::<Vec<_>>();
    if let [only] = arrays[..] {
        return only.clone().reshape(shape);
    }
    let bytes: Vec<u8> = arrays.iter().flat_map(|array| array.bytes()).copied().collect();
    HostArray::from_bytes(TensorType::new(ty.dtype, shape), &bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use twinflow_data::{BatchPlan, Loader, Toy2d, ToyKind};

    #[test]
    fn rows_are_places_in_the_global_batch() {
        let plan = BatchPlan::new(&[4, 4], 1, 2, 1).unwrap();
        let loader = Loader::new(Arc::new(Toy2d::new(ToyKind::Moons, 0)), plan, 0, 0).unwrap();
        let batches = loader.batch_at(5).unwrap();
        let batch = stack_batches(&[&batches[0][0], &batches[1][0]], 5 * 8).unwrap();
        assert_eq!(batch.samples.shape().to_vec(), [2, 4, 1, 1, 2]);
        assert_eq!(batch.rows.as_slice::<u32>().unwrap(), [0, 1, 4, 5, 2, 3, 6, 7]);
    }
}
