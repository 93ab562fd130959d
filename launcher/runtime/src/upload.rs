//! From the loader's batches to those of the compiled step.

use miette::{Result, miette};
use twinflow_array::{ArrayError, HostArray, ParamPath, TensorType, leaves, paths, unflatten};
use twinflow_compiler::{
    pjrt::{Buffer, Device},
    to_device,
};
use twinflow_data as data;
use twinflow_nn::Condition;
use twinflow_training::Batch;

use crate::console::OrReport;

const UNFIT: &str = "change [model], or name another dataset by data.path";

/// From the loader to the devices: each leaf of a batch is the dataset's field of its name.
pub struct Uploader {
    /// By the shape of samples.
    specs: Vec<Batch<TensorType>>,
    /// Fields that are the same for every step.
    null_condition: Condition<HostArray>,
    global_batch: usize,
}

impl Uploader {
    /// For batches of these types, one for each shape of samples, of `global_batch` samples in all, with this value of
    /// "no condition".
    pub fn new(specs: Vec<Batch<TensorType>>, global_batch: usize, null_condition: Condition<HostArray>) -> Self {
        Uploader { specs, null_condition, global_batch }
    }

    /// Each device's batch `[micro-batches, samples, ..]` of a step, on the device; samples have the shape of that number.
    ///
    /// # Errors
    /// A field that the dataset lacks, or has in another type; the plugin's.
    pub fn upload(
        &self,
        batches: &data::StepBatches,
        (step, bucket): (u64, usize),
        devices: &[Device],
    ) -> Result<Vec<Batch<Buffer>>> {
        let of_device = |(place, device): (usize, &Device)| {
            let micro_batches: Vec<&data::Batch> = batches.iter().map(|micro_batch| &micro_batch[place]).collect();
            to_device(&self.batch(&micro_batches, (step, bucket))?, device).or_report()
        };
        devices.iter().enumerate().map(of_device).collect()
    }

    fn batch(&self, micro_batches: &[&data::Batch], (step, bucket): (u64, usize)) -> Result<Batch<HostArray>> {
        let spec = &self.specs[bucket];
        let field = |(path, ty): (&ParamPath, &TensorType)| {
            let fields = micro_batches.iter().map(|batch| batch.fields.get(path.as_str()));
            let fields = fields.collect::<Option<Vec<_>>>();
            let missing = || miette!(help = UNFIT, "the model reads a field '{path}' that the dataset does not have");
            let stacked = stack(&fields.ok_or_else(missing)?).or_report()?;
            match stacked.ty() {
                found if found == ty => Ok(stacked),
                found => {
                    let message =
                        format!("the dataset's field '{path}' makes batches of {found}, the model reads {ty}");
                    Err(miette!(help = UNFIT, "{message}"))
                }
            }
        };
        let mut rows = stack(&micro_batches.iter().map(|batch| &batch.sample_index).collect::<Vec<_>>()).or_report()?;
        // The loader counts all samples since step 0, the step those of its own batch.
        let first = (step as u32).wrapping_mul(self.global_batch as u32);
        rows.as_mut_slice::<u32>().or_report()?.iter_mut().for_each(|row| *row = row.wrapping_sub(first));
        let condition = paths(&spec.condition);
        let condition = condition.iter().zip(leaves(&spec.condition)).map(field).collect::<Result<Vec<_>>>()?;
        Ok(Batch {
            images: field((&"images".into(), &spec.images))?,
            condition: unflatten(&spec.condition, condition),
            null_condition: self.null_condition.clone(),
            rows,
        })
    }
}

/// Arrays of one type along a new first dim.
fn stack(arrays: &[&HostArray]) -> Result<HostArray, ArrayError> {
    let ty = arrays[0].ty();
    let shape = std::iter::once(arrays.len()).chain(ty.shape.iter().copied()).collect::<Vec<_>>();
    if let [only] = arrays {
        return (*only).clone().reshape(shape);
    }
    let bytes: Vec<u8> = arrays.iter().flat_map(|array| array.bytes()).copied().collect();
    HostArray::from_bytes(TensorType::new(ty.dtype, shape), &bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use twinflow_array::DType;
    use twinflow_compiler::types_of;
    use twinflow_data::{BatchPlan, Loader, Toy2d, ToyKind};

    #[test]
    fn rows_are_places_in_the_global_batch() {
        let plan = BatchPlan::new(&[4, 4], 1, 2, 1).unwrap();
        let loader = Loader::new(Arc::new(Toy2d::new(ToyKind::Moons, 0)), plan, 0, 0).unwrap();
        let batches = loader.batch_at(5).unwrap();
        let field = |dtype, shape: &[usize]| TensorType::new(dtype, shape.to_vec());
        let spec = Batch {
            images: field(DType::F32, &[2, 4, 1, 1, 2]),
            condition: Condition::of_labels(field(DType::I32, &[2, 4])),
            null_condition: Condition::of_labels(field(DType::I32, &[1])),
            rows: field(DType::U32, &[2, 4]),
        };
        let batch = Uploader::new(vec![spec.clone()], 8, spec.null_condition.null(2))
            .batch(&[&batches[0][0], &batches[1][0]], (5, 0))
            .unwrap();
        assert_eq!(leaves(&types_of(&batch)), leaves(&spec));
        assert_eq!(batch.rows.as_slice::<u32>().unwrap(), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(batch.null_condition.labels.unwrap().as_slice::<i32>().unwrap(), [2]);
    }

    #[test]
    fn fields_that_are_not_what_the_model_reads_are_named() {
        let loader = Loader::new(Arc::new(Toy2d::new(ToyKind::Moons, 0)), BatchPlan::new(&[4], 1, 1, 1).unwrap(), 0, 0);
        let batches = loader.unwrap().batch_at(0).unwrap();
        let spec = Batch {
            images: TensorType::f32([1, 4, 1, 1, 2]),
            condition: Condition::of_labels(TensorType::f32([1, 4])),
            null_condition: Condition::default(),
            rows: TensorType::new(DType::U32, [1, 4]),
        };
        let error = Uploader::new(vec![spec], 4, Condition::default())
            .batch(&[&batches[0][0]], (0, 0))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "the dataset's field 'labels' makes batches of i32[1, 4], the model reads f32[1, 4]");
    }
}
