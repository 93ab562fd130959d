//! Draws samples in chunks of a fixed size.

use miette::Result;
use twinflow_array::{HostArray, by_ref};
use twinflow_compiler::pjrt::{Buffer, Device};
use twinflow_compiler::{Jit, to_device};
use twinflow_graphs::{Params, flow::SampleConfig, step::Trainer};

use crate::{
    devices::Devices,
    programs::{self, Nothing},
    said::Said,
    sample_file::SampleSet,
};

use twinflow_array::TensorType as Spec;

/// Numbers of one label's samples; the next label's begin this much higher.
const NUMBERS_PER_LABEL: u32 = 1 << 20;

/// A compiled sampler.
pub struct Sampler {
    jit: Jit<Nothing, (Params<Spec>, Spec, Spec, Spec), Spec>,
    device: Device,
    chunk: usize,
    shape: [usize; 3],
}

impl Sampler {
    /// Compiles the sampler of a config for samples of the given shape, for the first device.
    ///
    /// # Errors
    /// What tracing and compiling met.
    pub fn new(trainer: &Trainer, config: &SampleConfig, shape: [usize; 3], devices: &Devices) -> Result<Self> {
        let chunk = chunk_size(shape);
        let traced = programs::sample(trainer, config, chunk).said()?;
        let jit = devices.compile(traced, 1).said()?;
        Ok(Sampler { jit, device: devices.all()[0].clone(), chunk, shape })
    }

    /// `per_label` samples of each label, label by label. Sample j of a label depends on seed, label and j alone, not on
    /// how many others are drawn.
    ///
    /// # Errors
    /// The plugin's.
    pub fn draw(&self, params: &Params<HostArray>, labels: &[i32], per_label: usize, seed: u64) -> Result<SampleSet> {
        let wanted: Vec<(i32, u32)> = labels.iter().flat_map(|label| numbered(*label, per_label)).collect();
        let params = to_device(params, &self.device).said()?;
        let mut values = Vec::with_capacity(wanted.len() * self.shape.iter().product::<usize>());
        for chunk in wanted.chunks(self.chunk) {
            let drawn = self.draw_chunk(&params, chunk, seed)?;
            let pixels = drawn.as_slice::<f32>().said()?;
            values.extend_from_slice(&pixels[..pixels.len() / self.chunk * chunk.len()]);
        }
        let labels = wanted.into_iter().map(|(label, _)| label).collect();
        Ok(SampleSet { values, labels, shape: self.shape, per_label })
    }

    /// One chunk; a shorter one is filled up with its last sample, so that every chunk runs the same program.
    fn draw_chunk(&self, params: &Params<Buffer>, chunk: &[(i32, u32)], seed: u64) -> Result<HostArray> {
        let filled = |i: usize| chunk[i.min(chunk.len() - 1)];
        let labels: Vec<i32> = (0..self.chunk).map(|i| filled(i).0).collect();
        let rows: Vec<u32> = (0..self.chunk).map(|i| filled(i).1).collect();
        let key = [(seed >> 32) as u32, seed as u32];
        let labels = HostArray::from_slice([self.chunk], &labels).said()?;
        let rows = HostArray::from_slice([self.chunk], &rows).said()?;
        let key = HostArray::from_slice([2], &key).said()?;
        let (labels, rows, key) = to_device(&(labels, rows, key), &self.device).said()?;
        self.jit.call(None, (by_ref(params), &labels, &rows, &key)).said()?.to_host().said()
    }
}

/// The samples of a label with their numbers.
fn numbered(label: i32, count: usize) -> impl Iterator<Item = (i32, u32)> {
    let first = (label as u32).wrapping_mul(NUMBERS_PER_LABEL);
    (0..count).map(move |j| (label, first.wrapping_add(j as u32)))
}

/// Samples per program run: many small ones, few large ones. It must depend on nothing that changes between calls, for
/// the last bits of a sample may depend on the batch it is computed in.
pub fn chunk_size(shape: [usize; 3]) -> usize {
    (65_536 / shape.iter().product::<usize>().max(1)).clamp(16, 1024)
}
