//! Draws samples in chunks of a fixed size.

use miette::Result;
use twinflow_array::{HostArray, TensorType, by_ref};
use twinflow_compiler::{
    Jit,
    pjrt::{Buffer, Device},
    to_device,
};
use twinflow_methods::flow::SampleConfig;
use twinflow_nn::{Condition, Params};

use crate::{
    console::OrReport,
    devices::Devices,
    model::Model,
    programs::{self, Nothing, SampleInputs},
};

/// Numbers of one label's samples; the next label's begin this much higher.
const NUMBERS_PER_LABEL: u32 = 1 << 20;

/// Samples of one kind, in the order of their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSet {
    /// f32 in about `[-1, 1]`, `[n, height, width, channels]`.
    pub values: Vec<f32>,
    /// Class of each.
    pub labels: Vec<i32>,
    /// Height, width and channels; points in the plane are `[1, 1, 2]`.
    pub shape: [usize; 3],
    /// Samples per label.
    pub per_label: usize,
}

/// A compiled sampler.
pub struct Sampler {
    jit: Jit<Nothing, SampleInputs<TensorType>, TensorType>,
    device: Device,
    /// "No condition", for each sample of a chunk.
    null_condition: Condition<HostArray>,
    chunk: usize,
    shape: [usize; 3],
}

impl Sampler {
    /// Compiles the sampler of a config for the first device.
    ///
    /// # Errors
    /// What tracing and compiling met.
    pub fn new(model: &Model, config: &SampleConfig, devices: &Devices) -> Result<Self> {
        let traced = programs::sample(model, config).or_report()?;
        let jit = devices.compile(traced, 1).or_report()?;
        let (chunk, shape) = (model.chunk_size(), model.data().sample);
        let null_condition = model.denoiser().condition().with_leading(&[chunk]).null(model.data().classes);
        Ok(Sampler { jit, device: devices.all()[0].clone(), null_condition, chunk, shape })
    }

    /// `per_label` samples of each label, label by label, by parameters that lie on the sampler's device. Sample j of a
    /// label depends on seed, label and j alone, not on how many others are drawn.
    ///
    /// # Errors
    /// The plugin's.
    pub fn draw(&self, params: &Params<&Buffer>, labels: &[i32], per_label: usize, seed: u64) -> Result<SampleSet> {
        let wanted: Vec<(i32, u32)> = labels.iter().flat_map(|label| numbered(*label, per_label)).collect();
        let mut values = Vec::with_capacity(wanted.len() * self.shape.iter().product::<usize>());
        for chunk in wanted.chunks(self.chunk) {
            let drawn = self.draw_chunk(params, chunk, seed)?;
            let pixels = drawn.as_slice::<f32>().or_report()?;
            values.extend_from_slice(&pixels[..pixels.len() / self.chunk * chunk.len()]);
        }
        let labels = wanted.into_iter().map(|(label, _)| label).collect();
        Ok(SampleSet { values, labels, shape: self.shape, per_label })
    }

    /// One chunk; a shorter one is filled up with its last sample, so that every chunk runs the same program.
    fn draw_chunk(&self, params: &Params<&Buffer>, chunk: &[(i32, u32)], seed: u64) -> Result<HostArray> {
        let filled = |i: usize| chunk[i.min(chunk.len() - 1)];
        let labels: Vec<i32> = (0..self.chunk).map(|i| filled(i).0).collect();
        let rows: Vec<u32> = (0..self.chunk).map(|i| filled(i).1).collect();
        let key = [(seed >> 32) as u32, seed as u32];
        let labels = HostArray::from_slice([self.chunk], &labels).or_report()?;
        let mut condition = self.null_condition.clone();
        condition.labels = condition.labels.map(|_| labels);
        let rows = HostArray::from_slice([self.chunk], &rows).or_report()?;
        let key = HostArray::from_slice([2], &key).or_report()?;
        let (condition, rows, key) = to_device(&(condition, rows, key), &self.device).or_report()?;
        let kept = (params.clone(), by_ref(&condition), &rows, &key);
        self.jit.call(None, kept).or_report()?.to_host().or_report()
    }
}

impl SampleSet {
    /// Whether these are points in the plane, not pictures.
    pub fn are_points(&self) -> bool {
        self.shape == [1, 1, 2]
    }
}

/// The samples of a label with their numbers.
fn numbered(label: i32, count: usize) -> impl Iterator<Item = (i32, u32)> {
    let first = (label as u32).wrapping_mul(NUMBERS_PER_LABEL);
    (0..count).map(move |j| (label, first.wrapping_add(j as u32)))
}
