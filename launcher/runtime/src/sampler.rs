//! Draws samples in chunks of a fixed size.

use miette::Result;
use twinflow_array::{HostArray, TensorType, by_ref, leaves, unflatten};
use twinflow_compiler::{
    Jit,
    pjrt::{Buffer, Device},
    to_device,
};
use twinflow_methods::flow::{Guided, SampleConfig};
use twinflow_nn::{Condition, Params};
use twinflow_tokenizer::EncodedPrompt;

use crate::{
    console::OrReport,
    devices::Devices,
    model::{Model, set_prompt},
    programs::{self, Nothing, SampleInputs},
};

/// Numbers of one label's samples; the next label's begin this much higher.
const NUMBERS_PER_LABEL: u32 = 1 << 20;

/// What samples are to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// A class.
    Label(i32),
    /// A prompt, with the number of its first sample.
    Prompt(EncodedPrompt, u32),
}

/// Samples of one kind, in the order of their subjects.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSet {
    /// f32 in about `[-1, 1]`, `[n, height, width, channels]`.
    pub values: Vec<f32>,
    /// Class of each, or the place of its prompt among those asked for.
    pub labels: Vec<i32>,
    /// Height, width and channels; points in the plane are `[1, 1, 2]`.
    pub shape: [usize; 3],
    /// Samples per subject.
    pub per_subject: usize,
}

/// A compiled sampler.
pub struct Sampler {
    jit: Jit<Nothing, SampleInputs<TensorType>, TensorType>,
    device: Device,
    /// "No condition", once.
    null: Condition<HostArray>,
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
        let null = model.null_condition().or_report()?;
        Ok(Sampler { jit, device: devices.all()[0].clone(), null, chunk, shape })
    }

    /// The same with guidance away from what a prompt says, in place of the empty prompt.
    #[must_use]
    pub fn with_negative(mut self, prompt: &EncodedPrompt) -> Self {
        set_prompt(&mut self.null, prompt);
        self
    }

    /// `per_subject` samples of each subject, one after the other, by parameters that lie on the sampler's device. Sample
    /// j of a subject depends on seed, subject and j alone, not on how many others are drawn.
    ///
    /// # Errors
    /// The plugin's.
    pub fn draw(
        &self,
        params: &Params<&Buffer>,
        subjects: &[Subject],
        per_subject: usize,
        seed: u64,
    ) -> Result<SampleSet> {
        let wanted: Vec<(&Subject, u32)> = subjects.iter().flat_map(|subject| subject.numbered(per_subject)).collect();
        let mut values = Vec::with_capacity(wanted.len() * self.shape.iter().product::<usize>());
        for chunk in wanted.chunks(self.chunk) {
            let drawn = self.draw_chunk(params, chunk, seed)?;
            let pixels = drawn.as_slice::<f32>().or_report()?;
            values.extend_from_slice(&pixels[..pixels.len() / self.chunk * chunk.len()]);
        }
        let labels = subjects.iter().enumerate().flat_map(|(place, subject)| {
            let label = if let Subject::Label(label) = subject { *label } else { place as i32 };
            std::iter::repeat_n(label, per_subject)
        });
        Ok(SampleSet { values, labels: labels.collect(), shape: self.shape, per_subject })
    }

    /// One chunk; a shorter one is filled up with its last sample, so that every chunk runs the same program.
    fn draw_chunk(&self, params: &Params<&Buffer>, chunk: &[(&Subject, u32)], seed: u64) -> Result<HostArray> {
        let filled: Vec<(&Subject, u32)> = (0..self.chunk).map(|i| chunk[i.min(chunk.len() - 1)]).collect();
        let rows: Vec<u32> = filled.iter().map(|(_, number)| *number).collect();
        let key = [(seed >> 32) as u32, seed as u32];
        let condition = self.condition(filled.iter().map(|(subject, _)| *subject))?;
        let guided = Guided { condition, null: self.null.clone() };
        let rows = HostArray::from_slice([self.chunk], &rows).or_report()?;
        let key = HostArray::from_slice([2], &key).or_report()?;
        let (guided, rows, key) = to_device(&(guided, rows, key), &self.device).or_report()?;
        let kept = (params.clone(), by_ref(&guided), &rows, &key);
        self.jit.call(None, kept).or_report()?.to_host().or_report()
    }

    /// The conditions of a chunk's samples: "no condition" where a subject says nothing.
    fn condition<'s>(&self, subjects: impl Iterator<Item = &'s Subject>) -> Result<Condition<HostArray>> {
        let rows = subjects.map(|subject| {
            let mut row = self.null.clone();
            match subject {
                Subject::Label(label) => row.labels = row.labels.map(|_| one_label(*label)),
                Subject::Prompt(prompt, _) => set_prompt(&mut row, prompt),
            }
            row
        });
        let rows: Vec<Condition<HostArray>> = rows.collect();
        let of_rows: Vec<Vec<&HostArray>> = rows.iter().map(leaves).collect();
        let joined = (0..leaves(&self.null).len()).map(|leaf| joined(of_rows.iter().map(|row| row[leaf])));
        Ok(unflatten(&self.null, joined.collect::<Result<Vec<_>>>()?))
    }
}

fn one_label(label: i32) -> HostArray {
    HostArray::from_slice([1], &[label]).expect("one dim of that length")
}

/// Rows `[1, ..]` of one type, below each other.
fn joined<'a>(rows: impl Iterator<Item = &'a HostArray>) -> Result<HostArray> {
    let rows: Vec<&HostArray> = rows.collect();
    let shape: Vec<usize> = std::iter::once(rows.len()).chain(rows[0].shape()[1..].iter().copied()).collect();
    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.bytes()).copied().collect();
    HostArray::from_bytes(TensorType::new(rows[0].dtype(), shape), &bytes).or_report()
}

impl Subject {
    /// A text, for a model that reads prompts; the noise of its samples depends on the text.
    pub fn prompt(text: &str, encoded: EncodedPrompt) -> Self {
        Subject::Prompt(encoded, crc32fast::hash(text.as_bytes()))
    }

    /// Its samples with their numbers.
    fn numbered(&self, count: usize) -> impl Iterator<Item = (&Subject, u32)> {
        let first = match self {
            Subject::Label(label) => (*label as u32).wrapping_mul(NUMBERS_PER_LABEL),
            Subject::Prompt(_, first) => *first,
        };
        (0..count).map(move |j| (self, first.wrapping_add(j as u32)))
    }
}

impl SampleSet {
    /// Whether these are points in the plane, not pictures.
    pub fn are_points(&self) -> bool {
        self.shape == [1, 1, 2]
    }
}
